"""What a line assigns to."""

import pytest

from compare.diagnosis.expressions import Expression
from compare.diagnosis.watching.sources import Sources

TEXT = """
def f(x):
    y = x + 1
    z["a"] = (
        y
        * 2
    )
    z += 1
    w: int = 3
    a = b = y
    return z
"""


@pytest.mark.parametrize(
    ("line", "variable"),
    [(3, "y"), (4, "z['a']"), (6, "z['a']"), (8, "z"), (9, "w"), (10, ""), (11, ""), (99, "")],
)
def test_the_variable_of_a_line(tmp_path, line, variable):
    file = tmp_path / "program.py"
    file.write_text(TEXT)
    assert Sources().variable(f"{file}:{line}") == variable


def test_without_a_source_there_is_none(tmp_path):
    (tmp_path / "broken.py").write_text("def f(:\n")
    assert Sources().variable(f"{tmp_path}/broken.py:1") == ""
    assert Sources().variable("nowhere.py:3") == ""
    assert Sources().variable("") == ""


LOOPS = """
def f(dq, dk, g):
    dh = dq
    dh = dk
    dh += 1
    g["w"] = dq
    g["w"] = dk
    g["b"] = dq
    g["b"] = g["b"] + dk
    g["c"] = dq
    use(g)
    g["c"] = dk
    x = 1
    for i in range(3):
        while True:
            y = i
    x = 2
    return dh
"""


@pytest.mark.parametrize(("line", "loops"), [(16, [15, 14]), (14, [14]), (17, [])])
def test_the_loops_of_a_line(tmp_path, line, loops):
    file = tmp_path / "program.py"
    file.write_text(LOOPS)
    assert Sources().loops(f"{file}:{line}") == [f"{file}:{own}" for own in loops]


def test_what_is_assigned_and_lost(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(LOOPS)
    assert Sources().overwriting(f"{file}:5") == [f"{file}:4", f"{file}:7"]
    assert Sources().overwriting("nowhere.py:3") == []


HANDING = """
def f(dz, kind, *, scale):
    dx = (
        dz
    )
    dx += scale
    return dx, 2 * dz
"""


def test_what_a_function_reads_and_returns(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(HANDING)
    sources = Sources()
    assert sources.function(f"{file}:6") == (str(file), range(2, 8))
    assert sources.lines(f"{file}:4") == (str(file), range(3, 6))
    assert sources.names(f"{file}:3") == {"dz"}
    assert sources.names(f"{file}:6") == {"dx", "scale"}
    assert sources.returns(f"{file}:3") == {"dx", "dz"}
    assert sources.unread(f"{file}:3") == {"kind"}
    assert sources.unread("nowhere.py:3") == sources.names("nowhere.py:3") == set()


ASSIGNED = """
def f(x, y):
    dx = x + (
        y * 2
    )
    dx += y
    a, b = x * 2, dx
    return {
        "x": dx,
        "y": dx * 2,
        "z": [b],
    }, a, f(b)
"""


@pytest.mark.parametrize(
    ("span", "variable"),
    [((3, 5, 9, 5), "dx"), ((4, 4, 8, 13), ""), ((6, 6, 4, 11), "dx"), ((9, 9, 13, 15), "")],
)
def test_the_variable_that_has_an_expression(tmp_path, span, variable):
    file = tmp_path / "program.py"
    file.write_text(ASSIGNED)
    assert Sources().assigned(Expression(str(file), *span)) == variable
    assert Sources().assigned(None) == ""


def test_the_last_result_of_a_line_and_where_a_variable_is_handed_on(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(ASSIGNED)
    sources = Sources()
    assert sources.last_variable(f"{file}:7") == "b"
    assert sources.last_variable(f"{file}:3") == "dx"
    assert sources.handing_on(f"{file}:7", "dx") == f"{file}:9"
    assert sources.handing_on(f"{file}:7", "a") == f"{file}:12"
    # Once before the line and once after it; twice; never.
    assert sources.handing_on(f"{file}:3", "dx") == ""
    assert sources.handing_on(f"{file}:3", "y") == sources.handing_on("nowhere.py:3", "dx") == ""
