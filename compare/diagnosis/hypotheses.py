"""Mistakes that show in the numbers alone: a factor, a transpose, rows left out, another mask.

Each is a hypothesis: what a person may have done, and where it is known without a backward pass,
the gradient that comes of it. `search` holds them against the candidate's numbers.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from compare.diagnosis.backward import Backward, Place
from compare.diagnosis.case import Case, Leaves
from compare.diagnosis.forward import on_host
from compare.diagnosis.suspecting.suspects import Suspect, added_to_the_loss
from compare.diagnosis.tape import Equation, Tape, record
from compare.diagnosis.watching.numpy_ops import computed, quick
from compare.jaxprs import compiler_options
from compare.trees import called, is_key

__all__ = [
    "Hypothesis", "batch_sizes", "by_leaf", "by_ratio_of_all", "by_ratio_of_some",
    "distinct_numbers", "divisors", "dropped",
    "redrawn", "zero_leaves",
]  # fmt: skip


class Hypothesis(NamedTuple):
    """What a person may have done.

    Attributes:
        suspect: the mistake.
        gradient: what comes of it, where that is known without a backward pass.
        factor: how many times as large it makes the whole gradient, where it does no more.
    """

    suspect: Suspect
    gradient: Leaves | None = None
    factor: float | None = None


def zero_leaves(case: Case) -> Iterator[Hypothesis]:
    """Leaves that are all zeros, the others being right: nothing else is as simple."""
    zero = [p for p in case.paths() if not case.wrong[p].any()]
    if zero:
        gradient = {p: g * 0 if p in zero else g for p, g in case.right.items()}
        story = f"{', '.join(map(called, zero))} left at zero"
        yield Hypothesis(Suspect("path_cut", {}, story), gradient)


def by_ratio_of_all(case: Case, means: set[int]) -> Iterator[Hypothesis]:
    """The whole gradient, times one number; `means` as `divisors` finds them."""
    if len(case.paths()) == len(case.leaves) or _zero_elsewhere(case):
        yield from _ratio(case, means, list(case.leaves))


def by_ratio_of_some(case: Case, means: set[int]) -> Iterator[Hypothesis]:
    """Some leaves, times one number."""
    yield from _ratio(case, means, case.paths())


def _zero_elsewhere(case: Case) -> bool:
    return all(np.max(np.abs(case.right[p]), initial=0) <= case.tolerances[p]
               for p in case.leaves if p not in case.paths())  # fmt: skip


def _ratio(case: Case, means: set[int], paths: list[str]) -> Iterator[Hypothesis]:
    right, wrong = ([side[p].ravel() for p in paths] for side in (case.right, case.wrong))
    square = sum(float(np.vdot(r, r).real) for r in right)
    if not square:
        return
    factor = sum(float(np.vdot(r, w).real) for r, w in zip(right, wrong, strict=True)) / square
    if factor == 0 or abs(factor - 1) < _NEAREST_FACTOR:
        return
    gradient = {p: case.right[p] * (factor if p in paths else 1) for p in case.leaves}
    for slug, story in _named_factor(factor, batch_sizes(case) & means):
        # A number is fitted: of one entry, or of two that differ in sign alone, any will do.
        if slug != "constant_factor" or distinct_numbers(*right) > 1:
            whole = factor if len(paths) == len(case.leaves) else None
            yield Hypothesis(Suspect(slug, {}, story), gradient, whole)


_NEAREST_FACTOR = 1e-5
"""A number nearer to 1 is an error of a solver or a series, and none that a person left out."""


MOST_COUNTED = 2**16


def distinct_numbers(*arrays: np.ndarray) -> int:
    """Counts the entries that are different numbers, but for their signs and for rounding.

    Of very many it takes some, evenly apart: there are at least so many different ones.
    """
    apart = max(1, sum(values.size for values in arrays) // MOST_COUNTED)
    some = np.concatenate([values.ravel()[::apart] for values in arrays])
    sizes = np.sort(np.abs(some[some != 0]))
    return int(np.sum(np.diff(sizes) > 1e-9 * sizes[1:]) + 1) if sizes.size else 0


def _named_factor(factor: float, sizes: set[int]) -> Iterator[tuple[str, str]]:
    for m in sorted(sizes):
        if np.isclose(factor, m, rtol=1e-9):
            yield "missing_batch_mean", f"the division by the batch size {m} left out"
            break
        if np.isclose(factor, 1 / m, rtol=1e-9):
            yield "extra_batch_mean", f"one more division by the batch size {m}"
            break
    else:
        m = 0
    if np.isclose(factor, -1, rtol=1e-9):
        yield "sign_flipped", "the sign flipped"
    elif m in (0, 2):  # A batch of two explains a 2 no better than the 2 of a square does.
        yield "constant_factor", f"a factor of {factor:.10g}"


def divisors(tape: Tape) -> set[int]:
    """Finds what divides the numbers by which the loss divides its terms: the means it takes."""
    found, added = set(), added_to_the_loss(tape)
    makers = {slot: equation for equation in tape.equations for slot in equation.outputs}
    for equation in tape.equations:
        if equation.name not in ("div", "mul") or not added & set(equation.outputs):
            continue
        for slot in equation.inputs[1:] if equation.name == "div" else equation.inputs:
            if tape.leaves_of[slot]:
                continue
            number = _fixed(tape, slot, makers)
            if np.size(number) == 0 or np.ptp(number) or not np.any(number):
                continue
            number = abs(float(np.ravel(number)[0]))
            number = number if equation.name == "div" else 1 / number
            # A float32 constant 1/m is m to seven digits.
            if 1.5 < number < 1e9 and abs(number - round(number)) < 1e-6 * number:
                found.add(round(number))
    return {m for n in found for m in _factors_of(n)}


def _fixed(tape: Tape, slot: int, makers: Mapping[int, Equation]) -> Any:
    """The value of a slot that depends on no parameter: by itself, where NumPy can compute it."""
    if slot not in makers:
        return on_host(tape.forward.constants[slot])
    equation = makers[slot]
    if quick(equation) is None:
        return tape.values[slot]
    return computed(equation, [_fixed(tape, s, makers) for s in equation.inputs])[0]


def _factors_of(n: int) -> Iterator[int]:
    for k in range(1, int(n**0.5) + 1):
        if n % k == 0:
            yield from (k, n // k)


def batch_sizes(case: Case) -> set[int]:
    """Collects the lengths of the arguments' first axes."""
    return {np.shape(c)[0] for c in case.constants if np.ndim(c) > 0 and np.shape(c)[0] > 1}


def by_leaf(case: Case) -> Iterator[Hypothesis]:
    """Each wrong leaf transposed, turned by 180 degrees, or conjugated."""
    paths = case.paths()
    if all(np.iscomplexobj(case.right[p]) for p in paths):
        gradient = {p: g.conj() if p in paths else g for p, g in case.right.items()}
        yield Hypothesis(Suspect("sign_flipped", {}, _CONJUGATE), gradient)
    if all(case.right[p].ndim == 2 and len(set(case.right[p].shape)) == 1 for p in paths):
        gradient = {p: g.T if p in paths else g for p, g in case.right.items()}
        yield Hypothesis(Suspect("transposed", {}, "the gradient transposed"), gradient)
    if all(case.right[p].ndim == 4 for p in paths):
        gradient = {p: g[::-1, ::-1] if p in paths else g for p, g in case.right.items()}
        story = "the kernel's gradient turned by 180 degrees"
        yield Hypothesis(Suspect("kernel_flipped", {}, story), gradient)


_CONJUGATE = (
    "the sign of the imaginary part flipped (of a parameter x + iy JAX's gradient is "
    "∂L/∂x − i ∂L/∂y, and PyTorch's is the conjugate)"
)


def dropped(case: Case) -> Iterator[Hypothesis]:
    """Some examples left out: by regression on the gradient of each."""
    for m in sorted(batch_sizes(case), reverse=True):
        each = _gradients_of_examples(case, m)
        if each is None:
            continue
        right, wrong = (np.concatenate([side[p].ravel() for p in each])
                        for side in (case.right, case.wrong))  # fmt: skip
        if distinct_numbers(right) <= m:
            continue
        matrix = np.concatenate([g.reshape(m, -1) for g in each.values()], axis=1)
        shares = _shares(matrix)
        if shares is None or not _are_examples(shares(right), matrix, right):
            continue
        weights = shares(wrong)
        largest = float(np.max(np.abs(weights), initial=0))
        kept = np.abs(weights) > 1e-6 * largest
        if kept.all() or not kept.any():
            continue
        weight = float(np.median(weights[kept]))
        gradient = {p: weight * g[kept].sum(axis=0) for p, g in each.items()}
        rows = ", ".join(str(i) for i in np.flatnonzero(~kept)[:8])
        more = " ..." if (~kept).sum() > 8 else ""
        story = f"{(~kept).sum()} of {m} examples left out: row {rows}{more}"
        yield Hypothesis(Suspect("dropped_examples", {}, story), gradient)


def _shares(matrix: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """Gives what each row has to be times for their sum to be nearest to an array of numbers.

    By the normal equations, and once more for the rest; None where the rows are not independent.
    """
    gram = matrix @ matrix.T
    sizes = np.linalg.eigvalsh(gram)
    if not sizes[0] > len(gram) * np.finfo(float).eps * sizes[-1]:
        return None

    def shares(numbers: np.ndarray) -> np.ndarray:
        found = np.linalg.solve(gram, matrix @ numbers)
        return found + np.linalg.solve(gram, matrix @ (numbers - found @ matrix))

    return shares


def _are_examples(weights: np.ndarray, matrix: np.ndarray, right: np.ndarray) -> bool:
    """Whether the right gradient is the sum of the rows', or their mean."""
    rest = right - weights @ matrix
    equal = np.ptp(weights) < 1e-6 * abs(weights[0])
    return bool(equal and rest @ rest < 1e-12 * right @ right)


MOST_NUMBERS = 2**25
"""Of the gradients of single examples: a quarter of a gigabyte in float64."""


def _gradients_of_examples(case: Case, m: int) -> Leaves | None:
    """The gradient of the loss of each example alone, with a leading axis of m.

    None where the loss takes no single example, or where they would be too many numbers.
    """
    if m * sum(leaf.size for leaf in case.leaves.values()) > MOST_NUMBERS:
        return None
    batched = [np.ndim(c) > 0 and np.shape(c)[0] == m for c in case.constants]

    def of_row(rows: list[Any]) -> list[Any]:
        row = iter(rows)
        constants = [
            next(row)[None] if b else c for b, c in zip(batched, case.constants, strict=True)
        ]
        return jax.grad(case.loss)(list(case.leaves.values()), constants)

    rows = [c for b, c in zip(batched, case.constants, strict=True) if b]
    try:
        traced = jax.jit(jax.vmap(of_row)).trace(rows)
    except (TypeError, ValueError):  # The loss does not take a batch of one: it says so.
        return None
    options = compiler_options(traced.jaxpr.jaxpr)
    grads = traced.lower().compile(compiler_options=options)(rows)
    return {p: np.asarray(g) for p, g in zip(case.leaves, grads, strict=True)}


def redrawn(case: Case, backward: Backward) -> Iterator[Hypothesis]:
    """Another random mask on the way back than on the way forth."""
    keys = [i for i, c in enumerate(case.constants) if is_key(c)]
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
            yield Hypothesis(suspect)


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
