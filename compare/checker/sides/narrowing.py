"""Whether a function computes in a narrower floating type than its inputs have, and where."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.extend import core

from compare.jaxprs import inner_jaxprs
from compare.sites import shown, site_of
from compare.trees import in_double

__all__ = ["Narrowing", "is_representable", "narrowing"]


class Narrowing(NamedTuple):
    """A narrower type on the way.

    Attributes:
        dtype: the narrowest.
        site: `file:line` of the user's code where it is entered; "" where that is not known.
        reason: why it is asked in that type alone; "" where it enters the type by itself.
    """

    dtype: np.dtype
    site: str
    reason: str = ""

    @property
    def unit(self) -> float:
        """The distance from 1 to the next larger number of the type."""
        return float(jnp.finfo(self.dtype).eps)

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        return f"computes in {self.dtype} inside" + (f" ({shown(self.site)})" if self.site else "")


def narrowing(closed: core.ClosedJaxpr) -> Narrowing | None:
    """Finds the narrowest floating type that a value is converted to from a wider one.

    Loops, calls and kernels are looked into. A number that depends on no floating input, as a
    random one does on its key, is not counted.
    """
    jaxpr = closed.jaxpr
    found = _narrowed(jaxpr, {v for v in jaxpr.invars if _width(v)}, "")
    return max(found, key=lambda n: float(jnp.finfo(n.dtype).eps), default=None)


def is_representable(leaves: Iterable[np.ndarray], dtype: Any) -> bool:
    """Tells whether numbers in float64 are all numbers of a narrower type.

    That a computation ended in that type can be told from so many that are no whole numbers only.
    """
    told = 0
    for numbers in _blocks(leaves):
        telling = numbers[numbers != np.round(numbers)]
        with np.errstate(over="ignore"):
            if not np.all(telling == telling.astype(dtype)):
                return False
        told += telling.size
    return told >= _TELLING


_TELLING = 8
"""By chance alone a float64 ends in 29 zeros once in 2²⁹."""

_BLOCK = 2**14
"""So many numbers at a time: the first that does not fit answers for all."""


def _blocks(leaves: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for x in map(in_double, leaves):
        for part in (x.real, x.imag) if np.iscomplexobj(x) else (x,):
            flat = np.ravel(part)
            yield from (flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK))


def _narrowed(jaxpr: core.Jaxpr, dependent: set[Any], site: str) -> list[Narrowing]:
    found = []
    for eqn in jaxpr.eqns:
        inputs = [v for v in eqn.invars if not isinstance(v, core.Literal) and v in dependent]
        if not inputs:
            continue
        dependent.update(eqn.outvars)
        where = site_of(eqn) or site
        inner = inner_jaxprs(eqn)
        for body in inner:
            floating = {v for v in (*body.invars, *body.constvars) if _width(v)}
            found += _narrowed(body, floating, where)
        if not inner:
            width = max(map(_width, inputs))
            found += [
                Narrowing(_real(v.aval.dtype), where)  # pyright: ignore[reportAttributeAccessIssue]
                for v in eqn.outvars
                if 0 < _width(v) < width
            ]
    return found


def _real(dtype: Any) -> np.dtype:
    """The type of the parts of a complex number; of a real one its own."""
    return np.zeros(0, dtype).real.dtype if np.dtype(dtype).kind == "c" else np.dtype(dtype)


def _width(var: Any) -> int:
    """The bytes of one floating number; 0 of what is not floating."""
    dtype = getattr(var.aval, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
        return 0
    return dtype.itemsize // (2 if jnp.issubdtype(dtype, jnp.complexfloating) else 1)
