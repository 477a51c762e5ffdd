"""Defines a mutant, a wrong gradient, and its original, the model with the right one."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Mutant", "Original", "normal"]

MARK = "# bug"
"""The lines of a mutant that hold its mistake end in this."""

Candidate = Callable[..., tuple[Any, Any]]
Loss = Callable[..., Any]
Make = Callable[[int], tuple[Any, ...]]


class Mutant(NamedTuple):
    """A wrong gradient.

    Attributes:
        name: such as `mlp-sign-flipped`.
        slug: the name of the bug that a diagnosis should find; None if no slug fits.
        original: the kind of model.
        candidate: `candidate(params, *args) -> (loss, grads)`, whose docstring tells the mistake.
        loss: `loss(params, *args)`, which `jax.grad` differentiates.
        make: `make(seed) -> (params, *args)`.
        path: the paths of the leaves that are wrong, such as `0/w`.
        verdict: the verdict that the checker must give.
        aliases: other slugs that explain the same wrong numbers equally well.
    """

    name: str
    slug: str | None
    original: str
    candidate: Candidate
    loss: Loss
    make: Make
    path: tuple[str, ...]
    verdict: str = "manual_wrong"
    aliases: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """`file:line` of the lines that hold the mistake."""
        source, first = inspect.getsourcelines(self.candidate)
        file = inspect.getsourcefile(self.candidate)
        numbers = (i for i, line in enumerate(source, first) if line.rstrip().endswith(MARK))
        return tuple(f"{file}:{number}" for number in numbers)


@dataclass(frozen=True)
class Original:
    """One model, its right gradient, and the wrong ones.

    Attributes:
        name: the kind of model.
        loss: `loss(params, *args)`.
        correct: `correct(params, *args) -> (loss, grads)`, derived by hand.
        make: `make(seed) -> (params, *args)`.
        mutants: the wrong gradients that have been declared so far.
    """

    name: str
    loss: Loss
    correct: Candidate
    make: Make
    mutants: list[Mutant] = field(default_factory=list)

    def mutant(
        self,
        slug: str | None,
        *path: str,
        verdict: str = "manual_wrong",
        aliases: tuple[str, ...] = (),
        make: Make | None = None,
    ) -> Callable[[Candidate], Candidate]:
        """Decorates a wrong gradient of this model; the mutant is named after the function.

        Args:
            slug: as in `Mutant`.
            *path: as in `Mutant`.
            verdict: as in `Mutant`.
            aliases: as in `Mutant`.
            make: draws other inputs, where the mistake is not possible or not visible on the
                original's.
        """

        def declare(candidate: Candidate) -> Candidate:
            name = f"{self.name}-{candidate.__name__}".replace("_", "-")
            inputs = make or self.make
            self.mutants.append(
                Mutant(
                    name=name,
                    slug=slug,
                    original=self.name,
                    candidate=candidate,
                    loss=self.loss,
                    make=inputs,
                    path=path,
                    verdict=verdict,
                    aliases=aliases,
                )
            )
            return candidate

        return declare


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> jax.Array:
    """Draws independent normals of mean 0 and standard deviation `scale`, float32."""
    return jnp.asarray(scale * rng.standard_normal(shape), jnp.float32)
