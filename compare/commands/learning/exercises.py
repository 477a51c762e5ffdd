"""The command `exercises`: backward passes to write, checked with the mistake named."""

import csv
import io
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from compare import exercises as lessons
from compare import own, terminal
from compare.commands.options import (
    AGREE,
    DISAGREE,
    OptionalPath,
    UsageError,
    not_given,
    require_writable,
)
from compare.datasets import DataError
from compare.files import replacing

__all__ = ["exercises"]

_PATIENCE_SECONDS = 20
_NO_END = "handgrad: this has run for a while; does a loop of yours never end? Ctrl-C stops"


@dataclass(frozen=True)
class Start:
    """Write the exercises into a folder; files that are there already are left as they are."""

    folder: tyro.conf.Positional[Path] = Path("exercises")
    """where; it is made if there is none."""


@dataclass(frozen=True)
class Check:
    """Check all in order, up to the first that is not right.

    The exit code is 0 if all are right, 1 if one is wrong or still to be written, and 3 if a file
    does not run or is not the exercise any more.
    """

    folder: tyro.conf.Positional[Path] = Path()
    """with the exercises."""
    only: Annotated[int | None, not_given("NUMBER")] = None
    """the number of one exercise, to check it alone."""


@dataclass(frozen=True)
class Watch:
    """Check, and check again whenever a file is saved; Ctrl-C ends it."""

    folder: tyro.conf.Positional[Path] = Path()
    """with the exercises."""


@dataclass(frozen=True)
class Hint:
    """Unfold one hint more of an exercise."""

    number: tyro.conf.Positional[int]
    """of the exercise."""
    folder: tyro.conf.Positional[Path] = Path()
    """with the exercises."""


@dataclass(frozen=True)
class Solution:
    """Show how we write the backward pass of an exercise."""

    number: tyro.conf.Positional[int]
    """of the exercise."""


@dataclass(frozen=True)
class Table:
    """For teachers: who solved what, as CSV. It runs what is in the folders."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """of the learners, one each."""
    csv: OptionalPath = None
    """write the table to this file; to standard output if not given."""


Action = Start | Check | Watch | Hint | Solution | Table
_HERE = Check()


def exercises(action: tyro.conf.OmitSubcommandPrefixes[Action] = _HERE) -> int:
    """Write backward passes in NumPy, and be told the mistake: for learning and teaching.

    Begin with `handgrad exercises start`. Without a word after it, what is here is checked.
    """
    try:
        match action:
            case Start(folder):
                return _start(folder)
            case Check(folder, only):
                return _check(folder, None if only is None else _numbered(only))
            case Watch(folder):
                return _watch(folder)
            case Hint(number, folder):
                return _hint(_numbered(number), folder)
            case Solution(number):
                print(_numbered(number).solution)
                return AGREE
            case Table(folders, file):
                return _table(folders, file)
    except own.OwnFileError as error:
        raise DataError(str(error)) from error


def _numbered(number: int) -> lessons.Exercise:
    found = next((each for each in lessons.EXERCISES if each.number == number), None)
    if found is None:
        last = lessons.EXERCISES[-1].number
        raise UsageError(f"there is no exercise {number}; they are numbered 1 to {last}")
    return found


def _start(folder: Path) -> int:
    written = lessons.start(folder)
    console = terminal.console()
    console.print(f"{folder}: {len(written)} exercises written", markup=False)
    if written:
        console.print(
            f"\nOpen {written[0]}, write its backward pass, and type\n\n"
            f"  handgrad exercises check {folder}\n\n"
            f"or, in a second window, handgrad exercises watch {folder}",
            markup=False,
        )
    return AGREE


def _check(folder: Path, only: lessons.Exercise | None = None) -> int:
    console = terminal.console()
    solved, last = 0, None
    with terminal.progress("checking") as status:
        for last in _patiently(lessons.attempts(folder, only)):
            solved += last.state == "solved"
            line = terminal.exercises.line(
                last.exercise.number, last.exercise.title, last.state, last.learned
            )
            terminal.print_above(status, console, line)
    assert last is not None
    if only is None:
        console.print(terminal.exercises.bar(solved, len(lessons.EXERCISES)))
    if last.state == "solved":
        console.print(f"\nAGREE: {'every one' if only is None else 'it'} is right")
        return AGREE
    console.print(f"\n{lessons.message(last)}", markup=False, soft_wrap=True)
    return DISAGREE


def _patiently(attempts: Iterable[lessons.Attempt]) -> Iterator[lessons.Attempt]:
    """Yields the attempts, and says of one that takes long what may be the matter."""
    waiting = iter(attempts)
    while True:
        timer = threading.Timer(_PATIENCE_SECONDS, print, [_NO_END], {"file": sys.stderr})
        timer.daemon = True
        timer.start()
        try:
            attempt = next(waiting, None)
        finally:
            timer.cancel()
        if attempt is None:
            return
        yield attempt


def _watch(folder: Path) -> int:
    code = DISAGREE
    try:
        while True:
            try:
                code = _check(folder)
            except own.OwnFileError as error:
                print(f"handgrad: {error}", file=sys.stderr)
            found = lessons.files(folder)
            print(f"\nwatching {folder}; Ctrl-C ends\n", file=sys.stderr)
            own.changed(list(found.values()))
    except KeyboardInterrupt:
        return code


def _hint(exercise: lessons.Exercise, folder: Path) -> int:
    unfolded = lessons.hint(folder, exercise)
    console = terminal.console()
    for i, text in enumerate(unfolded, 1):
        console.print(f"{i} of {len(exercise.hints)}: {text}\n", markup=False)
    return AGREE


def _table(folders: tuple[Path, ...], file: Path | None) -> int:
    require_writable("--csv", file)
    if not folders:
        raise UsageError("name the folders of the learners")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, lessons.COLUMNS, lineterminator="\n")
    writer.writeheader()
    with terminal.progress("checking") as status:
        for folder in folders:
            status.update(f"checking {folder}")
            writer.writerow(lessons.row(folder))
    if file is None:
        print(text.getvalue(), end="")
    else:
        with replacing(file) as out:
            out.write(text.getvalue().encode())
    return AGREE
