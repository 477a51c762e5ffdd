"""The right backward pass of an unrolled loop, as one program that runs over its turns.

Turn by turn each equation would be a call of its own pullback, of which a call takes longer than
what it computes.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from compare.diagnosis.forward import Loop
from compare.diagnosis.tape import Tape
from compare.jaxprs import begin_to_compile, compiler_options

__all__ = ["begun", "handed_back", "is_one_program"]

Place = tuple[int, int]
"""(which equation, which of its operands)."""

_MANY = 64
"""So many turns are worth a program."""


def is_one_program(tape: Tape, loop: Loop) -> bool:
    """Tells whether the turns of a loop are many, and numbers are all that they hand on."""
    slots = (*loop.given, *loop.xs)
    return (
        loop.turns >= _MANY
        and not loop.within
        and not any(jnp.issubdtype(tape.shapes[s].dtype, jax.dtypes.extended) for s in slots)
    )


def begun(tape: Tape, loop: Loop, is_varied: Callable[[int], bool]) -> Future[Any]:
    """Begins to compile the pass through a loop.

    Args:
        tape: of the loss.
        loop: one of which `is_one_program` holds.
        is_varied: `is_varied(slot)`: whether the derivative by a slot is looked for.
    """
    shapes = tape.shapes
    varying, added = _varied(tape, loop.given), _varied(tape, loop.stacked)

    def stacked(slots: Iterable[int]) -> list[jax.ShapeDtypeStruct]:
        own = (shapes[slot] for slot in slots)
        return [jax.ShapeDtypeStruct((loop.turns, *x.shape), x.dtype) for x in own]

    traced = jax.jit(_program(tape, loop, is_varied)).trace(
        {slot: shapes[slot] for slot in _fixed(tape, loop)},
        stacked(loop.given),
        [shapes[slot] for slot in loop.xs],
        [shapes[loop.handed[i]] for i in varying],
        stacked(loop.stacked[i] for i in added),
    )
    options = compiler_options(traced.jaxpr.jaxpr)
    lowered = traced.lower()
    return begin_to_compile(lambda: lowered.compile(compiler_options=options))


def handed_back(
    tape: Tape,
    loop: Loop,
    program: Callable[..., Any],
    cotangents: Mapping[int, np.ndarray],
    contributions: Mapping[Place, np.ndarray],
) -> dict[Place, np.ndarray]:
    """Computes what each operand of each equation of all turns adds to the derivative of its slot.

    Args:
        tape: of the loss.
        loop: one of its loops.
        program: what `begun` has compiled for it.
        cotangents: the derivative of the loss by the slots after the loop.
        contributions: what the equations after the loop have handed back.
    """
    shapes, turns = tape.shapes, range(loop.turns)
    states = [[tape.values[own] for own in _at_turns(loop, slot)] for slot in loop.given]
    entries = [tape.values[slot][::-1] if loop.reverse else tape.values[slot] for slot in loop.xs]
    varying, added = _varied(tape, loop.given), _varied(tape, loop.stacked)

    def known(d: np.ndarray | None, slot: int) -> np.ndarray:
        return np.zeros(shapes[slot].shape, shapes[slot].dtype) if d is None else d

    last = (loop.turns - 2) * loop.stride
    d_last = [known(cotangents.get(loop.handed[i] + last), loop.handed[i]) for i in varying]
    d_added = [
        [known(contributions.get((loop.stacks[i], turn)), loop.stacked[i]) for turn in turns]
        for i in added
    ]
    d_added = [np.stack(own)[::-1] if loop.reverse else np.stack(own) for own in d_added]
    fixed = {slot: tape.values[slot] for slot in _fixed(tape, loop)}
    found = program(fixed, [np.stack(own) for own in states], entries, d_last, d_added)
    return {
        (number + (turn - 1) * loop.size, operand): own
        for (number, operand), all_turns in found.items()
        for turn, own in enumerate(np.asarray(all_turns))
    }


def _program(tape: Tape, loop: Loop, is_varied: Callable[[int], bool]) -> Callable[..., Any]:
    """The pass from the last turn to the first: what the places of one turn hand back, stacked."""
    equations, shapes = tape.equations, tape.shapes
    takes, rest = loop.turn[: len(loop.xs)], loop.turn[len(loop.xs) :]
    taken = [equations[number].outputs[0] for number in takes]
    varying, added = _varied(tape, loop.given), _varied(tape, loop.stacked)
    places = {
        (number, operand): shapes[slot]
        for number in rest
        for operand, slot in enumerate(equations[number].inputs)
        if is_varied(slot)
    }

    def back(fixed: Any, states: Any, entries: Any, d_last: Any, d_added: Any) -> Any:
        # What an operand adds is the derivative by a number that is added to it alone.
        shifts = {place: jnp.zeros(own.shape, own.dtype) for place, own in places.items()}

        def turn(d_handed: list[Any], own: Any) -> Any:
            states, entries, d_added = own

            def forward(shifts: dict[Place, Any], varied: list[Any]) -> Any:
                env = fixed | dict(zip(loop.given, states, strict=True))
                env.update(zip((loop.given[i] for i in varying), varied, strict=True))
                env.update(zip(taken, entries, strict=True))
                for number in rest:
                    inputs = [
                        env[slot] + shifts[number, i] if (number, i) in shifts else env[slot]
                        for i, slot in enumerate(equations[number].inputs)
                    ]
                    outputs = equations[number].fn(*inputs)
                    env.update(zip(equations[number].outputs, outputs, strict=True))
                return [env[loop.handed[i]] for i in varying], [env[loop.stacked[i]] for i in added]

            _, pullback = jax.vjp(forward, shifts, [states[i] for i in varying])
            handed_back, d_given = pullback((d_handed, d_added))
            return d_given, handed_back

        return lax.scan(turn, d_last, (states, entries, d_added), reverse=True)[1]

    return back


def _at_turns(loop: Loop, slot: int) -> list[int]:
    """The slots of a state, as each turn is given it."""
    first = loop.first[loop.given.index(slot)]
    return [first, *(slot + turn * loop.stride for turn in range(loop.turns - 1))]


def _varied(tape: Tape, slots: tuple[int, ...]) -> list[int]:
    """Which of these slots can have a derivative."""
    return [i for i, s in enumerate(slots) if jnp.issubdtype(tape.shapes[s].dtype, jnp.inexact)]


def _fixed(tape: Tape, loop: Loop) -> set[int]:
    """The slots that a turn reads, and that no turn computes."""
    made = {slot for number in loop.turn for slot in tape.equations[number].outputs}
    rest = loop.turn[len(loop.xs) :]
    read = {slot for number in rest for slot in tape.equations[number].inputs}
    return (read | set(loop.stacked)) - made - set(loop.given)
