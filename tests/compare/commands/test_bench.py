import json

import pytest

from compare import cli
from compare.commands import bench as bench_command
from compare.commands.options import AGREE, DISAGREE, USAGE

FIELDS = {
    "model", "batch", "dtype", "engine", "median_ms", "min_ms", "compile_ms", "temp_bytes",
    "temp_ratio", "ratio", "ratio_low", "ratio_high", "rounds",
}  # fmt: skip


def run(*argv):
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    return exit_.value.code


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(bench_command, "_QUICK_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", "80")


def test_ratios_then_numbers_then_changes(capsys, tmp_path):
    file = tmp_path / "bench.json"
    arguments = ("bench", "--only", "leaky", "--quick", "--json", str(file))
    assert run(*arguments) == AGREE
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.index("manual's time and memory") < out.index("milliseconds of one run")
    content = json.loads(file.read_text())
    assert content["command"] == "bench"
    assert all(set(row) == FIELDS for row in content["results"])
    assert {row["model"] for row in content["results"]} == {"leaky_relu"}

    for row in content["results"]:
        row["ratio"] = row["ratio_low"] = row["ratio_high"] = 1e-9
    file.write_text(json.dumps(content))
    assert run(*arguments[:4], "--against", str(file)) == AGREE
    out = capsys.readouterr().out
    assert "slower" in out
    assert "2 of 2 ratios have changed by more than their spread" in " ".join(out.split())


def test_a_chart(tmp_path):
    pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")
    file = tmp_path / "bench.svg"
    assert run("bench", "--only", "residual", "--quick", "--plot", str(file)) == AGREE
    assert "</svg>" in file.read_text()


def test_what_is_wrong_is_not_timed(monkeypatch, capsys):
    (subject,) = bench_command.subjects("residual", smallest=True)

    def wrong():
        return subject.prove().__class__(**{**vars(subject.prove()), "verdict": "manual_wrong"})

    broken = subject._replace(prove=wrong)
    monkeypatch.setattr(bench_command, "subjects", lambda only, **settings: [broken])
    assert run("bench", "--quick") == DISAGREE
    assert "nothing is timed that is wrong" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "Expecting property name"),
        ('{"command": "gradients", "results": []}', "another command's results"),
        ('{"command": "bench", "results": [{"model": "relu"}]}', "another command's results"),
        ("[]", "list indices"),
    ],
)
def test_an_unreadable_earlier_run_exits_2(content, message, tmp_path, capsys):
    file = tmp_path / "earlier.json"
    if content is not None:
        file.write_text(content)
    assert run("bench", "--quick", "--against", str(file)) == USAGE
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_no_such_subject(capsys):
    assert run("bench", "--only", "no-such-subject") == USAGE
    assert "no subject's name contains 'no-such-subject'" in capsys.readouterr().err
