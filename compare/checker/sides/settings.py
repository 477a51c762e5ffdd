"""JAX's settings, held as they are while a person's function runs."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import jax

__all__ = ["keeping_settings", "kept_settings", "told"]

_P = ParamSpec("_P")
_R = TypeVar("_R", bound=Any)


@contextlib.contextmanager
def kept_settings() -> Iterator[dict[str, str]]:
    """Undoes every change of jax's settings that is made inside, of this thread and of all.

    Yields:
        An empty dictionary, which at the end has what each changed setting had been changed to.
    """
    before = _settings()
    changed: dict[str, str] = {}
    try:
        yield changed
    finally:
        for name, (whole, own) in before.items():
            holder = _holders()[name]
            now = _values(holder)
            if not _same(now[0], whole):
                changed[name] = str(now[0])
                jax.config.update(name, whole)
            if not _same(now[1], own):
                changed[name] = str(now[1])
                holder.set_local(own)


def keeping_settings(check: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorates a check: it leaves the settings as they were, and its report names what it undid.

    The report is a dataclass with `details`, a tuple of sentences.
    """

    @functools.wraps(check)
    def kept(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with kept_settings() as changed:
            report = check(*args, **kwargs)
        if not changed:
            return report
        return dataclasses.replace(report, details=(*report.details, *told(changed)))

    return kept


def told(changed: dict[str, str]) -> list[str]:
    """Writes a sentence for each setting that was changed and is as it was again."""
    return [
        f"jax's setting {name} was changed to {value} by a function under test, and is as it was"
        for name, value in changed.items()
    ]


def _settings() -> dict[str, tuple[Any, Any]]:
    return {name: _values(holder) for name, holder in _holders().items()}


def _holders() -> dict[str, Any]:
    # JAX has no public way to tell a setting of all threads from one of this thread alone.
    return jax.config._value_holders  # pyright: ignore[reportAttributeAccessIssue]


def _values(holder: Any) -> tuple[Any, Any]:
    """The value in all threads, and what this thread has in its place."""
    if hasattr(holder, "get_local"):
        return holder.get_global(), holder.get_local()
    return holder.value, None


def _same(a: Any, b: Any) -> bool:
    return a is b or bool(a == b)
