import json

import pytest

from compare import cli
from compare.articles import runs
from compare.articles.claim import Claim
from compare.articles.descent import METHODS
from compare.commands import articles as articles_command
from compare.commands.options import AGREE, DISAGREE, USAGE


@pytest.fixture(autouse=True)
def at_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def run(*argv):
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    return exit_.value.code


def test_claimed_beside_measured(capsys, tmp_path):
    file = tmp_path / "articles.json"
    assert run("articles", "xor", "--json", str(file)) == AGREE
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines()[:-1])) <= 80
    last = ["MEASURED: 5 of 6 published claims hold", f"WROTE: {file}"]
    assert out.splitlines()[-2:] == last
    results = json.loads(file.read_text())["results"]
    assert {"article", "claim", "claimed", "measured", "holds", "method", "values"} <= set(
        results[0]
    )
    assert [row["method"] for row in results[:2]] == ["manual", "autodiff"]
    held = {row["claim"]: row["holds"] for row in results}
    assert held["its outputs"] is False
    assert sum(held.values()) == len(held) - 1


def test_methods_that_differ_exit_1(capsys, monkeypatch):
    def claims(setup, method):
        yield Claim("c", "1", "2", method is METHODS["manual"], {"nan": float("nan")})

    fake = runs.ARTICLES["xor"]._replace(claims=claims)
    monkeypatch.setitem(runs.ARTICLES, "xor", fake)
    assert run("articles", "xor") == DISAGREE
    last = "MEASURED: 0 of 1 published claims hold; manual and autodiff DISAGREE: xor: c"
    assert last in " ".join(capsys.readouterr().out.split())
    assert run("articles", "xor", "--method", "autodiff") == AGREE


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("xorr",), "unknown article 'xorr'; choose from xor, binary-classifier, regularised-mlp,"),
        (("xor", "--seed", "-1"), "--seed: must be from 0 to 4294967295, got -1"),
    ],
)
def test_wrong_usage_is_one_line(argv, message, capsys):
    assert run("articles", *argv) == USAGE
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_what_is_shortened_is_said():
    assert articles_command._title("sixty-lines", True).endswith(
        "shortened: 4,100 rows and 101 iterations instead of 41,000 and 750"
    )
    assert "shortened" not in articles_command._title("sixty-lines", False)
