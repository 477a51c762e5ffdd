from typing import get_args

from compare.checker.reporting.verdicts import MEANINGS, Verdict


def test_every_verdict_has_a_meaning():
    assert set(get_args(Verdict)) == set(MEANINGS)
    assert all(meaning.endswith(".") for meaning in MEANINGS.values())


def test_what_is_inconclusive_may_have_no_difference():
    """As where every entry is 0, or an array is empty."""
    assert "differ" not in MEANINGS["inconclusive"]
