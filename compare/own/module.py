"""Loads a person's file as it is now, and tells which of its lines an error comes from."""

import linecache
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from compare.sites import is_users

__all__ = ["OwnFileError", "changed", "load", "place"]

_OURS = {"manual", "autodiff", "compare"}


class OwnFileError(Exception):
    """A person's file cannot be used; the message is one line that says where and why."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


def load(file: Path) -> ModuleType:
    """Runs a file as a module, anew at each call, with what it imports from its own folder.

    Nothing is written: no compiled file is left beside it.

    Raises:
        OwnFileError: there is no such file, it is none of Python's, or it does not run to its end.
    """
    path = file.absolute()
    if path.is_file() and path.suffix != ".py":
        raise OwnFileError(f"{file}: is no Python file; its name must end in .py")
    try:
        source = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise OwnFileError(f"{file}: is not Python source in UTF-8") from None
    except OSError as error:
        raise OwnFileError(f"{file}: {error.strerror or error}") from None
    linecache.checkcache()
    _forget(path.parent)
    # A name of its own: the file may be called like a library.
    module = ModuleType(f"own {path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise OwnFileError(f"{place(error, path) or file}: {_words(error)}") from error
    finally:
        sys.dont_write_bytecode = before
    return module


def _forget(folder: Path) -> None:
    """Lets go of modules of this folder, so that they are imported as they are now."""
    for name in [
        name for name, module in list(sys.modules.items()) if _is_own(name, module, folder)
    ]:
        del sys.modules[name]


def _is_own(name: str, module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    if name == "__main__" or name.split(".")[0] in _OURS or not file or not is_users(file):
        return False
    return folder in Path(file).parents


def place(error: BaseException, path: Path) -> str:
    """Finds the innermost line of a file that an error went through.

    Returns:
        `file:line`, as short as it can be told here; "" where the error knows no line of it.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{_shown(Path(error.filename))}:{error.lineno}"
    folder = path.absolute().parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if folder in Path(frame.filename).parents and is_users(frame.filename):
            return f"{_shown(Path(frame.filename))}:{frame.lineno}"
    return ""


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if Path.cwd() in path.parents else path


def _words(error: BaseException) -> str:
    """Says what an error is, with the line of source where it is one of syntax."""
    text = str(error.msg if isinstance(error, SyntaxError) else error)
    source = (error.text or "").strip() if isinstance(error, SyntaxError) else ""
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{told}: {source}" if source else told


def changed(files: Sequence[Path], pause: float = 0.2) -> None:
    """Waits until one of these files is saved, or another module of their folders that is loaded.

    Args:
        files: as `load` took them.
        pause: between two looks, in seconds.
    """
    folders = {file.absolute().parent for file in files}
    loaded = [
        Path(str(module.__file__))
        for name, module in list(sys.modules.items())
        if any(_is_own(name, module, folder) for folder in folders)
    ]
    watched = {file.absolute() for file in [*files, *loaded]}
    before = [_stamp(path) for path in watched]
    while [_stamp(path) for path in watched] == before:
        time.sleep(pause)


def _stamp(path: Path) -> tuple[int, int] | None:
    """When a file was saved, and its size; None while there is none, as editors have it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
