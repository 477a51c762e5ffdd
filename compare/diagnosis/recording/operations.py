"""Records what a function of Python computes, one operation after another, with its line.

Each operation on arrays becomes an equation as a jaxpr has it, which can be computed again of other
numbers.
"""

import functools
import itertools
import operator
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

import numpy as np
from jax.core import Tracer

from compare.diagnosis.limits import Limit
from compare.diagnosis.recording.given import (
    Drawn,
    drawn,
    is_array,
    is_number,
    is_operand,
    kind_of,
    leaves_of,
    numbers_of,
    on_host,
    with_numbers,
)
from compare.diagnosis.recording.idle import Handed, Idle, Passed
from compare.diagnosis.recording.instrumented import (
    WATCHER,
    instrumented,
    is_instrumentable,
)
from compare.diagnosis.recording.memory import Writes, owner_of, places
from compare.diagnosis.recording.operators import (
    APPLYING,
    BINARY,
    GOING_THROUGH,
    IN_PLACE,
    OF_PYTHON,
    UNARY,
    WRITING,
)
from compare.diagnosis.tape import Equation
from compare.sites import is_users
from compare.trees import is_key, is_tensor

__all__ = ["Watcher"]

_Targets = tuple[Any, ...] | None
"""What entries are unpacked into, one for each up to a starred one; None for what is none."""


class Watcher:
    """What the instrumented functions hand their operations to."""

    def __init__(self, limit: Limit | None, *, idle: bool = False) -> None:
        self._limit = limit
        self._keeps_idle = idle
        self.equations: list[Equation] = []
        self.constants: dict[int, Any] = {}
        self._idle = Idle([], [])
        self._slots: dict[int, int] = {}
        self._alive: list[Any] = []
        self._writes = Writes()
        self._last_stack: tuple[Any, ...] = ()
        self._count = 0
        self._line = 0

    def slot(self, value: Any) -> int:
        """The slot of a value; a new one, of a constant, where nothing is known of it."""
        if id(value) not in self._slots:
            self.constants[self._new(value)] = on_host(value)
        elif not self._writes.is_seen(value):
            self._see_again(value)
        return self._slots[id(value)]

    def _new(self, value: Any) -> int:
        self._alive.append(value)  # So that its id is not given to another object.
        self._writes.see(value)
        self._slots[id(value)] = self._count
        self._count += 1
        return self._count - 1

    def _see_again(self, view: np.ndarray) -> None:
        """Records what an array shows after another one of the same memory was written to."""
        own = owner_of(view)
        at = places(view, own)
        given, slots = ((own, at), {}), [self.slot(own)]
        self._record(0, "item", np.take, given, [id(own)], [own], slots, view, [view], [])

    def _hand_back(self, line: int, view: np.ndarray) -> None:
        """Records what an array is after a view of it was written to."""
        self._writes.write(view)
        own = owner_of(view)
        if own is view:
            return
        at, leaves = places(view, own), [own, view]
        if id(own) in self._slots:
            self._writes.see(own)  # But for what is recorded here.
        slots = [*map(self.slot, leaves)]
        given, ids = ((own, at, view), {}), [*map(id, leaves)]
        self._record(line, "set_item", np.put, given, ids, leaves, slots, None, [], [0])

    def idle_of_users(self) -> Idle:
        """What a person's own lines pass through or hand on."""
        passed, handed = self._idle
        own = [x for x in passed if is_users(x.site)]
        return Idle(own, [x for x in handed if is_users(x.site)])

    # What the instrumented functions call, the line first.

    def call(self, line: int, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a function, instrumented where it is a person's."""
        if isinstance(function, functools.partial):
            return self.call(
                line, function.func, *function.args, *args, **{**function.keywords, **kwargs}
            )
        if isinstance(function, types.MethodType) and is_instrumentable(function.__func__):
            return self.call(line, function.__func__, function.__self__, *args, **kwargs)
        if _is_instrumented(function) or is_instrumentable(function):
            own = function if _is_instrumented(function) else instrumented(function, self)
            result = own(*args, **kwargs)
            code, given = function.__code__, [*leaves_of((args, kwargs))]
            line = code.co_firstlineno if code.co_name == "<lambda>" else self._line
            for own in leaves_of(result) if self._keeps_idle else ():
                if is_array(own) and not is_key(own) and any(own is x for x in given):
                    site = f"{code.co_filename}:{line}"
                    self._idle.passed.append(Passed(site, _as_it_is(own), own is result))
            return result
        if function in GOING_THROUGH:
            entries = [self._rows(line, own, place=n) if is_array(own) else own
                       for n, own in enumerate(args)]  # fmt: skip
            if function in APPLYING and args and callable(args[0]):
                entries[0] = functools.partial(self.call, line, args[0])
            return function(*entries, **kwargs)
        if function is reversed and args and is_array(args[0]):
            if is_tensor(args[0]):  # Of which it makes another tensor.
                return self._done(line, "reversed", reversed, args, kwargs)
            return self._rows(line, args[0], reversed)
        casts = _is_cast(function) and any(map(is_number, args))
        if function in OF_PYTHON or (isinstance(function, type) and not casts):
            return function(*args, **kwargs)
        args = tuple(drawn(own, self.slot) for own in args)
        kwargs = {key: drawn(own, self.slot) for key, own in kwargs.items()}
        owner = getattr(function, "__self__", None)
        if is_array(owner):
            name = function.__name__
            unbound = getattr(function, "__func__", None) or _method(name)
            return self._done(line, name.strip("_"), unbound, (owner, *args), kwargs)
        return self._done(line, getattr(function, "__name__", "call"), function, args, kwargs)

    def returned(self, line: int, value: Any) -> Any:
        """Passes on what a function returns."""
        self._line = line
        self._hand(line, value)
        return value

    def named(self, line: int, value: Any, name: str, source: str) -> Any:
        """Passes on what is given another name."""
        self._hand(line, value if is_array(value) else (), name, source)
        return value

    def _hand(self, line: int, value: Any, name: str = "", source: str = "") -> None:
        """Notes what the function that is being run hands on."""
        if not self._keeps_idle:
            return
        values = [_as_it_is(x) for x in leaves_of(value) if is_array(x) and not is_key(x)]
        site = f"{sys._getframe(2).f_code.co_filename}:{line}"
        self._idle.handed.append(Handed(site, values, name, source))

    def binary(self, line: int, name: str, left: Any, right: Any) -> Any:
        """Applies an operator to two values."""
        if not (is_number(left) or is_number(right)):
            return BINARY[name](left, right)
        both = (left, right)
        return self._done(line, name, BINARY[name], both, {}, is_operand, reads_alone=True)

    def unary(self, line: int, name: str, value: Any) -> Any:
        """Applies an operator to one."""
        return self._done(line, name, UNARY[name], (value,), {}, reads_alone=True)

    def item(self, line: int, value: Any, index: Any) -> Any:
        """Looks an entry up."""
        if not is_array(value):
            return value[index]
        return self._done(line, "item", operator.getitem, (value, index), {}, reads_alone=True)

    def iterated(self, line: int, value: Any, targets: _Targets) -> Any:
        """Gives what a loop goes through: an array as its rows, all else as it is."""
        entries = self._rows(line, value) if is_array(value) else value
        if targets is None:
            return entries
        return (self.unpacked(line, entry, targets) for entry in entries)

    def unpacked(self, line: int, value: Any, targets: _Targets) -> Any:
        """Gives what is unpacked into targets: an array as its rows, all else as it is."""
        if targets is None:
            return value
        entries = [*self._rows(line, value)] if is_array(value) else value
        if not any(own is not None for own in targets) or not isinstance(entries, list | tuple):
            return entries
        known = itertools.zip_longest(entries, targets[: len(entries)])
        return [self.unpacked(line, entry, own) for entry, own in known]

    def attribute(self, line: int, value: Any, name: str) -> Any:
        """Looks an attribute up."""
        if not is_array(value):
            return getattr(value, name)
        return self._done(line, name, lambda x: getattr(x, name), (value,), {}, reads_alone=True)

    def set_item(self, line: int, target: Any, index: Any, value: Any) -> None:
        """Writes an entry."""
        self._done(line, "set_item", operator.setitem, (target, index, value), {})

    def in_place(self, line: int, name: str, target: Any, value: Any) -> Any:
        """Changes a value in place."""
        return self._done(line, name, IN_PLACE[name], (target, value), {})

    def attribute_in_place(
        self, line: int, name: str, owner: Any, attribute: str
    ) -> Callable[[Any], None]:
        """Looks the attribute up; what is returned takes the value, which Python computes next."""
        old = self.attribute(line, owner, attribute)

        def changed_by(value: Any) -> None:
            if not is_array(owner):
                return setattr(owner, attribute, self.in_place(line, name, old, value))
            # In place it would change what the owner sees before that is told.
            new = self.binary(line, name, old, value)
            return self._done(line, "set_attribute", setattr, (owner, attribute, new), {})

        return changed_by

    def item_in_place(self, line: int, name: str, target: Any, index: Any, value: Any) -> None:
        """Changes an entry in place."""
        old = self.item(line, target, index)
        # In place it would change what the target sees before that is told.
        new = (self.binary if is_array(target) else self.in_place)(line, name, old, value)
        self.set_item(line, target, index, new)

    def _rows(
        self, line: int, value: Any, way: Callable[..., Iterator[Any]] = iter, place: int = 0
    ) -> Iterator[Any]:
        """Goes through the rows of an array, each of which becomes an equation as `value[i]` has.

        Args:
            line: that goes through them.
            value: the array.
            way: `iter` or `reversed`.
            place: among those that the line goes through side by side.
        """
        if isinstance(value, Tracer) or getattr(value.dtype, "kind", "") in _NO_NUMBERS:
            return way(value)
        # Of a row there is no expression: it is in the call that goes through all of them.
        origin = ((), (way, place), (_stack(), "item", None))

        def rows() -> Iterator[Any]:
            indices = way(range(len(value))) if np.ndim(value) else itertools.count()
            for index, row in zip(indices, way(value), strict=False):
                if self._limit is not None:
                    self._limit.check()
                given, slots = ((value, index), {}), [self.slot(value)]
                self._record(
                    line, "item", operator.getitem, given, [id(value)], [value], slots, row, [row],
                    [], origin,
                )  # fmt: skip
                yield row

        return rows()

    def _done(
        self,
        line: int,
        name: str,
        fn: Callable[..., Any],
        args: Any,
        kwargs: Any,
        is_input: Callable[[Any], bool] = lambda x: is_number(x),
        *,
        reads_alone: bool = False,
    ) -> Any:
        """Does an operation, and records it if it made or changed arrays.

        What reads alone, as an operator does that is not in place, changes none.
        """
        if self._limit is not None:
            self._limit.check()
        leaves = [x for x in leaves_of((args, kwargs)) if is_input(x)]
        slots = [self.slot(x) for x in leaves]
        count, before = len(leaves), [] if reads_alone else [on_host(x) for x in leaves]
        result = fn(*map(_given, args), **{key: _given(own) for key, own in kwargs.items()})
        made = numbers_of(result)
        if name in _UNWRITTEN and isinstance(result, np.ndarray):
            result.fill(0)  # What was there before is nobody's value.
        if any(isinstance(x, Tracer) for x in (*leaves, *made)):
            return result  # jax transforms a function that was defined here: its call is the line.
        changed = [
            i
            for i, (x, known) in enumerate(zip(leaves, before, strict=False))
            if is_array(x) and not _equal(on_host(x), known)
        ]
        for own in (x for x in (*args, *kwargs.values()) if isinstance(x, Drawn)):
            leaves += numbers_of(own.entries)
            slots += own.slots
        writes = name == "set_item" or (fn in WRITING and result is args[0])
        if writes and not changed and leaves and leaves[0] is args[0]:
            changed = [0]  # With other numbers, what is written need not be what was there.
        new = [x for x in made if id(x) not in self._slots] if not changed else []
        if new or changed:
            ids = [id(x) for x in leaves[:count]]
            self._record(line, name, fn, (args, kwargs), ids, leaves, slots, result, new, changed)
        for own in [leaves[i] for i in changed if isinstance(leaves[i], np.ndarray)]:
            self._hand_back(line, own)
        return result

    def _record(
        self, line: int, name: str, fn: Callable[..., Any], given: Any, ids: list[int],
        leaves: list[Any], slots: list[int], result: Any, new: list[Any], changed: list[int],
        origin: Any = None,
    ) -> None:  # fmt: skip
        kinds = [kind_of(x) for x in leaves]
        numbers = [i for i, x in enumerate(numbers_of(result)) if any(x is n for n in new)]

        # What reads no number gives what it gave: it may draw others the next time.
        drawn_once = None if leaves else [on_host(x) for x in new]

        def again(*values: Any) -> list[Any]:
            if drawn_once is not None:
                return drawn_once
            own = [kind(value) for kind, value in zip(kinds, values, strict=True)]
            taken = iter(own[len(ids) :])
            args, kwargs = with_numbers(given, dict(zip(ids, own, strict=False)), taken)
            found = numbers_of(fn(*args, **kwargs))
            results = [own[i] for i in changed] or [found[i] for i in numbers]
            return [on_host(x) for x in results]

        outputs = tuple(self._new(x) for x in ([leaves[i] for i in changed] or new))
        # What is returned is looked at when nothing is run any more.
        self._last_stack = _stack() or self._last_stack
        origin = origin or (self._last_stack, name, None)
        file = (origin[0] or origin[2][0])[0][0].co_filename
        site = f"{file}:{line}" if line and is_users(file) else ""
        self.equations.append(
            Equation(
                _PRIMITIVES.get(name, name),
                _params(name, leaves),
                tuple(slots),
                outputs,
                again,
                signature=origin,
                site=site,
                whole=True,
                step=None,
                origin=origin,
            )
        )


def _is_instrumented(function: Any) -> TypeGuard[types.FunctionType]:
    """Whether a copy defined it, which instruments what is defined inside."""
    return isinstance(function, types.FunctionType) and WATCHER in function.__code__.co_freevars


def _is_cast(function: Any) -> bool:
    """Whether it makes a number of another type of a number."""
    return isinstance(function, type) and issubclass(function, float | np.generic)


def _as_it_is(value: Any) -> Any:
    return value if isinstance(value, Tracer) else on_host(value)


def _given(value: Any) -> Any:
    return value.given if isinstance(value, Drawn) else value


def _method(name: str) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


def _stack() -> tuple[Any, ...]:
    """The instrumented functions that are being run, the innermost first, as frames."""
    frame: Any = sys._getframe(1)
    found = []
    while frame is not None:
        if WATCHER in frame.f_code.co_freevars:
            found.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(found)


_PRIMITIVES = {
    "Add": "add", "Sub": "sub", "Mult": "mul", "Div": "div", "USub": "neg", "T": "transpose",
    "reshape": "reshape", "astype": "convert_element_type", "stack": "stack",
    "float": "convert_element_type", "float64": "convert_element_type",
}  # fmt: skip
_UNWRITTEN = ("empty", "empty_like")
"""They make arrays of no numbers yet."""

_NO_NUMBERS = "OSU"
"""The kinds of arrays of objects and of texts."""


def _params(name: str, leaves: list[Any]) -> dict[str, Any]:
    if name == "T" and leaves:
        return {"permutation": tuple(range(np.ndim(leaves[0])))[::-1]}
    return {}


def _equal(one: Any, other: Any) -> bool:
    both = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    return not both or np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
