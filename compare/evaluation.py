"""Running the two sides of a comparison, and measuring the rounding noise of one."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.rounding import rounding_noise
from compare.trees import Layout, by_path

__all__ = ["DRAWS", "Arrays", "Evaluation", "Key", "Result", "Sides"]

DRAWS = 16
"""How many perturbed runs measure the rounding noise."""

Arrays = list[Any]
Key = tuple[str, str]
"""Which leaf of a result: ("value" or "grad", path)."""

_UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
)


class Result(NamedTuple):
    """What one side returned: the value (of the loss, or of a rule) and the gradient."""

    value: Any
    grads: Any

    def leaves(self, value_name: str) -> dict[Key, np.ndarray]:
        """Every array by its key, the value's first."""
        values, grads = by_path(self.value, value_name), by_path(self.grads)
        return {
            **{("value", path): leaf for path, leaf in values.items()},
            **{("grad", path): leaf for path, leaf in grads.items()},
        }

    @property
    def total(self) -> float:
        """The value as one number: the loss itself, or the sum of a rule's outputs."""
        return math.fsum(np.asarray(x, np.float64).sum() for x in jax.tree.leaves(self.value))


class Sides:
    """Two functions `(params, *args) -> (value, grads)`, compiled once for each shape and dtype.

    Args:
        manual: the side under test.
        autodiff: the other one.
    """

    def __init__(self, manual: Callable[..., Any], autodiff: Callable[..., Any]):
        self.eager = {"manual": _on_arrays(manual), "autodiff": _on_arrays(autodiff)}
        self.jitted = {
            side: jax.jit(fn, static_argnames="layout") for side, fn in self.eager.items()
        }
        self.noise = jax.jit(
            self._noise,
            static_argnames=("layout", "seed", "freeze_decisions"),
            compiler_options=_quick_compilation(),
        )

    def _noise(
        self, arrays: Arrays, result: Result, *, layout: Layout, seed: int, freeze_decisions: bool
    ) -> Any:
        return rounding_noise(
            functools.partial(self.eager["autodiff"], layout=layout),
            [arrays],
            tuple(result),
            draws=DRAWS,
            seed=seed,
            freeze_decisions=freeze_decisions,
        )


class Evaluation(NamedTuple):
    """How to run the sides at one point.

    Attributes:
        sides: the functions.
        layout: where the arrays belong in (params, args).
        jit: whether both run under `jax.jit`.
        seed: of the perturbations that measure the noise.
    """

    sides: Sides
    layout: Layout
    jit: bool
    seed: int

    def run(self, side: str, arrays: Arrays) -> Result:
        """What `side` ("manual" or "autodiff") returns at these arrays.

        Raises:
            ValueError: it cannot be traced, or returns something other than a pair.
        """
        fn = (self.sides.jitted if self.jit else self.sides.eager)[side]
        try:
            result = fn([jnp.asarray(x) for x in arrays], layout=self.layout)
            return Result(*jax.block_until_ready(result))
        except _UNTRACEABLE as error:
            hint = "; pass jit=False" if self.jit and side == "manual" else ""
            reason = str(error).splitlines()[0]
            raise ValueError(f"the {side} side cannot be traced by jax{hint}: {reason}") from error

    def noise(self, arrays: Arrays, result: Result, *, freeze_decisions: bool) -> Result:
        """The rounding noise of autodiff's `result` at these arrays: a scalar for each leaf.

        Raises:
            ValueError: the function cannot be traced.
        """
        try:
            return Result(
                *self.sides.noise(
                    [jnp.asarray(x) for x in arrays],
                    result,
                    layout=self.layout,
                    seed=self.seed,
                    freeze_decisions=freeze_decisions,
                )
            )
        except _UNTRACEABLE as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"the autodiff side cannot be traced by jax: {reason}") from error


def _on_arrays(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` as a function of the arrays alone, the rest of its arguments being in the layout."""

    def call(arrays: Arrays, *, layout: Layout) -> Any:
        params, args = layout.rebuild(arrays)
        result = fn(params, *args)
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise ValueError(
                "the hand-derived side must return the pair (loss, grads); it returned a "
                f"{type(result).__name__}"
            )
        return tuple(result)

    return call


def _quick_compilation() -> dict[str, Any]:
    """On CPU, half the compile time is spent on code that runs DRAWS times and never again."""
    return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
