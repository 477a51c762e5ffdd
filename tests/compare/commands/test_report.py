import importlib.util
import json

import pytest

pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")
pytest.importorskip("jinja2", reason="pip install 'handgrad[report]'")

from compare import cli
from compare.commands.options import AGREE, DATA, DISAGREE, USAGE


def run(*argv):
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    return exit_.value.code


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What `gradients xor` writes: the JSON and the page."""
    folder = tmp_path_factory.mktemp("made")
    file, page = folder / "x y.json", folder / "xor.html"
    arguments = ("gradients", "xor", "--dtype", "float64", "--seed", "3")
    assert run(*arguments, "--json", str(file), "--report", str(page)) == AGREE
    return file, page


def test_the_page_and_the_json_show_the_same(made, capsys, tmp_path):
    file, page = made
    again = tmp_path / "again.html"
    assert run("report", "--from", str(file), "--out", str(again)) == AGREE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("AGREE: 2 of 2 comparisons")
    assert lines[-1].startswith("REPORT: ")
    assert again.read_text() == page.read_text()


def test_the_document_says_how_it_came_about(made):
    content = json.loads(made[0].read_text())
    assert content["reproduce"].startswith("handgrad gradients xor --dtype float64 --seed")
    assert "'" in content["reproduce"], "a path with a space is quoted"
    rules = [own["rule"] for own in content["derivations"]]
    assert rules == ["manual.mlp", "dense", "leaky_relu", "sigmoid_binary_cross_entropy"]
    assert "dx = dy wᵀ" in content["derivations"][1]["bwd"]


def test_several_files_on_one_page_and_a_disagreement_exits_1(made, capsys, tmp_path):
    wrong = json.loads(made[0].read_text())
    for result in wrong["results"]:
        result.update(agree=False, verdict="inconclusive")
    other = tmp_path / "wrong.json"
    other.write_text(json.dumps(wrong))
    page = tmp_path / "both.html"
    assert run("report", "--from", str(made[0]), str(other), "--out", str(page)) == DISAGREE
    assert "DISAGREE: 2 of 2 comparisons" in capsys.readouterr().out
    assert "<title>DISAGREE" in page.read_text()


def test_a_file_that_is_none_of_ours_exits_3(capsys, tmp_path):
    file, page = tmp_path / "other.json", tmp_path / "page.html"
    page.write_text("old")
    forged = '{"command": "AGREE: 4 of 4\\nAGREE"}'
    for text in (None, "{", '{"command": "bench"}', forged):
        if text is not None:
            file.write_text(text)
        assert run("report", "--from", str(file), "--out", str(page)) == DATA
        err = capsys.readouterr().err
        assert err.startswith(f"handgrad: --from {file}: is not the JSON of a command (")
        assert len(err.splitlines()) == 1
    assert page.read_text() == "old"


@pytest.mark.parametrize("command", ["gradients", "bench", "mutants"])
def test_what_is_missing_is_said_before_the_work(command, capsys, tmp_path, monkeypatch):
    assert run(command, "--report", str(tmp_path / "no" / "x.html")) == USAGE
    assert "--report" in capsys.readouterr().err
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "jinja2" else found(name)
    )
    assert run(command, "--report", str(tmp_path / "x.html")) == USAGE
    assert "needs jinja2; pip install 'handgrad[report]'" in capsys.readouterr().err


def test_training_has_its_page_and_its_derivations(tmp_path):
    page = tmp_path / "xor.html"
    arguments = ("--epochs", "3", "--method", "both", "--out", str(tmp_path / "run"))
    assert run("train", "xor", *arguments, "--report", str(page)) == AGREE
    kept = json.loads((tmp_path / "run" / "train.json").read_text())
    assert kept["derivations"][0]["rule"] == "manual.mlp"
    text = page.read_text()
    assert "TRAINED" in text
    assert "Distance of the two trajectories" in text
    assert "Decision boundary" in text
