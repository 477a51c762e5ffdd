"""Where in a person's own source an equation comes from."""

import contextlib
import linecache
import os
import sysconfig
from pathlib import Path
from typing import Any

from jax.extend import core

__all__ = ["inner_site", "is_users", "library_call", "shown", "site_of", "source"]

_LIBRARIES = tuple(sysconfig.get_paths()[name] + os.sep for name in ("purelib", "stdlib"))
_OWN = os.path.join(Path(__file__).parent, "")
_GALLERY = os.path.join(_OWN, "mutants", "")
"""Ours too, but written as a person writes: its lines are what a diagnosis of a mutant shows."""


def is_users(file: str) -> bool:
    """Tells whether a file is a person's own: no library's, and none of the checker's."""
    own = file.startswith(_OWN) and not file.startswith(_GALLERY)
    return not own and not file.startswith(_LIBRARIES) and not file.startswith("<frozen")


def site_of(eqn: core.JaxprEqn) -> str:
    """Finds the innermost line of the person's own code that led to an equation.

    Returns:
        `file:line`, or "" where there is none.
    """
    return next((_site(frame) for frame in _frames(eqn) if is_users(frame.file_name)), "")


def library_call(eqn: core.JaxprEqn) -> tuple[str, str]:
    """Finds the person's line, and the library function it calls, that an equation comes from."""
    called = ""
    for frame in _frames(eqn):
        if is_users(frame.file_name):
            return _site(frame), called
        name = frame.function_name.rsplit(".", 1)[-1]
        if "<locals>" not in frame.function_name and not name.startswith("_"):
            called = name
    return "", called


def inner_site(inner: core.ClosedJaxpr, site: str) -> str:
    """Finds where to locate the equations of a call: at `site`, the call, if it is a library's.

    Returns:
        `site`, or "" where each equation has a line of its own in the person's code.
    """
    source = inner.jaxpr.debug_info.func_src_info or ""
    file = source.rsplit(" at ", 1)[-1].rsplit(":", 1)[0]
    return "" if is_users(file) else site


def shown(site: str) -> str:
    """Writes a site as a person finds it: relative to the current folder where it lies below."""
    with contextlib.suppress(ValueError):
        return str(Path(site).relative_to(Path.cwd()))
    return site


def source(site: str) -> str:
    """Reads the line of source at `file:line`; "" if it cannot be read."""
    file, _, number = site.rpartition(":")
    return linecache.getline(file, int(number)).strip() if file else ""


def _site(frame: Any) -> str:
    return f"{frame.file_name}:{frame.line_num}"


def _frames(eqn: core.JaxprEqn) -> list[Any]:
    traceback = eqn.source_info.traceback
    return [] if traceback is None else list(traceback.frames)
