"""Statements of a person's source: what a line assigns to."""

import ast
import linecache

__all__ = ["Sources"]


class Sources:
    """The source files that were asked for, each parsed once."""

    def __init__(self) -> None:
        self._statements: dict[str, list[ast.stmt]] = {}

    def variable(self, site: str) -> str:
        """Names what the statement at `file:line` assigns to, as written; "" if to nothing."""
        statement = self._statement(site)
        match statement:
            case ast.Assign(targets=[target]) | ast.AugAssign(target=target):
                return ast.unparse(target)
            case ast.AnnAssign(target=target):
                return ast.unparse(target)
            case _:
                return ""

    def _statement(self, site: str) -> ast.stmt | None:
        """The smallest statement that has the line."""
        file, _, number = site.rpartition(":")
        if not file:
            return None
        if file not in self._statements:
            self._statements[file] = _statements(file)
        line = int(number)
        around = [s for s in self._statements[file] if s.lineno <= line <= (s.end_lineno or 0)]
        return min(around, key=lambda s: (s.end_lineno or 0) - s.lineno, default=None)


def _statements(file: str) -> list[ast.stmt]:
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):  # No source, or that of a notebook's cell with a magic.
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
