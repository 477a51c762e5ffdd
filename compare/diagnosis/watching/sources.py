"""Statements of a person's source: what a line assigns to, which loop it is in, what is lost."""

import ast
import linecache
from collections.abc import Iterator

from compare.diagnosis.expressions import Expression

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

    def last_variable(self, site: str) -> str:
        """Names what has the last result of a line: of `a, b = x, y` it is `b`."""
        match self._statement(site):
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(
                names
            ) == len(values):
                return ast.unparse(names[-1])
            case _:
                return self.variable(site)

    def assigned(self, own: Expression | None) -> str:
        """Names the variable that is assigned the whole of an expression; "" if there is none.

        One that is added to has the sum, which is the expression of the whole statement.
        """
        if own is None:
            return ""
        statement = self._statement(f"{own.file}:{own.line}")
        if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            return ""
        value = statement if isinstance(statement, ast.AugAssign) else statement.value
        is_it = value is not None and _span(value) == own[1:]
        return self.variable(f"{own.file}:{own.line}") if is_it else ""

    def handing_on(self, site: str, name: str) -> str:
        """Finds the one line that hands a variable on as it is, in the function of a line, or "".

        Args:
            site: where the variable is computed, before it is handed on.
            name: of the variable.
        """
        file, lines = self.function(site)
        first = int(site.rpartition(":")[2] or 0)
        found = {
            node.lineno
            for statement in self._statements.get(file, ())
            if statement.lineno in lines and isinstance(statement, (ast.Return, ast.Assign))
            for whole in ast.walk(statement)
            for node in _handed(whole)
            if isinstance(node, ast.Name) and node.id == name and node.lineno > first
        }
        return f"{file}:{found.pop()}" if len(found) == 1 else ""

    def loops(self, site: str) -> list[str]:
        """Lists the `for` and `while` that a line is in, the innermost first, as `file:line`."""
        file, _, _ = site.rpartition(":")
        around = [s for s in self._around(site) if isinstance(s, _LOOPS + _FUNCTIONS)]
        loops: list[str] = []
        for statement in sorted(around, key=lambda s: -s.lineno):
            if isinstance(statement, _FUNCTIONS):
                break
            loops.append(f"{file}:{statement.lineno}")
        return loops

    def overwriting(self, site: str) -> list[str]:
        """Lists the assignments, in the function of a line, to what was assigned and never read."""
        file, _, _ = site.rpartition(":")
        around = [s for s in self._around(site) if isinstance(s, _FUNCTIONS)]
        function = max(around, key=lambda s: s.lineno, default=None)
        blocks = [] if function is None else _blocks(function)
        return [f"{file}:{line}" for block in blocks for line in _overwriting(block)]

    def function(self, site: str) -> tuple[str, range]:
        """Finds the lines of the function that a line is in; none where it is in none."""
        file, _, _ = site.rpartition(":")
        around = [s for s in self._around(site) if isinstance(s, _FUNCTIONS)]
        own = max(around, key=lambda s: s.lineno, default=None)
        return file, range(own.lineno, (own.end_lineno or 0) + 1) if own else range(0)

    def lines(self, site: str) -> tuple[str, range]:
        """Finds the lines of the statement at `file:line`."""
        file, _, number = site.rpartition(":")
        own = self._statement(site)
        first, last = (own.lineno, own.end_lineno or own.lineno) if own else (int(number),) * 2
        return file, range(first, last + 1)

    def names(self, site: str) -> set[str]:
        """Lists the variables that the statement at `file:line` reads."""
        statement = self._statement(site)
        nodes = () if statement is None else ast.walk(statement)
        read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            read.add(statement.target.id)
        return read

    def unread(self, site: str) -> set[str]:
        """Lists the parameters that the function of a line never reads."""
        file, _, _ = site.rpartition(":")
        _, lines = self.function(site)
        own = [s for s in self._statements.get(file, ()) if s.lineno in lines]
        function = next((s for s in own if isinstance(s, _FUNCTIONS)), None)
        if function is None:
            return set()
        given = function.args
        names = {arg.arg for arg in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
        read = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        return {name for name in names - read if name != "self" and not name.startswith("_")}

    def returns(self, site: str) -> set[str]:
        """Lists the variables that the function of a line returns, or computes results of."""
        file, lines = self.function(site)
        own = [s for s in self._statements.get(file, ()) if s.lineno in lines]
        return set().union(*(self.names(f"{file}:{s.lineno}") for s in own
                             if isinstance(s, ast.Return)))  # fmt: skip

    def _statement(self, site: str) -> ast.stmt | None:
        """The smallest statement that has the line."""
        around = self._around(site)
        return min(around, key=lambda s: (s.end_lineno or 0) - s.lineno, default=None)

    def _around(self, site: str) -> list[ast.stmt]:
        """The statements that have the line."""
        file, _, number = site.rpartition(":")
        if not file:
            return []
        if file not in self._statements:
            self._statements[file] = _statements(file)
        line = int(number)
        return [s for s in self._statements[file] if s.lineno <= line <= (s.end_lineno or 0)]


_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SIMPLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return)


def _blocks(function: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The lists of statements that are run one after another in a function."""
    for node in ast.walk(function):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                yield block


def _overwriting(block: list[ast.stmt]) -> Iterator[int]:
    """The lines of a block that assign to what was assigned before and not read since."""
    unread: set[str] = set()
    for statement in block:
        if not isinstance(statement, _SIMPLE):
            unread.clear()  # Whatever it reads.
            continue
        own = set(filter(None, map(_name, getattr(statement, "targets", ()))))
        read = {name for node in ast.walk(statement.value or ast.Pass()) if (name := _name(node))}
        if isinstance(statement, ast.AugAssign):
            read.add(_name(statement.target))
        # Who reads the whole reads its parts.
        unread = {name for name in unread if not read & {name, name.split("[")[0]}}
        if own & unread:
            yield statement.lineno
        unread |= own


def _span(node: ast.expr | ast.stmt) -> tuple[int, int | None, int, int | None]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _handed(node: ast.AST) -> Iterator[ast.expr | None]:
    """The expressions that a statement, a display or a call's name takes as they are."""
    match node:
        case ast.Return(value=value) | ast.Assign(value=value) | ast.keyword(value=value):
            yield value
        case ast.Dict(values=values) | ast.Tuple(elts=values) | ast.List(elts=values):
            yield from values
        case _:
            pass


def _name(node: ast.AST) -> str:
    """What an expression is called: `dh`, `grads['w']`; "" if it may be another thing each time."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=key)):
            return f"{name}[{key!r}]"
        case _:
            return ""


def _statements(file: str) -> list[ast.stmt]:
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):  # No source, or that of a notebook's cell with a magic.
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
