"""Walking a tape backwards, with the pullback of chosen equations changed."""

import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.diagnosis.tape import Equation, Tape
from compare.diagnosis.turns import begun, handed_back, is_one_program
from compare.jaxprs import compiler_options

__all__ = ["Backward", "Edge", "Fits", "Place", "Rule"]

Place = tuple[int, int]
"""(which equation, which of its operands)."""


class Edge(NamedTuple):
    """One operand of one equation, as a changed pullback sees it.

    Attributes:
        equation: the equation.
        operand: which of its inputs.
        inputs: the values of all inputs.
        output: the value of its (first) output.
        d_output: the derivative of the loss with respect to that output.
        d_input: the right derivative with respect to the operand.
        pull: `pull(inputs, d_output)`, the equation's own pullback at other values: a list.
    """

    equation: Equation
    operand: int
    inputs: list[np.ndarray]
    output: np.ndarray
    d_output: np.ndarray
    d_input: np.ndarray
    pull: Callable[[list[np.ndarray], np.ndarray], list[np.ndarray]]

    @property
    def value(self) -> np.ndarray:
        """The value of the operand."""
        return self.inputs[self.operand]

    def with_input(self, value: np.ndarray, operand: int | None = None) -> np.ndarray:
        """The derivative with respect to the operand, were one input another."""
        inputs = list(self.inputs)
        inputs[self.operand if operand is None else operand] = value
        return self.pull(inputs, self.d_output)[self.operand]

    def slope(self, value: np.ndarray) -> np.ndarray:
        """f′ of an elementwise equation, at a value of the operand."""
        inputs = list(self.inputs)
        inputs[self.operand] = value
        return self.pull(inputs, np.ones_like(self.d_output))[self.operand]


Rule = Callable[[Edge], np.ndarray]
"""A changed pullback: the (wrong) derivative with respect to the operand."""

Fits = Callable[[str, np.ndarray], bool]
"""Whether the gradient of a leaf is what is looked for."""


class Backward:
    """The gradient of a tape's loss, one equation at a time.

    The right pass is done once, as far down as it is asked for, and what it knew at each equation
    is kept, so that a changed pass begins at the equation that is changed.

    Attributes:
        tape: the loss.
    """

    def __init__(self, tape: Tape):
        self.tape = tape
        self._by_signature: dict[Any, Any] = {}
        self._by_equation: dict[Any, tuple[Any, tuple[int, ...]]] = {}
        self._done = _done(tape)
        self._takes = _takes(tape)
        self._contributions: dict[Place, np.ndarray] = {}
        self._cotangents: dict[int, np.ndarray] = {}
        # What each slot's derivative came to, and after which equation, the last one first.
        self._sums: dict[int, list[tuple[int, np.ndarray]]] = {}
        self._walked = len(tape.equations)
        self._add(self._walked, tape.loss, np.ones(()))
        self._state: tuple[int, dict[int, np.ndarray]] = self._walked, {}
        self._begun: dict[Any, Future[Any]] = {}
        self._compiled = {own: ({tape.loss}, self._walked) for own in (True, False)}
        whole = [loop for loop in tape.forward.loops if is_one_program(tape, loop)]
        self._loops = {loop.stacks.start - 1: loop for loop in whole}
        self._in_loops = {n for loop in whole for n in range(loop.start, loop.stacks.start)}
        self._programs: dict[int, Future[Any]] = {}
        self._of_loops: dict[Place, np.ndarray] = {}

    @property
    def contributions(self) -> dict[Place, np.ndarray]:
        """What each operand of each equation adds to the derivative of its slot."""
        self._walk_down_to(0)
        return self._contributions

    @property
    def cotangents(self) -> dict[int, np.ndarray]:
        """The derivative of the loss by every slot that it depends on."""
        self._walk_down_to(0)
        return self._cotangents

    def places(self, first: int = 0) -> Iterator[Place]:
        """Every operand that the loss depends on and that depends on a parameter.

        Not where a turn of a loop takes its entry of an array: what is wrong there is wrong where
        the entry is read.

        Args:
            first: the first equation of those that are wanted.
        """
        self._walk_down_to(first)
        for index, equation in enumerate(self.tape.equations[first:], first):
            if equation.taken is None and any(
                slot in self._cotangents for slot in equation.outputs
            ):
                for operand, slot in enumerate(equation.inputs):
                    if self._differentiable(slot):
                        yield index, operand

    def gradient(self, rules: Mapping[Place, Rule] | None = None) -> dict[str, np.ndarray]:
        """The gradient by path, with the pullback changed at the places of `rules`.

        Raises:
            ValueError: a mistake cannot be made there: its derivative has another shape.
        """
        found = self.fitting(rules, lambda path, leaf: True)
        assert found is not None
        return found

    def fitting(
        self, rules: Mapping[Place, Rule] | None, fits: Fits
    ) -> dict[str, np.ndarray] | None:
        """The gradient as `gradient` has it; None as soon as a leaf does not fit.

        Args:
            rules: the changed pullbacks.
            fits: `fits(path, leaf)`: whether a leaf is what is looked for.

        Raises:
            ValueError: a mistake cannot be made there: its derivative has another shape.
        """
        if not rules:
            return {path: self._leaf(path, self.cotangents) for path in self.tape.leaves}
        last = max(index for index, _ in rules)
        self._walk_down_to(last)
        self._compile(0, turns=True)
        with np.errstate(all="ignore"):  # A mistake may well divide by zero.
            return self._walk(rules, last, self._before(last), fits)

    def edge(self, place: Place) -> Edge:
        """What the right pass sees at a place."""
        index, operand = place
        self._walk_down_to(index)
        equation = self.tape.equations[index]
        d_outputs = self._d_outputs(equation, self._cotangents)
        return self._edge(equation, operand, d_outputs, self._contributions[place])

    def _walk_down_to(self, first: int) -> None:
        """The right pass, down to an equation."""
        if first >= self._walked:
            return
        self._compile(first)
        for index in range(self._walked - 1, first - 1, -1):
            if index in self._loops:
                self._of_loops |= handed_back(
                    self.tape, self._loops[index], self._programs[index].result(),
                    self._cotangents, self._contributions,
                )  # fmt: skip
            self._step(index, {}, self._cotangents, keep=True)
        self._walked = first

    def _keep(self, index: int, operand: int, slot: int, d: np.ndarray) -> None:
        """Adds what an operand hands back to the derivative of its slot in the right pass."""
        self._contributions[index, operand] = d
        self._add(index, slot, d)

    def _add(self, index: int, slot: int, d: np.ndarray) -> None:
        known = self._cotangents.get(slot)
        self._cotangents[slot] = d if known is None else known + d
        self._sums.setdefault(slot, []).append((index, self._cotangents[slot]))

    def _before(self, index: int) -> dict[int, np.ndarray]:
        """The derivatives as the right pass has them when it comes to an equation."""
        if self._state[0] != index:
            later = {
                slot: [d for after, d in sums if after > index] for slot, sums in self._sums.items()
            }
            self._state = index, {slot: sums[-1] for slot, sums in later.items() if sums}
        return dict(self._state[1])

    def _walk(
        self, rules: Mapping[Place, Rule], last: int, cotangents: dict[int, np.ndarray], fits: Fits
    ) -> dict[str, np.ndarray] | None:
        """A changed pass down from one equation."""
        for index in range(last, -1, -1):
            self._step(index, rules, cotangents, keep=False)
            if not all(fits(path, self._leaf(path, cotangents)) for path in self._done[index]):
                return None
        return {path: self._leaf(path, cotangents) for path in self.tape.leaves}

    def _step(
        self,
        index: int,
        rules: Mapping[Place, Rule],
        cotangents: dict[int, np.ndarray],
        *,
        keep: bool,
    ) -> None:
        """Adds what one equation hands back, if the loss depends on it."""
        equation = self.tape.equations[index]
        if index in self._takes:
            self._gather(index, cotangents, keep=keep)
            return
        if equation.taken is not None or cotangents.keys().isdisjoint(equation.outputs):
            return
        varied = [(i, s) for i, s in enumerate(equation.inputs) if self._differentiable(s)]
        if keep and all((index, operand) in self._of_loops for operand, _ in varied):
            for operand, slot in varied:
                self._keep(index, operand, slot, self._of_loops[index, operand])
            return
        d_outputs = self._d_outputs(equation, cotangents)
        d_inputs = self._pull(equation, self._inputs(equation), d_outputs)
        for operand, slot in varied:
            d = d_inputs[operand]
            if keep:
                self._keep(index, operand, slot, d)
                continue
            rule = rules.get((index, operand))
            if rule is not None:
                shape = np.shape(d)
                d = rule(self._edge(equation, operand, d_outputs, d))
                if np.shape(d) != shape:
                    raise ValueError(f"a mistake gave the shape {np.shape(d)}, not {shape}")
            known = cotangents.get(slot)
            cotangents[slot] = d if known is None else known + d

    def _gather(self, index: int, cotangents: dict[int, np.ndarray], *, keep: bool) -> None:
        """Adds what all turns of a loop hand back of an array that each has taken an entry of."""
        slot, rows = self.tape.equations[index].inputs[0], self._takes[index]
        if not self._differentiable(slot) or not any(out in cotangents for _, out in rows):
            return
        d = np.zeros_like(self.tape.values[slot])
        for t, out in rows:
            if out in cotangents:
                d[t] = cotangents[out]
        if keep:
            self._keep(index, 0, slot, d)
            return
        cotangents[slot] = cotangents[slot] + d if slot in cotangents else d

    def _leaf(self, path: str, cotangents: Mapping[int, np.ndarray]) -> np.ndarray:
        slot = self.tape.leaves[path]
        return cotangents[slot] if slot in cotangents else np.zeros_like(self.tape.values[slot])

    def begin(self, first: int = 0, *, turns: bool = False) -> None:
        """Begins to compile what a pass calls, side by side: the compiler leaves Python alone.

        Args:
            first: the equation down to which it goes.
            turns: whether one turn after another also of those loops that the right pass computes
                at once.
        """
        reached, last = self._compiled[turns]
        if first >= last:
            return
        shapes, _ = self.tape.shapes, self.tape.forward.begun
        pool = ThreadPoolExecutor()
        try:
            for index in reversed(range(first, last)):
                if index in self._loops and index not in self._programs:
                    loop = self._loops[index]
                    self._programs[index] = begun(self.tape, loop, self._differentiable)
                equation = self.tape.equations[index]
                if reached.isdisjoint(equation.outputs):
                    continue
                reached.update(slot for slot in equation.inputs if self._differentiable(slot))
                is_own = equation.taken is not None or equation.signature in _OWN
                if is_own or (index in self._in_loops and not turns):
                    continue
                inputs = [shapes[slot] for slot in equation.inputs]
                pullback, _ = self._pullback(equation, inputs)
                if pullback not in self._begun:
                    d_outs = [
                        shapes[s] if _is_inexact(shapes[s]) else None for s in equation.outputs
                    ]
                    compiling = pool.submit(pullback.lower(inputs, d_outs).compile)
                    self._begun[pullback] = compiling
        finally:
            pool.shutdown(wait=False)
        self._compiled[turns] = reached, first

    def _compile(self, first: int, *, turns: bool = False) -> None:
        """Compiles what a pass calls down to an equation, as `begin` has it."""
        self.begin(first, turns=turns)
        wait(self._begun.values())

    def _differentiable(self, slot: int) -> bool:
        return bool(self.tape.leaves_of[slot]) and _is_inexact(self.tape.shapes[slot])

    def _inputs(self, equation: Equation) -> list[Any]:
        return [self.tape.values[slot] for slot in equation.inputs]

    def _d_outputs(
        self, equation: Equation, cotangents: Mapping[int, np.ndarray]
    ) -> list[np.ndarray | None]:
        values = self.tape.values

        def known(slot: int) -> np.ndarray | None:
            if slot in cotangents:
                return cotangents[slot]
            return np.zeros_like(values[slot]) if _is_inexact(values[slot]) else None

        return [known(slot) for slot in equation.outputs]

    def _edge(
        self, equation: Equation, operand: int, d_outputs: list[Any], d_input: np.ndarray
    ) -> Edge:
        def pull(inputs: list[np.ndarray], d_output: np.ndarray) -> list[np.ndarray]:
            return self._pull(equation, inputs, [d_output, *d_outputs[1:]])

        values = self.tape.values
        output = values[equation.outputs[0]]
        return Edge(equation, operand, self._inputs(equation), output, d_outputs[0], d_input, pull)

    def _pull(self, equation: Equation, inputs: list[Any], d_outputs: list[Any]) -> list[Any]:
        if equation.signature in _OWN:
            return _OWN[equation.signature](d_outputs[0])
        found: list[Any] = [None] * len(inputs)
        pullback, varied = self._pullback(equation, inputs)
        for i, d in zip(varied, pullback(inputs, d_outputs), strict=True):
            found[i] = np.asarray(d)
        return found

    def _pullback(self, equation: Equation, inputs: list[Any]) -> tuple[Any, tuple[int, ...]]:
        """The pullback of an equation, compiled once for all like it, and the inputs it varies."""
        shapes = tuple((x.shape, x.dtype) for x in inputs)
        known = self._by_equation.get((equation.outputs, shapes))
        if known is None:
            varied = tuple(i for i, s in enumerate(equation.inputs) if self._differentiable(s))
            key = (equation.signature, varied, shapes)
            if key not in self._by_signature:
                self._by_signature[key] = _pullback(equation.fn, varied)
            known = self._by_equation[equation.outputs, shapes] = self._by_signature[key], varied
        return known


_OWN: dict[Any, Callable[[np.ndarray], list[Any]]] = {"copy": lambda d: [d], "stack": list}
"""What needs no compiler: the pullbacks of what holds an unrolled loop together."""


def _takes(tape: Tape) -> dict[int, list[tuple[int, int]]]:
    """The entries that the turns of a loop take of one array, with their slots.

    They stand at the first of these equations: on the way back the others wait for it.
    """
    first: dict[Any, int] = {}
    found: dict[int, list[tuple[int, int]]] = {}
    for index, equation in enumerate(tape.equations):
        if equation.taken is not None and equation.step is not None:
            at = first.setdefault((equation.inputs, equation.step[0]), index)
            found.setdefault(at, []).append((equation.taken, equation.outputs[0]))
    return found


def _done(tape: Tape) -> list[list[str]]:
    """For each equation the leaves whose gradient is complete after it, on the way back."""
    first: dict[int, int] = {}
    for index, equation in enumerate(tape.equations):
        for slot in equation.inputs:
            first.setdefault(slot, index)
    done: list[list[str]] = [[] for _ in tape.equations]
    for path, slot in tape.leaves.items():
        if slot in first:
            done[first[slot]].append(path)
    return done


def _is_inexact(value: Any) -> bool:
    return _is_of_inexact(value.dtype)


@functools.cache
def _is_of_inexact(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.inexact)


def _pullback(fn: Callable[..., list[Any]], varied: tuple[int, ...]) -> Any:
    # Hundreds of small programs that run a few times: the compiler need not try hard.
    @functools.partial(jax.jit, compiler_options=compiler_options())
    def pull(inputs: list[Any], d_outputs: list[Any]) -> list[Any]:
        def of_varied(*xs: Any) -> list[Any]:
            full = list(inputs)
            for i, x in zip(varied, xs, strict=True):
                full[i] = x
            outs = fn(*full)
            return [out for out, d in zip(outs, d_outputs, strict=True) if d is not None]

        _, vjp = jax.vjp(of_varied, *(inputs[i] for i in varied))
        return list(vjp([d for d in d_outputs if d is not None]))

    return pull
