"""A function of a person's, compiled once more so that each of its operations is told.

The copy computes what the original does, on the same objects; only the operations go through a
*watcher*. Nothing of the original, of its module or of the interpreter's tracing is changed.
"""

import ast
import copy
import functools
import itertools
import linecache
import types
from typing import Any, TypeGuard

from compare.sites import is_library

__all__ = ["WATCHER", "instrumented", "is_instrumentable"]

WATCHER = "__watcher__"
"""The free variable of a copy that holds its watcher."""


def is_instrumentable(function: Any) -> TypeGuard[types.FunctionType]:
    """Tells whether it is a function whose source is there and is no library's."""
    return (
        isinstance(function, types.FunctionType)
        and not is_library(function.__code__.co_filename)
        and WATCHER not in function.__code__.co_freevars
        and _node_of(function.__code__, _source_of(function.__code__)) is not None
    )


def instrumented(function: types.FunctionType, watcher: Any) -> types.FunctionType:
    """Makes the copy of a function whose operations are done by `watcher`.

    Raises:
        ValueError: there is no source.
    """
    code = function.__code__
    found = _compiled(code, code.co_filename, _source_of(code))
    if found is None:
        raise ValueError(f"{function.__name__} has no source")
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    cells[WATCHER] = types.CellType(watcher)
    closure = tuple(cells[name] for name in found.co_freevars)
    made = types.FunctionType(
        found, function.__globals__, function.__name__, function.__defaults__, closure
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _source_of(code: types.CodeType) -> str:
    """The text of the whole file that a code was compiled from, as it is now."""
    return "".join(linecache.getlines(code.co_filename))


# A function is called, and a library's asked about, many times a gradient. What is remembered
# follows from the text alone; that the file is in the key too is for `code`, which equals its like.
@functools.lru_cache(maxsize=256)
def _compiled(code: types.CodeType, file: str, source: str) -> types.CodeType | None:
    """The code of the copy: a function inside one that has the same free variables."""
    node = _node_of(code, source)
    if node is None:
        return None
    own = copy.deepcopy(node)
    for default in ("defaults", "kw_defaults"):
        given = getattr(own.args, default)
        setattr(own.args, default, [d and ast.Constant(None) for d in given])
    for arg in ast.walk(own.args):
        if isinstance(arg, ast.arg):
            arg.annotation = None
    if isinstance(own, ast.FunctionDef):  # A function that calls itself means the original.
        own.name = f"{WATCHER}copy"
    own = _Rewriter(_class_of(code)).rewritten(own)
    body: ast.stmt = ast.Expr(own) if isinstance(own, ast.Lambda) else own
    names = [ast.arg(name) for name in (WATCHER, *code.co_freevars)]
    arguments = ast.arguments(
        posonlyargs=[], args=names, kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    factory = ast.FunctionDef("factory", arguments, [body], [])
    module = ast.fix_missing_locations(ast.Module([factory], []))
    outer = compile(module, file, "exec", dont_inherit=True)
    (factory_code,) = (c for c in outer.co_consts if isinstance(c, types.CodeType))
    return next(c for c in factory_code.co_consts if isinstance(c, types.CodeType))


def _class_of(code: types.CodeType) -> str:
    """The class in whose body a code is written, whatever functions are between; "" for none."""
    *outer, _ = code.co_qualname.split(".")
    while outer and outer[-1] == "<locals>":
        del outer[-2:]
    return outer[-1] if outer else ""


@functools.lru_cache(maxsize=16)
def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


@functools.lru_cache(maxsize=256)
def _node_of(code: types.CodeType, source: str) -> ast.FunctionDef | ast.Lambda | None:
    """The definition that a code was compiled from."""
    tree = _parsed(source)
    if tree is None:
        return None
    places = {(line, column) for line, _, column, _ in code.co_positions()}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
        if isinstance(node, ast.Lambda) and code.co_name == "<lambda>":
            body = (node.body.lineno, node.body.col_offset)
            if node.lineno == code.co_firstlineno and body in places:
                return node
    return None


_UNTOUCHED = frozenset({"super", "locals", "globals", "vars", "eval", "exec", "dir"})


class _Rewriter(ast.NodeTransformer):
    """Puts a call of the watcher in the place of every operation."""

    def __init__(self, owner: str) -> None:
        self._owner = owner.lstrip("_")

    def rewritten(self, node: Any) -> Any:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list, node.returns = [], None
            node.body = self._visited(node.body)
            return node
        node.body = self.visit(node.body)
        return node

    def told(self, node: ast.AST, method: str, *args: ast.expr) -> ast.Call:
        """`watcher.method(line, *args)`, at the place of the node."""
        function = ast.Attribute(ast.Name(WATCHER, ast.Load()), method, ast.Load())
        call = ast.Call(function, [ast.Constant(getattr(node, "lineno", 0)), *args], [])
        return ast.copy_location(call, node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        name = ast.Constant(type(node.op).__name__)
        return self.told(node, "binary", name, node.left, node.right)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not):
            return node
        return self.told(node, "unary", ast.Constant(type(node.op).__name__), node.operand)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        name = type(node.ops[0]).__name__
        if len(node.ops) > 1 or name not in ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"):
            return node
        return self.told(node, "binary", ast.Constant(name), node.left, node.comparators[0])

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id in _UNTOUCHED:
            return node
        function = node.func
        if isinstance(function, ast.Attribute):
            # A method is looked up as it is: it knows its own object.
            function.value = self.visit(function.value)
            function.attr = self._private(function.attr)
        else:
            function = self.visit(function)
        args = [self.visit(arg) for arg in node.args]
        call = self.told(node, "call", function, *args)
        call.keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        return call

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        return self.told(node, "item", node.value, _index(node.slice))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = self._private(node.attr)
        if not isinstance(node.ctx, ast.Load):
            return node
        return self.told(node, "attribute", node.value, ast.Constant(node.attr))

    def _private(self, name: str) -> str:
        """The name that Python gives an attribute `__name` in a class."""
        is_private = name.startswith("__") and not name.endswith("__")
        return f"_{self._owner}{name}" if is_private and self._owner else name

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        (target, *others) = node.targets
        if not others and isinstance(target, ast.Subscript):
            return self._set_item(target, node.value, node)
        if any(isinstance(own, ast.Subscript) for t in node.targets for own in _single(t)):
            return self._one_by_one(node)
        if not others and isinstance(target, ast.Tuple | ast.List):
            node.value = self.told(node, "unpacked", node.value, _targets(target))
        if not others and isinstance(target, ast.Name) and isinstance(node.value, ast.Name):
            names = ast.Constant(target.id), ast.Constant(node.value.id)
            node.value = self.told(node, "named", node.value, *names)
        return node

    def _one_by_one(self, node: ast.Assign) -> list[ast.stmt]:
        """`a[i], b = c[j] = value`: to a name of its own each, and then in Python's order."""
        value = f"{WATCHER}value"
        made: list[ast.stmt] = [ast.Assign([ast.Name(value, ast.Store())], node.value)]
        for target in node.targets:
            parts = {own: f"{WATCHER}{i}" for i, own in enumerate(_single(target))}
            taken_apart = _renamed(target, parts)
            made.append(ast.Assign([taken_apart], ast.Name(value, ast.Load())))
            for own, name in parts.items():
                read = ast.Name(name, ast.Load())
                is_item = isinstance(own, ast.Subscript)
                made.append(self._set_item(own, read, node) if is_item else ast.Assign([own], read))
        return [ast.copy_location(statement, node) for statement in made]

    def _set_item(self, target: ast.Subscript, value: ast.expr, node: ast.stmt) -> ast.stmt:
        call = self.told(node, "set_item", target.value, _index(target.slice), value)
        return ast.copy_location(ast.Expr(call), node)

    def _visited(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        seen = [self.visit(statement) for statement in statements]
        return [own for one in seen for own in (one if isinstance(one, list) else [one])]

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        name = ast.Constant(type(node.op).__name__)
        if isinstance(node.target, ast.Subscript):
            target = node.target
            call = self.told(
                node, "item_in_place", name, target.value, _index(target.slice), node.value
            )
            return ast.copy_location(ast.Expr(call), node)
        if isinstance(node.target, ast.Name):
            old = ast.Name(node.target.id, ast.Load())
            call = self.told(node, "in_place", name, old, node.value)
            return ast.copy_location(ast.Assign([node.target], call), node)
        own = node.target.value, ast.Constant(node.target.attr)
        call = ast.Call(self.told(node, "attribute_in_place", name, *own), [node.value], [])
        return ast.copy_location(ast.Expr(ast.copy_location(call, node)), node)

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = self.told(node.iter, "iterated", node.iter, _targets(node.target))
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        if not node.is_async:
            node.iter = self.told(node.iter, "iterated", node.iter, _targets(node.target))
        return node

    def visit_Starred(self, node: ast.Starred) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            node.value = self.told(node.value, "iterated", node.value, ast.Constant(None))
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        if node.value is not None:
            node.value = self.told(node, "returned", node.value)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.value = node.value and self.visit(node.value)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = self._visited(node.body)
        node.returns = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node


def _targets(node: ast.expr) -> ast.Constant:
    """What is unpacked into a target, up to a starred one, in nested tuples; None for no tuple."""

    def of(target: ast.expr) -> Any:
        if not isinstance(target, ast.Tuple | ast.List):
            return None
        own = itertools.takewhile(lambda e: not isinstance(e, ast.Starred), target.elts)
        return tuple(map(of, own))

    return ast.Constant(of(node))


def _single(target: ast.expr) -> list[ast.expr]:
    """What one value each is assigned to, from the left."""
    if isinstance(target, ast.Tuple | ast.List):
        return [own for part in target.elts for own in _single(part)]
    return _single(target.value) if isinstance(target, ast.Starred) else [target]


def _renamed(target: ast.expr, names: dict[ast.expr, str]) -> ast.expr:
    """The target with names in the places of what is assigned to."""
    if isinstance(target, ast.Tuple | ast.List):
        return ast.Tuple([_renamed(part, names) for part in target.elts], ast.Store())
    if isinstance(target, ast.Starred):
        return ast.Starred(_renamed(target.value, names), ast.Store())
    return ast.Name(names[target], ast.Store())


def _index(node: ast.expr) -> ast.expr:
    """An index as an expression of its own: slices are objects."""
    if isinstance(node, ast.Slice):
        parts = [part or ast.Constant(None) for part in (node.lower, node.upper, node.step)]
        return ast.copy_location(ast.Call(ast.Name("slice", ast.Load()), parts, []), node)
    if isinstance(node, ast.Tuple):
        return ast.copy_location(ast.Tuple([_index(e) for e in node.elts], ast.Load()), node)
    return node
