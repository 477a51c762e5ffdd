"""Each operator is the one that Python's syntax tree calls so."""

import ast

import pytest

from compare.diagnosis.recording.operators import BINARY, IN_PLACE, UNARY


@pytest.mark.parametrize("name", sorted({*BINARY, *IN_PLACE} - {"MatMult"}))
def test_of_two_numbers(name):
    a, b, own = ast.Constant(13), ast.Constant(3), getattr(ast, name)()
    is_comparison = isinstance(own, ast.cmpop)
    node = ast.Compare(a, [own], [b]) if is_comparison else ast.BinOp(a, own, b)
    expected = eval(compile(ast.fix_missing_locations(ast.Expression(node)), "", "eval"))
    assert BINARY[name](13, 3) == expected
    assert is_comparison or IN_PLACE[name](13, 3) == expected


def test_of_one_number():
    assert {name: fn(5) for name, fn in UNARY.items()} == {"USub": -5, "UAdd": 5, "Invert": ~5}
