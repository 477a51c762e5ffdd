"""Which of a candidate's values are right: recognised as such, or vouched for by a right leaf."""

import functools
import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from compare.diagnosis.case import Case
from compare.diagnosis.expressions import Expression, span_of
from compare.diagnosis.locating.expectations import ADDING, same
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.references import (
    KINDS,
    Match,
    Reference,
    References,
    informative,
    is_called_so,
)
from compare.trees import is_key, largest

__all__ = ["Trust"]


class Trust:
    """What is known to be right in what a candidate computed.

    Args:
        case: the wrong gradient.
        graph: what the candidate computed.
        references: what a right backward pass is made of.
        loss: `loss()` is what the loss comes to. A candidate that computes it rightly has made no
            mistake on the way there.
        assigned: `assigned(expression)`: the variable that is assigned it, or "".

    Attributes:
        wrong: the leaves that are wrong.
        right: the leaves whose right numbers say that what they come from is right.
        of_right_leaves: the equations that those come from.
    """

    def __init__(
        self,
        case: Case,
        graph: Graph,
        references: References,
        loss: Callable[[], float],
        assigned: Callable[[Expression | None], str],
    ):
        self.case, self.graph, self.references = case, graph, references
        self._loss, self._assigned = loss, assigned
        self.wrong = [p for p in case.paths() if p in graph.outputs]
        self.right = [p for p in case.leaves if p not in self.wrong and self._is_telling(p)]
        self.of_right_leaves = graph.ancestors(graph.outputs[p] for p in self.right)
        self._matches: dict[int, Match | None] = {}

    def _is_telling(self, path: str) -> bool:
        """Whether a right leaf says that what it comes from is right: not what cancels to zero."""
        right = self.case.right[path]
        return informative(right) and largest(right) > self.case.tolerances[path]

    @functools.cached_property
    def vouched(self) -> set[int]:
        """The equations that right leaves come from, or the loss where that is right."""
        return self.of_right_leaves | self.graph.ancestors(_slots_of(self.graph, self._loss()))

    def match(self, slot: int) -> Match | None:
        """What the value of a slot is recognised as."""
        if slot not in self._matches:
            self._matches[slot] = self.references.match(self.graph.values[slot])
        return self._matches[slot]

    def is_known(self, slot: int) -> bool:
        """Whether a value is recognised as right; a derivative of the other sign is not."""
        return self._is_leaf(self.graph.values[slot]) or _is_right(self.match(slot))

    def is_mistaken(self, slot: int, reference: Reference | None) -> bool:
        """Whether a value that is right for one thing is none the less to be another.

        One term of a derivative is to be the whole of it; what bears the other's name is to be
        that; and nobody computes the same on two lines.
        """
        if reference is None or reference.kind != "gradient":
            return False  # The forward pass may well be computed once more.
        if self._is_a_term(slot) or self._is_computed_again(slot):
            return True
        name = self._names.get(slot)
        return name is not None and self.is_called(name, reference)

    def kept(self, target: Any) -> str:
        """The name of a variable with what its name says, which is not what it is handed on as."""
        (slot,) = self.graph.equations[target.group[-1]].outputs[:1]
        match, name = self.match(slot), self._names.get(slot, "")
        if target.reference is not None or match is None or not match.exact:
            return ""
        is_right = match.reference.kind == "gradient" and self.is_called(name, match.reference)
        return name if is_right else ""

    def is_called(self, name: str, reference: Reference) -> bool:
        """Whether it is this derivative by its name, of what loss or candidate call the value."""
        # Of several with the same numbers it is the one that has a name.
        known = self.references.preferred(reference)
        own = [x for x, slots in self._variables.items() if slots & {reference.slot, known.slot}]
        return any(is_called_so(name, about) for about in (known.about, *own))

    @functools.cached_property
    def _variables(self) -> dict[str, set[int]]:
        """The values of the loss that the candidate has as well, by what it calls them."""
        found: dict[str, set[int]] = defaultdict(set)
        for slot, name in self._names.items():
            matches = self.references.matches(self.graph.values[slot], ("value",))
            found[name] |= {match.reference.slot for match in matches if match.exact}
        return found

    @functools.cached_property
    def _names(self) -> dict[int, str]:
        """What the candidate calls its values, those that are not a part of an expression alone."""
        last = {span_of(e.origin): e.outputs[0] for e in self.graph.equations if e.outputs}
        names = {slot: self._assigned(own) for own, slot in last.items()}
        return {slot: name for slot, name in names.items() if name}

    def _is_a_term(self, slot: int) -> bool:
        """Whether a value is one term of a derivative, to which nothing is added later."""
        graph = self.graph
        if any(graph.equations[i].name in ADDING for i in graph.readers[slot]):
            return False
        found = self.references.matches(graph.values[slot], ("term",))
        return any(match.exact for match in found)

    def _is_computed_again(self, slot: int) -> bool:
        """Whether another expression, that neither leads to this one nor comes of it, gives it."""
        graph, value = self.graph, self.graph.values[slot]
        index = graph.maker[slot]

        alike = [
            graph.maker[other]
            for other, own in graph.values.items()
            if other in graph.maker
            and isinstance(own, np.ndarray)
            and own.dtype.kind in "fc"
            and own.shape == np.shape(value)
            and graph.equations[graph.maker[other]].source != graph.equations[index].source
            and same(own, value)
        ]
        return any(
            index not in graph.ancestors(graph.equations[i].outputs)
            and i not in graph.ancestors([slot])
            for i in alike
        )

    def _is_anothers(self, path: str) -> bool:
        """Whether a leaf is the derivative by something else: nothing before it is wrong."""
        slot = self.graph.outputs[path]
        match = self.match(slot)
        if match is None or not match.exact or match.reference.kind != "gradient":
            return False
        return slot not in self.graph.maker or not self._is_computed_again(slot)

    def _is_leaf(self, value: Any) -> bool:
        """Whether a value is the right gradient by a leaf: that is known without references."""
        if (
            not isinstance(value, np.ndarray)
            or value.dtype.kind not in "fc"
            or not informative(value)
        ):
            return False
        right = (own for own in self.case.right.values() if own.shape == value.shape)
        return any(same(value, own) for own in right)

    def _recognised(self, value: Any, kinds: tuple[str, ...] = KINDS) -> bool:
        return _is_right(self.references.match(value, kinds))


def _slots_of(graph: Graph, number: float) -> list[int]:
    """The slots that come to a number, to rounding, if it says where it comes from."""
    if not informative(np.asarray(number)):
        return []
    numbers = {
        slot: graph.values[slot]
        for equation in graph.equations
        for slot in equation.outputs[:1]
        if np.shape(graph.values[slot]) == () and not is_key(graph.values[slot])
    }
    return [s for s, x in numbers.items() if math.isclose(float(x.real), number, rel_tol=1e-12)]


def _is_right(match: Match | None) -> bool:
    if match is None:
        return False
    return match.factor == 1 or (match.factor == -1 and match.reference.kind == "value")
