"""The limits of a device: the least time in which it can do a piece of work.

A program has to read each of its inputs once and to write each of its outputs once, and to do its
matrix products. How fast the device copies and multiplies is measured in the same run.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from compare.jaxprs import inner_jaxprs

__all__ = ["Limits", "Work", "least_work", "measured_limits"]

_ON_CPU, _ELSEWHERE = (1 << 24, 1024), (1 << 28, 8192)
"""How many float32 are copied, and the sides of the matrices that are multiplied."""


class Work(NamedTuple):
    """What a program has to do at least.

    Attributes:
        bytes: those of its inputs and outputs, each moved once. An input counts as a whole, also
            where only some of its rows are read.
        operations: multiplications and additions in matrix products and convolutions.
    """

    bytes: int
    operations: float


class Limits(NamedTuple):
    """What a device does in a second.

    Attributes:
        bytes: read and written, by a copy of a large array.
        operations: by dtype, in a large matrix product, at the precision that JAX is set to.
    """

    bytes: float
    operations: Mapping[str, float]

    def least_ms(self, work: Work, dtype: str) -> float:
        """Returns the milliseconds that this work takes at least.

        Raises:
            KeyError: the dtype is none of those that were measured.
        """
        seconds = max(work.bytes / self.bytes, work.operations / self.operations[dtype])
        return 1e3 * seconds


def least_work(jaxpr: core.ClosedJaxpr) -> Work:
    """Counts what a traced program has to do at least."""
    ends = [*jaxpr.in_avals, *jaxpr.out_avals]
    return Work(sum(map(_bytes, ends)), _operations(jaxpr.jaxpr))


def _bytes(aval: Any) -> int:
    return aval.size * getattr(aval.dtype, "itemsize", 0)


def _operations(jaxpr: core.Jaxpr) -> float:
    total = 0.0
    for eqn in jaxpr.eqns:
        match eqn.primitive.name:
            case "dot_general":
                ((contracted, _), _) = eqn.params["dimension_numbers"]
                shape = _shape(eqn.invars[0])
                terms = math.prod(shape[axis] for axis in contracted)
                total += 2 * terms * math.prod(_shape(eqn.outvars[0]))
            case "conv_general_dilated":
                total += _of_convolution(eqn)
            case "scan":
                total += eqn.params["length"] * _operations(eqn.params["jaxpr"].jaxpr)
            case "cond":
                total += min(_operations(branch.jaxpr) for branch in eqn.params["branches"])
            case _:
                total += sum(map(_operations, inner_jaxprs(eqn)))
    return total


def _of_convolution(eqn: core.JaxprEqn) -> float:
    """Counts 2 · outputs · window · channels, less the zeros between the rows of a spread input."""
    kernel, dims = _shape(eqn.invars[1]), eqn.params["dimension_numbers"]
    terms = math.prod(kernel) / kernel[dims.rhs_spec[0]]
    outputs = math.prod(_shape(eqn.outvars[0])) / math.prod(eqn.params["lhs_dilation"])
    return 2 * terms * outputs


def _shape(atom: Any) -> tuple[int, ...]:
    return atom.aval.shape


def measured_limits(dtypes: tuple[str, ...]) -> Limits:
    """Measures how fast the default device copies, and multiplies matrices of these dtypes."""
    entries, side = _ON_CPU if jax.default_backend() == "cpu" else _ELSEWHERE
    copied = jnp.arange(entries, dtype=jnp.float32)
    seconds = _seconds(jax.jit(lambda x: x + 1), copied)
    factors = jax.random.normal(jax.random.key(0), (2, side, side), jnp.float32)
    return Limits(
        2 * copied.nbytes / seconds,
        {
            dtype: 2 * side**3 / _seconds(jax.jit(jnp.matmul), *factors.astype(dtype))
            for dtype in dtypes
        },
    )


def _seconds(fn: Callable[..., Any], *args: Any) -> float:
    """Measures the fastest of ten runs."""

    def once() -> float:
        start = time.perf_counter()
        jax.block_until_ready(fn(*args))
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(10))
