"""The listing as text."""

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


def test_a_long_line_is_cut():
    line = Line("/m.py", 1, "x" * 200, "x", "", "wrong")
    (_, text) = listing_lines([line], ["/m.py:1"])
    assert text.endswith("x…  WRONG")
    assert len(text) < 90
