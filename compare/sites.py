"""Sites: the lines of the user's source that the equations of a jaxpr come from."""

import contextlib
import functools
import inspect
import linecache
import os
import sys
import sysconfig
import threading
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
from jax.extend import core, source_info_util

__all__ = [
    "at_own_lines", "inner_site", "is_called_by_jax", "is_jaxs", "is_library", "is_of_a_rule",
    "is_refusal", "is_users", "library_call", "raised_at", "shown", "site_of", "source",
]  # fmt: skip

_LIBRARIES = tuple(sysconfig.get_paths()[name] + os.sep for name in ("purelib", "stdlib"))
_JAX = os.path.join(Path(jax.__file__).parent, "")
_OWN = os.path.join(Path(__file__).parent, "")
_MACHINERY = tuple(
    os.path.join("jax", "_src", name)
    for name in (
        "core.py",
        "custom_derivatives.py",
        f"interpreters{os.sep}",
        "pjit.py",
        "source_info_util.py",
        "traceback_util.py",
    )
)
"""Through these goes every equation: nothing that a person calls is in them."""
_STAND_INS = (
    os.path.join(_OWN, "mutants", ""),
    os.path.join(_OWN, "benchmark", "check_subjects.py"),
)
"""These stand in for a user's code: the diagnosis of a mutant shows its lines."""


@functools.cache
def is_users(file: str) -> bool:
    """Tells whether a file is the user's: not a library's, and none of compare's own."""
    own = file.startswith(_OWN) and not file.startswith(_STAND_INS)
    return not own and not file.startswith(_LIBRARIES) and not file.startswith("<frozen")


def is_jaxs(source: str) -> bool:
    """Tells whether a function is JAX's own: `source` is "name at file:line"."""
    return source.rsplit(" at ", 1)[-1].startswith(_JAX)


def is_library(file: str) -> bool:
    """Tells whether a file is an installed library's, other than this one, or the interpreter's."""
    return file.startswith((*_LIBRARIES, "<frozen")) and not file.startswith(_OWN)


def site_of(eqn: core.JaxprEqn) -> str:
    """Finds the innermost line of the user's code that led to an equation.

    Returns:
        `file:line`, or "" where there is none.
    """
    return next((_site(frame) for frame in _frames(eqn) if is_users(frame.file_name)), "")


def library_call(eqn: core.JaxprEqn) -> tuple[str, str]:
    """Finds the user's line that an equation comes from, and the library function called there.

    Returns:
        `file:line` and the function's name, each "" where there is none.
    """
    called = ""
    for frame in _frames(eqn):
        if is_users(frame.file_name):
            return _site(frame), called
        if any(part in frame.file_name for part in _MACHINERY):
            continue
        name = frame.function_name.rsplit(".", 1)[-1]
        if "<locals>" not in frame.function_name and not name.startswith("_"):
            called = name
    return "", called


def is_called_by_jax(eqn: core.JaxprEqn) -> bool:
    """Tells whether a function of JAX's own, such as its softmax, is what calls this primitive."""
    wrappers = (*_MACHINERY, os.path.join("lax", "lax.py"), "tree_util.py", "jax_jit.py")
    callers = (f.file_name for f in _frames(eqn) if not any(w in f.file_name for w in wrappers))
    return next(callers, "").startswith(_JAX)


def is_of_a_rule(codes: Iterable[types.CodeType]) -> bool:
    """Tells whether a half of a `jax.custom_vjp` made an equation whose own line is not known.

    JAX runs a bwd, and under jit a fwd too, as if all that it computes stood in the line that
    called the rule.

    Args:
        codes: of the frames of its traceback, the innermost first.
    """
    for code in codes:
        if not any(part in code.co_filename for part in _MACHINERY):
            return False
        if code.co_name == "process_custom_vjp_call":
            return True
    return False


@contextlib.contextmanager
def at_own_lines() -> Iterator[None]:
    """Has each operation of a rule's halves that is traced inside come from its own line.

    For that time every call of a rule, in whichever thread, is of a copy that computes the same.
    """
    _count(1)
    try:
        with _AT_OWN_LINES(True):  # What jax traced before has other lines, and is not taken.
            yield
    finally:
        _count(-1)


_AT_OWN_LINES = jax.make_user_context(False)
_LOCK = threading.Lock()
_CALL = jax.custom_vjp.__call__
_open = 0


def _count(change: int) -> None:
    global _open
    with _LOCK:
        _open += change
        rules: Any = jax.custom_vjp
        rules.__call__ = _called if _open else _CALL


@functools.wraps(_CALL)
def _called(rule: Any, *args: Any, **kwargs: Any) -> Any:
    if not (rule.fwd and rule.bwd and _is_persons(rule.bwd)):
        return _CALL(rule, *args, **kwargs)
    own: Any = jax.custom_vjp(rule.fun, nondiff_argnums=rule.nondiff_argnums)
    settings = {"symbolic_zeros": rule.symbolic_zeros, "optimize_remat": rule.optimize_remat}
    own.defvjp(_with_own_lines(rule.fwd), _with_own_lines(rule.bwd), **settings)
    return _CALL(own, *args, **kwargs)


def _is_persons(half: Callable[..., Any]) -> bool:
    """Whether a half has lines of a person's; of a library's there is the line of the call."""
    code = getattr(inspect.unwrap(half), "__code__", None)
    return code is None or is_users(code.co_filename)


def _with_own_lines(half: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(half)
    def run(*args: Any) -> Any:
        with source_info_util.user_context(_NO_LINE):  # pyright: ignore[reportArgumentType]
            return half(*args)

    return run


class _NoLine:
    """In place of the traceback of a call: JAX then takes that of each operation."""

    def __bool__(self) -> bool:
        return False

    def as_python_traceback(self) -> None:
        """What JAX would show of the call beside an error."""


_NO_LINE = _NoLine()


def inner_site(inner: core.ClosedJaxpr, site: str) -> str:
    """Finds where to locate the equations inside a call.

    Args:
        inner: what is called.
        site: of the call.

    Returns:
        `site` if a library's function is called; "" if each equation has its own line in the
        user's code, as it has in a loop that compare has put together anew.
    """
    source = inner.jaxpr.debug_info.func_src_info or ""
    file = source.rsplit(" at ", 1)[-1].rsplit(":", 1)[0]
    return "" if is_users(file) or file.startswith(_OWN) else site


def raised_at(error: BaseException) -> str:
    """Finds the innermost line of the user's code on the way to an exception.

    Returns:
        `file:line`, or "" where there is none.
    """
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return next((f"{f.filename}:{f.lineno}" for f in frames if is_users(f.filename)), "")


def is_refusal(error: BaseException) -> bool:
    """Tells whether compare raised an exception itself, and not a function that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith(_OWN)


def shown(site: str) -> str:
    """Shortens a site for display: a notebook's cell by its number, a file from this folder."""
    file, colon, line = site.partition(".py:")
    if cell := _cell(f"{file}.py" if colon else site):
        return f"{cell}:{line}" if line else cell
    with contextlib.suppress(ValueError):
        return str(Path(site).relative_to(Path.cwd()))
    return site


def _cell(file: str) -> str:
    """Names the cell of a notebook that a kernel has made this file of; "" for any other file."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    named = shell.compile.format_code_name(file) if shell else None
    return " ".join(named or ())


def source(site: str) -> str:
    """Reads the line of source at the site `file:line`; "" if it cannot be read."""
    file, _, number = site.rpartition(":")
    return linecache.getline(file, int(number)).strip() if file else ""


def _site(frame: Any) -> str:
    return f"{frame.file_name}:{frame.line_num}"


def _frames(eqn: core.JaxprEqn) -> list[Any]:
    traceback = eqn.source_info.traceback
    return [] if traceback is None else list(traceback.frames)
