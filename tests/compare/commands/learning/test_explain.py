import pytest

pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")
pytest.importorskip("jinja2", reason="pip install 'handgrad[report]'")

from compare import cli, explain
from compare.commands.learning import explain as command
from compare.commands.options import AGREE, USAGE


def run(*argv):
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    return exit_.value.code


def test_it_writes_the_page_of_the_recording_and_says_so(monkeypatch, tmp_path, capsys):
    asked = []

    def record(toy, seed):
        asked.append((toy.name, seed))
        about = {"problem": toy.name, "picture": None, "recordings": []}
        return {**about, "examples": toy.examples, "dataset": toy.dataset}

    monkeypatch.setattr(explain, "record", record)
    monkeypatch.chdir(tmp_path)
    assert run("explain", "xor", "--seed", "2") == AGREE
    assert asked == [("xor", 2)]
    said = ["MEASURED: a training on xor, seed 2", "WROTE: xor.html"]
    assert capsys.readouterr().out.splitlines() == said
    page = (tmp_path / "xor.html").read_text(encoding="utf-8")
    assert "<code>handgrad explain xor --seed 2</code>" in page


def test_a_file_that_cannot_be_written_is_refused_before_the_work(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(explain, "record", None)
    assert run("explain", "xor", "--out", str(tmp_path / "no" / "page.html")) == USAGE
    assert "--out" in capsys.readouterr().err


def test_a_chart_says_what_was_measured_on_which_data(monkeypatch, tmp_path, capsys):
    result = {"rate": 0.1, "steps": [0, 10], "dead": [0.0, 0.5]}
    chart = command._CHARTS["dead-relus"]
    monkeypatch.setitem(
        command._CHARTS, "dead-relus", chart._replace(measure=lambda data, seed: [result])
    )
    monkeypatch.chdir(tmp_path)
    assert run("explain", "dead-relus", "--dataset", "mnist5k") == AGREE
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["MEASURED: dead-relus on mnist5k, seed 1", "WROTE: dead-relus.svg"]
    assert (tmp_path / "dead-relus.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("problem", "file", "formats"),
    [("norms", "norms.html", ".svg or .png or .pdf"), ("xor", "page.txt", ".html")],
)
def test_a_file_in_an_unknown_format_is_refused_before_the_work(problem, file, formats, capsys):
    assert run("explain", problem, "--out", file) == USAGE
    assert capsys.readouterr().err == f"handgrad: --out {file}: must end in {formats}\n"
