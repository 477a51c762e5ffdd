"""One of two functions that are compared: traced anew for each check, compiled where need be.

Nothing is remembered by a function's identity: what a function reads may have changed since. What
is compiled is remembered by the program itself, constants included, so that a check that asks the
same again does not compile again.
"""

import contextlib
import functools
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.sides.narrowing import Narrowing, narrowing
from compare.checker.sides.opened import opened
from compare.checker.sides.remembered import Remembered
from compare.checker.sides.settings import kept_settings
from compare.checker.sides.widened import rounds_constants, widened
from compare.escapes import first_line
from compare.jaxprs import compiler_options, draws_in_64_bits, is_arithmetic
from compare.sites import raised_at, shown
from compare.trees import Layout, expanded, is_array, is_inexact, is_key

__all__ = [
    "IN_JAX", "Arrays", "Constant", "LossAndAux", "Program", "Side", "compiled",
    "differentiated", "digest", "failure", "fingerprint", "has_float64", "require_scalar", "side",
    "told", "traceable", "tracing", "with_stand_ins",
]  # fmt: skip

Arrays = list[Any]
Constant = Callable[[Any], Any]

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


class Side:
    """One function `(params, *args) -> (value, grads)`.

    Args:
        fn: the function.
        loss: for the side that differentiates, `loss(params, *args) -> scalar`, whose gradient it
            returns.
        value: for the side under test, `value(params, *args) -> scalar`, what it says the loss is.
        opened: what stands for it where its custom rules are to be opened; None for `fn` itself.
        wide: what stands for it in float64, where `fn` itself computes in a narrower type; None
            for `fn` itself.
        at_constants: `at_constants(constant)` is what stands for it in float64 with other constants
            (`widened`); None where nothing stands for it.
        by_lines: what computes the same, each operation at its own line of a person's source; None
            for `fn` itself.
        changed: the settings of jax that `fn` has changed, which were undone.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        loss: Callable[..., Any] | None = None,
        *,
        value: Callable[..., Any] | None = None,
        opened: "Side | None" = None,
        wide: "Side | None" = None,
        at_constants: "Callable[[Constant], Side] | None" = None,
        by_lines: "Side | None" = None,
    ):
        self.fn = fn
        self.loss = loss
        self.value = value
        self.opened = opened
        self.wide = wide
        self.at_constants = at_constants
        self.by_lines = by_lines
        self.changed: dict[str, str] = {}
        self._programs: dict[Any, Program] = {}
        self._remembered: dict[Any, Any] = {}

    def eager(self, arrays: Arrays, *, layout: Layout) -> Any:
        """Computes the function of the arrays alone; its other arguments are in the layout.

        Raises:
            ValueError: it returns something other than a pair.
        """
        params, args = layout.rebuild(arrays)
        with kept_settings() as changed:
            result = self.fn(params, *args)
        self.changed.update(changed)
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise ValueError(
                "the hand-derived side must return the pair (loss, grads); it returned "
                f"{told(result)}"
            )
        value, grads = result
        # What is left as it is, such as a name or a function, is no part of the gradient.
        return value, jax.tree.map(lambda leaf: leaf if _is_number(leaf) else None, expanded(grads))

    def trace(self, arrays: Arrays, layout: Layout) -> "Traced":
        """Traces the function anew, whatever was traced before."""
        return Traced.of(functools.partial(self.eager, layout=layout), arrays)

    def program(self, arrays: Arrays, layout: Layout, *, plain: bool) -> "Program":
        """Traces the function at arrays of these shapes and dtypes, once for each.

        Args:
            arrays: on the device, or to be put there.
            layout: where they belong.
            plain: whether to compile with few optimisations, for a program that runs a few times.
        """
        point = tuple((x.shape, str(x.dtype)) for x in arrays), layout, _surroundings()
        if plain and (point, False) in self._programs:
            return self._programs[point, False]
        if (point, plain) not in self._programs:
            self._programs[point, plain] = Program(self.trace(arrays, layout), plain)
        return self._programs[point, plain]

    def in_float64(self, arrays: Arrays, layout: Layout) -> "Side":
        """Returns what stands for it at these arrays: itself, unless it narrows their float64."""
        if self.wide is None or not has_float64(arrays):
            return self
        try:
            narrows = self.program(arrays, layout, plain=True).narrowing is not None
        except Exception:  # A number of a narrower type in its source, a carry of float32.
            narrows = True
        return self.wide if narrows else self

    def refusal(self, arrays: Arrays, layout: Layout) -> str:
        """Tells where and why the loss cannot be traced in float64; "" where it can.

        What stands for it then has the constants of a narrower type.
        """
        if self.loss is None or self.in_float64(arrays, layout) is self:
            return ""
        loss = self.loss

        def of(arrays: Arrays) -> Any:
            params, args = layout.rebuild(arrays)
            return loss(params, *args)

        try:
            jax.eval_shape(of, arrays)
        except Exception as error:
            return failure(error)
        return ""

    def remember(self, point: bytes, further: Any, make: Callable[[], Any]) -> Any:
        """Returns what was made at this point before, or makes it.

        Args:
            point: the digest of its arrays.
            further: what else it depends on, hashable.
            make: makes it.
        """
        key = point, further, _surroundings()
        if key not in self._remembered:
            self._remembered[key] = make()
        return self._remembered[key]


def failure(error: Exception) -> str:
    """Tells where in a person's source and why something failed, for the middle of a sentence."""
    site = raised_at(error)
    return (f"{shown(site)}: " if site else "") + first_line(error).rstrip(":")


class Traced(NamedTuple):
    """A traced function of a list of arrays.

    Attributes:
        flat: the trace of what returns the leaves of what it returns.
        structure: of what it returns.
    """

    flat: Any
    structure: Any

    @classmethod
    def of(cls, fn: Callable[[Arrays], Any], arrays: Arrays) -> "Traced":
        """Traces `fn(arrays)`."""
        structures = []

        def flat(arrays: Arrays) -> list[Any]:
            leaves, structure = jax.tree.flatten(fn(arrays))
            structures.append(structure)
            return leaves

        traced = jax.jit(flat).trace(arrays)
        return cls(traced, structures[-1])

    @property
    def jaxpr(self) -> Any:
        """Its closed jaxpr."""
        return self.flat.jaxpr


class Program:
    """A traced function, compiled when it is first needed, in whichever thread that is.

    The trace itself is let go: JAX keeps the 32-bit form of a NumPy constant as long as a trace
    holds it, and would use it in float64 as well.

    Attributes:
        fingerprint: equal for two traces of a function that does the same at both.
        key: equal for two programs that return the same for the same arrays.
        narrowing: where it computes in a narrower type than its inputs have; None if nowhere.
        repeats: whether two runs return the same for certain, as arithmetic does on a CPU.
        rounds_constants: whether one may be known less well than float64 can.
        redraws: whether it draws random numbers that are others in a narrower type.
        seconds: that lowering and compiling it took, when it was last compiled; 0 before.
    """

    def __init__(self, traced: Traced, plain: bool):
        self._plain, self._structure = plain, traced.structure
        self._options = compiler_options(traced.jaxpr.jaxpr) if plain else {}
        self.narrowing: Narrowing | None = narrowing(traced.jaxpr)
        self.repeats = jax.default_backend() == "cpu" and is_arithmetic(traced.jaxpr)
        self.rounds_constants = rounds_constants(traced.jaxpr)
        self.redraws = draws_in_64_bits(traced.jaxpr.jaxpr)
        text = str(traced.jaxpr.jaxpr)
        self.fingerprint = _fingerprint(text, traced.jaxpr.consts)
        # What is not used is no part of the program, but is passed to it.
        inputs = tuple(str(aval) for aval in traced.jaxpr.in_avals)
        # A text with an address in it, as of a callback, does not say what is at the address.
        computed = object() if "0x" in text else self.fingerprint
        self._computed = (computed, inputs, _surroundings())
        self.key = (self._computed, traced.structure)
        self._lock = threading.Lock()
        found = _COMPILED.get((self._computed, False))
        if plain and found is None:
            found = _COMPILED.get((self._computed, True))
        self._compiled, self.seconds = found or (None, 0.0)
        start = time.perf_counter()
        self._lowered: Any = traced.flat.lower() if self._compiled is None else None
        self._lowering = time.perf_counter() - start

    def __call__(self, arrays: Arrays) -> Any:
        """Runs it, compiled."""
        return jax.tree.unflatten(self._structure, self.compile()(arrays))

    def compile(self) -> Any:
        """Compiles it, and returns what runs: from the list of arrays to that of the leaves."""
        with self._lock:
            if self._compiled is None:
                start = time.perf_counter()
                self._compiled = self._lowered.compile(compiler_options=self._options)
                self.seconds = self._lowering + time.perf_counter() - start
                _COMPILED.put((self._computed, self._plain), (self._compiled, self.seconds))
                self._lowered = None
            return self._compiled


def compiled(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function with few optimisations, for each shapes and dtypes it is called with.

    What was compiled of the same program before is found again, whichever function it was of.
    """
    programs: dict[Any, Program] = {}

    def run(*args: Any) -> Any:
        arrays, structure = jax.tree.flatten(args)
        point = structure, tuple(map(jax.typeof, arrays))
        if point not in programs:
            traced = Traced.of(lambda arrays: fn(*jax.tree.unflatten(structure, arrays)), arrays)
            programs[point] = Program(traced, plain=True)
        return programs[point](arrays)

    return run


# With the seconds that each took. A test suite asks about the same functions again and again.
_COMPILED = Remembered[tuple[Any, float]](size=96)


def side(fn: Callable[..., Any], has_aux: bool = False) -> Side:
    """The side that computes `fn`."""
    if has_aux:
        return Side(_with_aux(fn), value=lambda *args: fn(*args)[0][0])
    return Side(fn, value=lambda *args: fn(*args)[0])


def differentiated(loss: Callable[..., Any], has_aux: bool = False) -> Side:
    """The side that computes the value of `loss`, and its gradient by `jax.grad`."""

    def by_jax(loss: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
        if has_aux:
            both = _with_aux(jax.value_and_grad(loss, has_aux=True))
            return both, lambda *args: loss(*args)[0]
        return jax.value_and_grad(loss), loss

    return with_stand_ins(_scalar(loss, has_aux), by_jax)


def with_stand_ins(
    fn: Callable[..., Any],
    by_jax: Callable[[Callable[..., Any]], tuple[Callable[..., Any], Callable[..., Any]]],
) -> Side:
    """Makes the side that differentiates, with what stands for it opened and in float64.

    Args:
        fn: what a person gave to be differentiated.
        by_jax: `by_jax(fn) -> (fn of the side, its loss)`.
    """

    def at_constants(constant: Constant) -> Side:
        return Side(*by_jax(widened(fn, constant)))

    both, loss = by_jax(fn)
    without_rules, _ = by_jax(opened(fn))
    wide = Side(*by_jax(widened(fn)))
    # Opened, it computes the same; as it was, its equations know their lines.
    stand_in = Side(without_rules, loss, wide=wide, at_constants=at_constants)
    return Side(both, loss, opened=stand_in, wide=wide, at_constants=at_constants)


def _scalar(loss: Callable[..., Any], has_aux: bool) -> Callable[..., Any]:
    """`loss`, which must return a scalar; with has_aux a pair of a scalar and something else."""

    @functools.wraps(loss)
    def checked(*args: Any) -> Any:
        result: Any = loss(*args)
        if has_aux and not (isinstance(result, tuple | list) and len(result) == 2):
            raise ValueError(
                f"with has_aux=True the loss must return (loss, aux); it returned {told(result)}"
            )
        require_scalar(result[0] if has_aux else result)
        return result

    return checked


def require_scalar(value: Any) -> None:
    """Refuses what a loss may not return.

    Raises:
        ValueError: it is no real floating scalar; of a pair, that the two sides may be swapped.
    """
    of: Any = value
    if isinstance(value, tuple | list) and len(value) == 2:
        raise ValueError(
            "the loss returned a pair, as the hand-derived side does: are the two swapped? The "
            "candidate comes first, then the loss; where both return (loss, aux), has_aux=True"
        )
    if not is_array(value) and not isinstance(value, int | float | complex):
        raise ValueError(f"the loss must return a scalar; it returned {told(value)}")
    shape, dtype = jnp.shape(of), jnp.result_type(of)
    if shape != ():
        raise ValueError(
            f"the loss must return a scalar; it returned shape {shape}: end it in .sum() or .mean()"
        )
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"the loss must return a real floating number; it returned {dtype}")


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
        return LossAndAux(loss, jax.tree.map(lambda x: x if is_inexact(x) else None, aux)), grads

    return named


def tracing(side: Side, *, compiled: bool) -> Any:
    """Turns jax's errors about values that are not known while tracing into a ValueError.

    Args:
        side: whose function is traced.
        compiled: whether it is traced because it is compiled.

    Raises:
        ValueError: the function cannot be traced.
    """
    hint = IN_JAX if side.loss else "pass jit=False: " * compiled
    return traceable(side.fn, hint)


IN_JAX = "write the loss in jax.numpy: "
"""What the error of a loss that cannot be traced begins with."""


@contextlib.contextmanager
def traceable(fn: Any, hint: str) -> Iterator[None]:
    """Does what `tracing` does, for any function.

    Args:
        fn: what is traced.
        hint: what to do, to stand first.

    Raises:
        ValueError: the function cannot be traced. Its text alone says where.
    """
    try:
        yield
    except (*_UNTRACEABLE, TypeError) as error:
        if type(error) is TypeError and "Tracer" not in str(error):
            raise  # Another library that was given what stands for an array says so like this.
        name = getattr(fn, "__name__", "the function")
        site = raised_at(error)
        where = f" ({shown(site)})" if site else ""
        raise ValueError(
            f"{hint}{name} cannot be traced by jax{where}: {first_line(error)}"
        ) from None


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, int | float | complex) or hasattr(leaf, "__array__") or is_array(leaf)


def told(result: Any) -> str:
    """Tells what a function returned, in two or three words."""
    if isinstance(result, tuple | list):
        return f"{len(result)} values"
    if is_array(result):
        return f"an array of shape {result.shape}"
    return f"a {type(result).__name__}"


def fingerprint(traced: Any) -> bytes:
    """Returns what is equal for two traces of a function that does the same at both."""
    return _fingerprint(str(traced.jaxpr.jaxpr), traced.jaxpr.consts)


def _fingerprint(text: str, constants: Arrays) -> bytes:
    return hashlib.blake2b(text.encode()).digest() + digest(constants)


def has_float64(arrays: Arrays) -> bool:
    """Tells whether one of the arrays is in float64."""
    return any(x.dtype in (np.float64, np.complex128) for x in arrays)


def _surroundings() -> tuple[Any, ...]:
    """What of jax's settings a compiled program depends on."""
    # JAX makes its options attributes at run time, where a type checker cannot see them.
    config: Any = jax.config
    return (
        config.jax_enable_x64,
        config.jax_default_device,
        config.jax_default_matmul_precision,
    )


def digest(arrays: Arrays) -> bytes:
    """Returns what tells one list of arrays from another: every number of it."""
    found = hashlib.sha256()
    for x in arrays:
        plain = np.asarray(jax.random.key_data(x) if is_key(x) else x)
        found.update(f"{plain.dtype}{plain.shape}".encode())
        found.update(np.ascontiguousarray(plain).reshape(-1).view(np.uint8).data)
    return found.digest()
