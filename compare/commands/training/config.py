"""Takes options of `train` from a TOML file: what it says becomes words of the command line."""

import difflib
import tomllib
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from compare.commands.words.spelling import options, plain
from compare.datasets import DataError
from compare.files import open_regular

__all__ = ["expanded"]

_OPTION, _PROBLEM = "config", "problem"


def expanded(words: Sequence[str], command: Callable[..., Any]) -> list[str]:
    """Puts the options of the file that `--config` names in its place.

    An option that is typed as well is left out, and so is the file's `problem` if one is typed.

    Args:
        words: what was typed after the name of the command.
        command: whose options the file may have, in its signature and in its groups.

    Raises:
        DataError: the file is missing or no TOML, names no option, or a value is of another type.
    """
    file, rest = _taken(words)
    if file is None:
        return list(words)
    listed = list(options(command))
    types = {option.name: option.kind for option in listed}
    aliases = {alias: option.name for option in listed for alias in option.aliases}
    typed = {plain(word, aliases) for word in rest if word.startswith("--")}
    found: dict[str, Any] = {}
    for key, value in _read(file).items():
        name = aliases.get(key.replace("_", "-"), key.replace("_", "-"))
        if name not in types or name == _OPTION:
            [near] = difflib.get_close_matches(key, {*types} - {_OPTION}, 1, 0.0)
            raise DataError(f"{file}: there is no option {key!r}; the nearest is {near!r}")
        if name in found:
            raise DataError(f"{file}: {name} is there twice, the second time as {key}")
        found[name] = _converted(file, name, value, types[name])
    flags = {name for name, kind in types.items() if kind is bool}
    problem = found.pop(_PROBLEM, None)
    if problem is not None and not _has_problem(rest, types[_PROBLEM], flags):
        rest.insert(0, problem)
    return rest + [w for name, v in found.items() if name not in typed for w in _words(name, v)]


def _taken(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Takes `--config FILE` out of the words; None where it is not there, or has no file."""
    for i, word in enumerate(words):
        option, equals, file = word.partition("=")
        if option == f"--{_OPTION}":
            if equals:
                return Path(file), [*words[:i], *words[i + 1 :]]
            if i + 1 < len(words):
                return Path(words[i + 1]), [*words[:i], *words[i + 2 :]]
    return None, list(words)


def _has_problem(words: Sequence[str], kind: Any, flags: set[str]) -> bool:
    """Tells whether one of the words is a problem, and not the value of an option."""
    before = ["", *words]
    return any(
        word in typing.get_args(kind)
        and (not before[i].startswith("--") or "=" in before[i] or plain(before[i], {}) in flags)
        for i, word in enumerate(words)
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        with open_regular(file) as content:
            return tomllib.loads(content.read().decode())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is no TOML: {error}"
        raise DataError(f"--config {file}: {reason}") from None


def _converted(file: Path, name: str, value: Any, kind: Any) -> Any:
    """Returns the value as the option has it."""
    try:
        return msgspec.convert(value, kind, dec_hook=lambda wanted, own: wanted(own))
    except (msgspec.ValidationError, TypeError) as error:
        choices = [c for k in (kind, *typing.get_args(kind)) for c in _choices(k)]
        if choices and isinstance(value, str):
            [near] = difflib.get_close_matches(value, choices, 1, 0.0)
            reason = f"has no choice {value!r}; the nearest is {near!r}"
        else:
            reason = str(error).replace("`", "").replace(" | null", "")
            reason = f"{reason[:1].lower()}{reason[1:]}"
        raise DataError(f"{file}: {name}: {reason}") from None


def _choices(kind: Any) -> tuple[str, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _words(name: str, value: Any) -> list[str]:
    """Writes an option as it would be typed."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, tuple):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={value}"]
