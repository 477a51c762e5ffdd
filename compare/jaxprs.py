"""Jaxprs: evaluated equation by equation, by a function that may change what an equation does.

And how to compile what is made of them, which runs a few times.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import jax
import numpy as np
from jax.extend import core
from jax.extend.core import primitives as of_jax

__all__ = [
    "begin_to_compile",
    "bind",
    "called_jaxpr",
    "compiler_options",
    "computed_once",
    "draws_in_64_bits",
    "evaluate",
    "inner_jaxprs",
    "is_arithmetic",
    "mark_of",
    "plainly",
    "primitives",
    "signature_of",
]

Compiled = TypeVar("Compiled")

_CALLS = frozenset(
    "jit pjit closed_call core_call core_closed_call checkpoint remat remat2 custom_jvp_call "
    "custom_vjp_call custom_vjp_call_jaxpr".split()
)


# Sliding windows are loops of the CPU's code, where unoptimised code is 15 times slower.
_SLIDES = frozenset({"conv_general_dilated", "reduce_window_max", "select_and_scatter_add"})

_MANY_TURNS = 128
"""A loop of so many turns repays the optimisation of its body, which is compiled once."""


def evaluate(
    jaxpr: core.Jaxpr,
    consts: Sequence[Any],
    inputs: Sequence[Any],
    equation: Callable[[core.JaxprEqn, list[Any]], Sequence[Any]],
    constant: Callable[[Any], Any] = lambda value: value,
) -> list[Any]:
    """Evaluates a jaxpr, with a function of the caller's in place of each equation.

    Args:
        jaxpr: what is evaluated.
        consts: the values of its constant variables.
        inputs: the values of its inputs: anything that `equation` understands.
        equation: `equation(eqn, inputs) -> outputs`.
        constant: `constant(value)` turns a constant into such a value.

    Returns:
        The values of the outputs.
    """
    env: dict[core.Var, Any] = dict(zip(jaxpr.invars, inputs, strict=True))
    env.update(zip(jaxpr.constvars, map(constant, consts), strict=True))

    def read(atom: Any) -> Any:
        return constant(atom.val) if isinstance(atom, core.Literal) else env[atom]

    for eqn in jaxpr.eqns:
        outputs = equation(eqn, [read(atom) for atom in eqn.invars])
        env.update(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def bind(eqn: core.JaxprEqn, *inputs: Any) -> list[Any]:
    """Computes the outputs of one equation, unchanged."""
    out = eqn.primitive.bind(*inputs, **eqn.primitive.get_bind_params(eqn.params))
    return list(out) if eqn.primitive.multiple_results else [out]


def called_jaxpr(eqn: core.JaxprEqn) -> core.ClosedJaxpr | None:
    """Returns the jaxpr that an equation calls (by `jit`, `remat`, ...); None if it is no call."""
    if eqn.primitive.name not in _CALLS:
        return None
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = eqn.params.get(name)
        if inner is not None:
            return inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ())
    return None


def inner_jaxprs(eqn: core.JaxprEqn) -> list[core.Jaxpr]:
    """Lists the jaxprs that an equation has inside: of a call, a loop, a branch, a kernel."""
    found = []
    for value in eqn.params.values():
        for entry in value if isinstance(value, tuple) else (value,):
            if isinstance(entry, core.ClosedJaxpr):
                found.append(entry.jaxpr)
            elif isinstance(entry, core.Jaxpr):
                found.append(entry)
    return found


def primitives(jaxpr: core.Jaxpr) -> set[str]:
    """Collects the names of all primitives, those inside loops and calls included."""
    own = {eqn.primitive.name for eqn in jaxpr.eqns}
    return own.union(*map(primitives, core.subjaxprs(jaxpr)))


def is_arithmetic(jaxpr: core.ClosedJaxpr) -> bool:
    """Tells whether a function computes by operations of JAX alone, which depend on nothing else.

    Not so where it calls back, or a foreign library, or has a kernel or a primitive of its own.
    """
    return not jaxpr.effects and primitives(jaxpr.jaxpr) <= _arithmetic()


def draws_in_64_bits(jaxpr: core.Jaxpr) -> bool:
    """Tells whether random numbers are made of 64 bits each: in 32 bits they are others."""
    return any(
        eqn.primitive.name == "random_bits" and eqn.params["bit_width"] == 64 for eqn in jaxpr.eqns
    ) or any(map(draws_in_64_bits, core.subjaxprs(jaxpr)))


@functools.cache
def _arithmetic() -> frozenset[str]:
    public = (getattr(of_jax, name).name for name in dir(of_jax) if name.endswith("_p"))
    return frozenset(public) - {"rng_uniform"} | _CALLS | {"random_wrap", "random_unwrap", "split"}


def _most_turns(jaxpr: core.Jaxpr) -> int:
    own = (eqn.params["length"] for eqn in jaxpr.eqns if eqn.primitive.name == "scan")
    return max([*own, *map(_most_turns, core.subjaxprs(jaxpr))], default=0)


def compiler_options(
    jaxpr: core.Jaxpr | None = None, *, same_digits: bool = False
) -> dict[str, Any]:
    """Returns the options of XLA for what runs a few times: few optimisations.

    On a CPU the plainer of its two code generators takes a third of the time. On a GPU no
    algorithms of matrix products are tried out against each other (measured on an H200: a product
    in float64 compiles in 0.07 s in place of 1.1).

    Args:
        jaxpr: what is to be compiled; None where that is not at hand, and nothing is optimised.
        same_digits: whether a CPU has to contract products and sums as fully optimised code does.
    """
    match jax.default_backend():
        case "cpu":
            loops = jaxpr is not None and (
                bool(_SLIDES & primitives(jaxpr)) or _most_turns(jaxpr) >= _MANY_TURNS
            )
            return {"xla_backend_optimization_level": int(loops or same_digits), **_plainer()}
        case "gpu":
            return {"xla_gpu_autotune_level": 0}
        case _:
            return {}


def begin_to_compile(program: Callable[[], Compiled]) -> Future[Compiled]:
    """Begins `program()`, which compiles, beside what is done meanwhile: outside Python's lock."""
    pool = ThreadPoolExecutor(1)
    begun = pool.submit(program)
    pool.shutdown(wait=False)
    return begun


def plainly(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function with few optimisations, and to the digits of all."""
    return jax.jit(fn, compiler_options=compiler_options(same_digits=True))


def computed_once(fn: Callable[..., Any], *args: Any) -> Any:
    """Computes `fn(*args)` as `plainly` compiles it."""
    return plainly(fn)(*args)


@functools.cache
def _plainer() -> dict[str, Any]:
    """The options that choose it; none where this XLA does not know them any more."""
    options = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=options)
    except jax.errors.JaxRuntimeError:
        return {}
    return options


def signature_of(eqn: core.JaxprEqn) -> Any:
    """Says what an equation computes of arrays of which shapes; equal for the same."""
    inner = called_jaxpr(eqn)
    # The text of a jaxpr does not tell the values of its constants.
    held = () if inner is None else tuple(map(id, inner.consts))
    return eqn.primitive.name, str(eqn.params), tuple(str(v.aval) for v in eqn.invars), held


def mark_of(atom: Any, numbers: dict[Any, Any]) -> Any:
    """Says of an operand its own value, or which variable it is of those that have numbers."""
    if isinstance(atom, core.Literal):
        value = np.asarray(atom.val)
        return value.dtype.str, value.tobytes()
    return numbers.setdefault(atom, len(numbers))
