"""Watches plain Python compute: NumPy, PyTorch, or jax with values that are known.

Every operation on arrays becomes an equation as a jaxpr has it, so that the same questions can be
asked: what did this line compute, of what, and what if that were another value.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from compare.diagnosis.expressions import is_in_a_rule
from compare.diagnosis.limits import Limit
from compare.diagnosis.recording.given import on_host
from compare.diagnosis.recording.idle import Idle
from compare.diagnosis.recording.operations import Watcher
from compare.diagnosis.tape import Recording, record_results
from compare.diagnosis.watching.graph import Graph
from compare.sites import at_own_lines
from compare.trees import in_double, largest

__all__ = ["graph_of", "idle_lines", "record_python"]


def record_python(fn: Callable[[], dict[str, Any]], limit: Limit | None = None) -> Recording:
    """Runs `fn() -> arrays by name` once, and records its operations.

    Raises:
        TimeoutError: it takes longer than `limit`.
        Exception: whatever `fn` raises.
    """
    return _recorded(fn, limit)[0]


def _recorded(
    fn: Callable[[], dict[str, Any]], limit: Limit | None
) -> tuple[Recording, dict[str, Any]]:
    """What `fn` does, and what it returns."""
    watcher = Watcher(limit)
    found = watcher.call(0, fn)
    outputs = {name: watcher.slot(value) for name, value in found.items()}
    return Recording(watcher.equations, outputs, watcher.constants), found


def graph_of(fn: Callable[[], dict[str, Any]], names: Iterable[str], limit: Limit) -> Graph:
    """Makes the graph of a function: by its jaxpr or, where that does not have it all, watched.

    A jaxpr has no values that NumPy or PyTorch computed, and no equation for a zero.

    Args:
        fn: `fn() -> arrays by name`.
        names: the results that equations must lead to.
        limit: of the work.

    Raises:
        TimeoutError: it takes longer than `limit`.
        ValueError: what was seen does not give the results again.
        Exception: whatever `fn` raises.
    """
    with contextlib.suppress(Exception):  # It needs values that jax does not have while tracing.
        graph = Graph(_recording(fn), limit)
        if all(graph.outputs[name] in graph.maker for name in names):
            return graph
    recording, found = _recorded(fn, limit)
    graph = Graph(recording, limit)
    for name, value in found.items():
        if not _alike(in_double(graph.values[graph.outputs[name]]), in_double(on_host(value))):
            # An array was changed by way of another that shares its memory.
            raise ValueError(f"the operations that were seen do not give {name} again")
    return graph


def _recording(fn: Callable[[], dict[str, Any]]) -> Recording:
    """What a function computes; once more where a rule is used, for the lines of its halves."""
    recording = record_results(fn)
    if any(is_in_a_rule(e.site, e.origin) for e in recording.equations):
        with contextlib.suppress(Exception), at_own_lines():
            return record_results(fn)
    return recording


def idle_lines(fn: Callable[[], Any], limit: Limit | None = None) -> Idle:
    """Runs `fn` and lists what computes nothing.

    Returns:
        As much as `limit` allows.

    Raises:
        Exception: whatever `fn` raises.
    """
    with contextlib.suppress(Exception):  # It needs values that jax does not have while tracing.
        traced = Watcher(limit, idle=True)
        with contextlib.suppress(TimeoutError):
            jax.make_jaxpr(lambda: traced.call(0, fn))()
        found = traced.idle_of_users()
        named = [x for own in found.handed if own.name for x in own.values]
        if not any(isinstance(x, Tracer) for x in (*named, *(own.value for own in found.passed))):
            return found.of_numbers()
    watcher = Watcher(limit, idle=True)
    with contextlib.suppress(TimeoutError):
        watcher.call(0, fn)
    return watcher.idle_of_users().of_numbers()


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether numbers are the same, to what the order of a sum may change."""
    close = 1e-6 * largest(other[np.isfinite(other)])
    return one.shape == other.shape and np.allclose(one, other, 0, close, equal_nan=True)
