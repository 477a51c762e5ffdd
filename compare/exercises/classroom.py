"""Who solved what: one row for the folder of each learner."""

from pathlib import Path

from compare import own
from compare.exercises.attempt import Attempt, attempt
from compare.exercises.exercise import EXERCISES, Exercise
from compare.exercises.folder import files, hints_taken

__all__ = ["COLUMNS", "row"]

COLUMNS = ("folder", "solved", "hints", *(each.path.stem for each in EXERCISES))
"""The head of the table."""


def row(folder: Path) -> dict[str, str]:
    """Checks every exercise of a folder anew, whatever the learner's own notes say.

    Returns:
        Under the name of each exercise `solved`, `unfinished`, `missing`, `error`, or `wrong` and
        the name of the mistake.

    Raises:
        OwnFileError: there is no such folder, or no exercise in it.
    """
    found = files(folder)
    states = {each.path.stem: _state(each, found.get(each)) for each in EXERCISES}
    solved = sum(state == "solved" for state in states.values())
    return {
        "folder": str(folder), "solved": str(solved), "hints": str(hints_taken(folder)), **states
    }  # fmt: skip


def _state(exercise: Exercise, path: Path | None) -> str:
    if path is None:
        return "missing"
    try:
        return _word(attempt(exercise, path))
    except own.OwnFileError:
        return "error"


def _word(came: Attempt) -> str:
    diagnosis = came.report and came.report.diagnosis
    named = diagnosis is not None and diagnosis.bug != "unknown"
    return f"{came.state}: {diagnosis.bug}" if diagnosis and named else came.state
