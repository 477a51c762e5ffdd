"""Finds the place of a mistake in what a candidate computed.

A value is where the mistake shows if the right number in its stead makes the wrong leaves right.
The earliest such value is the *target*; what it was computed from, as far back as it is neither
recognised as right nor vouched for by a leaf that came out right, is its *region*: there the
mistake is.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.diagnosis.case import Case, distance
from compare.diagnosis.expressions import Expression
from compare.diagnosis.limits import Limit
from compare.diagnosis.locating.expectations import Solver, Wrong, same
from compare.diagnosis.locating.substitutes import substitutes
from compare.diagnosis.locating.trust import Trust
from compare.diagnosis.watching.graph import Graph, Group
from compare.diagnosis.watching.references import Reference, References
from compare.trees import is_key, largest

__all__ = ["Location", "Locator", "Target"]


class Target(NamedTuple):
    """A value that is wrong, and what it should be.

    Attributes:
        group: the equations that computed it.
        expected: what it should be, for each of them.
        reference: what that is called; None for a leaf itself or for what was solved for.
        paths: the wrong leaves that come out right with it.
    """

    group: Group
    expected: tuple[np.ndarray, ...]
    reference: Reference | None
    paths: tuple[str, ...]


class Location(NamedTuple):
    """Where a mistake shows and where it can be.

    Attributes:
        target: the earliest value that is known to be wrong.
        innermost: what it comes down to, solved for as far as that can be; often the target.
        region: the equations that can hold the mistake.
    """

    target: Target
    innermost: Target
    region: tuple[int, ...]


_ROUNDINGS = 4
"""The candidate is computed once more, and rounds anew, in another order."""


class Locator(Trust):
    """The search for the place of a mistake.

    Args:
        case: the wrong gradient.
        graph: what the candidate computed.
        references: what a right backward pass is made of.
        limit: the time for it.
        loss: `loss()` is what the loss comes to. A candidate that computes it rightly has made no
            mistake on the way there.
        assigned: `assigned(expression)`: the variable that is assigned it, or "".
    """

    def __init__(
        self,
        case: Case,
        graph: Graph,
        references: References,
        limit: Limit,
        loss: Callable[[], float] = lambda: math.nan,
        assigned: Callable[[Expression | None], str] = lambda own: "",
    ):
        super().__init__(case, graph, references, loss, assigned)
        self.limit = limit
        self._allowed: dict[str, float] = {}
        # What leads to no leaf, such as what the first step hands on, is no turn of a loop.
        self._groups = self._with_ragged(graph.ancestors(graph.outputs.values()))

    def zeros(self) -> dict[str, Group]:
        """The leaves that are all zeros, each with the equation that makes the zeros."""
        graph = self.graph
        found: dict[str, Group] = {}
        for path in self.wrong:
            if self.case.wrong[path].any():
                continue
            slot = graph.outputs[path]
            while slot in graph.maker:
                index = graph.maker[slot]
                inputs = graph.equations[index].inputs
                before = [s for s in inputs if s in graph.maker and graph.is_zero(s)]
                if len(before) != 1:
                    found[path] = (index,)
                    break
                slot = before[0]
            found.setdefault(path, ())
        return found

    def locations(self) -> Iterator[Location]:
        """The places of the mistake or, if it is made several times, mistakes."""
        zeros = self.zeros()
        open_ = [path for path in self.wrong if path not in zeros]
        for target in self.leaves(path for path in open_ if self._was_right(path)):
            yield self._location(target)
            open_ = [path for path in open_ if path not in target.paths]
        targets = sorted(self._targets(open_), key=lambda t: (-len(t.paths), t.group[0]))
        while open_:
            best = next((t for t in targets if set(t.paths) >= set(open_)), None)
            best = best or max(targets, key=lambda t: len(set(t.paths) & set(open_)), default=None)
            if best is None or not set(best.paths) & set(open_):
                return
            yield self._location(best)
            open_ = [path for path in open_ if path not in best.paths]

    def _was_right(self, path: str) -> bool:
        """Whether the last step of all is given the right gradient, and spoils it."""
        index = self.graph.maker.get(self.graph.outputs[path])
        inputs = () if index is None else self.graph.equations[index].inputs
        values = [value for slot in inputs if not is_key(value := self.graph.values[slot])]
        return any(same(value, self.case.right[path]) for value in values)

    def leaves(self, paths: Iterable[str]) -> Iterator[Target]:
        """The leaves themselves."""
        for path in paths:
            slot = self.graph.outputs[path]
            if slot in self.graph.maker:
                yield Target((self.graph.maker[slot],), (self.case.right[path],), None, (path,))

    def _targets(self, paths: list[str]) -> Iterator[Target]:
        """Every value that the right one in its stead makes leaves right."""
        graph = self.graph
        yield from self.leaves(paths)
        if not paths or any(self._is_anothers(path) for path in paths):
            return
        before_each = [graph.ancestors([graph.outputs[path]]) for path in paths]
        before_all = set.intersection(*before_each)
        best = self._earliest(self._whole(before_all - self.vouched), paths, ("gradient",))
        if best is None:
            found = [*self._substitutions(self._in_order(before_all), paths)]
            yield from found
            if not any(len(target.paths) == len(paths) for target in found):
                others = set.union(*before_each) - before_all - self.vouched
                yield from self._substitutions(self._in_order(others), paths)
            return
        yield best
        before = self._whole(self._region(best.group) - set(best.group))
        best = self._earliest(before, paths, _KINDS)
        if best is not None:
            yield best

    def _whole(self, indices: set[int]) -> list[Group]:
        """The groups of these equations with every turn of their loops.

        At one turn a value may be right, or lead to fewer leaves than at the others.
        """
        return [group for group in self._groups if indices & set(group)]

    def _earliest(
        self, groups: list[Group], paths: list[str], kinds: tuple[str, ...]
    ) -> Target | None:
        """The earliest value that the right one in its stead makes all leaves right.

        From the end: what is near the leaves is quickly tried, and what is not before a value that
        was found need not be.
        """
        best: Target | None = None
        region: set[int] = set()
        for group in reversed(groups):
            if self.limit.is_over():
                break
            if (best is not None and not set(group) & region) or self._fills_in(group):
                continue
            target = self._substituted(group, paths, kinds, every=True)
            if target is not None and self._is_to_blame(target):
                best, region = target, self._before(group)
        return best

    def _before(self, group: Group) -> set[int]:
        """What a group comes from, up to what is right and to be nothing else."""
        region = self._region(group)
        slots = {
            s for i in region for s in self.graph.equations[i].inputs
        } & self.graph.maker.keys()
        known = {self.graph.maker[s] for s in slots if self.is_known(s)}
        return region | (known - self.vouched)

    def _fills_in(self, group: Group) -> bool:
        """Whether zeros stand where a mask leaves nothing: then it is the mask that is wrong."""
        graph = self.graph
        readers = {i for index in group for i in graph.readers[graph.equations[index].outputs[0]]}
        return all(map(graph.makes_zeros, group)) and {
            graph.equations[i].name for i in readers
        } <= {"select_n", "where"}

    def _is_to_blame(self, target: Target) -> bool:
        """Whether what is computed is not right for something else, which would not be wrong."""
        slots = [self.graph.equations[i].outputs[0] for i in target.group]
        return not all(map(self.is_known, slots)) or any(
            self.is_mistaken(slot, target.reference) for slot in slots
        )

    def _substitutions(self, groups: list[Group], paths: list[str]) -> Iterator[Target]:
        for group in groups:
            if self.limit.is_over():
                return
            # What is known can only be mistaken for another of its kind.
            kinds = self._kinds_of(group) if self._is_known_group(group) else _KINDS
            target = self._substituted(group, paths, kinds)
            if target is not None:
                yield target
                if len(target.paths) == len(paths):
                    return

    def _in_order(self, indices: Iterable[int]) -> list[Group]:
        """The groups of these equations, those that are likely right last.

        What is recognised may be used in a wrong place, and what a right leaf comes from may be
        wrong where that leaf does not feel it.
        """

        def trust(group: Group) -> int:
            return 2 * (group[0] in self.vouched) + self._is_known_group(group)

        return sorted(self._with_ragged(indices), key=trust)

    def _with_ragged(self, indices: Iterable[int]) -> list[Group]:
        """The groups of these equations, and those of loops whose last turn has less to do.

        And what loops have written to an array in the end: the last turn of them alone.
        """
        indices = list(indices)
        groups = self.graph.groups(indices) + self.graph.groups(indices, ragged=True)
        return sorted({*groups, *((i,) for i in indices if self.graph.writes_last(i))})

    def _is_known_group(self, group: Group) -> bool:
        return all(self.is_known(self.graph.equations[i].outputs[0]) for i in group)

    def _kinds_of(self, group: Group) -> tuple[str, ...]:
        match = self.match(self.graph.equations[group[0]].outputs[0])
        forward = match is None or match.reference.kind in ("value", "slope")
        return ("value",) if forward else ("gradient", "term", "conjugate")

    def _substituted(
        self, group: Group, paths: list[str], kinds: tuple[str, ...], *, every: bool = False
    ) -> Target | None:
        """The group with what it should be, if there is a reference that mends leaves.

        With `every` it has to mend all of them, and the one that is soonest computed comes first.
        """
        graph = self.graph
        slots = [graph.equations[i].outputs[0] for i in group]
        if not all(isinstance(graph.values[s], np.ndarray | np.generic) for s in slots):
            return None  # A random key, which nothing can stand in for.
        values = [np.asarray(graph.values[s]) for s in slots]
        if values[0].dtype.kind not in "fiubc" or any(len(graph.equations[i].outputs) > 1
                                                     for i in group):  # fmt: skip
            return None
        best: Target | None = None
        watched = [*paths, *self.right] if set(group) & self.vouched else paths
        plan = graph.plan(slots, [graph.outputs[p] for p in watched])
        alone = {p: graph.plan(slots, [graph.outputs[p]]) for p in (paths if every else ())}
        soonest = min(alone, key=lambda p: len(alone[p]), default=None)
        for reference, others in substitutes(self.references, values, kinds):
            if all(same(v, o) for v, o in zip(values, others, strict=True)):
                continue
            replaced = dict(zip(slots, others, strict=True))
            if soonest and not self.mended(replaced, [soonest], alone[soonest]):
                continue
            mended = self.mended(replaced, watched, plan)
            if not set(mended) >= set(watched) - set(paths):
                continue
            mended = tuple(path for path in mended if path in paths)
            if every and len(mended) < len(paths):
                continue
            if mended and (best is None or len(mended) > len(best.paths)):
                best = Target(group, tuple(others), reference, mended)
            if len(mended) == len(paths) or self.limit.is_over():
                break
        return best

    def mended(
        self, replaced: dict[int, Any], paths: list[str], plan: list[int] | None = None
    ) -> tuple[str, ...]:
        """Which leaves come out right with other values in these slots."""
        outputs = {path: self.graph.outputs[path] for path in paths}
        try:
            found = self.graph.run(replaced, outputs.values(), plan=plan)
        except Exception:  # Whatever the values do to the candidate's functions.
            return ()
        return tuple(path for path, slot in outputs.items() if self._is_right(path, found[slot]))

    def explains(self, target: Target) -> bool:
        """Whether the leaves come out right to rounding with what a value should be.

        To find a place a millionth is near enough; a name has to explain every number.
        """
        slots = [self.graph.equations[i].outputs[0] for i in target.group]
        outputs = {path: self.graph.outputs[path] for path in target.paths}
        replaced = dict(zip(slots, target.expected, strict=True))
        found = self.graph.run(replaced, outputs.values())
        return self._to_rounding(outputs, found)

    def mends(self, read: dict[tuple[int, int], Any], paths: Iterable[str]) -> bool:
        """Whether leaves come out right to rounding if equations read other values."""
        outputs = {path: self.graph.outputs[path] for path in paths}
        try:
            found = self.graph.run({}, outputs.values(), read)
        except Exception:  # Whatever the values do to the candidate's functions.
            return False
        return self._to_rounding(outputs, found)

    def gives(self, replaced: dict[int, Any], paths: Iterable[str]) -> bool:
        """Whether leaves come out right to rounding with other values in these slots."""
        outputs = {path: self.graph.outputs[path] for path in paths}
        try:
            found = self.graph.run(replaced, outputs.values())
        except Exception:  # Whatever the values do to the candidate's functions.
            return False
        return self._to_rounding(outputs, found)

    def _to_rounding(self, outputs: dict[str, int], found: dict[int, Any]) -> bool:
        """Whether these leaves are right; the candidate is computed anew, in another order."""
        return all(
            found[slot].shape == self.case.right[path].shape
            and distance(found[slot], self.case.right[path]) <= _ROUNDINGS * self.case.limit(path)
            for path, slot in outputs.items()
        )

    def _is_right(self, path: str, found: np.ndarray) -> bool:
        right = self.case.right[path]
        if path not in self._allowed:
            before = largest(self.case.wrong[path] - right)
            self._allowed[path] = max(self.case.limit(path), 1e-6 * before)
        if found.shape != right.shape:
            return False
        return bool(np.abs(found - right).max(initial=0) <= self._allowed[path])

    def _location(self, target: Target) -> Location:
        innermost, region = self._innermost(target)
        return Location(target, innermost, tuple(sorted(region)))

    def _region(self, group: Iterable[int]) -> set[int]:
        """What the target comes from, up to what is recognised or vouched for."""
        graph = self.graph
        found = set(group)
        open_ = [s for i in found for s in graph.equations[i].inputs]
        while open_:
            slot = open_.pop()
            index = graph.maker.get(slot)
            if index is None or index in found or index in self.vouched or self.is_known(slot):
                continue
            found.add(index)
            open_ += graph.equations[index].inputs
        return found

    def _innermost(self, target: Target) -> tuple[Target, set[int]]:
        """Solves for one operand after another while only one can be wrong.

        Returns:
            What is left, and the equations that can hold the mistake.
        """
        graph = self.graph
        turns = [graph.equations[i].outputs[0] for i in target.group]
        right = dict(zip(turns, target.expected, strict=True))
        solver = Solver(graph, self._region, self.vouched, self._recognised, right)
        wrong = [Wrong(*own) for own in zip(turns, target.group, target.expected, strict=True)]
        while (wrong := solver.before(wrong)) is not None:
            group, expected = (tuple(getattr(w, name) for w in wrong) for name in _FIELDS)
            target = Target(group, expected, None, target.paths)
        return target, solver.region


_KINDS = ("gradient", "value", "slope", "term", "conjugate")
_FIELDS = ("made_by", "expected")
