"""Running the two sides of a comparison, and measuring the rounding noise of one."""

import contextlib
import functools
import hashlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker.sides.float64 import cpu_with
from compare.jaxprs import primitives
from compare.trees import Layout, by_path, is_float

__all__ = [
    "DRAWS", "Arrays", "Evaluation", "Key", "LossAndAux", "Point", "Program", "Result", "Side",
    "Sides", "compiler_options", "differentiated", "side", "slides", "tracing",
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
        self._programs: dict[Any, Any] = {}
        self._remembered: dict[Any, Any] = {}

    def eager(self, arrays: Arrays, *, layout: Layout) -> Any:
        """Computes the function of the arrays alone; its other arguments are in the layout."""
        params, args = layout.rebuild(arrays)
        result = self.fn(params, *args)
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise ValueError(
                "the hand-derived side must return the pair (loss, grads); it returned a "
                f"{type(result).__name__}"
            )
        return tuple(result)

    def program(self, arrays: Arrays, layout: Layout, *, plain: bool) -> "Program":
        """Traces the function at arrays of these shapes and dtypes, once.

        Args:
            arrays: on the device, or to be put there.
            layout: where they belong.
            plain: whether to compile with few optimisations, for a program that runs a few times.
        """
        point = tuple((x.shape, str(x.dtype)) for x in arrays), layout, _surroundings()
        if plain and (point, False) in self._programs:
            return self._programs[point, False]
        return _kept(
            self._programs,
            _PROGRAMS,
            (point, plain),
            lambda: Program(self.jitted.trace(arrays, layout=layout), plain),
        )

    def remember(self, arrays: Arrays, further: Any, make: Callable[[], Any]) -> Any:
        """Returns what was made at this point before, or makes it.

        Args:
            arrays: the point; every number counts.
            further: what else it depends on, hashable.
            make: makes it.
        """
        key = _digest(arrays), further, _surroundings()
        return _kept(self._remembered, _POINTS, key, make)


class Program:
    """A traced function, compiled when it is first needed, in whichever thread that is."""

    def __init__(self, traced: Any, plain: bool):
        level = (1 if slides(traced) else 0) if plain else None
        self._options = {} if level is None else compiler_options(level)
        self._lowered = traced.lower()
        self._lock = threading.Lock()
        self._compiled: Any = None

    def compile(self) -> Any:
        """Compiles it, and returns what runs: a function of the list of arrays."""
        with self._lock:
            if self._compiled is None:
                self._compiled = self._lowered.compile(compiler_options=self._options)
            return self._compiled


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
        jit: whether the side under test runs under `jax.jit`; the other is always compiled.
        seed: of the points and perturbations that measure the noise.
    """

    layout: Layout
    jit: bool
    seed: int

    def run(
        self, side: Side, arrays: Arrays, *, on_cpu: bool = False, compiled: bool | None = None
    ) -> Result:
        """Runs `side` at these arrays.

        Args:
            side: what to run.
            arrays: the point.
            on_cpu: whether to run as the reference does: on the CPU, with float64 where the arrays
                have it, compiled with few optimisations.
            compiled: whether under `jax.jit`; None for as this evaluation has it, which compiles
                the side that differentiates always.

        Raises:
            ValueError: it cannot be traced, or returns something other than a pair.
        """
        if compiled is None:
            compiled = self._compiles(side)
        with (
            tracing(side, "; pass jit=False" if compiled and side.loss is None else ""),
            _place(arrays, on_cpu),
        ):
            own = [jnp.asarray(x) for x in arrays]
            if compiled:
                result = side.program(own, self.layout, plain=on_cpu).compile()(own)
            else:
                result = side.eager(own, layout=self.layout)
            return Result(*jax.block_until_ready(result))

    def prepare(self, *runs: tuple[Side, Arrays, bool]) -> None:
        """Compiles what is to be run side by side: each (side, arrays, on_cpu), as `run` takes it.

        XLA compiles outside the interpreter's lock. Tracing stays in this thread, since a person's
        functions may not be fit for several. What cannot be traced is left to `run`, which says so.
        """
        programs = []
        for side, arrays, on_cpu in runs:
            if self._compiles(side):
                with contextlib.suppress(Exception), _place(arrays, on_cpu):
                    own = [jnp.asarray(x) for x in arrays]
                    programs.append(side.program(own, self.layout, plain=on_cpu))
        with ThreadPoolExecutor(max(1, len(programs))) as pool:
            list(pool.map(Program.compile, programs))

    def _compiles(self, side: Side) -> bool:
        return self.jit or side.loss is not None


class Point(NamedTuple):
    """A point, and what both sides return there.

    Attributes:
        arrays: the point.
        manual: what the side under test returns.
        autodiff: what the side that differentiates returns.
        value_name: what the report calls the value.
    """

    arrays: Arrays
    manual: Result
    autodiff: Result
    value_name: str

    def leaves(self, side: Literal["manual", "autodiff"]) -> dict[Key, np.ndarray]:
        """Returns every array that one side returned, by its key."""
        result = self.manual if side == "manual" else self.autodiff
        return result.leaves(self.value_name)

    def differences(self, keys: Sequence[Key]) -> list[np.ndarray]:
        """Computes manual − autodiff, in float64, of these leaves."""
        manual, autodiff = self.leaves("manual"), self.leaves("autodiff")
        with np.errstate(invalid="ignore"):  # Inf − Inf is NaN, which shows nothing.
            return [manual[key].astype(float) - autodiff[key].astype(float) for key in keys]


class Sides(NamedTuple):
    """The two sides of a comparison, and how they are run.

    Attributes:
        manual: the side under test.
        autodiff: the side that differentiates.
        evaluation: how to run them.
        value_name: what the report calls the value.
    """

    manual: Side
    autodiff: Side
    evaluation: Evaluation
    value_name: str

    def at(self, arrays: Arrays, *, on_cpu: bool = False) -> Point:
        """Runs both at these arrays; `on_cpu` as the reference runs (`Evaluation.run`)."""
        return Point(
            arrays,
            self.evaluation.run(self.manual, arrays, on_cpu=on_cpu),
            self.evaluation.run(self.autodiff, arrays, on_cpu=on_cpu),
            self.value_name,
        )


def _place(arrays: Arrays, reference: bool) -> Any:
    """The surroundings of a run: the reference's, or those that are there."""
    if not reference:
        return contextlib.nullcontext()
    return cpu_with(float64=any(x.dtype == np.float64 for x in arrays))


@contextlib.contextmanager
def tracing(side: Side, hint: str) -> Iterator[None]:
    """Turns jax's errors about values that are not known while tracing into a ValueError.

    Args:
        side: whose function is traced.
        hint: what to do, to stand after the first words.

    Raises:
        ValueError: the function cannot be traced.
    """
    try:
        yield
    except _UNTRACEABLE as error:
        name = getattr(side.fn, "__name__", "the function")
        reason = str(error).splitlines()[0]
        raise ValueError(f"{name} cannot be traced by jax{hint}: {reason}") from error


def _kept(memory: dict[Any, Any], size: int, key: Any, make: Callable[[], Any]) -> Any:
    """What the memory has under the key, made if need be; all is forgotten when it is full."""
    if key not in memory:
        made = make()
        if len(memory) >= size:
            memory.clear()
        memory[key] = made
    return memory[key]


def slides(traced: Any) -> bool:
    """Tells whether a traced function slides windows over arrays."""
    return bool(_SLIDES & primitives(traced.jaxpr.jaxpr))


def _surroundings() -> tuple[Any, ...]:
    """What of jax's settings a compiled program depends on."""
    # JAX makes its options attributes at run time, where a type checker cannot see them.
    config: Any = jax.config
    return (
        config.jax_enable_x64,
        config.jax_default_device,
        config.jax_default_matmul_precision,
    )


# Sliding windows are loops of the CPU's code, where unoptimised code is 15 times slower. Elsewhere
# half the compile time is spent on code that runs DRAWS times and never again.
_SLIDES = frozenset({"conv_general_dilated", "reduce_window_max", "select_and_scatter_add"})


def compiler_options(level: int) -> dict[str, Any]:
    """Returns the options of XLA for this level of optimisation; none but on a CPU."""
    on_cpu = jax.default_backend() == "cpu"
    return {"xla_backend_optimization_level": level} if on_cpu else {}


_POINTS = 16
"""How many measurements of one side are remembered: a few dtypes at one point."""

_PROGRAMS = 16
"""How many programs of one side are remembered: a few dtypes of a few shapes."""


def _digest(arrays: Arrays) -> bytes:
    """What tells one point from another: every number of it."""
    digest = hashlib.blake2b()
    for x in arrays:
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        plain = np.asarray(jax.random.key_data(x) if is_key else x)
        digest.update(f"{plain.dtype}{plain.shape}".encode())
        digest.update(plain.tobytes())
    return digest.digest()
