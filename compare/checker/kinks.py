"""Ties: entries that sit on a kink, where a gradient is a convention and not a number."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from compare.checker.noise.rounding import unit_in_last_place
from compare.jaxprs import bind, called_jaxpr, evaluate
from compare.sites import inner_site, site_of
from compare.trees import aligned_empty

__all__ = ["MANY", "Ties", "has_kinks", "perturbed", "random_numbers", "ties"]

_UNITS = 8
"""Numbers within so many units in the last place are a tie: rounding may order them either way."""


class Ties(NamedTuple):
    """Entries of one equation that sit on its kink.

    Attributes:
        name: the primitive, such as `max`.
        site: `file:line` of the user's code.
        entries: how many there are.
    """

    name: str
    site: str
    entries: int

    def __str__(self) -> str:
        sit = "entry sits" if self.entries == 1 else "entries sit"
        return f"{self.entries} {sit} on the kink of {self.name} ({self.site or 'no source'})"


def has_kinks(fn: Callable[..., Any], *args: Any) -> bool:
    """Tells whether `fn(*args)` compares floating numbers at all, where `ties` looks for them."""
    return _compares(jax.make_jaxpr(fn)(*args).jaxpr)


def _compares(jaxpr: core.Jaxpr) -> bool:
    for eqn in jaxpr.eqns:
        inner = called_jaxpr(eqn)
        if _compares(inner.jaxpr) if inner is not None else _is_kinked(eqn):
            return True
    return False


def ties(fn: Callable[..., Any], args: Sequence[Any]) -> list[Ties]:
    """Where `fn(*args)` compares numbers that are equal, or equal to rounding.

    Loops and branches are not entered.
    """
    closed = jax.make_jaxpr(fn)(*args)
    found: list[tuple[str, str]] = []

    def count(inputs: list[Any]) -> list[Any]:
        counts: list[Any] = []
        found.clear()
        _walk(closed.jaxpr, closed.consts, inputs, counts, found, ("", ""))
        return counts

    counts = jax.jit(count)(jax.device_put(jax.tree.leaves(args)))
    return [Ties(*where, int(n)) for where, n in zip(found, counts, strict=True) if n > 0]


def perturbed(arrays: Sequence[Any], seed: int) -> list[Any]:
    """The arrays, each floating entry moved at random by about 1e-4 of its array's size."""
    rng = np.random.default_rng(seed)
    perturbed_arrays = []
    for x in arrays:
        if jnp.issubdtype(x.dtype, jnp.floating):
            size = float(np.linalg.norm(x)) / math.sqrt(x.size) if x.size else 0.0
            x = random_numbers(rng, x.shape, 1e-4 * (size or 1.0), around=x)
        elif jnp.issubdtype(x.dtype, jnp.complexfloating):
            size = float(np.sqrt(np.mean(np.square(np.abs(x))))) if x.size else 0.0
            turn = rng.standard_normal(x.shape) + 1j * rng.standard_normal(x.shape)
            x = x + 1e-4 * (size or 1.0) * turn
        perturbed_arrays.append(x)
    return perturbed_arrays


def random_numbers(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    size: float = 1.0,
    around: np.ndarray | float = 0.0,
    into: np.ndarray | None = None,
) -> np.ndarray:
    """Draws numbers: normal ones or, of many, evenly distributed ones.

    These take a fifth of the time, and in a direction through so many entries are as good. They
    have 24 bits, so that two of them are hardly ever the same and ties do not stay.

    Args:
        rng: draws them.
        shape: of the array.
        size: their root mean square, around their mean.
        around: their mean, one for all or of this shape.
        into: an array that is written to where they are many; None for a new one.
    """
    if math.prod(shape) <= MANY:
        return np.asarray(rng.standard_normal(shape)) * size + around
    drawn = aligned_empty(shape, np.float64) if into is None else into
    means = np.broadcast_to(around, shape).reshape(-1) if np.ndim(around) else None
    for at in range(0, drawn.size, MANY):  # What a block needs on the way stays in the cache.
        block = drawn.reshape(-1)[at : at + MANY]
        block[...] = rng.random(block.size, dtype=np.float32)
        block -= 0.5
        block *= math.sqrt(12) * size
        block += around if means is None else means[at : at + MANY]
    return drawn


MANY = 2**16
"""More numbers than these are evenly distributed."""


def _walk(
    jaxpr: core.Jaxpr,
    consts: Sequence[Any],
    inputs: Sequence[Any],
    counts: list[Any],
    found: list[tuple[str, str]],
    call: tuple[str, str],
) -> list[Any]:
    """Evaluates a jaxpr and counts its ties; `call` is a library function around it, and where."""

    def equation(eqn: core.JaxprEqn, values: list[Any]) -> list[Any]:
        name, site = call[0] or eqn.primitive.name, call[1] or site_of(eqn)
        inner = called_jaxpr(eqn)
        if inner is not None:
            within = inner_site(inner, site)
            called = (eqn.params.get("name", call[0]), within) if within else ("", "")
            return _walk(inner.jaxpr, inner.consts, values, counts, found, called)
        outs = bind(eqn, *values)
        tied = _tied(eqn, values, outs)
        if tied is not None:
            counts.append(tied)
            found.append((name, site))
        return outs

    return evaluate(jaxpr, consts, inputs, equation)


_COMPARISONS = ("max", "min", "gt", "ge", "lt", "le", "eq", "ne")
_KINKED = (
    *_COMPARISONS, "clamp", "reduce_max", "reduce_min", "abs", "reduce_window_max",
    "reduce_window_min",
)  # fmt: skip


def _is_kinked(eqn: core.JaxprEqn) -> bool:
    """Whether an equation compares floating numbers."""
    if eqn.primitive.name not in _KINKED:
        return False
    aval: Any = eqn.invars[0].aval
    return jnp.issubdtype(aval.dtype, jnp.floating)


def _tied(eqn: core.JaxprEqn, values: list[Any], outs: list[Any]) -> Any:
    """How many entries of an equation are ties; None if it does not compare floating numbers."""
    if not _is_kinked(eqn):
        return None
    name = eqn.primitive.name
    if name in _COMPARISONS:
        a, b = values
        limit = _UNITS * unit_in_last_place(a.dtype) * jnp.maximum(jnp.abs(a), jnp.abs(b))
        return jnp.sum(jnp.abs(a - b) <= limit)
    if name == "clamp":
        low, x, high = values
        return jnp.sum((x == low) | (x == high))
    if name in ("reduce_max", "reduce_min"):
        best = jnp.expand_dims(outs[0], eqn.params["axes"])
        return jnp.sum(jnp.sum(values[0] == best, eqn.params["axes"]) > 1)
    if name == "abs":
        return jnp.sum(values[0] == 0)
    if name in ("reduce_window_max", "reduce_window_min") and not _is_dilated(eqn.params):
        return jnp.sum(_matches(eqn.params, values[0], outs[0]) > 1)
    return None


def _is_dilated(params: dict[str, Any]) -> bool:
    return any(n != 1 for n in (*params["base_dilation"], *params["window_dilation"]))


def _matches(params: dict[str, Any], x: Any, best: Any) -> Any:
    """For each window, how many of its entries equal its best."""
    x = jnp.pad(x, params["padding"], constant_values=jnp.nan)
    strides = params["window_strides"]
    total = jnp.zeros(best.shape, int)
    for offset in itertools.product(*map(range, params["window_dimensions"])):
        ends = [o + s * (n - 1) + 1 for o, s, n in zip(offset, strides, best.shape, strict=True)]
        total += lax.slice(x, offset, ends, strides) == best
    return total
