import json
import signal
import time

import pytest

from compare import cli
from compare.articles import ARTICLES
from compare.articles.claim import Claim
from compare.commands import articles, gradients
from compare.commands.options import INTERRUPTED


def test_a_signal_leaves_what_is_done_and_says_where(start, tmp_path):
    file = tmp_path / "mutants.json"
    process = start("mutants", "mlp-bias", "--json", file)
    first = next(line for line in process.stdout if line.startswith(" mlp-bias"))
    end = time.monotonic() + 60
    while not file.is_file() and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert process.returncode == INTERRUPTED
    assert err == f"handgrad: interrupted; what is done is in {file}\n"
    done = json.loads(file.read_text())["results"]
    assert first.split()[0] in done[0]["mutant"], "a row is shown as soon as it is there"
    assert "DETECTED" not in out


def stopped_at(wanted, real):
    """Does as `real` until `wanted` comes, and is interrupted there."""

    def stand_in(first, *further):
        if first == wanted or getattr(first, "name", None) == wanted:
            raise KeyboardInterrupt
        return real(first, *further)

    return stand_in


def test_gradients_and_articles_keep_each_result_before_the_next(monkeypatch, capsys, tmp_path):
    quick = ARTICLES["xor"]._replace(claims=lambda *_: iter([Claim("c", "1", "1", True, {})]))
    monkeypatch.setitem(ARTICLES, "xor", quick)
    monkeypatch.setattr(articles, "run", stopped_at("binary-classifier", articles.run))
    monkeypatch.setattr(gradients, "_compare", stopped_at("parity", gradients._compare))
    for words, shown in (
        (("articles", "--dataset", "mnist5k"), "xor: 2-4-1"),
        (("gradients", "xor", "parity", "--dtype", "float64"), "xor: mlp"),
    ):
        file = tmp_path / f"{words[0]}.json"
        with pytest.raises(SystemExit) as exit_:
            cli.main([*words, "--json", str(file)])
        assert exit_.value.code == INTERRUPTED
        done = json.loads(file.read_text())["results"]
        assert {row.get("article", row.get("problem")) for row in done} == {"xor"}
        assert shown in capsys.readouterr().out


def test_two_outputs_in_one_file_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["gradients", "xor", "--json", "a", "--report", str(tmp_path / "a")])
    assert exit_.value.code == 2
    assert "--json and --report are both a: give each a file of its own" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
