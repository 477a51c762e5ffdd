"""The judge of two sides that return (value, gradient): does rounding explain the difference?"""

import contextlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.checker import alone, comparison, faults
from compare.checker.comparison import Accuracy, Comparison, Rows
from compare.checker.disagreement.case import Disagreement
from compare.checker.faults import Faults
from compare.checker.gradient_report import GradientReport
from compare.checker.investigation import (
    forward_passes,
    investigate,
    is_of_own_loss,
    overruled,
)
from compare.checker.leaf import Loss
from compare.checker.noise import questions
from compare.checker.noise.fitting import Fitted, at_fitted_constants
from compare.checker.noise.persistence import is_in_dtype
from compare.checker.reporting.verdicts import ANOTHER_LOSS, Verdict
from compare.checker.sides.evaluation import Evaluation, Key, Point, Sides
from compare.checker.sides.float64 import (
    float64_on_cpu,
    is_float32_on_cpu,
    is_float64_on_cpu,
    matmul_precision,
    x64,
)
from compare.checker.sides.narrowing import Narrowing
from compare.checker.sides.precision import asked_in_float64, manual_in_float64
from compare.checker.sides.repetition import (
    opened_reference,
    require_repeated_loss,
    unrepeated,
)
from compare.checker.sides.settings import told
from compare.checker.sides.side import Arrays, Side, has_float64
from compare.diagnosis.case import Diagnosis
from compare.escapes import first_sentence
from compare.trees import Layout, aligned_empty, cast, is_float, is_inexact, shape_of

__all__ = ["judge"]


def judge(
    manual: Side,
    autodiff: Side,
    params: Any,
    args: Sequence[Any],
    *,
    dtype: Any = None,
    jit: bool = True,
    seed: int = 0,
    value_name: str = "loss",
    accuracy: Accuracy = None,
    not_compared: Mapping[str, str] = MappingProxyType({}),
    containers: Callable[[Any], str] = lambda gradient: "",
    alone_because: str = "",
) -> GradientReport:
    """Asks the three questions of the two sides, in their order, at one point.

    Args:
        manual: the side under test.
        autodiff: the side that computes the same by automatic differentiation.
        params: a pytree of floating arrays; manual's gradient must have leaves like its.
        args: further arguments. Arrays are traced, everything else is passed on as it is.
        dtype: every floating array is cast to it; None leaves them.
        jit: whether manual runs under `jax.jit`; the other side is always compiled.
        seed: of the perturbations that measure the noise.
        value_name: what the report calls the value, which may be any pytree.
        accuracy: how much of its largest entry a leaf may be off by, for all or by path.
        not_compared: leaves that are no part of the comparison, by path, and why.
        containers: `containers(gradient)` tells where they differ in kind; "" where not.
        alone_because: why the referee is to judge alone; "" where jax.grad is the reference.

    Raises:
        ValueError: `dtype` is no floating type; a function cannot be traced, returns something
            other than it must, or is not a function of its arguments.
    """
    dtype = _floating_dtype(dtype)
    point = (params, tuple(args))
    layout = Layout(point)
    given = layout.arrays(point)
    in_numpy = () if jit else tuple(isinstance(x, np.ndarray | np.generic) for x in given)
    if dtype is None and has_float64(
        [x for x, numpy in zip(given, in_numpy, strict=False) if numpy]
    ):
        dtype = np.dtype(np.float64)
    ignored = frozenset[Key](("grad", path) for path in not_compared)
    with matmul_precision() as precision, x64(dtype == np.float64):
        arrays = [_own(x, dtype) for x in given]
        overflown = faults.overflown_inputs(given, arrays)
        evaluation = Evaluation(layout, jit, seed, in_numpy)
        sides = Sides(manual, autodiff, evaluation, value_name, ignored)
        judged_by = _Judge(sides, accuracy, containers)
        if alone_because:
            found = judged_by.alone(arrays, alone_because)
        else:
            found = judged_by.finding(arrays)
    device = jax.devices()[0]
    return GradientReport(
        verdict=found.verdict,
        loss=found.loss,
        leaves=tuple(row for (kind, _), row in found.rows.items() if kind == "grad"),
        details=(*found.details, *overflown, *told({**autodiff.changed, **manual.changed})),
        diagnosis=found.diagnosis,
        dtype=_common_dtype(arrays),
        jit=jit,
        platform=device.platform,
        device_kind=device.device_kind,
        precision=precision,
        detectable=found.detectable,
        not_compared=tuple(f"{path} ({why})" for path, why in not_compared.items()),
    )


class _Finding(NamedTuple):
    """The outcome of the three questions."""

    verdict: Verdict
    loss: Loss
    rows: Rows
    details: list[str]
    detectable: float = math.nan
    diagnosis: Diagnosis | None = None


_NO_LINE = (
    "which line is wrong can be told by a reference that jax.grad can differentiate: give one"
)


_REDRAWN = (
    "random numbers are others in float64, and so is the loss: both sides are compared with those, "
    "and with their own in the dtype asked for"
)


class _Judge(NamedTuple):
    """Who is judged, and by what."""

    sides: Sides
    accuracy: Accuracy
    containers: Callable[[Any], str]

    def finding(self, arrays: Arrays) -> _Finding:
        """Whether there is a question at all, and then the three questions."""
        by_rules, evaluation = self.sides.autodiff, self.sides.evaluation
        with asked_in_float64(by_rules, arrays, evaluation):
            reference, loss = opened_reference(by_rules, arrays, evaluation)
        judge = self._replace(sides=self.sides._replace(autodiff=reference))
        judge._prepare(arrays)
        on_cpu = is_float64_on_cpu(arrays)
        with asked_in_float64(self.sides.manual, arrays, evaluation):
            manual = evaluation.run(self.sides.manual, arrays, on_cpu=on_cpu)
        try:
            autodiff = evaluation.run(reference, arrays, on_cpu=on_cpu)
        except Exception as error:  # A while loop, a callback: whatever jax cannot differentiate.
            reason = f"jax.grad cannot differentiate this loss ({first_sentence(error)})"
            require_repeated_loss(by_rules, arrays, evaluation)
            found = _Finding(*alone.finding(judge.sides, manual, arrays, reason, self.accuracy))
            hint = [_NO_LINE] if found.verdict == "manual_wrong" else []
            return found._replace(details=[*found.details, *hint])
        own = Point(arrays, manual, autodiff, self.sides.value_name, self.sides.left_out)
        notes = [
            unrepeated(self.sides.manual, manual, arrays, evaluation, on_cpu=on_cpu),
            unrepeated(reference, autodiff, arrays, evaluation, on_cpu=on_cpu, loss=loss),
        ]
        notes.append(self.containers(manual.grads))
        notes.append(faults.empty(arrays))
        found = judge._compared(own)
        if found.verdict in ("agree", "manual_wrong") and reference is not by_rules:
            found = judge._of_the_rules(by_rules, found, own)
        return found._replace(details=[*found.details, *filter(None, notes)])

    def alone(self, arrays: Arrays, reason: str) -> _Finding:
        """The referee's word, without a reference."""
        evaluation, on_cpu = self.sides.evaluation, is_float64_on_cpu(arrays)
        with asked_in_float64(self.sides.manual, arrays, evaluation):
            manual = evaluation.run(self.sides.manual, arrays, on_cpu=on_cpu)
        note = unrepeated(self.sides.manual, manual, arrays, evaluation, on_cpu=on_cpu)
        found = _Finding(*alone.finding(self.sides, manual, arrays, reason, self.accuracy))
        return found._replace(details=[*found.details, *filter(None, [note])])

    def _prepare(self, arrays: Arrays) -> None:
        """Begins to compile what an agreement needs, what is run first and takes longest first."""
        exact = [shape_of(x, np.float64) for x in arrays]
        runs: list[tuple[Side, Arrays, bool]] = []
        if not is_float64_on_cpu(arrays):
            runs += [(self.sides.manual, arrays, False), (self.sides.autodiff, arrays, False)]
        runs += [(self.sides.manual, exact, True), (self.sides.autodiff, exact, True)]
        if not is_float32_on_cpu(arrays):
            runs.append((self.sides.autodiff, [shape_of(x, np.float32) for x in arrays], True))
        self.sides.evaluation.prepare(*runs)

    def _compared(self, own: Point) -> _Finding:
        """Structure and finiteness; then the numbers of the leaves that have both."""
        loss = Loss(own.manual.total, own.autodiff.total, math.nan)
        misshapen = faults.structure(own, self.sides.evaluation.jit)
        manual_bad, autodiff_bad = faults.nonfinite(own)
        bad = manual_bad.keys | autodiff_bad.keys
        if bad and not misshapen:
            found = self._overruled(own, loss, manual_bad, autodiff_bad)
            if found is not None:
                return found
        if misshapen or bad:
            sentences = [*misshapen.sentences, *manual_bad.sentences, *autodiff_bad.sentences]
            verdict = "structure_mismatch" if misshapen else "nonfinite"
            return self._of_the_others(own, loss, verdict, misshapen.keys | bad, sentences)
        judge, exact, narrow = self._in_float64(own)
        loss = loss._replace(reference=exact.autodiff.total)
        manual_bad, autodiff_bad = faults.nonfinite(exact, " (in float64)")
        sentences = [*manual_bad.sentences, *autodiff_bad.sentences]
        if sentences:
            return _Finding("nonfinite", loss, comparison.unjudged(exact), sentences)
        return judge._numbers(own, exact, loss, narrow)

    def _of_the_others(
        self, own: Point, loss: Loss, verdict: Verdict, left: frozenset[Key], sentences: list[str]
    ) -> _Finding:
        """The verdict on leaves that cannot be compared, with the comparison of those that can."""
        rows = comparison.unjudged(own, left)
        if rows.keys() >= {key for key in own.leaves("autodiff") if key[0] == "grad"}:
            sentences = [*sentences, *self._overflown(own, left)]
            return _Finding(verdict, loss, comparison.unjudged(own), sentences)
        try:
            judge, exact, narrow = self._in_float64(own)
        except Exception:  # Its structure may be what cannot be run in float64.
            return _Finding(verdict, loss, comparison.unjudged(own), sentences)
        sentences = [*sentences, *faults.overflow(own, exact.autodiff, left)]
        further = {key for bad in faults.nonfinite(exact) for key in bad.keys}
        rows |= comparison.unjudged(own, further)
        judge = judge._without(left | further)
        exact = exact._replace(left_out=judge.sides.left_out)
        if exact.leaves("autodiff").keys() & exact.leaves("manual").keys():
            own = own._replace(left_out=judge.sides.left_out)
            others = comparison.rows(
                questions.mathematics(judge.sides, own, exact, narrow, judge.accuracy)
            )
            rows |= others
            sentences += comparison.disagreeing(others)
        order = [*own.autodiff.leaves(own.value_name), *rows]
        rows = {key: rows[key] for key in dict.fromkeys(order) if key in rows}
        return _Finding(verdict, loss, rows, sentences)

    def _overflown(self, own: Point, left: Collection[Key]) -> list[str]:
        """What overflows in the dtype asked for, and does not in float64."""
        wide = [cast(x, np.float64) for x in own.arrays]
        with contextlib.suppress(Exception):  # What fails in float64 says nothing of overflow.
            exact = self.sides.evaluation.run(self.sides.autodiff, wide, on_cpu=True)
            return faults.overflow(own, exact, left)
        return []

    def _without(self, left: Collection[Key]) -> "_Judge":
        out = self.sides.left_out | frozenset(left)
        return self._replace(sides=self.sides._replace(left_out=out))

    def _overruled(
        self, own: Point, loss: Loss, manual_bad: Faults, autodiff_bad: Faults
    ) -> _Finding | None:
        """The referee's word where only jax.grad's gradient is not finite."""
        if manual_bad or not np.isfinite(loss.autodiff):
            return None
        _, exact, _ = self._in_float64(own)
        with float64_on_cpu():
            outcome = overruled(Disagreement(self.sides, exact, comparison.unjudged(exact)))
        if outcome is None:
            return None
        sentences = [*autodiff_bad.sentences, *outcome.details]
        return _Finding(outcome.verdict, loss, comparison.unjudged(own), sentences)

    def _in_float64(self, own: Point) -> tuple["_Judge", Point, Narrowing | None]:
        """The same point in float64 on the CPU, and what narrower type manual computes in."""
        sides, exact, narrow = manual_in_float64(self.sides, own)
        return self._replace(sides=sides), exact, narrow

    def _numbers(self, own: Point, exact: Point, loss: Loss, narrow: Narrowing | None) -> _Finding:
        found = questions.mathematics(self.sides, own, exact, narrow, self.accuracy)
        gradient = {key: one for key, one in found.items() if key[0] == "grad"}
        notes = [
            *comparison.precision_told(gradient, narrow),
            *comparison.accuracy_told(gradient, self.accuracy),
            *([_REDRAWN] if questions.redraws(self.sides, own) else []),
        ]
        doubt = comparison.nothing_tested(gradient) or comparison.unmeasured(found)
        if doubt:
            return _Finding("inconclusive", loss, comparison.rows(found), [doubt, *notes])
        detectable = max(one.tolerance for one in gradient.values())
        fitted = self._at_its_constants(exact, found)
        if fitted is not None:
            exact = fitted.point
            found = questions.mathematics(self.sides, own, exact, narrow, self.accuracy)
            notes = [str(fitted), *comparison.accuracy_told(gradient, self.accuracy)]
            detectable = max(detectable, fitted.hidden)
            if not fitted.telling:
                notes.insert(0, "so few entries say nothing of constants of so few bits: give more")
                return _Finding("inconclusive", loss, comparison.rows(found), notes, detectable)
        if not all(one.agrees for one in found.values()):
            finding = self._disagreed(own, exact, found, loss, narrow)
            return finding._replace(detectable=detectable)
        doubt = "" if self.accuracy else comparison.too_coarse(found)
        if doubt:
            return _Finding("inconclusive", loss, comparison.rows(found), [doubt, *notes])
        if not is_float64_on_cpu(own.arrays):
            found = questions.arithmetic(self.sides, own, exact, narrow, self.accuracy)
        rows = comparison.rows(found)
        wrong = comparison.disagreeing(rows)
        verdict = "manual_inaccurate" if wrong else "agree"
        return _Finding(verdict, loss, rows, [*wrong, *notes], detectable)

    def _at_its_constants(self, exact: Point, found: Comparison) -> Fitted | None:
        """The reference at the constants that manual has, where these are all they differ by."""
        if not all(one.agrees for one in found.values()):
            tolerances = {key: one.tolerance for key, one in found.items()}
            with contextlib.suppress(Exception):  # What cannot be traced has none.
                return at_fitted_constants(self.sides, exact, tolerances)
        return None

    def _disagreed(
        self, own: Point, exact: Point, found: Comparison, loss: Loss, narrow: Narrowing | None
    ) -> _Finding:
        """Who is wrong: the forward pass, one of the two sides, or neither."""
        rows = comparison.rows(found)
        details = comparison.disagreeing(rows)
        redrawn = questions.redraws(self.sides, own)
        if redrawn:
            details.append(_REDRAWN)
        case = Disagreement(self.sides, exact, rows, narrow, own)
        hidden = comparison.hidden_told(found, _common_dtype(own.arrays))
        if hidden and (redrawn or is_in_dtype(own, exact, found)):
            hidden = []
        with float64_on_cpu():
            unlike = [
                path for (kind, path), one in found.items() if kind == "value" and not one.agrees
            ]
            if unlike and (not case.wrong or is_of_own_loss(case)):
                if case.wrong:
                    details.append("manual's gradient is that of its own loss, to rounding")
                details += hidden
                details += forward_passes(case, unlike[0])
                return _Finding("loss_differs", loss, rows, details)
            outcome = investigate(case)
        if outcome.verdict == "manual_wrong":
            details[:0] = [ANOTHER_LOSS] if unlike else []
            details += hidden
        details = [*details, *([] if narrow is None else [str(narrow)]), *outcome.details]
        return _Finding(outcome.verdict, loss, rows, details, diagnosis=outcome.diagnosis)

    def _of_the_rules(self, by_rules: Side, found: _Finding, own: Point) -> _Finding:
        """After a verdict by the opened loss: whether its custom rules agree with it."""
        rules = Side(by_rules.fn, by_rules.loss)  # As it is: nothing stands in for it.
        ruled = self._replace(sides=self.sides._replace(manual=rules))
        try:
            own = ruled.sides.at(own.arrays, on_cpu=is_float64_on_cpu(own.arrays))
        except Exception:  # A rule that jax itself refuses is not what is asked about.
            return found
        ruled, exact, narrow = ruled._in_float64(own)
        if ruled.sides.manual_dtype is not None:  # Nor is a rule of one precision alone.
            return found
        rows = comparison.rows(
            questions.mathematics(ruled.sides, own, exact, narrow, ruled.accuracy)
        )
        gradient = {key: row for key, row in rows.items() if key[0] == "grad"}
        told = comparison.disagreeing(gradient, manual="it has", reference="they have")
        if not told:
            return found
        if found.verdict == "agree":
            why = "jax.grad goes by the custom rules of this loss, which are not its derivatives"
            return found._replace(verdict="autodiff_wrong", details=[why, *told, *found.details])
        why = "jax.grad is wrong as well: it goes by custom rules that are not the derivatives"
        return found._replace(details=[*found.details, f"{why} of the opened loss: {told[0]}"])


def _own(x: Any, dtype: Any) -> Any:
    """An array in a dtype that nobody else writes to."""
    found = cast(x, dtype)
    if not (isinstance(x, np.ndarray) and np.may_share_memory(found, x)):
        return found
    own = aligned_empty(found.shape, found.dtype)
    own[...] = found
    return own


def _floating_dtype(dtype: Any) -> Any:
    if dtype is None:
        return None
    with contextlib.suppress(TypeError):
        if jnp.issubdtype(dtype, jnp.floating):
            return jnp.dtype(dtype)
    raise ValueError(f"dtype must be a floating type (float32, float64, bfloat16); got {dtype!r}")


def _common_dtype(arrays: Arrays) -> str:
    real = {str(x.dtype) for x in arrays if is_float(x)}
    names = real or {str(x.dtype) for x in arrays if is_inexact(x)}
    return names.pop() if len(names) == 1 else "mixed"
