"""Every function of the two sides says what it takes and returns, and rules say so consistently."""

import ast
import inspect
import typing
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from manual import rules
from manual.rules import Rule

ROOT = Path(__file__).parents[2]
FILES = sorted(path for side in ("manual", "autodiff") for path in (ROOT / side).rglob("*.py"))
RULES = {name: rule for name, rule in vars(rules).items() if isinstance(rule, Rule)}


def missing(tree: ast.AST) -> Iterator[str]:
    """Every annotation that a function of the tree lacks, lambdas aside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            taken = node.args
            parameters = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs]
            parameters += [p for p in (taken.vararg, taken.kwarg) if p is not None]
            for parameter in parameters:
                if parameter.annotation is None and parameter.arg != "self":
                    yield f"line {node.lineno}: {parameter.arg} of {node.name}"
            if node.returns is None:
                yield f"line {node.lineno}: the result of {node.name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_function_is_annotated(path):
    assert not list(missing(ast.parse(path.read_text(encoding="utf-8"))))


def test_what_is_missing_is_named():
    source = """
class C:
    def f(self, x: int, y, *args: int, key, **others):
        async def nested(): ...
        return lambda z: z
    def __init__(self) -> None: ...
"""
    assert list(missing(ast.parse(source))) == [
        "line 3: y of f",
        "line 3: key of f",
        "line 3: others of f",
        "line 3: the result of f",
        "line 4: the result of nested",
    ]


@pytest.mark.parametrize("name", RULES)
def test_the_halves_of_a_rule_fit_together(name):
    """`fwd(*inputs) -> (out, residuals)`, `bwd(residuals, d_out) -> one cotangent per input`."""
    fwd, bwd = (inspect.signature(half) for half in (RULES[name].fwd, RULES[name].bwd))
    out, residuals = typing.get_args(fwd.return_annotation)
    kept, d_out = list(bwd.parameters.values())[:2]
    assert kept.annotation == residuals
    assert d_out.annotation == out
    inputs = [p for p in fwd.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    cotangents = typing.get_args(bwd.return_annotation)
    assert len(cotangents) == len(inputs)
    for parameter, cotangent in zip(inputs, cotangents, strict=True):
        discrete = parameter.name in {"key", "labels", "lengths", "mask", "positions", "tokens"}
        # An input that may be left out has no cotangent then.
        floating = typing.Any if parameter.default is None else jax.Array
        assert cotangent == (None if discrete else floating), parameter.name
