"""Rounding noise, measured: how far results move when every operation rounds another way.

The method is Monte Carlo arithmetic (Vignes 1974, "CESTAC"; Parker 1997): the function is traced to
a jaxpr and run again with every rounded result moved, at random, by a unit in the last place (a sum
of two only where it is not exact). The spread over a few draws is the size of the errors that
rounding alone can cause. Moving only the inputs would miss errors born on the way, such as 1 − p
for a p next to 1.

A sum of n terms is moved by √n units, the probabilistic bound on accumulated rounding error
(Higham & Mary 2019, "A New Approach to Probabilistic Rounding Error Analysis"); 16-bit types
accumulate in float32.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from compare.jaxprs import bind, called_jaxpr, evaluate

__all__ = ["draw_keys", "rounding_noise", "unit_in_last_place"]

# These move, select or compare data and round nothing.
_EXACT = frozenset(
    "abs and argmax argmin broadcast_in_dim ceil clamp concatenate copy device_put "
    "dynamic_slice dynamic_update_slice expand_dims floor gather iota max min neg "
    "optimization_barrier pad real imag reduce_max reduce_min reduce_window_max reduce_window_min "
    "reshape rev round scatter select_and_gather_add select_n sharding_constraint sign slice sort "
    "split squeeze stop_gradient transpose".split()
)
# Piecewise constant: a result that jumps is a decision, not rounding.
_DECISIONS = frozenset({"ceil", "floor", "round", "sign"})
# These choose entries by their values: (source, operand), where the operand decides.
_SELECTIONS = frozenset({"select_and_scatter_add", "select_and_gather_add"})
# Relative precision of a float32 product in a matrix unit, where it is not float32's own.
_MATRIX_UNIT = {
    ("gpu", "DEFAULT"): 2.0**-10,
    ("gpu", "HIGH"): 2.0**-10,
    ("tpu", "DEFAULT"): 2.0**-7,
    ("tpu", "HIGH"): 2.0**-14,
}


def unit_in_last_place(dtype: Any) -> float:
    """The distance from 1 to the next larger number of a floating `dtype`."""
    return float(jnp.finfo(dtype).eps)


def rounding_noise(
    fn: Callable[..., Any],
    args: Sequence[Any],
    results: Any,
    keys: jax.typing.ArrayLike,
    *,
    freeze_decisions: bool,
) -> Any:
    """How far rounding alone moves each leaf of `results`, which is what `fn(*args)` returns.

    With `freeze_decisions`, comparisons, arg-maxima and selections are those of the unperturbed
    run: what is measured is rounding on one smooth piece, also where the data sit on a kink.
    Without it a value within rounding of a kink falls to either side, as it may in a real run.

    Args:
        fn: a function of arrays, which can be traced.
        args: its arguments.
        results: what it returns.
        keys: (draws,) uint32; each is one perturbed run. See `draw_keys`.
        freeze_decisions: as above.

    Returns:
        For each leaf a scalar: the largest deviation of any entry, as the root mean square over
        the draws. Same units as the leaf.
    """
    closed = jax.make_jaxpr(fn)(*args)
    pool_size = _largest_size(closed.jaxpr) + _OFFSETS
    inputs = [jnp.asarray(x) for x in jax.tree.leaves(args)]
    expected, structure = jax.tree.flatten(results)

    def deviations(key: jax.Array) -> list[jax.Array]:
        signs = _mix(lax.iota(jnp.uint32, pool_size) + key) >> 31 == 1
        run = _Run(freeze_decisions, signs, jnp.uint32(0))
        moved = [(x, run.move(x, _unit(x))) for x in inputs]
        pairs = run.jaxpr(closed.jaxpr, closed.consts, moved)
        return [_deviation(noisy, x) for (_, noisy), x in zip(pairs, expected, strict=True)]

    each = lax.map(deviations, jnp.asarray(keys))
    return jax.tree.unflatten(structure, [jnp.sqrt(jnp.mean(jnp.square(d))) for d in each])


def draw_keys(draws: int, seed: int) -> np.ndarray:
    """The keys of so many perturbed runs."""
    return np.random.default_rng(seed).integers(0, 2**32, draws, dtype=np.uint32)


def _deviation(noisy: jax.Array, exact: jax.Array) -> jax.Array:
    wide = jnp.promote_types(exact.dtype, jnp.float32)
    return jnp.max(jnp.abs(noisy.astype(wide) - exact.astype(wide)), initial=0)


def _largest_size(jaxpr: core.Jaxpr) -> int:
    """The size of the largest array in a jaxpr, those of its sub-jaxprs included."""
    own = [v.aval for v in [*jaxpr.invars, *(out for eqn in jaxpr.eqns for out in eqn.outvars)]]
    inner = [_largest_size(sub) for sub in core.subjaxprs(jaxpr)]
    return max([math.prod(getattr(aval, "shape", ())) for aval in own] + inner, default=1)


_OFFSETS = 1 << 16
"""How many ways there are to lay one array over the pool of random signs."""


class _Run:
    """One perturbed evaluation: pairs (exact, noisy) flow through a jaxpr."""

    def __init__(self, freeze_decisions: bool, signs: jax.Array, start: jax.Array):
        self.frozen = freeze_decisions
        self.signs = signs
        self.start = start
        self.step = 0

    def jaxpr(self, jaxpr: core.Jaxpr, consts: Sequence[Any], pairs: Sequence[Any]) -> list[Any]:
        return evaluate(jaxpr, consts, pairs, self.equation, lambda value: (value, value))

    def equation(self, eqn: core.JaxprEqn, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        name = eqn.primitive.name
        inner = called_jaxpr(eqn)
        if inner is not None:
            return self.jaxpr(inner.jaxpr, inner.consts, pairs)
        if name == "scan":
            return self.scan(eqn, pairs)
        if name == "while":
            return self.while_loop(eqn, pairs)
        if name == "cond":
            return self.cond(eqn, pairs)
        return self.primitive(eqn, pairs)

    def primitive(self, eqn: core.JaxprEqn, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        name = eqn.primitive.name
        noisy_in = [noisy for _, noisy in pairs]
        if self.frozen and name in _SELECTIONS:
            noisy_in[1] = pairs[1][0]
        noisy = bind(eqn, *noisy_in)
        exact = bind(eqn, *(x for x, _ in pairs)) if self.frozen else noisy
        if self.frozen and (name in _DECISIONS or not any(map(_is_float, noisy))):
            return [(x, x) for x in exact]
        if name in ("add", "sub", "add_any"):
            return [(exact[0], self.move_sum(noisy_in, noisy[0], name == "sub"))]
        return [
            (x, self.move(y, relative) if _is_float(y) or not self.frozen else x)
            for x, y, relative in zip(exact, noisy, _relative_errors(eqn), strict=True)
        ]

    def move(self, x: Any, relative: float) -> Any:
        """x (1 ± relative), each sign from the next place in the pool."""
        if relative == 0.0:
            return x
        return x * jnp.where(self.plus(x), 1 + relative, 1 - relative).astype(x.dtype)

    def move_sum(self, terms: list[Any], total: Any, subtract: bool) -> Any:
        """A sum of two moved by a unit, or not, towards what was rounded away.

        The rounding error of a sum is known exactly. Where it is far below a unit, as in x + e⁻ˣ,
        no other rounding would give another result, and an exponential that follows would make
        something of the difference.
        """
        if not _is_float(total):
            return total
        unit = _unit(total) * jnp.abs(total)
        error = _sum_error(terms[0], -terms[1] if subtract else terms[1], total)
        moved = self.plus(total) & (jnp.abs(error) > unit / 8)
        return jnp.where(moved, total + (jnp.sign(error) * unit).astype(total.dtype), total)

    def plus(self, x: Any) -> jax.Array:
        """Whether to move each entry of x up: the next places in the pool."""
        self.step += 1
        offset = (self.start + np.uint32(self.step * 40503)) % _OFFSETS
        return lax.dynamic_slice(self.signs, (offset,), (x.size,)).reshape(x.shape)

    def nested(self, closed: core.ClosedJaxpr, pairs: list[Any], turn: jax.Array) -> list[Any]:
        """The body of a loop or a branch, with signs of its own at each turn."""
        run = _Run(self.frozen, self.signs, _mix(self.start + turn))
        return run.jaxpr(closed.jaxpr, closed.consts, pairs)

    def scan(self, eqn: core.JaxprEqn, pairs: list[Any]) -> list[Any]:
        p = eqn.params
        split = p["num_consts"], p["num_consts"] + p["num_carry"]
        consts, carry, xs = pairs[: split[0]], pairs[split[0] : split[1]], pairs[split[1] :]

        def body(state: Any, x: Any) -> Any:
            turn, carry = state
            outs = self.nested(p["jaxpr"], [*consts, *carry, *x], turn)
            return (turn + 1, outs[: p["num_carry"]]), outs[p["num_carry"] :]

        (_, carry), ys = lax.scan(
            body, (jnp.uint32(1), carry), xs, length=p["length"], reverse=p["reverse"]
        )
        return [*carry, *ys]

    def while_loop(self, eqn: core.JaxprEqn, pairs: list[Any]) -> list[Any]:
        p = eqn.params
        n_cond, n_body = p["cond_nconsts"], p["body_nconsts"]
        cond_consts, body_consts = pairs[:n_cond], pairs[n_cond : n_cond + n_body]

        def unfinished(state: Any) -> Any:
            values = [x if self.frozen else y for x, y in [*cond_consts, *state[1]]]
            return core.jaxpr_as_fun(p["cond_jaxpr"])(*values)[0]

        def body(state: Any) -> Any:
            turn, carry = state
            return turn + 1, self.nested(p["body_jaxpr"], [*body_consts, *carry], turn)

        return lax.while_loop(unfinished, body, (jnp.uint32(1), pairs[n_cond + n_body :]))[1]

    def cond(self, eqn: core.JaxprEqn, pairs: list[Any]) -> list[Any]:
        (index, _), *operands = pairs
        turn = jnp.uint32(1)
        branches = [
            functools.partial(lambda branch, *ops: self.nested(branch, list(ops), turn), branch)
            for branch in eqn.params["branches"]
        ]
        return lax.switch(index, branches, *operands)


def _sum_error(a: Any, b: Any, total: Any) -> jax.Array:
    """a + b − total, exactly: Knuth's TwoSum (1969), or float32 where that holds the sum."""
    if total.dtype.itemsize < 4:
        return (a.astype(jnp.float32) + b.astype(jnp.float32)) - total.astype(jnp.float32)
    from_b = total - a
    return (a - (total - from_b)) + (b - from_b)


def _is_float(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def _unit(x: Any) -> float:
    return unit_in_last_place(x.dtype) if _is_float(x) else 0.0


def _mix(bits: jax.Array) -> jax.Array:
    """MurmurHash3's finaliser: a bijection of 32-bit integers that scatters neighbours."""
    bits = (bits ^ (bits >> 16)) * np.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * np.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


def _relative_errors(eqn: core.JaxprEqn) -> Iterator[float]:
    """The relative size of the rounding error of each of an equation's outputs."""
    for out in eqn.outvars:
        dtype: Any = getattr(out.aval, "dtype", np.dtype(bool))
        if _rounds_nothing(eqn) or not jnp.issubdtype(dtype, jnp.floating):
            yield 0.0
            continue
        accumulator = jnp.float32 if dtype.itemsize < 4 else dtype
        summed = math.sqrt(_terms(eqn)) * unit_in_last_place(accumulator)
        yield max(unit_in_last_place(dtype), summed) + _matrix_unit(eqn, dtype)


def _rounds_nothing(eqn: core.JaxprEqn) -> bool:
    if eqn.primitive.name == "convert_element_type":
        before, after = _aval(eqn.invars[0]).dtype, eqn.params["new_dtype"]
        return not jnp.issubdtype(before, jnp.floating) or (
            jnp.promote_types(before, after) == after
        )
    return eqn.primitive.name in _EXACT


def _aval(atom: Any) -> Any:
    return atom.aval


def _terms(eqn: core.JaxprEqn) -> float:
    """How many terms an equation adds up for one entry of its result."""
    name, p = eqn.primitive.name, eqn.params
    if not eqn.invars:
        return 1
    shape: Any = getattr(_aval(eqn.invars[0]), "shape", ())
    if name == "dot_general":
        return math.prod(shape[axis] for axis in p["dimension_numbers"][0][0])
    if name == "conv_general_dilated":
        kernel = _aval(eqn.invars[1]).shape
        return math.prod(kernel) / kernel[p["dimension_numbers"].rhs_spec[0]]
    if name == "reduce_sum":
        return math.prod(shape[axis] for axis in p["axes"])
    if name in ("cumsum", "cumlogsumexp", "cumprod"):
        return shape[p["axis"]]
    if name == "reduce_window_sum":
        return math.prod(p["window_dimensions"])
    if name == "scatter-add":
        return max(1, _aval(eqn.invars[2]).size / max(1, math.prod(shape)))
    return 1


def _matrix_unit(eqn: core.JaxprEqn, dtype: Any) -> float:
    if eqn.primitive.name not in ("dot_general", "conv_general_dilated") or dtype != jnp.float32:
        return 0.0
    precision = eqn.params["precision"]
    first = precision[0] if isinstance(precision, tuple) else precision
    return _MATRIX_UNIT.get((jax.default_backend(), getattr(first, "name", "DEFAULT")), 0.0)
