"""The referee as the only judge, where jax cannot differentiate the loss.

A while loop has no reverse mode, and a callback no derivative at all. Then manual's gradient is
held against numerical derivatives of the loss: every entry where there are few, and otherwise some
entries of each leaf and random directions through it.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

from compare.checker import faults
from compare.checker.comparison import (
    Accuracy,
    Rows,
    accepting,
    accuracy_reached,
    allowed,
    disagreeing,
    unjudged,
)
from compare.checker.kinks import perturbed, ties
from compare.checker.leaf import Leaf, Loss
from compare.checker.noise.measure import of_manual
from compare.checker.numerical.derivative import Derivative
from compare.checker.numerical.differences import confirmed_differences
from compare.checker.referee import REFUTED, along, derivative_of, random_direction
from compare.checker.reporting.verdicts import Verdict
from compare.checker.sides.evaluation import Point, Result, Sides
from compare.checker.sides.float64 import float64_on_cpu
from compare.checker.sides.narrowing import Narrowing, narrowing
from compare.checker.sides.opened import held
from compare.checker.sides.precision import alone_in_float64
from compare.checker.sides.side import Arrays, compiled
from compare.trees import by_path, cast, in_double, largest

__all__ = ["finding"]

_EVERY_ENTRY = 64
"""With so many entries in all, each is a direction; with more, so many of each leaf as follows."""
_ENTRIES, _RANDOM = 4, 2

_UNITS = 64
"""The rounding of manual in float64, which is not measured here, in units in the last place."""


def finding(
    sides: Sides, manual: Result, arrays: Arrays, reason: str, accuracy: Accuracy = None
) -> tuple[Verdict, Loss, Rows, list[str], float]:
    """Judges manual's gradient by the referee alone.

    Args:
        sides: the two sides, of which autodiff's loss is taken.
        manual: what manual returned.
        arrays: the point, in the dtype asked for.
        reason: why it judges alone.
        accuracy: how much of its largest entry a leaf may be off by.

    Returns:
        The verdict, the losses, the rows by key, sentences, and the smallest error that would have
        been caught.

    Raises:
        ValueError: the loss cannot be evaluated in float64.
    """
    params = sides.evaluation.layout.rebuild(arrays)[0]
    own = Point(arrays, manual, Result(manual.value, params), sides.value_name, sides.left_out)
    misshapen = faults.structure(own, sides.evaluation.jit)
    bad, _ = faults.nonfinite(own)
    left = misshapen.keys | bad.keys
    paths = [path for path in by_path(params) if ("grad", path) not in left | sides.left_out]
    details = [f"{reason}: judged by the referee alone"]
    if not paths:
        verdict = "structure_mismatch" if misshapen else "nonfinite"
        told = [*misshapen.sentences, *bad.sentences, *details]
        return verdict, Loss(manual.total, np.nan, np.nan), unjudged(own), told, np.nan
    with float64_on_cpu():
        asked = _Asked.of(sides, manual, arrays, paths)._replace(accuracy=accuracy)
        judged = asked.rows()
        if not all(row.agrees for row in judged.values()):
            judged = asked.rows(confirmed=True)
        rows = {**unjudged(own, left), **judged}
        wrong = disagreeing(judged, reference="the referee has")
        details += [f"manual {asked.narrow}"] if asked.narrow else []
        details += accuracy_reached(asked.largest_share(judged), accuracy)
        kink = asked.kink() if wrong else []
    detectable = max(row.tolerance for row in judged.values())
    losses = Loss(asked.own_value, asked.value, asked.value)
    if left:
        verdict = "structure_mismatch" if misshapen else "nonfinite"
        details = [*misshapen.sentences, *bad.sentences, *wrong, *details]
        return verdict, losses, rows, details, detectable
    if wrong:
        verdict = "kink" if kink else "manual_wrong"
        small = [] if kink or accuracy else _small_told(asked.largest_share(judged))
        return verdict, losses, rows, [*wrong, *kink, *small, *details], detectable
    if not asked.has_the_value():
        told = f"loss: manual has {asked.own_value:.9g} where the loss has {asked.value:.9g}"
        return "loss_differs", losses, rows, [told, *details], detectable
    if not any(g.any() for path, g in by_path(asked.manual.grads).items() if path in paths):
        told = "nothing was tested: every entry of the gradient is 0; give another point"
        return "inconclusive", losses, rows, [told, *details], detectable
    return "agree", losses, rows, details, detectable


def _small_told(share: float) -> list[str]:
    """Tells of an error, a share of its leaf's largest entry, that a solver's tolerance may be."""
    if not 0 < share < _SMALL:
        return []
    return [
        f"it is {share:.1e} of a leaf's largest entry: where a loop ends at a tolerance, and is "
        f"right to that alone, {accepting(share)}"
    ]


_SMALL = 1e-3


class _Asked(NamedTuple):
    """A gradient that is held against values of the loss.

    Attributes:
        sides: how to run manual.
        wide: the point in float64.
        paths: the leaves that are compared.
        manual: what manual returned, in float64 where it can.
        narrow: the narrower type that it computes in, or None.
        own_value: what manual says the loss is.
        value: what it is.
        accuracy: how much of its largest entry a leaf may be off by.
    """

    sides: Sides
    wide: Arrays
    paths: list[str]
    manual: Result
    narrow: Narrowing | None
    own_value: float
    value: float
    accuracy: Accuracy = None

    @classmethod
    def of(cls, sides: Sides, manual: Result, arrays: Arrays, paths: list[str]) -> "_Asked":
        """Runs manual and the loss in float64."""
        wide = [cast(x, np.float64) for x in arrays]
        found, narrow, sides = alone_in_float64(sides, manual, arrays, wide)
        asked = cls(sides, wide, paths, found, narrow, found.total, np.nan)
        leaves, constants = asked.leaves(wide)
        value = float(compiled(asked.loss)(list(leaves.values()), constants))
        asked = asked._replace(value=value)
        if asked.has_the_value():
            return asked
        return asked._replace(own_value=_value(sides, wide, found.total))

    def leaves(self, arrays: Arrays) -> tuple[dict[str, np.ndarray], list[Any]]:
        """Splits the arrays into the parameters by path and the constants."""
        names = by_path(self.sides.evaluation.layout.rebuild(arrays)[0])
        leaves = {path: in_double(x) for path, x in zip(names, arrays, strict=False)}
        return leaves, jax.device_put(arrays[len(names) :])

    def loss(self, leaves: list[Any], constants: list[Any]) -> Any:
        """Computes the loss, in float64 throughout."""
        layout, side = self.sides.evaluation.layout, self.sides.autodiff
        arrays = [*leaves, *constants]

        def by(loss: Any) -> Any:
            def flat(arrays: Arrays) -> Any:
                params, args = layout.rebuild(arrays)
                return loss(params, *args)

            return flat

        says, wide = "where numerical derivatives say nothing, ", side.wide
        traced = by(side.loss)
        try:
            closed = jax.make_jaxpr(traced)(arrays)
            narrow = narrowing(closed)
            traced = _of_trees(core.jaxpr_as_fun(closed))
        except Exception:  # A carry of float32, a kernel of it.
            if wide is None:
                raise
            narrow, says = "cannot be run in float64", ""
        if narrow is None or wide is None:
            return traced(arrays)
        try:
            return by(wide.loss)(arrays)
        except ValueError as error:
            raise ValueError(
                f"the loss {narrow}, {says}and cannot be differentiated by jax: "
                f"give a reference that can ({error})"
            ) from None

    def rows(
        self,
        arrays: Arrays | None = None,
        manual: Result | None = None,
        *,
        confirmed: bool = False,
    ) -> Rows:
        """One row for each leaf: along each direction what manual has and the referee finds.

        `confirmed` takes smaller steps, and tells of kinks within them.
        """
        arrays, manual = arrays or self.wide, manual or self.manual
        leaves, constants = self.leaves(arrays)
        loss, _ = held(self.loss, [*leaves.values()], constants)
        derivative = derivative_of(loss, leaves, constants)[1]
        if confirmed:
            derivative = confirmed_differences(loss)
        gradient = {path: g for path, g in by_path(manual.grads).items() if path in self.paths}
        rounding = self._rounding(arrays, gradient)
        every = sum(leaves[path].size for path in self.paths) <= _EVERY_ENTRY
        return {
            ("grad", path): _row(
                path,
                leaves,
                constants,
                gradient,
                derivative,
                rounding[path],
                allowed(self.accuracy, path, gradient[path]),
                every=every,
            )
            for path in self.paths
        }

    def _rounding(self, arrays: Arrays, gradient: dict[str, np.ndarray]) -> dict[str, float]:
        """How large an error of each leaf manual's own rounding explains."""
        unit = np.finfo(np.float64).eps if self.narrow is None else self.narrow.unit
        size = {
            path: float(np.max(np.abs(in_double(g)), initial=0)) for path, g in gradient.items()
        }
        if self.narrow is None:
            return {path: _UNITS * unit * size[path] for path in gradient}
        noise = of_manual(self.sides, arrays, self.narrow.dtype)
        if noise is None:
            return {path: _UNITS / 8 * unit * size[path] for path in gradient}
        return {path: noise.factor * noise.by_leaf["grad", path] for path in gradient}

    def kink(self) -> list[str]:
        """Sentences if the point sits on a kink, and off it manual is right; else none."""
        tied = ties(lambda *arrays: self.loss(list(arrays), []), self.wide)
        if not tied:
            return []
        for seed in (1, 2):
            moved = perturbed(self.wide, seed)
            own = [cast(x, self.sides.manual_dtype) for x in moved]
            manual = self.sides.evaluation.run(self.sides.manual, own, on_cpu=True)
            if not all(row.agrees for row in self.rows(moved, manual, confirmed=True).values()):
                return []
        return [*map(str, tied), "moved off the kink, manual is right"]

    def largest_share(self, rows: Rows) -> float:
        """The largest error as a share of its leaf's largest entry."""
        sizes = {path: largest(g) for path, g in by_path(self.manual.grads).items()}
        shares = [row.max_abs / sizes[path] for (_, path), row in rows.items() if sizes[path]]
        return max(shares, default=0.0)

    def has_the_value(self) -> bool:
        """Whether manual's value is that of the loss, to rounding."""
        unit = np.finfo(np.float64).eps if self.narrow is None else self.narrow.unit
        return abs(self.own_value - self.value) <= _UNITS * unit * max(1.0, abs(self.value))


def _of_trees(fn: Callable[..., list[Any]]) -> Callable[[Any], Any]:
    """A function of arrays with one result, as one of a tree of them."""
    return lambda arrays: fn(*jax.tree.leaves(arrays))[0]


def _value(sides: Sides, wide: Arrays, total: float) -> float:
    """What manual says the loss is; of a rule that is the inner product with the cotangents."""
    if sides.manual.value is None:
        return total
    params, args = sides.evaluation.layout.rebuild(jax.device_put(wide))
    try:
        return float(sides.manual.value(params, *args))
    except Exception:  # It runs in the dtype asked for alone.
        return total


def _row(
    path: str,
    leaves: dict[str, np.ndarray],
    constants: list[Any],
    gradient: dict[str, np.ndarray],
    derivative: Derivative,
    rounding: float,
    allowed: float,
    *,
    every: bool,
) -> Leaf:
    leaf, exact = leaves[path], {p: in_double(g) for p, g in gradient.items()}
    found = [
        (
            along(exact, direction),
            *derivative(leaves, constants, direction),
            np.abs(direction[path]).sum(),
        )
        for direction in _directions(path, leaf, every)
    ]
    by_manual, by_referee, bars, lengths = (np.array(of) for of in zip(*found, strict=True))
    noise = float(np.max(bars, initial=0))
    explained = REFUTED * noise + rounding
    # Every entry may be off by what is allowed: along several that adds up.
    agrees = np.abs(by_manual - by_referee) <= np.maximum(explained, allowed * lengths)
    row = Leaf.compare(
        path, by_manual, by_referee, dtype=gradient[path].dtype, noise=noise,
        tolerance=max(explained, allowed), agrees=bool(agrees.all()),
    )  # fmt: skip
    return dataclasses.replace(row, shape=leaf.shape, error_map=None)


def _directions(path: str, leaf: np.ndarray, every: bool) -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng(leaf.size)
    count = leaf.size if every else min(_ENTRIES, leaf.size)
    parts = (1.0, 1.0j) if np.iscomplexobj(leaf) else (1.0,)
    for index in rng.permutation(leaf.size)[:count]:
        for part in parts:
            direction = np.zeros_like(leaf)
            direction.flat[index] = part
            yield {path: direction}
    if not every:
        for _ in range(_RANDOM):
            yield random_direction(rng, {path: leaf})
