"""The value of every slot of a tape, computed in one go: an unrolled loop is run as a loop.

The turns of an unrolled loop are alike: the same equations, with slots that are so many further. So
one turn is compiled, and a loop over it hands back what each turn has computed.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from compare.jaxprs import begin_to_compile, compiler_options
from compare.trees import is_key

__all__ = ["Forward", "Loop", "Turn", "Values", "loop_of", "on_host"]


class Step(Protocol):
    """What is known here of an equation: what it reads, writes and computes."""

    @property
    def inputs(self) -> tuple[int, ...]: ...
    @property
    def outputs(self) -> tuple[int, ...]: ...
    @property
    def fn(self) -> Callable[..., list[Any]]: ...


class Loop(NamedTuple):
    """An unrolled scan of two turns or more. The second turn stands for all of them.

    In the first turn a slot may be a constant and a state at once; in the second none is.

    Attributes:
        start: the number of the first equation of the first turn.
        size: the number of equations of a turn.
        stride: by how much the slots of two turns differ.
        turns: how many there are.
        reverse: whether the last entries are taken first.
        xs: the slots of the arrays whose entries the turns take, one by one in their first
            equations.
        first: the slots of the states that the first turn is given.
        given: the slots of those that the second turn is given.
        handed: the slots of those that it hands to the third.
        stacked: the slots of what it adds to the results, which `stack` equations put together
            after the last turn.
        within: the loops inside the second turn.
    """

    start: int
    size: int
    stride: int
    turns: int
    reverse: bool
    xs: tuple[int, ...]
    first: tuple[int, ...]
    given: tuple[int, ...]
    handed: tuple[int, ...]
    stacked: tuple[int, ...]
    within: "tuple[Loop, ...]"

    @property
    def turn(self) -> range:
        """The numbers of the equations of the second turn."""
        return range(self.start + self.size, self.start + 2 * self.size)

    @property
    def stacks(self) -> range:
        """The numbers of the equations that put the results of all turns together."""
        end = self.start + self.turns * self.size
        return range(end, end + len(self.stacked))


class Turn(NamedTuple):
    """One turn of an unrolled scan: where it begins, and the slots as `Loop` has them."""

    equation: int
    slot: int
    given: tuple[int, ...]
    handed: tuple[int, ...]
    stacked: tuple[int, ...]


def loop_of(turns: Sequence[Turn], xs: Sequence[int], reverse: bool, inner: Sequence[Loop]) -> Loop:
    """Puts the turns of an unrolled scan together.

    Args:
        turns: two or more, in their order.
        xs: as in `Loop`.
        reverse: as in `Loop`.
        inner: the loops that are inside any of the turns.
    """
    first, second = turns[:2]
    size = second.equation - first.equation
    return Loop(
        start=first.equation,
        size=size,
        stride=second.slot - first.slot,
        turns=len(turns),
        reverse=reverse,
        xs=tuple(xs),
        first=first.given,
        given=second.given,
        handed=second.handed,
        stacked=second.stacked,
        within=tuple(
            loop for loop in inner if second.equation <= loop.start < second.equation + size
        ),
    )


class Values:
    """The values of single slots while equations are still added: of those that a choice is by.

    Args:
        steps: the equations, in their order, of which there may be more later.
        constants: the values of the slots that no equation computes.
    """

    def __init__(self, steps: Sequence[Step], constants: Mapping[int, Any]):
        self._steps, self._constants = steps, constants
        self._found: dict[int, Any] = {}
        self._makers: dict[int, int] = {}
        self._seen = 0

    def __getitem__(self, slot: int) -> Any:
        """Computes one slot, from what it is computed from and from nothing else."""
        for number in range(self._seen, len(self._steps)):
            self._makers.update(dict.fromkeys(self._steps[number].outputs, number))
        self._seen = len(self._steps)
        needed: set[int] = set()
        open_ = [slot]
        while open_:
            own = open_.pop()
            if own not in self._constants and own not in self._found:
                number = self._makers[own]
                if number not in needed:
                    needed.add(number)
                    open_ += self._steps[number].inputs
        for number in sorted(needed):
            step = self._steps[number]
            self._found.update(
                zip(step.outputs, step.fn(*map(self._known, step.inputs)), strict=True)
            )
        return self._known(slot)

    def _known(self, slot: int) -> Any:
        return self._constants[slot] if slot in self._constants else self._found[slot]


@dataclass(frozen=True)
class Forward:
    """The computation of every slot.

    Attributes:
        steps: the equations, in their order.
        loops: which of them are unrolled loops.
        constants: the values of the slots that no equation computes, by their number.
    """

    steps: Sequence[Step]
    loops: tuple[Loop, ...]
    constants: Mapping[int, Any]

    @functools.cached_property
    def lowered(self) -> Any:
        """The program, to be compiled."""
        # It runs once: the compiler need not try hard.
        run = jax.jit(self._run, compiler_options=compiler_options())
        return run.lower(self._given)

    @functools.cached_property
    def shapes(self) -> dict[int, jax.ShapeDtypeStruct]:
        """The shape and dtype of every slot, known before anything is computed."""
        shapes = {
            slot: jax.ShapeDtypeStruct(inner.shape[len(loops) :], inner.dtype)
            for slot, loops, inner in self._found(self.lowered.out_info)
            for slot, _ in _turns(slot, loops)
        }
        constants = {slot: jax.typeof(x) for slot, x in self.constants.items()}
        return shapes | {
            slot: jax.ShapeDtypeStruct(aval.shape, aval.dtype)  # pyright: ignore
            for slot, aval in constants.items()
        }

    @functools.cached_property
    def begun(self) -> Future[Any]:
        """The program as it is compiled, beside what is done meanwhile."""
        return begin_to_compile(self.lowered.compile)

    @functools.cached_property
    def values(self) -> list[Any]:
        """The value of every slot, computed when it is first asked for."""
        found = {slot: on_host(x) for slot, x in self.constants.items()}
        for slot, loops, stacked in self._found(self.begun.result()(self._given)):
            whole = on_host(stacked)
            # An array, also where it is a single number.
            found.update((own, whole[(*at, ...)]) for own, at in _turns(slot, loops))
        return [found[slot] for slot in range(len(found))]

    @functools.cached_property
    def _given(self) -> dict[int, Any]:
        """The constants that the program reads: of the turns of a loop those of one."""
        read = set(self._reads(range(len(self.steps)), self.loops))
        return {slot: x for slot, x in self.constants.items() if slot in read}

    def _reads(self, numbers: range, loops: Sequence[Loop]) -> Iterator[int]:
        for part in _parts(numbers, loops):
            if isinstance(part, Loop):
                yield from (*part.xs, *part.first, *part.stacked)
                yield from self._reads(part.turn, part.within)
            else:
                yield from self.steps[part].inputs

    def _found(self, results: Mapping[int, Any]) -> Iterator[tuple[int, tuple[Loop, ...], Any]]:
        """Each slot that the program computes, the loops that it is in, and what it has for it."""

        def of(numbers: range, loops: Sequence[Loop], inside: tuple[Loop, ...]) -> Iterator[Any]:
            for part in _parts(numbers, loops):
                if isinstance(part, Loop):
                    yield from of(part.turn, part.within, (*inside, part))
                for number in part.stacks if isinstance(part, Loop) else [part]:
                    yield from (
                        (slot, inside, results[slot]) for slot in self.steps[number].outputs
                    )

        return of(range(len(self.steps)), self.loops, ())

    def _run(self, constants: dict[int, Any]) -> dict[int, Any]:
        return self._compute(range(len(self.steps)), self.loops, dict(constants))

    def _compute(
        self, numbers: range, loops: Sequence[Loop], env: dict[int, Any]
    ) -> dict[int, Any]:
        """Computes these equations, of a loop one turn, whose results in all turns are stacked.

        What the equations after them read is added to env.
        """
        found: dict[int, Any] = {}
        for part in _parts(numbers, loops):
            if isinstance(part, Loop):
                found.update(self._loop(part, env))
                continue
            step = self.steps[part]
            outs = dict(zip(step.outputs, step.fn(*(env[s] for s in step.inputs)), strict=True))
            env.update(outs)
            found.update(outs)
        return found

    def _loop(self, loop: Loop, env: dict[int, Any]) -> dict[int, Any]:
        takes, rest = loop.turn[: len(loop.xs)], loop.turn[len(loop.xs) :]

        def turn(states: list[Any], entries: list[Any]) -> tuple[list[Any], Any]:
            own = env | dict(zip(loop.given, states, strict=True))
            outs = [self.steps[number].outputs[0] for number in takes]
            taken = dict(zip(outs, entries, strict=True))
            own.update(taken)
            found = taken | self._compute(rest, loop.within, own)
            return [own[slot] for slot in loop.handed], (found, [own[s] for s in loop.stacked])

        xs = [env[slot][::-1] if loop.reverse else env[slot] for slot in loop.xs]
        states = [env[slot] for slot in loop.first]
        last, (found, results) = jax.lax.scan(turn, states, xs, length=loop.turns)
        further = (loop.turns - 2) * loop.stride
        env.update({slot + further: x for slot, x in zip(loop.handed, last, strict=True)})
        for number, result in zip(loop.stacks, results, strict=True):
            (slot,) = self.steps[number].outputs
            env[slot] = found[slot] = result[::-1] if loop.reverse else result
        return found


def _parts(numbers: range, loops: Sequence[Loop]) -> Iterator[int | Loop]:
    """The equations with these numbers, and the loops in place of theirs."""
    at = {loop.start: loop for loop in loops}
    number = numbers.start
    while number < numbers.stop:
        loop = at.get(number)
        yield number if loop is None else loop
        number = number + 1 if loop is None else loop.stacks.stop


def _turns(slot: int, loops: Sequence[Loop]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Each slot that this one stands for, and which turn of each of its loops that is."""
    if not loops:
        yield slot, ()
        return
    for turn in range(loops[0].turns):
        for own, inner in _turns(slot + (turn - 1) * loops[0].stride, loops[1:]):
            yield own, (turn, *inner)


def on_host(value: Any) -> Any:
    """Turns an array into NumPy's; a key stays as it is."""
    return value if is_key(value) else np.asarray(value)
