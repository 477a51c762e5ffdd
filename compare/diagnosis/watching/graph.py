"""What a candidate computed: its values, which come from which, and what if one were another."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from compare.diagnosis.expressions import lines_of
from compare.diagnosis.limits import Limit
from compare.diagnosis.tape import Equation, Recording
from compare.diagnosis.watching.numpy_ops import computed, quick
from compare.trees import in_double, is_key

__all__ = ["CHANGING", "WRITING", "Graph", "Group", "Turn"]

WRITING = ("set_item", "scatter", "dynamic_update_slice")
"""The operations that write into an array."""

CHANGING = (*WRITING, "scatter-add")
"""Those, and what adds to some of its entries."""

Group = tuple[int, ...]
"""The equations that one operation of the source made: one, or one for each turn of a loop."""

Turn = Callable[[Iterable[int]], dict[int, Any]]
"""The values of some slots at one turn of a loop."""


class Graph:
    """The computation of a candidate, to be asked about and to be run again with other values.

    Attributes:
        equations: in their order.
        outputs: the slot of every leaf of the gradient, by path.
        values: the value of every slot.
        maker: for every computed slot, the equation that computes it.
        readers: for every slot, the equations that read it.

    Raises:
        TimeoutError: to compute it takes longer than `limit`.
    """

    def __init__(self, recording: Recording, limit: Limit | None = None):
        self.equations, self.outputs = _with_own_equations(recording)
        self.values: dict[int, Any] = dict(recording.constants)
        for equation in self.equations:
            if limit is not None:
                limit.check()
            outs = computed(equation, [self.values[s] for s in equation.inputs])
            self.values.update(zip(equation.outputs, outs, strict=True))
        arrays = {s for s, x in self.values.items() if isinstance(x, np.ndarray | np.generic)}
        self._quick = [quick(e) if arrays.issuperset(e.inputs) else None for e in self.equations]
        self.maker = {s: i for i, e in enumerate(self.equations) for s in e.outputs}
        self.readers: dict[int, list[int]] = defaultdict(list)
        for i, equation in enumerate(self.equations):
            for slot in equation.inputs:
                self.readers[slot].append(i)

    def ancestors(self, slots: Iterable[int], stop: Iterable[int] = ()) -> set[int]:
        """Finds the equations that these slots come from; what is behind `stop` is left out."""
        found: set[int] = set()
        open_ = [slot for slot in slots if slot in self.maker]
        stop = set(stop)
        while open_:
            slot = open_.pop()
            index = self.maker[slot]
            if index in found or slot in stop:
                continue
            found.add(index)
            open_ += [s for s in self.equations[index].inputs if s in self.maker]
        return found

    def groups(self, indices: Iterable[int], *, ragged: bool = False) -> list[Group]:
        """Puts together the equations of one operation, in the order of their first.

        Args:
            indices: of the equations.
            ragged: whether to give those of other shapes: of loops whose last turn alone has less
                to do, as over blocks of which the last is shorter.
        """
        found: dict[Any, list[int]] = defaultdict(list)
        for index in sorted(indices):
            equation = self.equations[index]
            shapes = self._shapes(index)
            key = equation.source
            own = tuple(map(len, shapes)) if ragged else shapes
            found[key, equation.site, equation.name, own].append(index)
        groups = [tuple(group) for group in found.values()]
        return [group for group in groups if self._is_ragged(group)] if ragged else groups

    def inside(self, index: int, file: str, lines: range) -> list[str]:
        """Lists those of some lines that led to an equation, the innermost first."""
        sites = (site.rpartition(":") for site in lines_of(self.equations[index].origin))
        return [f"{own}:{line}" for own, _, line in sites if own == file and int(line) in lines]

    def goes_through(self, index: int) -> bool:
        """Tells whether an equation is a row of an array that a loop or a call goes through."""
        origin = self.equations[index].origin
        way = origin[1] if origin is not None else None
        return isinstance(way, tuple) and way[0] in (iter, reversed)

    def is_zero(self, slot: int) -> bool:
        """Tells whether all numbers of a value are 0; a random key has none."""
        return not is_key(value := self.values[slot]) and not np.any(value)

    def makes_zeros(self, index: int) -> bool:
        """Tells whether an equation makes zeros of no number: it cannot be wrong in itself."""
        equation = self.equations[index]
        if not all(map(self.is_zero, equation.outputs)):
            return False
        read = [s for s in equation.inputs if not self.is_zero(s)]
        return not read or equation.name == "zeros_like"  # Which reads a shape alone.

    def writes_last(self, index: int) -> bool:
        """Tells whether an equation writes to an array, and none does after it."""
        equation = self.equations[index]
        later = (self.equations[i] for i in self.readers[equation.outputs[0]])
        return equation.name in CHANGING and not any(
            e.name in CHANGING and e.inputs[0] == equation.outputs[0] for e in later
        )

    def overwriting(self, indices: Iterable[int]) -> list[int]:
        """Lists the equations that write over what the same line wrote and nothing read."""
        found = []
        for index in indices:
            equation = self.equations[index]
            if equation.name != "set_item":
                continue
            old, new = (self.values[s] for s in (equation.inputs[0], equation.outputs[0]))
            before = self.equations[self.maker.get(equation.inputs[0], index)]
            if before.site == equation.site and self.readers[equation.inputs[0]] == [index]:
                base = self.values[before.inputs[0]]
                if before is not equation and np.any((new != old) & (old != base)):
                    found.append(index)
        return found

    def _shapes(self, index: int) -> tuple[tuple[int, ...], ...]:
        return tuple(np.shape(self.values[s]) for s in self.equations[index].outputs)

    def _is_ragged(self, group: Group) -> bool:
        *others, last = map(self._shapes, group)
        if not others or len(last) != 1 or len(set(others)) != 1:
            return False
        shorter = [n - m for n, m in zip(others[0][0], last[0], strict=True) if n != m]
        return len(shorter) == 1 and shorter[0] > 0

    def plan(
        self,
        changed: Iterable[int],
        wanted: Iterable[int],
        read: Mapping[tuple[int, int], Any] | None = None,
    ) -> list[int]:
        """Lists the equations that lead from what is changed to the wanted slots, as for `run`."""
        moved, changed = set(changed), set(changed)
        first = {index for index, _ in read or ()}
        order = []
        for index in sorted(self.ancestors(wanted, stop=changed)):
            equation = self.equations[index]
            touched = index in first or moved & set(equation.inputs)
            if touched and not changed >= set(equation.outputs):
                moved.update(equation.outputs)
                order.append(index)
        return order

    def run(
        self,
        replaced: Mapping[int, Any],
        wanted: Iterable[int],
        read: Mapping[tuple[int, int], Any] | None = None,
        plan: list[int] | None = None,
    ) -> dict[int, Any]:
        """Computes the wanted slots with other values.

        Args:
            replaced: values by slot.
            wanted: the slots.
            read: values that single equations read in place of a slot's, by (equation, slot).
            plan: as `plan(replaced, wanted, read)` has it, if that is known already.

        Raises:
            Exception: whatever an equation raises of such values.
        """
        wanted, read = list(wanted), read or {}
        changed = dict(replaced)
        with np.errstate(all="ignore"):
            for index in self.plan(replaced, wanted, read) if plan is None else plan:
                equation = self.equations[index]
                inputs = [changed[s] if s in changed else self.values[s] for s in equation.inputs]
                if read:
                    pairs = zip(equation.inputs, inputs, strict=True)
                    inputs = [read.get((index, s), x) for s, x in pairs]
                outs = self._computed(index, inputs)
                for slot, out in zip(equation.outputs, outs, strict=True):
                    changed.setdefault(slot, out)
        return {slot: np.asarray(changed.get(slot, self.values[slot])) for slot in wanted}

    def _computed(self, index: int, inputs: list[Any]) -> list[Any]:
        own = self._quick[index]
        if own is not None:
            try:
                return [np.asarray(own(self.equations[index].params, *inputs))]
            except NotImplementedError:
                self._quick[index] = None
        return computed(self.equations[index], inputs)

    def at_one_turn(self, right: Mapping[int, Any], slot: int) -> Turn:
        """Gives values as they are at one turn of a loop if all other turns are right.

        What a loop carries on is wrong after a wrong turn; what a turn itself does wrong shows
        where all that it is given is right.

        Args:
            right: the right value of one slot at every turn; where an entry is NaN it is not known.
            slot: that of the turn.
        """
        others = {
            own: np.asarray(value).reshape(np.shape(self.values[own]))
            for own, value in right.items()
            if own != slot and not np.isnan(in_double(value)).any()
        }

        def values(slots: Iterable[int]) -> dict[int, Any]:
            slots = list(slots)
            moved = {self.equations[i].outputs[0] for i in self.plan(others, slots)} | {*others}
            known = {s: self.values[s] for s in slots}
            if not moved & known.keys():
                return known
            with contextlib.suppress(Exception), np.errstate(all="ignore"):
                return known | self.run(others, [s for s in slots if s in moved])
            return known

        return values


def _with_own_equations(recording: Recording) -> tuple[list[Equation], dict[str, int]]:
    """The equations and the results, each of which has one whose first output it is.

    For a place, the first output stands for its equation. A call that is one equation, as a kernel
    or a `shard_map` is, may give several results: all but its first are copied.
    """
    equations, outputs = [*recording.equations], dict(recording.outputs)
    maker = {s: equation for equation in equations for s in equation.outputs}
    count = 1 + max([*maker, *recording.constants], default=0)
    for path, slot in outputs.items():
        equation = maker.get(slot)
        if equation is not None and slot != equation.outputs[0]:
            of_one = {"inputs": (slot,), "outputs": (count,), "params": {}, "whole": False}
            equations.append(
                equation._replace(name="copy", fn=lambda x: [x], signature="copy", **of_one)
            )
            outputs[path], count = count, count + 1
    return equations, outputs
