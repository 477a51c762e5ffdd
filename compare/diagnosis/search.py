"""Diagnosis by reproduction: the mistake that gives the candidate's own numbers is the bug.

A wrong gradient is explained when the same wrong numbers can be made on purpose, on every leaf and
to rounding. Whatever cannot be reproduced is `unknown`: no name is guessed.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from compare.checker.gradient_report import Diagnosis
from compare.diagnosis.backward import Backward, Place
from compare.diagnosis.suspects import Suspect, pairs, suspects
from compare.diagnosis.tape import Tape, record

__all__ = ["TIME_LIMIT", "Case", "diagnose"]

TIME_LIMIT = 30.0
"""Seconds after which the search for a name ends, and says so."""

Leaves = dict[str, np.ndarray]


class Case(NamedTuple):
    """A wrong gradient and what is known about it; all arrays are float64.

    Attributes:
        loss: `loss(list of leaves, list of constants) -> scalar`.
        leaves: the parameters by path.
        constants: the arrays of the other arguments.
        wrong: the candidate's gradient by path.
        right: the right gradient by path.
        tolerances: what rounding explains, by path, at the size of the right gradient.
    """

    loss: Callable[[list[Any], list[Any]], Any]
    leaves: Leaves
    constants: list[Any]
    wrong: Leaves
    right: Leaves
    tolerances: dict[str, float]

    def paths(self) -> list[str]:
        """The leaves that are wrong."""
        return [p for p in self.leaves if _distance(self.wrong[p], self.right[p]) > self.limit(p)]

    def limit(self, path: str) -> float:
        """The tolerance of a leaf at the size of the candidate's numbers, which may be larger."""
        size, wrong = (
            float(np.max(np.abs(g), initial=0)) for g in (self.right[path], self.wrong[path])
        )
        return self.tolerances[path] * max(1.0, wrong / size if size else 1.0)

    def explains(self, gradient: Leaves) -> bool:
        """Whether a gradient is the candidate's to rounding, on every leaf."""
        return all(_distance(gradient[p], self.wrong[p]) <= self.limit(p) for p in self.leaves)


def diagnose(case: Case) -> Diagnosis:
    """The bug behind a wrong gradient, or `unknown` with what is known.

    Raises:
        TypeError: from jax, if the loss cannot be traced.
    """
    start = time.monotonic()
    tape = record(case.loss, case.leaves, case.constants)
    backward = Backward(tape)
    paths = case.paths()
    tried = 0
    for suspect in itertools.chain(
        _by_ratio_of_all(case, tape),
        _by_leaf(case),
        _possible(suspects(backward), tape, paths),
        _by_ratio_of_some(case, tape),
        _redrawn(case, backward),
        _dropped(case),
        _possible(pairs(backward), tape, paths),
    ):
        if time.monotonic() - start > TIME_LIMIT:
            return _unknown(case, tape, f"not finished: {TIME_LIMIT:.0f} s were not enough", tried)
        tried += 1
        gradient = suspect.gradient or backward.gradient(suspect.suspect.rules)
        if case.explains(gradient):
            return _named(case, tape, suspect, gradient)
    return _unknown(case, tape, "none gives these numbers", tried)


class _Hypothesis(NamedTuple):
    """A suspect, and its gradient where that is known without a backward pass."""

    suspect: Suspect
    gradient: Leaves | None = None


def _possible(
    all_suspects: Iterable[Suspect], tape: Tape, paths: list[str]
) -> Iterator[_Hypothesis]:
    """The suspects that can make all of these leaves wrong: each must be upstream of a change."""
    for suspect in all_suspects:
        upstream = frozenset().union(*(tape.leaves_of[_slot(tape, p)] for p in suspect.rules))
        if upstream >= set(paths):
            yield _Hypothesis(suspect)


def _slot(tape: Tape, place: Place) -> int:
    return tape.equations[place[0]].inputs[place[1]]


def _by_ratio_of_all(case: Case, tape: Tape) -> Iterator[_Hypothesis]:
    """The whole gradient, times one number."""
    if len(case.paths()) == len(case.leaves) or _zero_elsewhere(case):
        yield from _ratio(case, tape, list(case.leaves))


def _by_ratio_of_some(case: Case, tape: Tape) -> Iterator[_Hypothesis]:
    """Some leaves, times one number."""
    yield from _ratio(case, tape, case.paths())


def _zero_elsewhere(case: Case) -> bool:
    return all(np.max(np.abs(case.right[p]), initial=0) <= case.tolerances[p]
               for p in case.leaves if p not in case.paths())  # fmt: skip


def _ratio(case: Case, tape: Tape, paths: list[str]) -> Iterator[_Hypothesis]:
    right = np.concatenate([case.right[p].ravel() for p in paths])
    wrong = np.concatenate([case.wrong[p].ravel() for p in paths])
    if not right.any():
        return
    factor = float(right @ wrong / (right @ right))
    if factor == 0:
        return
    gradient = {p: case.right[p] * (factor if p in paths else 1) for p in case.leaves}
    slug, story = _named_factor(factor, _batch_sizes(case))
    yield _Hypothesis(Suspect(slug, {}, story), gradient)


def _named_factor(factor: float, batch_sizes: set[int]) -> tuple[str, str]:
    for m in sorted(batch_sizes):
        if np.isclose(factor, m, rtol=1e-9):
            return "missing_batch_mean", f"the division by the batch size {m} left out"
        if np.isclose(factor, 1 / m, rtol=1e-9):
            return "extra_batch_mean", f"one more division by the batch size {m}"
    if np.isclose(factor, -1, rtol=1e-9):
        return "sign_flipped", "the sign flipped"
    return "constant_factor", f"a factor of {factor:.10g}"


def _batch_sizes(case: Case) -> set[int]:
    return {np.shape(c)[0] for c in case.constants if np.ndim(c) > 0 and np.shape(c)[0] > 1}


def _by_leaf(case: Case) -> Iterator[_Hypothesis]:
    """Each wrong leaf transposed, or turned by 180 degrees."""
    paths = case.paths()
    if all(case.right[p].ndim == 2 and len(set(case.right[p].shape)) == 1 for p in paths):
        gradient = {p: g.T if p in paths else g for p, g in case.right.items()}
        yield _Hypothesis(Suspect("transposed", {}, "the gradient transposed"), gradient)
    if all(case.right[p].ndim == 4 for p in paths):
        gradient = {p: g[::-1, ::-1] if p in paths else g for p, g in case.right.items()}
        story = "the kernel's gradient turned by 180 degrees"
        yield _Hypothesis(Suspect("kernel_flipped", {}, story), gradient)


def _dropped(case: Case) -> Iterator[_Hypothesis]:
    """Some examples left out: by regression on the gradient of each."""
    for m in sorted(_batch_sizes(case), reverse=True):
        each = _gradients_of_examples(case, m)
        if each is None:
            continue
        matrix = np.stack([np.concatenate([g[i].ravel() for g in each.values()]) for i in range(m)])
        wrong = np.concatenate([case.wrong[p].ravel() for p in each])
        weights = np.linalg.lstsq(matrix.T, wrong, rcond=None)[0]
        largest = float(np.max(np.abs(weights), initial=0))
        kept = np.abs(weights) > 1e-6 * largest
        if kept.all() or not kept.any():
            continue
        weight = float(np.median(weights[kept]))
        gradient = {p: weight * g[kept].sum(axis=0) for p, g in each.items()}
        rows = ", ".join(str(i) for i in np.flatnonzero(~kept)[:8])
        more = " ..." if (~kept).sum() > 8 else ""
        story = f"{(~kept).sum()} of {m} examples left out: row {rows}{more}"
        yield _Hypothesis(Suspect("dropped_examples", {}, story), gradient)


def _gradients_of_examples(case: Case, m: int) -> Leaves | None:
    """The gradient of the loss of each example alone, with a leading axis of m."""
    batched = [np.ndim(c) > 0 and np.shape(c)[0] == m for c in case.constants]

    def of_row(rows: list[Any]) -> list[Any]:
        row = iter(rows)
        constants = [
            next(row)[None] if b else c for b, c in zip(batched, case.constants, strict=True)
        ]
        return jax.grad(case.loss)(list(case.leaves.values()), constants)

    rows = [c for b, c in zip(batched, case.constants, strict=True) if b]
    try:
        grads = jax.jit(jax.vmap(of_row))(rows)
    except (TypeError, ValueError):  # The loss does not take a batch of one: it says so.
        return None
    return {p: np.asarray(g) for p, g in zip(case.leaves, grads, strict=True)}


def _redrawn(case: Case, backward: Backward) -> Iterator[_Hypothesis]:
    """Another random mask on the way back than on the way forth."""
    keys = [i for i, c in enumerate(case.constants) if _is_key(c)]
    for i in keys:
        key = case.constants[i]
        one, two = jax.random.split(key)
        others = {
            "the first half of jax.random.split(key)": one,
            "the second half of jax.random.split(key)": two,
            **{f"jax.random.fold_in(key, {n})": jax.random.fold_in(key, n) for n in (0, 1, 2)},
        }
        for name, other in others.items():
            constants = [other if j == i else c for j, c in enumerate(case.constants)]
            values = record(case.loss, case.leaves, constants).values
            suspect = Suspect("mask_redrawn", _with_values(backward, values), f"a mask from {name}")
            yield _Hypothesis(suspect)


def _with_values(backward: Backward, values: list[np.ndarray]) -> dict[Place, Any]:
    """Every pullback that reads a random value, at other random values."""
    tape = backward.tape
    rules = {}
    for index, operand in backward.places():
        equation = tape.equations[index]
        fixed = [i for i, slot in enumerate(equation.inputs) if not tape.leaves_of[slot]]
        if any(not np.array_equal(values[equation.inputs[i]], tape.values[equation.inputs[i]])
               for i in fixed):  # fmt: skip

            def rule(edge: Any, fixed: list[int] = fixed) -> np.ndarray:
                inputs = list(edge.inputs)
                for i in fixed:
                    inputs[i] = values[edge.equation.inputs[i]]
                return edge.pull(inputs, edge.d_output)[edge.operand]

            rules[(index, operand)] = rule
    return rules


def _is_key(value: Any) -> bool:
    return jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key)


def _named(case: Case, tape: Tape, found: _Hypothesis, gradient: Leaves) -> Diagnosis:
    paths = case.paths()
    distance = max(_distance(gradient[p], case.wrong[p]) for p in case.leaves)
    error = max(_distance(case.right[p], case.wrong[p]) for p in case.leaves)
    evidence = (
        f"jax.grad's own backward pass with {found.suspect.story} gives these numbers in all "
        f"{len(case.leaves)} leaves, to {distance:.1e}; the right ones are {error:.1e} away"
    )
    places = list(found.suspect.rules)
    sites = [tape.equations[index].site for index, _ in places] or _sites_of(tape, paths)
    return Diagnosis(
        bug=found.suspect.slug,
        path=paths[0] if paths else next(iter(case.leaves)),
        site=next((site for site in sites if site), ""),
        evidence=evidence,
        confirmed=True,
    )


def _unknown(case: Case, tape: Tape, why: str, tried: int) -> Diagnosis:
    paths = case.paths()
    right = [p for p in case.leaves if p not in paths]
    first, last = _stretch(tape, paths, right)
    evidence = (
        f"{tried} known mistakes were made on purpose, {why}; wrong: {', '.join(paths)}; right: "
        f"{', '.join(right) or 'none'}; the error enters between {first} and {last}"
    )
    sites = _sites_of(tape, paths)
    worst = max(paths, key=lambda p: _distance(case.wrong[p], case.right[p]) / case.limit(p))
    return Diagnosis("unknown", worst, next((s for s in sites if s), ""), evidence, False)


def _stretch(tape: Tape, paths: list[str], right: list[str]) -> tuple[str, str]:
    """The equations between which an error must enter that spoils these leaves and not those."""
    wrong = set(paths)
    common = [
        equation for equation in tape.equations if wrong <= tape.leaves_of[equation.outputs[0]]
    ]
    first = common[0] if common else tape.equations[-1]
    clean = [e for e in common if not tape.leaves_of[e.outputs[0]] & set(right)]
    last = clean[-1] if clean else first
    return _where(first), _where(last)


def _where(equation: Any) -> str:
    return f"{equation.name} ({equation.site})" if equation.site else equation.name


def _sites_of(tape: Tape, paths: list[str]) -> list[str]:
    """The lines that use these leaves first."""
    slots = {tape.leaves[p] for p in paths}
    return [equation.site for equation in tape.equations if slots & set(equation.inputs)]


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a - b), initial=0))
