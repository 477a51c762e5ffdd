from typing import get_args

from compare.checker.reporting.verdicts import MEANINGS, Verdict


def test_every_verdict_has_a_meaning():
    assert set(get_args(Verdict)) == set(MEANINGS)
    assert all(meaning.endswith(".") for meaning in MEANINGS.values())
