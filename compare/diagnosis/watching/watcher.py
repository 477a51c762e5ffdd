"""Watches plain Python compute: NumPy, PyTorch, or jax with values that are known.

Every operation on arrays becomes an equation as a jaxpr has it, so that the same questions can be
asked: what did this line compute, of what, and what if that were another value.
"""

import contextlib
import functools
import operator
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, TypeGuard

import jax
import numpy as np
from jax.core import Tracer

from compare.diagnosis.limits import Limit
from compare.diagnosis.tape import Equation, Recording, record_results
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.instrumented import (
    WATCHER,
    instrumented,
    is_instrumentable,
)
from compare.sites import is_users
from compare.trees import is_tensor, to_numpy

__all__ = ["graph_of", "passed_through", "record_python"]


def record_python(fn: Callable[[], dict[str, Any]], limit: Limit | None = None) -> Recording:
    """Runs `fn() -> arrays by name` once, and records its operations.

    Raises:
        TimeoutError: it takes longer than `limit`.
        Exception: whatever `fn` raises.
    """
    watcher = _Watcher(limit)
    found = watcher.call(0, fn)
    outputs = {name: watcher.slot(value) for name, value in found.items()}
    return Recording(watcher.equations, outputs, watcher.constants)


def graph_of(fn: Callable[[], dict[str, Any]], names: Iterable[str], limit: Limit) -> Graph:
    """Makes the graph of a function: by its jaxpr or, where that does not have it all, watched.

    A jaxpr has no values that NumPy or PyTorch computed, and no equation for a zero.

    Args:
        fn: `fn() -> arrays by name`.
        names: the results that equations must lead to.
        limit: of the work.

    Raises:
        TimeoutError: it takes longer than `limit`.
        Exception: whatever `fn` raises.
    """
    with contextlib.suppress(Exception):  # It needs values that jax does not have while tracing.
        graph = Graph(record_results(fn), limit)
        if all(graph.outputs[name] in graph.maker for name in names):
            return graph
    return Graph(record_python(fn, limit), limit)


def passed_through(
    fn: Callable[[], Any], limit: Limit | None = None
) -> list[tuple[str, np.ndarray]]:
    """Runs `fn` and lists the functions that return what they are given, as if left to be done.

    Returns:
        The `file:line` where each such function returns, and the value, as far as `limit` allows.

    Raises:
        Exception: whatever `fn` raises.
    """
    with contextlib.suppress(Exception):  # It needs values that jax does not have while tracing.
        traced = _Watcher(limit)
        with contextlib.suppress(TimeoutError):
            jax.make_jaxpr(lambda: traced.call(0, fn))()
        passed = traced.of_users()
        if not any(isinstance(value, Tracer) for _, value in passed):
            return passed
    watcher = _Watcher(limit)
    with contextlib.suppress(TimeoutError):
        watcher.call(0, fn)
    return watcher.of_users()


class _Watcher:
    """What the instrumented functions hand their operations to."""

    def __init__(self, limit: Limit | None) -> None:
        self._limit = limit
        self.equations: list[Equation] = []
        self.constants: dict[int, Any] = {}
        self.passed: list[tuple[str, Any]] = []
        self._slots: dict[int, int] = {}
        self._alive: list[Any] = []
        self._count = 0
        self._line = 0

    def slot(self, value: Any) -> int:
        """The slot of a value; a new one, of a constant, where nothing is known of it."""
        if id(value) not in self._slots:
            self.constants[self._new(value)] = _on_host(value)
        return self._slots[id(value)]

    def _new(self, value: Any) -> int:
        self._alive.append(value)  # So that its id is not given to another object.
        self._slots[id(value)] = self._count
        self._count += 1
        return self._count - 1

    def of_users(self) -> list[tuple[str, Any]]:
        """What a person's own functions passed through, and where."""
        return [(site, value) for site, value in self.passed if is_users(site)]

    # What the instrumented functions call, the line first.

    def call(self, line: int, function: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(function, functools.partial):
            return self.call(
                line, function.func, *function.args, *args, **{**function.keywords, **kwargs}
            )
        if isinstance(function, types.MethodType) and is_instrumentable(function.__func__):
            return self.call(line, function.__func__, function.__self__, *args, **kwargs)
        if _is_instrumented(function) or is_instrumentable(function):
            own = function if _is_instrumented(function) else instrumented(function, self)
            result = own(*args, **kwargs)
            code, given = function.__code__, [*_leaves((args, kwargs))]
            line = code.co_firstlineno if code.co_name == "<lambda>" else self._line
            for own in _leaves(result):
                if _is_array(own) and any(own is x for x in given):
                    value = own if isinstance(own, Tracer) else _on_host(own)
                    self.passed.append((f"{code.co_filename}:{line}", value))
            return result
        if function in _OF_PYTHON or isinstance(function, type):
            return function(*args, **kwargs)
        owner = getattr(function, "__self__", None)
        if _is_array(owner):
            name = function.__name__
            unbound = getattr(function, "__func__", None) or _method(name)
            return self._done(line, name.strip("_"), unbound, (owner, *args), kwargs)
        return self._done(line, getattr(function, "__name__", "call"), function, args, kwargs)

    def returned(self, line: int, value: Any) -> Any:
        self._line = line
        return value

    def binary(self, line: int, name: str, left: Any, right: Any) -> Any:
        if not (_is_number(left) or _is_number(right)):
            return _BINARY[name](left, right)
        return self._done(line, name, _BINARY[name], (left, right), {}, _is_operand)

    def unary(self, line: int, name: str, value: Any) -> Any:
        return self._done(line, name, _UNARY[name], (value,), {})

    def item(self, line: int, value: Any, index: Any) -> Any:
        if not _is_array(value):
            return value[index]
        return self._done(line, "item", operator.getitem, (value, index), {})

    def attribute(self, line: int, value: Any, name: str) -> Any:
        if not _is_array(value):
            return getattr(value, name)
        return self._done(line, name, lambda x: getattr(x, name), (value,), {})

    def set_item(self, line: int, target: Any, index: Any, value: Any) -> None:
        self._done(line, "set_item", operator.setitem, (target, index, value), {})

    def in_place(self, line: int, name: str, target: Any, value: Any) -> Any:
        return self._done(line, name, _IN_PLACE[name], (target, value), {})

    def item_in_place(self, line: int, name: str, target: Any, index: Any, value: Any) -> None:
        old = self.item(line, target, index)
        # In place it would change what the target sees before that is told.
        new = (self.binary if _is_array(target) else self.in_place)(line, name, old, value)
        self.set_item(line, target, index, new)

    def _done(
        self,
        line: int,
        name: str,
        fn: Callable[..., Any],
        args: Any,
        kwargs: Any,
        is_input: Callable[[Any], bool] = lambda x: _is_number(x),
    ) -> Any:
        """Does an operation, and records it if it made or changed arrays."""
        if self._limit is not None:
            self._limit.check()
        leaves = [x for x in _leaves((args, kwargs)) if is_input(x)]
        slots = [self.slot(x) for x in leaves]
        before = [_on_host(x) for x in leaves]
        result = fn(*args, **kwargs)
        made = [x for x in _leaves(result) if _is_number(x)]
        changed = [
            i for i, x in enumerate(leaves) if _is_array(x) and not _equal(_on_host(x), before[i])
        ]
        if name == "set_item" and not changed and leaves and leaves[0] is args[0]:
            changed = [0]  # With other numbers, what is written need not be what was there.
        new = [x for x in made if id(x) not in self._slots] if not changed else []
        if new or changed:
            self._record(line, name, fn, (args, kwargs), leaves, slots, result, new, changed)
        return result

    def _record(
        self, line: int, name: str, fn: Callable[..., Any], given: Any, leaves: list[Any],
        slots: list[int], result: Any, new: list[Any], changed: list[int],
    ) -> None:  # fmt: skip
        order = {id(x): i for i, x in enumerate(leaves)}
        kinds = [_kind(x) for x in leaves]
        numbers = [i for i, x in enumerate(_numbers(result)) if any(x is n for n in new)]

        def again(*values: Any) -> list[Any]:
            own = [kind(value) for kind, value in zip(kinds, values, strict=True)]
            args, kwargs = _replaced(given, order, own)
            found = _numbers(fn(*args, **kwargs))
            results = [own[i] for i in changed] or [found[i] for i in numbers]
            return [_on_host(x) for x in results]

        outputs = tuple(self._new(x) for x in ([leaves[i] for i in changed] or new))
        stack = _stack()
        file = stack[0][0].co_filename
        site = f"{file}:{line}" if is_users(file) else ""
        column = (stack, name, None)
        self.equations.append(
            Equation(
                _PRIMITIVES.get(name, name),
                _params(name, leaves),
                tuple(slots),
                outputs,
                again,
                signature=column,
                site=site,
                whole=True,
                step=None,
                origin=column,
            )
        )


def _is_instrumented(function: Any) -> TypeGuard[types.FunctionType]:
    """Whether a copy defined it, which instruments what is defined inside."""
    return isinstance(function, types.FunctionType) and WATCHER in function.__code__.co_freevars


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


_BINARY: dict[str, Callable[..., Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv,
    "MatMult": operator.matmul, "Pow": operator.pow, "FloorDiv": operator.floordiv,
    "Mod": operator.mod, "BitAnd": operator.and_, "BitOr": operator.or_, "BitXor": operator.xor,
    "LShift": operator.lshift, "RShift": operator.rshift, "Eq": operator.eq, "NotEq": operator.ne,
    "Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge,
}  # fmt: skip
_IN_PLACE: dict[str, Callable[..., Any]] = {
    "Add": operator.iadd, "Sub": operator.isub, "Mult": operator.imul, "Div": operator.itruediv,
    "MatMult": operator.imatmul, "Pow": operator.ipow, "FloorDiv": operator.ifloordiv,
    "Mod": operator.imod, "BitAnd": operator.iand, "BitOr": operator.ior,
    "BitXor": operator.ixor, "LShift": operator.ilshift, "RShift": operator.irshift,
}  # fmt: skip
_UNARY: dict[str, Callable[..., Any]] = {
    "USub": operator.neg, "UAdd": operator.pos, "Invert": operator.invert
}  # fmt: skip
_PRIMITIVES = {
    "Add": "add", "Sub": "sub", "Mult": "mul", "Div": "div", "USub": "neg", "T": "transpose",
    "reshape": "reshape", "astype": "convert_element_type", "stack": "stack",
}  # fmt: skip
# They take arrays and give none, or give back what they got.
_OF_PYTHON = (
    len,
    range,
    zip,
    enumerate,
    reversed,
    isinstance,
    print,
    id,
    type,
    getattr,
    iter,
    next,
)


def _params(name: str, leaves: list[Any]) -> dict[str, Any]:
    if name == "T" and leaves:
        return {"permutation": tuple(range(np.ndim(leaves[0])))[::-1]}
    return {}


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic | jax.Array) or is_tensor(value)


def _is_number(value: Any) -> bool:
    """An array, or a Python float; whole numbers are sizes and places."""
    return _is_array(value) or isinstance(value, float)


def _is_operand(value: Any) -> bool:
    return _is_number(value) or isinstance(value, int)


def _on_host(value: Any) -> Any:
    """A copy, which does not change when the value does."""
    try:
        return np.array(to_numpy(value))
    except TypeError:  # A random key.
        return value


def _kind(value: Any) -> Callable[[Any], Any]:
    """What turns a NumPy array into such a value."""
    if is_tensor(value):
        torch = sys.modules["torch"]
        return lambda x: torch.from_numpy(np.array(x)).to(value.dtype)
    if isinstance(value, jax.Array):
        return lambda x: jax.numpy.asarray(x)
    if isinstance(value, np.ndarray):
        return lambda x: np.array(x)
    return lambda x: np.asarray(x)[()]


def _equal(one: Any, other: Any) -> bool:
    both = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    return not both or np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _leaves(tree: Any) -> Iterable[Any]:
    if isinstance(tree, tuple | list):
        for own in tree:
            yield from _leaves(own)
    elif isinstance(tree, dict):
        yield from _leaves(list(tree.values()))
    else:
        yield tree


def _numbers(tree: Any) -> list[Any]:
    return [x for x in _leaves(tree) if _is_number(x)]


def _replaced(tree: Any, order: dict[int, int], values: list[Any]) -> Any:
    """The arguments with other numbers in them."""
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_replaced(own, order, values) for own in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(_replaced(own, order, values) for own in tree)
    if isinstance(tree, dict):
        return {key: _replaced(own, order, values) for key, own in tree.items()}
    return values[order[id(tree)]] if id(tree) in order else tree
