import pytest

pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")
pytest.importorskip("jinja2", reason="pip install 'handgrad[report]'")

from compare import cli, explain
from compare.commands.options import AGREE, USAGE


def run(*argv):
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    return exit_.value.code


@pytest.fixture
def quick(monkeypatch):
    """The network of XOR without the one that is ten layers deep."""
    toy = explain.TOYS["xor"]()
    monkeypatch.setitem(explain.TOYS, "xor", lambda *_: toy._replace(networks=toy.networks[:1]))


def test_it_writes_the_page_and_says_so(quick, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("explain", "xor", "--seed", "2") == AGREE
    assert capsys.readouterr().out.splitlines() == ["RECORDED: xor.html"]
    page = (tmp_path / "xor.html").read_text(encoding="utf-8")
    assert "<code>handgrad explain xor --seed 2</code>" in page


def test_a_file_that_cannot_be_written_is_refused_before_the_work(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(explain, "record", None)
    assert run("explain", "xor", "--out", str(tmp_path / "no" / "page.html")) == USAGE
    assert "--out" in capsys.readouterr().err
