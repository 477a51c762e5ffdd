import pytest

from compare.escapes import escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0/w ∂L/∂x", "0/w ∂L/∂x"),
        ("x\nAGREE: 4 of 4 comparisons", r"x\nAGREE: 4 of 4 comparisons"),
        ("\x1b[2J\x9b2J\r", r"\x1b[2J\x9b2J\r"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_does_not_print_is_shown_as_an_escape(text, shown):
    assert escaped(text) == shown
