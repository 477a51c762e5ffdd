from website.words import without_numbers


def test_words_are_compared_and_numbers_are_not():
    assert without_numbers("b1  10  3.9e-01\n at (5,)") == without_numbers("b1 10 -4e-1 at (7,)")
    assert without_numbers("example.py:9") != without_numbers("example.py:8")
    assert without_numbers("b1 is WRONG") != without_numbers("b2 is WRONG")
