"""Running the two sides of a comparison, and measuring the rounding noise of one."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.rounding import draw_keys, rounding_noise
from compare.trees import Layout, by_path

__all__ = ["DRAWS", "Arrays", "Evaluation", "Key", "Result", "Side", "differentiated", "side"]

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


class Side:
    """One function `(params, *args) -> (value, grads)`, compiled once for each shape and dtype.

    Args:
        fn: the function.
        loss: for the side that differentiates, `loss(params, *args) -> scalar`, whose gradient it
            returns.
    """

    def __init__(self, fn: Callable[..., Any], loss: Callable[..., Any] | None = None):
        self.fn = fn
        self.loss = loss
        self.jitted = jax.jit(self.eager, static_argnames="layout")
        self.noise = jax.jit(
            self._noise,
            static_argnames=("layout", "freeze_decisions"),
            compiler_options=_quick_compilation(),
        )

    def eager(self, arrays: Arrays, *, layout: Layout) -> Any:
        """The function of the arrays alone, the rest of its arguments being in the layout."""
        params, args = layout.rebuild(arrays)
        result = self.fn(params, *args)
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise ValueError(
                "the hand-derived side must return the pair (loss, grads); it returned a "
                f"{type(result).__name__}"
            )
        return tuple(result)

    def _noise(
        self, arrays: Arrays, result: Result, keys: Any, *, layout: Layout, freeze_decisions: bool
    ) -> Any:
        return rounding_noise(
            functools.partial(self.eager, layout=layout),
            [arrays],
            tuple(result),
            keys,
            freeze_decisions=freeze_decisions,
        )


# A test suite asks about the same functions again and again; compiling them is most of the time.
_KEPT = 16


@functools.lru_cache(maxsize=_KEPT)
def side(fn: Callable[..., Any]) -> Side:
    """The side that computes `fn`; the same object for the same function, while it is kept."""
    return Side(fn)


@functools.lru_cache(maxsize=_KEPT)
def differentiated(loss: Callable[..., Any]) -> Side:
    """The side that computes the value of `loss`, and its gradient by `jax.grad`."""
    return Side(jax.value_and_grad(loss), loss)


class Evaluation(NamedTuple):
    """How to run a side at one point.

    Attributes:
        layout: where the arrays belong in (params, args).
        jit: whether it runs under `jax.jit`.
        seed: of the perturbations that measure the noise.
    """

    layout: Layout
    jit: bool
    seed: int

    def run(self, side: Side, arrays: Arrays) -> Result:
        """What `side` returns at these arrays.

        Raises:
            ValueError: it cannot be traced, or returns something other than a pair.
        """
        fn = side.jitted if self.jit else side.eager
        with _tracing(side, "; pass jit=False" if self.jit else ""):
            result = fn([jnp.asarray(x) for x in arrays], layout=self.layout)
        return Result(*jax.block_until_ready(result))

    def noise(
        self, side: Side, arrays: Arrays, result: Result, *, freeze_decisions: bool
    ) -> Result:
        """The rounding noise of `result`, what `side` returned: a scalar for each leaf.

        Raises:
            ValueError: it cannot be traced.
        """
        with _tracing(side, ""):
            return Result(
                *side.noise(
                    [jnp.asarray(x) for x in arrays],
                    result,
                    draw_keys(DRAWS, self.seed),
                    layout=self.layout,
                    freeze_decisions=freeze_decisions,
                )
            )


@contextlib.contextmanager
def _tracing(side: Side, hint: str) -> Iterator[None]:
    try:
        yield
    except _UNTRACEABLE as error:
        name = getattr(side.fn, "__name__", "the function")
        reason = str(error).splitlines()[0]
        raise ValueError(f"{name} cannot be traced by jax{hint}: {reason}") from error


def _quick_compilation() -> dict[str, Any]:
    """On CPU, half the compile time is spent on code that runs DRAWS times and never again."""
    return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
