import pytest

from compare.escapes import escaped, first_line


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


@pytest.mark.parametrize(
    ("error", "line", "with_kind"),
    [
        (ValueError("\nfirst\nsecond"), "first", "ValueError: first"),
        (AssertionError(), "AssertionError", "AssertionError"),
        (KeyError(" \n "), "' \\n '", "KeyError: ' \\n '"),
    ],
)
def test_an_error_has_a_first_line_even_without_a_text(error, line, with_kind):
    assert first_line(error) == line
    assert first_line(error, kind=True) == with_kind
