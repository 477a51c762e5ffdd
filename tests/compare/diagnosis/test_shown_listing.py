"""The listing as text."""

from dataclasses import replace

from compare.diagnosis.case import Line
from compare.diagnosis.shown_listing import listing_lines

LISTING = [Line("/m.py", n, f"v{n} = {n}", f"v{n}", f"∂L/∂v{n}", "right") for n in range(1, 21)]
LISTING[9] = Line("/m.py", 10, "v10 = 10", "v10", "should be ∂L/∂z", "wrong")


def test_the_neighbourhood_of_the_suspects():
    text = listing_lines(LISTING, ["/m.py:10"])
    assert text[0] == "  the hand-derived side, line by line (/m.py)"
    assert [line.split()[0] for line in text[1:]] == ["7", "8", "9", "▸", "11", "12", "13"]
    assert text[4] == "  ▸   10  v10 = 10  WRONG: should be ∂L/∂z"


def test_gaps_and_other_suspects_are_shown():
    text = listing_lines(LISTING, ["/m.py:10", "/m.py:20"])
    assert "      ..." in text
    assert text[-1] == "  suspected as well: /m.py:20"


def test_all_of_it_or_nothing():
    assert len(listing_lines(LISTING, ["/m.py:10"], verbose=True)) == 1 + len(LISTING)
    assert listing_lines(LISTING, ["/other.py:1"]) == []
    assert listing_lines([], []) == []


def test_a_long_line_has_what_it_computes_below_and_is_cut_at_the_edge():
    lines = [Line("/m.py", 1, "x" * length, "x", "∂L/∂x", "right") for length in (5, 50, 200)]
    lines[1] = replace(lines[1], line=2, what="off by 3.1e-07", status="wrong")
    lines[2] = replace(lines[2], line=3, what=" ".join(["3.25"] * 30))
    _, first, *text = listing_lines(lines, ["/m.py:2"])
    assert first.split() == ["1", "xxxxx", "∂L/∂x"]
    assert text[0].split() == ["▸", "2", "x" * 50]
    assert text[1].split() == ["WRONG:", "off", "by", "3.1e-07"]
    assert text[2].endswith("x…")
    assert " ".join(text[3:]).split() == ["3.25"] * 30, "no number is broken"
    assert max(map(len, text)) <= 76
