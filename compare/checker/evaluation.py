"""Running the two sides of a comparison, and measuring the rounding noise of one."""

import contextlib
import functools
import hashlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.rounding import draw_keys, rounding_noise
from compare.jaxprs import primitives
from compare.trees import Layout, by_path, is_float

__all__ = [
    "DRAWS", "Arrays", "Evaluation", "Key", "LossAndAux", "Result", "Side", "differentiated", "side"
]  # fmt: skip

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


class LossAndAux(NamedTuple):
    """The value of a loss that returns something beside: new state, for instance."""

    loss: Any
    aux: Any


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
        value = self.value.loss if isinstance(self.value, LossAndAux) else self.value
        return math.fsum(np.asarray(x, np.float64).sum() for x in jax.tree.leaves(value))


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
        self._noise_by_level = {
            level: jax.jit(
                self._noise,
                static_argnames=("layout", "freeze_decisions"),
                compiler_options=_compiler_options(level),
            )
            for level in (0, 1)
        }
        self._measured: dict[Any, Any] = {}

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

    def noise(
        self, arrays: Arrays, result: Result, seed: int, *, layout: Layout, freeze_decisions: bool
    ) -> Any:
        """The rounding noise of `result`, measured once at each point: jit makes no difference."""
        # JAX makes its options attributes at run time, where a type checker cannot see them.
        precision = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
        point = _digest(arrays), seed, layout, freeze_decisions, precision
        if point not in self._measured:
            if len(self._measured) == _POINTS:
                self._measured.clear()
            slides = _SLIDES & primitives(self.jitted.trace(arrays, layout=layout).jaxpr.jaxpr)
            measure = self._noise_by_level[1 if slides else 0]
            self._measured[point] = measure(
                arrays,
                result,
                draw_keys(DRAWS, seed),
                layout=layout,
                freeze_decisions=freeze_decisions,
            )
        return self._measured[point]

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
def side(fn: Callable[..., Any], has_aux: bool = False) -> Side:
    """The side that computes `fn`; the same object for the same function, while it is kept."""
    return Side(_with_aux(fn) if has_aux else fn)


@functools.lru_cache(maxsize=_KEPT)
def differentiated(loss: Callable[..., Any], has_aux: bool = False) -> Side:
    """The side that computes the value of `loss`, and its gradient by `jax.grad`."""
    if has_aux:
        by_jax = _with_aux(jax.value_and_grad(loss, has_aux=True))
        return Side(by_jax, lambda *args: loss(*args)[0])
    return Side(jax.value_and_grad(loss), loss)


def _with_aux(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, which returns ((loss, aux), grads), as a side sees it; what is no float is not kept."""

    @functools.wraps(fn)
    def named(*args: Any) -> Any:
        result = fn(*args)
        try:
            (loss, aux), grads = result
        except (TypeError, ValueError):
            raise ValueError(
                "with has_aux=True the hand-derived side must return ((loss, aux), grads), as "
                "jax.value_and_grad does"
            ) from None
        return LossAndAux(loss, jax.tree.map(lambda x: x if is_float(x) else None, aux)), grads

    return named


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
                    self.seed,
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


# Sliding windows are loops of the CPU's code, where unoptimised code is 15 times slower. Elsewhere
# half the compile time is spent on code that runs DRAWS times and never again.
_SLIDES = frozenset({"conv_general_dilated", "reduce_window_max", "select_and_scatter_add"})


def _compiler_options(level: int) -> dict[str, Any]:
    on_cpu = jax.default_backend() == "cpu"
    return {"xla_backend_optimization_level": level} if on_cpu else {}


_POINTS = 8
"""How many measurements of one side are remembered: a few dtypes at one point."""


def _digest(arrays: Arrays) -> bytes:
    """What tells one point from another: every number of it."""
    digest = hashlib.blake2b()
    for x in arrays:
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        plain = np.asarray(jax.random.key_data(x) if is_key else x)
        digest.update(f"{plain.dtype}{plain.shape}".encode())
        digest.update(plain.tobytes())
    return digest.digest()
