from typing import Any

import numpy as np
import pytest

from compare.articles import runs
from compare.articles.claim import Claim, Options


def article(**outcomes):
    """An article with one claim, whose outcome each method decides."""
    return runs.Article(
        "", "", lambda options: None,
        lambda setup, method: iter([Claim("c", "1", "2", outcomes[method], {"a": np.ones(2)})]),
    )  # fmt: skip


def rows(monkeypatch, **outcomes):
    monkeypatch.setitem(runs.ARTICLES, "fake", article(**outcomes))
    methods: Any = {name: name for name in outcomes}
    return runs.run("fake", Options(), methods)


def test_a_row_for_each_method_in_plain_types(monkeypatch):
    manual, autodiff = rows(monkeypatch, manual=True, autodiff=True)
    assert (manual["method"], autodiff["method"]) == ("manual", "autodiff")
    assert manual["article"] == "fake"
    assert manual["values"] == {"a": [1.0, 1.0]}
    assert type(manual["values"]["a"]) is list


def test_methods_that_differ_are_named(monkeypatch):
    assert runs.disagreements(rows(monkeypatch, manual=True, autodiff=True)) == []
    assert runs.disagreements(rows(monkeypatch, manual=False, autodiff=False)) == []
    apart = rows(monkeypatch, manual=True, autodiff=False)
    assert runs.disagreements(apart) == ["fake: c"]
    for row in apart:
        row["timed"] = True
    assert runs.disagreements(apart) == []


@pytest.mark.parametrize(
    ("manual", "autodiff", "expected"),
    [(True, True, (1, 0, 0)), (True, False, (0, 1, 0)), (False, False, (0, 1, 0)),
     (None, None, (0, 0, 1))],
)  # fmt: skip
def test_a_claim_holds_if_it_does_by_both(monkeypatch, manual, autodiff, expected):
    own = rows(monkeypatch, manual=manual, autodiff=autodiff)
    assert runs.totals(own) == expected
    for row in own:
        row["published"] = False
    assert runs.totals(own) == (0, 0, 0), "a second run is no published claim"


def test_an_unknown_article_and_missing_data():
    with pytest.raises(ValueError, match="unknown article 'xo'; choose from xor, binary-"):
        runs.run("xo", Options())
    with pytest.raises(ValueError, match="needs MNIST"):
        runs.run("sixty-lines", Options())
