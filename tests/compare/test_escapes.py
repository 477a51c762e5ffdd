import pytest

from compare.escapes import escaped, first_line, first_sentence


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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("It has no rule. Try using\nanother", "It has no rule"),
        ("x.dtype of 0.5 is no float.", "x.dtype of 0.5 is no float"),
        ("a" * 120, "a" * 120),
        ("a" * 121, "a" * 119 + "…"),
        ("", "ValueError"),
    ],
)
def test_the_first_sentence_of_an_error_is_whole_or_marked(text, told):
    assert first_sentence(ValueError(text)) == told
