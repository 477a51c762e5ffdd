"""What a line assigns to."""

import pytest

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
