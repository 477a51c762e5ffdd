"""The places of a tape where a mistake can be made, and what each is near to."""

from collections import defaultdict

import numpy as np

from compare.diagnosis.backward import Backward, Edge, Place
from compare.trees import is_key

__all__ = ["Places"]


class Places:
    """The places of a tape, the same line of an unrolled loop being one.

    Args:
        backward: of the loss.
        first: the first equation of those where a mistake may be made.

    Attributes:
        tape: of the loss.
        edges: what a pullback sees, at every place.
        units: the places that one line makes.
        random: the slots that depend on random bits and on no parameter.
        readers: for every slot, the equations that read it.
    """

    def __init__(self, backward: Backward, first: int = 0):
        self.backward = backward
        self.tape = backward.tape
        self.edges = {place: backward.edge(place) for place in backward.places(first)}
        self.units = self._units()
        self.random = self._random_slots()
        self.readers: dict[int, list[int]] = defaultdict(list)
        for index, equation in enumerate(self.tape.equations):
            for slot in dict.fromkeys(equation.inputs):
                self.readers[slot].append(index)

    def _units(self) -> list[tuple[Place, ...]]:
        """Places that one line of the user's program makes: one, or one for each step of a scan."""
        position: dict[int, int] = {}
        last: tuple[int, int] | None = None
        count = 0
        for index, equation in enumerate(self.tape.equations):
            count = count + 1 if equation.step == last and equation.step else 0
            last = equation.step
            position[index] = count
        units: dict[tuple[int, ...], list[Place]] = defaultdict(list)
        for index, operand in self.edges:
            step = self.tape.equations[index].step
            key = (-1, index, operand) if step is None else (step[0], position[index], operand)
            units[key].append((index, operand))
        return [tuple(unit) for unit in units.values()]

    def _random_slots(self) -> set[int]:
        """The slots that depend on random bits and on no parameter."""
        random: set[int] = set()
        for equation in self.tape.equations:
            drawn = equation.name.startswith(("random_", "threefry")) or any(
                slot in random for slot in equation.inputs
            )
            if drawn:
                random.update(s for s in equation.outputs if not self.tape.leaves_of[s])
        return random

    def is_mean(self, edge: Edge) -> bool:
        """Tells whether an equation divides a sum, as the second half of a mean."""
        if edge.equation.name != "div":
            return False
        summed = (e for e in self.tape.equations if edge.equation.inputs[0] in e.outputs)
        return any(
            e.name in ("reduce_sum", "reduce_window_sum", "broadcast_in_dim") for e in summed
        )

    def touches_random(self, index: int) -> bool:
        """Tells whether an equation reads, writes or is read beside a random mask."""
        equation = self.tape.equations[index]
        reached = set(equation.outputs) | set(equation.inputs)
        for other in self.tape.equations:
            slots = set(other.inputs) | set(other.outputs)
            if slots & reached and any(map(self.is_mask, other.inputs)):
                return True
        return False

    def is_mask(self, slot: int) -> bool:
        """Tells whether a slot is random, and each entry is one number or nothing."""
        if slot not in self.random or is_key(value := self.tape.values[slot]):
            return False
        kept = value[value != 0]
        return value.dtype == bool or (kept.size > 0 and not np.ptp(kept))

    def kinds(self) -> list[tuple[Place, ...]]:
        """Lists all units of one kind: every bias, every tanh."""
        kinds: dict[tuple[str, bool, int, bool], list[Place]] = defaultdict(list)
        for unit in self.units:
            edge = self.edges[unit[0]]
            leaf = edge.equation.inputs[edge.operand] in self.tape.leaves.values()
            kinds[(edge.equation.name, edge.equation.whole, edge.operand, leaf)] += unit
        return [tuple(kind) for kind in kinds.values()]
