"""The options of a command by their names, and what a word that is none of them was meant to be."""

import dataclasses
import difflib
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tyro

__all__ = ["Option", "misspelt", "options", "plain", "valued"]


class Option(NamedTuple):
    """An argument of a command: its name and further names, its type, and whether it has a dash."""

    name: str
    aliases: tuple[str, ...]
    kind: Any
    positional: bool


def options(command: Callable[..., Any]) -> Iterator[Option]:
    """Lists the arguments of a command, those of its groups and subcommands among them."""
    for name, kind in typing.get_type_hints(command, include_extras=True).items():
        bare, *metadata = typing.get_args(kind) if hasattr(kind, "__metadata__") else (kind,)
        groups = [k for k in (bare, *typing.get_args(bare)) if dataclasses.is_dataclass(k)]
        for group in groups:
            yield from options(typing.cast(Any, group))
        if not groups and name != "return":
            renamed = [each.name for each in metadata if getattr(each, "name", None)]
            aliases = [a for each in metadata for a in getattr(each, "aliases", None) or ()]
            names = [n.lstrip("-").replace("_", "-") for n in (*(renamed or [name]), *aliases)]
            yield Option(names[0], tuple(names[1:]), bare, tyro.conf.Positional in metadata)


def plain(word: str, aliases: Mapping[str, str]) -> str:
    """Returns the name of the option that a word sets."""
    name = word.partition("=")[0].lstrip("-").replace("_", "-").removeprefix("no-")
    return aliases.get(name, name)


def valued(words: Sequence[str], function: Callable[..., Any]) -> str:
    """Tells of the first flag that is given a value; "" if there is none.

    The value would be taken for another argument, and the flag be set.
    """
    flags = {option.name for option in options(function) if option.kind is bool}
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name = plain(word, {})
        if word.startswith("--") and name in flags and ("=" in word or following in _TRUTHS):
            return f"{word.partition('=')[0]}: takes no value; write --{name} or --no-{name}"
    return ""


_TRUTHS = {"True", "False", "true", "false"}


def misspelt(words: Sequence[str], command: str, function: Callable[..., Any]) -> str:
    """Tells of the first word that is no option of a command, and the nearest; "" if all are."""
    known = [n for o in options(function) if not o.positional for n in (o.name, *o.aliases)]
    wrong = [w for w in words if w.startswith("--") and plain(w, {}) not in (*known, "help", "")]
    if not wrong:
        return ""
    near = difflib.get_close_matches(plain(wrong[0], {}), known, n=1)
    meant = f"did you mean --{near[0]}?" if near else f"handgrad {command} --help lists them"
    return f"{wrong[0].partition('=')[0]}: is no option of {command}; {meant}"
