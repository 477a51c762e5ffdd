"""A learner's folder: its files, which of them are solved, and how many hints were taken.

The last two are kept in a file of the folder, so that what has not changed is not checked again.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compare import own
from compare.exercises.attempt import Attempt, attempt
from compare.exercises.exercise import EXERCISES, Exercise
from compare.files import replacing

__all__ = ["attempts", "files", "hint", "hints_taken", "start"]

_DIGITS = Path(__file__).parent / "lessons" / "digits.npz"
_NOTES = ".handgrad-exercises.json"


def start(folder: Path) -> list[Path]:
    """Writes the exercises that are not in the folder yet, and leaves those that are.

    Returns:
        The files that were written.

    Raises:
        OSError: the folder cannot be made, or a file not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _DIGITS.name).exists():
        shutil.copyfile(_DIGITS, folder / _DIGITS.name)
    missing = [each for each in EXERCISES if not (folder / each.file).exists()]
    for each in missing:
        with replacing(folder / each.file) as file:
            file.write(each.template.encode())
    return [folder / each.file for each in missing]


def files(folder: Path) -> dict[Exercise, Path]:
    """Finds the exercises in a folder, in order.

    Raises:
        OwnFileError: there is no such folder, or no exercise in it.
    """
    if not folder.is_dir():
        alone = f"; one exercise alone is --only {folder}" if str(folder).isdigit() else ""
        raise own.OwnFileError(f"{folder}: there is no such folder{alone}")
    found = {each: folder / each.file for each in EXERCISES if (folder / each.file).exists()}
    if not found:
        raise own.OwnFileError(
            f"{folder}: has no exercises; `handgrad exercises start {folder}` writes them"
        )
    return found


def attempts(folder: Path, only: Exercise | None = None) -> Iterator[Attempt]:
    """Checks the exercises of a folder, up to the first that is not solved.

    What was solved and has not changed since is not checked again.

    Args:
        folder: as `start` wrote it.
        only: check this one alone, anew.

    Yields:
        What came of each.

    Raises:
        OwnFileError: as `files` and `attempt`.
    """
    found = files(folder)
    if only is not None:
        found = {only: folder / only.file}
    for exercise, path in found.items():
        notes = _notes(folder)
        print_ = _fingerprint(exercise, path)
        if only is None and notes["solved"].get(exercise.file) == print_:
            yield Attempt(exercise, path, "solved")
            continue
        came = attempt(exercise, path)
        if came.state == "solved":
            notes["solved"][exercise.file] = print_
            _write(folder, notes)
        yield came
        if came.state != "solved":
            return


def hint(folder: Path, exercise: Exercise) -> list[str]:
    """Unfolds one hint more of an exercise, and returns all that are unfolded now.

    Raises:
        OwnFileError: as `files`.
    """
    files(folder)
    notes = _notes(folder)
    taken = min(notes["hints"].get(exercise.file, 0) + 1, len(exercise.hints))
    notes["hints"][exercise.file] = taken
    _write(folder, notes)
    return list(exercise.hints[:taken])


def hints_taken(folder: Path) -> int:
    """Counts the hints that were unfolded in a folder."""
    return sum(_notes(folder)["hints"].values())


def _notes(folder: Path) -> dict[str, dict[str, Any]]:
    """What is kept; nothing where the file is not there or was damaged."""
    try:
        found = json.loads((folder / _NOTES).read_text(encoding="utf-8"))
        return {key: dict(found[key]) for key in ("solved", "hints")}
    except (OSError, ValueError, KeyError, TypeError):
        return {"solved": {}, "hints": {}}


def _write(folder: Path, notes: dict[str, dict[str, Any]]) -> None:
    with replacing(folder / _NOTES) as file:
        file.write(json.dumps(notes, indent=1).encode())


def _fingerprint(exercise: Exercise, path: Path) -> str:
    """Of the learner's file and of the lesson."""
    text = exercise.source.encode() + (path.read_bytes() if path.exists() else b"")
    return hashlib.sha256(text).hexdigest()
