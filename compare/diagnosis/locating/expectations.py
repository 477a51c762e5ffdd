"""What an operand should have been, given what the result should have been."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.case import near
from compare.diagnosis.tape import Equation
from compare.diagnosis.watching.graph import CHANGING, Graph
from compare.diagnosis.watching.numpy_ops import computed
from compare.trees import in_double, is_key, largest

__all__ = ["ADDING", "Solver", "Wrong", "expected_operand", "same"]


_FARTHEST = 4
"""Over so many operations something known is looked for."""


def same(found: Any, expected: Any) -> bool:
    """Tells whether two arrays agree to rounding, where the second one is known (not NaN)."""
    found, expected = in_double(found), in_double(expected)
    if found.shape != expected.shape:
        return False
    size = largest(expected)
    if not math.isnan(size):  # The usual case: all is known.
        return near(found, expected, 1e-9 * size)
    known = ~np.isnan(expected)
    if not known.any():
        return True
    scale = float(np.max(np.abs(expected[known])))
    return bool(np.all(np.abs(found[known] - expected[known]) <= 1e-9 * scale))


class Wrong(NamedTuple):
    """A value that is wrong at one turn of a loop.

    Attributes:
        turn: the slot that stands for the turn.
        made_by: the equation that computes the value.
        expected: what it should be; NaN where that is not known.
    """

    turn: int
    made_by: int
    expected: np.ndarray


class _Step(NamedTuple):
    """What an equation reads at one turn, and what of it can be wrong.

    Attributes:
        wrong: its result.
        is_right: whether the result is right if all other turns are.
        open: the operands that are not known to be right.
        wanted: what operands should be if all else is right, where that can be told and is not so.
        solved: whether it can be told of all that are open.
    """

    wrong: Wrong
    is_right: bool
    open: list[int]
    wanted: dict[int, np.ndarray]
    solved: bool


class Solver:
    """Goes from what is wrong to what made it so, while only one operand can have.

    Args:
        graph: of the candidate.
        region_of: the equations that can be wrong where the results of some are.
        vouched: the equations that are right.
        recognised: whether numbers are those of something right, of some kinds if these are given.
        right: what is right at each turn, by the slot that stands for the turn.
    """

    def __init__(
        self,
        graph: Graph,
        region_of: Callable[[Iterable[int]], set[int]],
        vouched: Collection[int],
        recognised: Callable[..., bool],
        right: Mapping[int, np.ndarray],
    ):
        self.graph, self.region_of, self.vouched = graph, region_of, vouched
        self.recognised, self.right = recognised, right
        self.region: set[int] = set()

    def before(self, wrong: list[Wrong]) -> list[Wrong] | None:
        """Finds the one operand that is wrong at every turn; None where that cannot be told."""
        self.region |= self.region_of(own.made_by for own in wrong)
        steps = self._steps(wrong)
        if steps is None:
            return None
        # At a turn that is right if the others are, nothing is to be found.
        telling = [step for step in steps if not step.is_right] or steps
        operands = [self._alone(step) for step in telling]
        if None in operands:
            written = self._written(wrong)
            if written is not None:
                return written
            operands = [self._one_of_two(steps, telling)] * len(telling)
        if None in operands:
            # Of one value alone it would be long work on what may be a large array.
            return self._known_before(wrong, steps, _FARTHEST) if len(wrong) > 1 else None
        return self._followed(wrong, telling, operands)

    def _followed(
        self, wrong: list[Wrong], telling: list[_Step], operands: Sequence[int | None]
    ) -> list[Wrong] | None:
        """What should have been read, by what made it; None where turns contradict each other."""
        found: dict[int, Wrong] = {}
        for step, operand in zip(telling, operands, strict=True):
            if operand is None or operand not in step.wanted:
                return None
            index = self.graph.maker[self._inputs(step)[operand]]
            own = step.wrong._replace(made_by=index, expected=step.wanted[operand])
            merged = _merged(found.get(index), own)
            if merged is None:
                return None
            found[index] = merged
        made_by = {own.made_by for own in wrong}
        if any(self._is_dropped(own, made_by) for own in found.values()):
            return None
        return [*found.values()] if self._are_alike(found) else None

    def _known_before(
        self, wrong: list[Wrong], steps: list[_Step] | None, farthest: int
    ) -> list[Wrong] | None:
        """What is wrong farther back and should be something known.

        None where nothing is, or where more than one way leads there.
        """
        ways: dict[frozenset[int], list[Wrong]] = {}
        for before in self._each_way(wrong, steps or []):
            if not all(self.recognised(own.expected) for own in before):
                if not farthest:
                    continue
                further = self._known_before(before, self._steps(before), farthest - 1)
                if further is None:
                    continue
                before = further
            ways[frozenset(own.made_by for own in before)] = before
        if len(ways) != 1:
            return None
        (found,) = ways.values()
        return found

    def _each_way(self, wrong: list[Wrong], steps: list[_Step]) -> Iterator[list[Wrong]]:
        """What may be wrong before, by each operand that could make it so."""
        telling = [step for step in steps if not step.is_right]
        if not telling:
            return
        written = self._written(wrong)
        if written is not None:
            yield written
            return
        for operand in sorted(set.intersection(*({*step.wanted} for step in telling))):
            followed = self._followed(wrong, telling, [operand] * len(telling))
            if followed is None:
                continue
            # What is right for something is not to blame for being read here; but for a value in
            # the place of a derivative that no line computes.
            if all(operand in step.open for step in telling) or self._is_no_derivative(followed):
                yield followed

    def _is_no_derivative(self, wrong: list[Wrong]) -> bool:
        """Whether these are none, and should be derivatives of the loss that nothing else is."""
        kinds = ("gradient", "term")

        def found(own: Wrong) -> Any:
            return self.graph.values[self.graph.equations[own.made_by].outputs[0]]

        return all(
            self.recognised(own.expected, kinds)
            and not self.recognised(found(own), kinds)
            and not self._is_computed(own.expected, ())
            for own in wrong
        )

    def _written(self, wrong: list[Wrong]) -> list[Wrong] | None:
        """What one line writes to an array at one turn after another, where that is wrong.

        None where another line writes something wrong as well, or what is written to is wrong.
        """
        found: dict[int, Wrong] = {}
        for last in wrong:
            own = last
            while self.graph.equations[own.made_by].name in CHANGING:
                step, inputs = self._step(own), self.graph.equations[own.made_by].inputs
                if step is None or not (step.wanted or step.is_right):
                    return None
                for operand, wanted in step.wanted.items():
                    if operand:
                        (turn,) = self.graph.equations[own.made_by].outputs
                        made_by = self.graph.maker[inputs[operand]]
                        found[made_by] = Wrong(turn, made_by, wanted)
                if 0 not in step.wanted:
                    break
                own = own._replace(made_by=self.graph.maker[inputs[0]], expected=step.wanted[0])
            else:
                return None
        lines = {self._line(self.graph.equations[i].outputs[0]) for i in found}
        return [*found.values()] if len(lines) == 1 and len(found) > len(wrong) else None

    def _is_dropped(self, own: Wrong, readers: Collection[int]) -> bool:
        """Whether some of an array is read by nothing: then the choice may be what is wrong."""
        (slot,) = self.graph.equations[own.made_by].outputs[:1]
        chosen = {self.graph.equations[i].name for i in self.graph.readers[slot]} <= {*_CHOICES}
        is_read_here_alone = {*self.graph.readers[slot]} <= {*readers}
        return chosen and is_read_here_alone and bool(np.isnan(own.expected).any())

    def _inputs(self, step: _Step) -> tuple[int, ...]:
        return self.graph.equations[step.wrong.made_by].inputs

    def _steps(self, wrong: list[Wrong]) -> list[_Step] | None:
        """The step of each; None where one has none."""
        steps = [step for own in wrong if (step := self._step(own)) is not None]
        return steps if len(steps) == len(wrong) else None

    def _step(self, wrong: Wrong) -> _Step | None:
        equation, graph = self.graph.equations[wrong.made_by], self.graph
        if len(equation.outputs) != 1:
            return None
        at_turn = graph.at_one_turn(self.right, wrong.turn)
        values = at_turn([*equation.inputs, *equation.outputs])
        inputs = [values[s] for s in equation.inputs]
        expected = in_double(wrong.expected)
        made = {i: graph.maker[s] for i, s in enumerate(equation.inputs) if s in graph.maker}
        open_ = [
            i
            for i, index in made.items()
            if index in self.region
            and (inputs[i] is graph.values[equation.inputs[i]] or not self.recognised(inputs[i]))
        ]
        solved = {
            i: wanted
            for i, index in made.items()
            # What another turn comes to is right here.
            if (i in open_ or (index not in self.vouched and equation.inputs[i] not in self.right))
            and (wanted := expected_operand(equation, i, inputs, expected)) is not None
        }
        return _Step(
            wrong=wrong,
            is_right=same(values[equation.outputs[0]], expected),
            open=open_,
            wanted={i: own for i, own in solved.items() if not same(inputs[i], own)},
            solved=solved.keys() >= {*open_},
        )

    def _alone(self, step: _Step) -> int | None:
        """The operand, where only one can be wrong."""
        several = self.graph.equations[step.wrong.made_by].name in _OF_PARTS
        found = [i for i in step.open if i in step.wanted]
        is_clear = step.solved and (len(step.open) == 1 or several)
        return found[0] if is_clear and len(found) == 1 else None

    def _one_of_two(self, steps: list[_Step], telling: list[_Step]) -> int | None:
        """The operand that is wrong, where each of two can be, or both are right for something.

        It is the one that should be something known, given the other. Or it is the summand that
        the turn before hands on: at a right turn the other one comes from where it always does.
        """
        equations = [self.graph.equations[step.wrong.made_by] for step in telling]
        if any(e.name not in _OF_TWO or len(e.inputs) != 2 for e in equations):
            return None
        found = [i for i in (0, 1) if self._is_mistaken(i, telling)]
        if not found and all(e.name in ADDING for e in equations):
            right = [step for step in steps if step.is_right]
            found = [i for i in (0, 1) if self._is_handed_on(i, right, telling)]
        return found[0] if len(found) == 1 else None

    def _is_mistaken(self, operand: int, steps: list[_Step]) -> bool:
        """Whether an operand should be something known, which no other line of it computes."""
        if not all(operand in s.open and operand in s.wanted for s in steps):
            return False  # What is right for something is not to blame for being read here.
        if not all(self.recognised(s.wanted[operand]) for s in steps):
            return False
        lines = self._lines(steps, operand)
        return not all(self._is_computed(s.wanted[operand], lines) for s in steps)

    def _is_computed(self, value: np.ndarray, but: Collection[Any]) -> bool:
        return any(
            np.shape(own) == value.shape and same(own, value) and self._line(slot) not in but
            for slot, own in self.graph.values.items()
            if isinstance(own, np.ndarray) and own.dtype.kind == "f"
        )

    def _is_handed_on(self, operand: int, right: list[_Step], wrong: list[_Step]) -> bool:
        """Whether a summand comes from another line at the right turns, and the other does not."""
        differ = not self._lines(right, operand) & self._lines(wrong, operand)
        other = 1 - operand
        return bool(right) and differ and self._lines(right, other) == self._lines(wrong, other)

    def _lines(self, steps: list[_Step], operand: int) -> set[Any]:
        return {self._line(self._inputs(step)[operand]) for step in steps}

    def _line(self, slot: int) -> Any:
        index = self.graph.maker.get(slot)
        return None if index is None else self.graph.equations[index].source

    def _are_alike(self, indices: Collection[int]) -> bool:
        """Whether these are one operation, and not what a loop begins with and what it hands on."""
        slots = [self.graph.equations[i].outputs[0] for i in indices]
        are_zeros = {self.graph.is_zero(slot) for slot in slots}
        return len(are_zeros) == 1


def _merged(one: Wrong | None, other: Wrong) -> Wrong | None:
    """What two turns tell about one value; None if they contradict each other."""
    if one is None:
        return other
    both = np.where(np.isnan(one.expected), other.expected, one.expected)
    return one._replace(expected=both) if same(both, other.expected) else None


def expected_operand(
    equation: Equation, operand: int, inputs: list[Any], expected: np.ndarray
) -> np.ndarray | None:
    """Solves an equation for one operand, the others being right.

    Args:
        equation: with one output.
        operand: which input is looked for.
        inputs: the values of all.
        expected: what the output should be; NaN where that is not known.

    Returns:
        What the operand should be, NaN where it cannot be told; None where nothing can.
    """
    if any(is_key(x) for x in inputs):
        return None  # Of a random key nothing can be solved for.
    value = np.asarray(inputs[operand])
    solve = _SOLVED.get(equation.name)
    if (
        solve is None
        or value.dtype.kind not in "fiuc"
        or (equation.name in _OF_TWO and len(inputs) != 2)
    ):
        return None
    with np.errstate(all="ignore"):
        found = solve(equation, operand, [np.asarray(x) for x in inputs], expected)
    if found is None or found.size != value.size:
        return None
    if np.iscomplexobj(found) and not np.iscomplexobj(value):
        return None  # No real number would do.
    found = np.where(np.isfinite(found), found, np.nan).reshape(value.shape)
    return None if np.isnan(found).all() else found


def _other(operand: int, inputs: list[np.ndarray]) -> np.ndarray:
    return in_double(inputs[1 - operand])


def _of_sub(_: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    other = _other(operand, inputs)
    return _unbroadcast(e + other if operand == 0 else other - e, inputs[operand].shape)


def _of_add(_: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    return _unbroadcast(e - _other(operand, inputs), inputs[operand].shape)


def _of_mul(_: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    return _unbroadcast(e / _other(operand, inputs), inputs[operand].shape)


def _of_div(_: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    other = _other(operand, inputs)
    return _unbroadcast(e * other if operand == 0 else other / e, inputs[operand].shape)


def _of_broadcast(eq: Equation, _: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    """One entry for many: what they agree on."""
    (value,) = inputs[:1]
    kept = eq.params["broadcast_dimensions"]
    shape = [1] * e.ndim
    for axis, n in zip(kept, value.shape, strict=True):
        shape[axis] = n
    return _unbroadcast(e, tuple(shape))


def _unbroadcast(e: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What all copies of an entry should be; NaN where they should be different things."""
    if e.shape == shape:
        return e
    lead = e.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        i + lead for i, n in enumerate(shape) if n == 1 and e.shape[i + lead] != 1
    )
    known = ~np.isnan(e)
    count = known.sum(axis=axes, keepdims=True)
    mean = np.where(known, e, 0).sum(axis=axes, keepdims=True) / np.where(count, count, np.nan)
    spread = np.max(np.where(known, np.abs(e - mean), 0), axis=axes, keepdims=True)
    agreed = np.where(spread <= 1e-9 * np.abs(mean), mean, np.nan)
    return agreed.reshape(shape)


def _of_transpose(eq: Equation, _: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    return e.transpose(np.argsort(eq.params["permutation"]))


def _of_select(
    eq: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray
) -> np.ndarray | None:
    if operand == 0:
        return None
    chosen = np.broadcast_to(inputs[0].astype(int) == operand - 1, e.shape)
    return np.where(chosen, e, np.nan)


def _same_order(eq: Equation, _: int, inputs: list[np.ndarray], e: np.ndarray) -> np.ndarray:
    return e


def _of_choice(
    eq: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray
) -> np.ndarray | None:
    """Entries of an array in other places: which goes where is seen from their numbers."""
    value = inputs[operand]
    if operand and (eq.name in _CHOICES or (eq.name in CHANGING and value.dtype.kind in "iu")):
        return None  # It says which entries: no number of theirs tells what it should be.
    if eq.name in CHANGING and not operand and not value.any():
        return None  # Zeros that are written to are right: something else is to be written.
    marked = [np.full(x.shape, -1.0) if x.dtype.kind == "f" else x for x in inputs]
    marked[operand] = np.arange(float(value.size)).reshape(value.shape)
    (numbers,), (found,) = computed(eq, marked), computed(eq, inputs)
    places = np.asarray(numbers).astype(int)
    own = places >= 0
    if places.shape != e.shape or not np.array_equal(value.ravel()[places[own]], found[own]):
        return None
    solved = np.full(value.size, np.nan, e.dtype)
    solved[places[own]] = e[own]
    return solved


def _of_addition(
    eq: Equation, operand: int, inputs: list[np.ndarray], e: np.ndarray
) -> np.ndarray | None:
    """What is added at places of an array that are zero yet is written there."""
    target, *where, update = inputs

    def written(numbers: np.ndarray) -> np.ndarray:
        return np.asarray(computed(eq, [np.zeros(target.shape), *where, numbers])[0])

    counts = written(np.ones(update.shape))
    if operand == 0:
        return np.where(counts > 0, np.nan, e) if target.any() else None
    if operand < len(inputs) - 1 or counts.max(initial=0) > 1 or target[counts > 0].any():
        return None
    numbers = written(1.0 + np.arange(update.size).reshape(update.shape))
    solved = np.full(update.size, np.nan)
    solved[numbers[counts > 0].astype(int) - 1] = e[counts > 0]
    return solved


_OF_TWO = ("add", "add_any", "sub", "mul", "div")

_OF_PARTS = ("concatenate", "stack", "select_n", *CHANGING)
ADDING = ("add", "add_any", "sub")
"""Sums of two, with either sign."""

_CHOICES = ("item", "slice", "dynamic_slice", "gather")
"""They read some of the entries of an array."""

_SOLVED: dict[str, Any] = {
    "add": _of_add,
    "add_any": _of_add,
    "sub": _of_sub,
    "mul": _of_mul,
    "div": _of_div,
    "neg": lambda eq, i, x, e: -e,
    "broadcast_in_dim": _of_broadcast,
    "transpose": _of_transpose,
    "select_n": _of_select,
    **dict.fromkeys(("concatenate", "stack", "rev", *CHANGING, *_CHOICES), _of_choice),
    "scatter-add": _of_addition,
    **dict.fromkeys(
        ("reshape", "squeeze", "expand_dims", "copy", "convert_element_type"), _same_order
    ),
}
