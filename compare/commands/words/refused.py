"""Words of a command line that cannot be used, each told in one line."""

import contextlib
import difflib
import re
from collections.abc import Iterator
from typing import Any

from compare.commands.options import UsageError

try:
    # tyro has no public way to say it in other words than its own, in a box of many lines.
    from tyro._errors import on_parse_error
except ImportError:  # Older ones have none at all.
    on_parse_error = None

__all__ = ["told_plainly"]


@contextlib.contextmanager
def told_plainly(command: str) -> Iterator[None]:
    """Raises what tyro refuses, in place of its box; what is not known here has the box.

    Args:
        command: its name, for the message.

    Raises:
        UsageError: a word cannot be used.
    """
    if on_parse_error is None:
        yield
        return

    def tell(event: Any) -> None:
        told = ""
        with contextlib.suppress(KeyError, AttributeError):  # Another tyro may tell other things.
            told = _TOLD[type(event).__name__](event, command)
        if told:
            raise UsageError(told)

    with on_parse_error(tell):
        yield


def _choice(event: Any, command: str) -> str:
    # Their own order is that of a set.
    shown = str(event.argument.lowered.metavar)
    choices = sorted((c for c in event.choices if c != "None"), key=shown.find)
    near = difflib.get_close_matches(event.value, choices, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    of = _option(event.argument)
    return f"{of}{event.value}: is no choice; {meant}choose from {', '.join(choices)}"


def _value(event: Any, command: str) -> str:
    if event.argument is None:
        return event.message
    option, shown = _option(event.argument), str(event.argument.lowered.metavar)
    kind = next((kind for kind in _KINDS if kind in shown), None)
    given = re.search(_GIVEN, event.message)
    if kind is None or given is None:
        return f"{option.rstrip()}: {event.message}"
    words = (given["several"] or given["one"]).replace("'", "").replace(",", "")
    of = f"{option}{words}".strip()
    return f"{of}: are no {_KINDS[kind]}s" if " " in words else f"{of}: is no {_KINDS[kind]}"


_KINDS = {"INT": "whole number", "FLOAT": "number"}
"""What the help calls a value, and what it is."""

_GIVEN = r"instantiated from \[(?P<several>.*?)\]|(?:base 10|to float): '(?P<one>.*)'"
"""Where an error of tyro's, or one of Python's, has what was given."""


def _missing_value(event: Any, command: str) -> str:
    of = event.argument
    return f"{_option(of).strip()}: a value is missing after it ({of.lowered.metavar})"


def _missing(event: Any, command: str) -> str:
    missing = " and ".join(_name(each.arg) for each in event.missing_arguments)
    return f"{command}: {missing} is missing; handgrad {command} --help says what that is"


def _further(event: Any, command: str) -> str:
    words = " ".join(event.tokens)
    told = f"{words}: is nothing that {command} takes here"
    if command == "exercises" and event.tokens[-1].isdigit():
        return f"{told}; one alone: handgrad exercises check FOLDER --only {event.tokens[-1]}"
    return f"{told}; handgrad {command} --help lists what it takes"


def _name(argument: Any) -> str:
    """What the help calls an argument; its own name where that is a kind alone."""
    shown = str(argument.lowered.metavar)
    own = str(argument.field.extern_name).upper() if shown in _KINDS else shown
    return f"{_option(argument)}{own}"


def _option(argument: Any) -> str:
    """The first name of an option, with a space; "" for what has no dash."""
    return "" if argument.is_positional() else f"{argument.lowered.name_or_flags[0]} "


_TOLD = {
    "InvalidChoice": _choice,
    "InstantiationFailure": _value,
    "BadValue": _missing_value,
    "MissingArgs": _missing,
    "UnrecognizedArgs": _further,
}
"""How each kind of event is told."""
