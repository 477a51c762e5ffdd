"""An exercise: a lesson of `lessons/`, and what of it the learner is given.

A lesson is one Python file with everything: the derivation as its docstring, the forward pass, the
backward pass as we write it, the point to check at, and the hints. The learner is given the same
file without the hints, and with the first line of `backward` alone.
"""

import ast
from pathlib import Path
from typing import NamedTuple

__all__ = ["EXERCISES", "Exercise"]


class Exercise(NamedTuple):
    """One exercise.

    Attributes:
        number: from 1.
        path: of its lesson.
    """

    number: int
    path: Path

    @property
    def file(self) -> str:
        """The name of the learner's file."""
        return self.path.name

    @property
    def source(self) -> str:
        """The whole lesson."""
        return self.path.read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        """The first line of the docstring, without its full stop."""
        text = ast.get_docstring(ast.parse(self.source)) or ""
        return text.splitlines()[0].rstrip(".")

    @property
    def hints(self) -> tuple[str, ...]:
        """The hints, each going further than the one before."""
        return ast.literal_eval(self._hints.value)

    @property
    def solution(self) -> str:
        """The function `backward` as we write it."""
        return ast.get_source_segment(self.source, self._backward) or ""

    @property
    def template(self) -> str:
        """What the learner is given."""
        lines = self.source.splitlines()
        body = self._backward.body
        kept = lines[: body[1].end_lineno]
        following = lines[self._backward.end_lineno : self._hints.lineno - 1]
        text = "\n".join([*kept, "    raise NotImplementedError", *following])
        return f"{text.rstrip()}\n"

    @property
    def _backward(self) -> ast.FunctionDef:
        return next(
            node
            for node in ast.parse(self.source).body
            if isinstance(node, ast.FunctionDef) and node.name == "backward"
        )

    @property
    def _hints(self) -> ast.Assign:
        return next(
            node
            for node in ast.parse(self.source).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HINTS"
        )


EXERCISES = tuple(
    Exercise(int(path.name[:2]), path)
    for path in sorted(
        Path(__file__).parent.glob("lessons/*/[0-9][0-9]_*.py"), key=lambda path: path.name
    )
)
"""Every exercise, in order."""
