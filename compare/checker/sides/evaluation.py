"""Running the two sides of a comparison, and measuring the rounding noise of one."""

import contextlib
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from compare.checker.sides.float64 import cpu_with
from compare.checker.sides.side import (
    Arrays,
    LossAndAux,
    Program,
    Side,
    fingerprint,
    has_float64,
    tracing,
)
from compare.jaxprs import begin_to_compile
from compare.trees import Layout, by_path, cast, in_double, shape_of

__all__ = ["DRAWS", "Evaluation", "Key", "Point", "Result", "Sides"]

DRAWS = 16
"""How many perturbed runs measure the rounding noise."""

Key = tuple[str, str]
"""Which leaf of a result: ("value" or "grad", path)."""


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
        return math.fsum(in_double(leaf).real.sum() for leaf in by_path(value).values())


class Evaluation(NamedTuple):
    """How to run a side at one point.

    Attributes:
        layout: where the arrays belong in (params, args).
        jit: whether the side under test runs under `jax.jit`; the other is always compiled.
        seed: of the points and perturbations that measure the noise.
        in_numpy: of every array, whether the side under test is given a NumPy array of its own,
            which it may write to, where it is not compiled; empty for none.
    """

    layout: Layout
    jit: bool
    seed: int
    in_numpy: tuple[bool, ...] = ()

    def run(
        self,
        side: Side,
        arrays: Arrays,
        *,
        on_cpu: bool = False,
        compiled: bool | None = None,
        wait: bool = True,
    ) -> Result:
        """Runs `side` at these arrays.

        Args:
            side: what to run.
            arrays: the point.
            on_cpu: whether to run as the reference does: on the CPU, with float64 where the arrays
                have it, compiled with few optimisations.
            compiled: whether under `jax.jit`; None for as this evaluation has it, which compiles
                the side that differentiates always.
            wait: whether to return no sooner than all is computed.

        Raises:
            ValueError: it cannot be traced, or returns something other than a pair.
        """
        if compiled is None:
            compiled = self._compiles(side)
        with tracing(side, compiled=compiled), _place(arrays, on_cpu):
            own = jax.device_put(arrays)
            if compiled:
                result = self._program(side, own, on_cpu)(own)
            else:
                result = side.eager(self.given(side, own), layout=self.layout)
            return Result(*(jax.block_until_ready(result) if wait else result))

    def program(self, side: Side, arrays: Arrays, *, on_cpu: bool = False) -> Program:
        """Returns the program that `run` runs, of the shapes and dtypes of `arrays` alone.

        Raises:
            ValueError: it cannot be traced.
        """
        with tracing(side, compiled=True), _place(arrays, on_cpu):
            return self._program(side, [shape_of(x, x.dtype) for x in arrays], on_cpu)

    def refusal(self, side: Side, arrays: Arrays) -> str:
        """Tells where and why the reference cannot run in float64 as it is; "" where it can."""
        with _place(arrays, True):
            return side.refusal([shape_of(x, x.dtype) for x in arrays], self.layout)

    def again(
        self,
        side: Side,
        arrays: Arrays,
        first: Result,
        *,
        on_cpu: bool = False,
        traced_anew: bool = True,
    ) -> Result:
        """Runs a side once more.

        Args:
            side: what to run.
            arrays: the point.
            first: what it returned there; returned again where nothing else can come of a run.
            on_cpu: as `run` takes it.
            traced_anew: whether it is traced again as well.
        """
        if not self._compiles(side):
            return self.run(side, arrays, on_cpu=on_cpu)
        with tracing(side, compiled=True), _place(arrays, on_cpu):
            own = jax.device_put(arrays)
            program = self._program(side, own, on_cpu)
            if traced_anew:
                traced = self._standing(side, own, on_cpu).trace(own, self.layout)
                if fingerprint(traced) != program.fingerprint:
                    other = Program(traced, plain=on_cpu)
                    return Result(*jax.block_until_ready(other(own)))
            if program.repeats:
                return first
            return Result(*jax.block_until_ready(program(own)))

    def prepare(self, *runs: tuple[Side, Arrays, bool]) -> None:
        """Begins to compile what is to be run: each (side, arrays, on_cpu), as `run` takes it.

        Of the arrays their shapes and dtypes count. XLA compiles outside the interpreter's lock,
        side by side and beside what follows; a run waits for its own program. Tracing stays in this
        thread, since a person's functions may not be fit for several. What cannot be traced is left
        to `run`, which says so.
        """
        for side, arrays, on_cpu in runs:
            if self._compiles(side):
                with contextlib.suppress(Exception):
                    begin_to_compile(self.program(side, arrays, on_cpu=on_cpu).compile)

    def _program(self, side: Side, own: Arrays, on_cpu: bool) -> Program:
        side = self._standing(side, own, on_cpu)
        return side.program(own, self.layout, plain=on_cpu)

    def _standing(self, side: Side, own: Arrays, on_cpu: bool) -> Side:
        """The side that stands for this one in a run of the reference."""
        return side.in_float64(own, self.layout) if on_cpu else side

    def given(self, side: Side, own: Arrays) -> Arrays:
        """Returns what a side is called with where it is not compiled: arrays of its own."""
        if side.loss is not None or not self.in_numpy:
            return own
        return [np.array(x) if numpy else x for x, numpy in zip(own, self.in_numpy, strict=True)]

    def _compiles(self, side: Side) -> bool:
        return self.jit or side.loss is not None


class Point(NamedTuple):
    """A point, and what both sides return there.

    Attributes:
        arrays: the point.
        manual: what the side under test returns.
        autodiff: what the side that differentiates returns.
        value_name: what the report calls the value.
        left_out: leaves that are not compared.
    """

    arrays: Arrays
    manual: Result
    autodiff: Result
    value_name: str
    left_out: frozenset[Key] = frozenset()

    def leaves(self, side: Literal["manual", "autodiff"]) -> dict[Key, np.ndarray]:
        """Returns every array that one side returned, by its key."""
        result = self.manual if side == "manual" else self.autodiff
        leaves = result.leaves(self.value_name)
        return {key: leaf for key, leaf in leaves.items() if key not in self.left_out}

    def differences(self, keys: Sequence[Key]) -> list[np.ndarray]:
        """Computes manual − autodiff, in float64, of these leaves."""
        manual, autodiff = self.leaves("manual"), self.leaves("autodiff")
        with np.errstate(invalid="ignore"):  # Inf − Inf is NaN, which shows nothing.
            return [in_double(manual[key]) - in_double(autodiff[key]) for key in keys]


class Sides(NamedTuple):
    """The two sides of a comparison, and how they are run.

    Attributes:
        manual: the side under test.
        autodiff: the side that differentiates.
        evaluation: how to run them.
        value_name: what the report calls the value.
        left_out: leaves that are not compared.
        manual_dtype: the one type that manual can run in; None where it can in any.
    """

    manual: Side
    autodiff: Side
    evaluation: Evaluation
    value_name: str
    left_out: frozenset[Key] = frozenset()
    manual_dtype: Any = None

    def at(self, arrays: Arrays, *, on_cpu: bool = False) -> Point:
        """Runs both at these arrays; `on_cpu` as the reference runs (`Evaluation.run`)."""
        own = arrays
        if self.manual_dtype is not None:
            own = [cast(x, self.manual_dtype) for x in arrays]
        # Both at once: the second does not wait for the first.
        manual, autodiff = (
            self.evaluation.run(side, x, on_cpu=on_cpu, wait=False)
            for side, x in ((self.manual, own), (self.autodiff, arrays))
        )
        jax.block_until_ready((manual, autodiff))
        return Point(arrays, manual, autodiff, self.value_name, self.left_out)


def _place(arrays: Arrays, reference: bool) -> Any:
    """The surroundings of a run: the reference's, or those that are there."""
    return cpu_with(float64=has_float64(arrays)) if reference else contextlib.nullcontext()
