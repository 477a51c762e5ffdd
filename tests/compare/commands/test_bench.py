import json

import pytest

from compare import cli, terminal
from compare.benchmark.check_cost import TOO_SLOW, Finished
from compare.benchmark.check_process import Outcome
from compare.benchmark.check_process import run as run_method
from compare.benchmark.checkers import METHODS, OURS, YARDSTICK
from compare.benchmark.limits import Limits
from compare.commands import bench as bench_command
from compare.commands.options import AGREE, DATA, DISAGREE, INTERRUPTED, USAGE

FIELDS = {
    "model", "batch", "dtype", "engine", "median_ms", "min_ms", "compile_ms", "temp_bytes",
    "temp_ratio", "ratio", "ratio_low", "ratio_high", "rounds", "limit_ms", "proof_ms",
    "parameters",
}  # fmt: skip


def run(*argv):
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    return exit_.value.code


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(bench_command, "_QUICK_SECONDS", 0.0)
    # How fast the machine is has a test of its own.
    limits = Limits(bytes=1e10, operations={"float32": 1e11})
    monkeypatch.setattr(bench_command, "measured_limits", lambda dtypes: limits)
    monkeypatch.setenv("COLUMNS", "80")


def test_ratios_then_numbers_then_changes(capsys, tmp_path):
    file = tmp_path / "bench.json"
    arguments = ("bench", "--only", "softplus", "--quick", "--json", str(file))
    assert run(*arguments) == AGREE
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert out.index("manual's time and memory") < out.index("milliseconds of one run")
    content = json.loads(file.read_text())
    assert content["command"] == "bench"
    assert all(set(row) == FIELDS for row in content["results"])
    assert {row["model"] for row in content["results"]} == {"softplus"}

    for row in content["results"]:
        row["ratio"] = row["ratio_low"] = row["ratio_high"] = 1e-9
    file.write_text(json.dumps(content))
    assert run(*arguments[:4], "--against", str(file)) == AGREE
    out = capsys.readouterr().out
    assert "slower" in out
    assert "1 of 1 ratios have changed by more than their spread" in " ".join(out.split())
    assert run(*arguments[:4], "--against", str(file), str(file)) == AGREE
    assert "0.00 (0.00–0.00)" in capsys.readouterr().out


def two_subjects(monkeypatch):
    first, second = bench_command.subjects("residual")
    monkeypatch.setattr(bench_command, "subjects", lambda only, **settings: [first, second])
    return first, second


def test_a_run_that_is_stopped_keeps_what_it_has_and_goes_on(monkeypatch, capsys, tmp_path):
    file, first = tmp_path / "bench.json", two_subjects(monkeypatch)[0]
    assert run("bench", "--quick", "--seconds", "1e-9", "--json", str(file)) == AGREE
    out = " ".join(capsys.readouterr().out.split())
    assert "MEASURED: 1 subject of 2 in the time given; --resume" in out
    begun = json.loads(file.read_text())["results"]
    assert {row["batch"] for row in begun} == {first.batch}

    real, timed = bench_command.measure, []

    def measured(subject, **how):
        timed.append(subject.batch)
        return real(subject, **how)

    monkeypatch.setattr(bench_command, "measure", measured)
    assert run("bench", "--quick", "--resume", str(file)) == AGREE
    last = capsys.readouterr().out.splitlines()[-2:]
    assert "MEASURED: 2 subjects" in last[0]
    assert last[1] == f"WROTE: {file}"
    assert first.batch not in timed
    assert json.loads(file.read_text())["results"][: len(begun)] == begun


def test_what_is_measured_is_written_before_the_next_is(monkeypatch, capsys, tmp_path):
    file, (first, second) = tmp_path / "bench.json", two_subjects(monkeypatch)
    real = bench_command.measure

    def stopped(subject, **how):
        if subject is second:
            assert {r["batch"] for r in json.loads(file.read_text())["results"]} == {first.batch}
            raise KeyboardInterrupt
        return real(subject, **how)

    monkeypatch.setattr(bench_command, "measure", stopped)
    assert run("bench", "--quick", "--json", str(file)) == INTERRUPTED
    assert first.batch in capsys.readouterr().out


def test_two_machines_are_not_put_together(monkeypatch, capsys, tmp_path):
    file = tmp_path / "bench.json"
    two_subjects(monkeypatch)
    assert run("bench", "--quick", "--seconds", "1e-9", "--json", str(file)) == AGREE
    content = json.loads(file.read_text())
    content["environment"]["device_kind"] = "NVIDIA H200"
    file.write_text(json.dumps(content))
    assert run("bench", "--quick", "--resume", str(file)) == DATA
    assert "measured with device_kind NVIDIA H200, this is cpu" in capsys.readouterr().err


def test_a_time_that_is_none(capsys):
    assert run("bench", "--quick", "--seconds", "0") == USAGE
    assert "--seconds 0.0: must be positive" in capsys.readouterr().err


def test_the_scalar_engine_has_its_table(capsys):
    row = {"model": "mlp 2-4-1", "batch": "4", "median_ms": 0.01, "ratio": 1.0, "parameters": 17}
    scalar = {**row, "engine": "scalar", "median_ms": 0.17, "ratio": 0.05}
    rows = [{**row, "engine": "manual"}, {**row, "engine": "autodiff"}, scalar]
    terminal.console().print(terminal.benchmarks.scalar_table(rows))
    out = capsys.readouterr().out
    table = out[out.index("the scalar engine: its time over manual's") :].splitlines()
    assert [line.split() for line in table if line.strip()][-1] == [
        "mlp",
        "2-4-1",
        "4",
        "17",
        "20",
        "10.0",
    ]


def test_a_chart(tmp_path):
    pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")
    file = tmp_path / "bench.svg"
    assert run("bench", "--only", "residual", "--quick", "--plot", str(file)) == AGREE
    assert "</svg>" in file.read_text()


def test_what_is_wrong_is_not_timed(monkeypatch, capsys):
    (subject,) = bench_command.subjects("residual", smallest=True)

    report = subject.prove()

    def wrong():
        return report.__class__(**{**vars(report), "verdict": "manual_wrong"})

    broken = subject._replace(prove=wrong)
    monkeypatch.setattr(bench_command, "subjects", lambda only, **settings: [broken])
    assert run("bench", "--quick") == DISAGREE
    assert "nothing is timed that is wrong" in capsys.readouterr().out
    both = [broken, subject._replace(name="right")]
    monkeypatch.setattr(bench_command, "subjects", lambda only, **settings: both)
    assert run("bench", "--quick") == DISAGREE
    out = capsys.readouterr().out
    assert "nothing is timed that is wrong" in out
    assert "MEASURED: 1 subject; gradients disagree of residual" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "Input data was truncated"),
        ('{"command": "bench", "schema_version": 1, "results": [7]}', "Expected `object`"),
        ('{"command": "gradients", "results": []}', "length >= 1"),
        ("[]", "Expected `object`"),
    ],
)
def test_an_unreadable_earlier_run_exits_3_before_anything_is_timed(
    content, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(bench_command, "measure", lambda *args, **how: pytest.fail("timed"))
    file = tmp_path / "earlier.json"
    if content is not None:
        file.write_text(content)
    assert run("bench", "--quick", "--against", str(file)) == DATA
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_no_such_subject(capsys):
    assert run("bench", "--only", "no-such-subject") == USAGE
    assert "no subject's name contains 'no-such-subject'" in capsys.readouterr().err


def stand_in(method, source, words=(), *, limit=None):
    """Stands in for the processes: chex is too slow, and is wrong about the gallery."""
    if source == "compare.commands.bench:gallery":
        says = ["wrong", "error" if "chex" in method else "right"]
        message = "TypeError: " + "a long word " * 20 if "chex" in method else ""
        return Finished(
            [
                Outcome("a wrong one", False, says[0], "", 1.0, 300.0),
                Outcome("a right one", True, says[1], message, 1.0, 300.0),
            ],
            "",
        )
    if "chex" in method:
        return Finished([], TOO_SLOW)
    right = words[1] == "1.0"
    if right:
        return Finished([Outcome(words[0], right, "right", "", 1234.5, 300.0)], "")
    message = "manual_wrong constant_factor"
    return Finished([Outcome(words[0], right, "wrong", message, 1234.5, 300.0)], "")


@pytest.fixture
def no_processes(monkeypatch):
    monkeypatch.setattr(bench_command.check_cost, "run", stand_in)


def test_the_methods_of_checking_are_measured(no_processes, capsys, tmp_path):
    file = tmp_path / "check.json"
    assert run("bench", "--only", "check", "--json", str(file)) == AGREE
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert out.index("what checking a gradient costs") < out.index("what is found in the gallery")
    assert "named in 9 of 9" in " ".join(out.split())
    assert "> 60" in out
    assert out.splitlines()[-2].startswith("MEASURED")
    content = json.loads(file.read_text())
    needed = {"model", "batch", "engine", "ratio", "ratio_low", "ratio_high", "median_ms"}
    assert all(needed <= set(row) for row in content["results"])
    assert len({row["model"] for row in content["results"]}) == 9 + 1


def test_what_is_measured_is_kept_when_the_gallery_is_not_reached(
    no_processes, tmp_path, monkeypatch
):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_command.check_cost, "detection", stopped)
    file = tmp_path / "check.json"
    with pytest.raises(KeyboardInterrupt):
        bench_command._checks(quick=True, seed=0, json=file)
    assert len({row["model"] for row in json.loads(file.read_text())["results"]}) == 3


def test_the_page_of_a_report_takes_them(no_processes, tmp_path):
    for library in ("matplotlib", "jinja2"):
        pytest.importorskip(library, reason="pip install 'handgrad[report]'")
    file, page = tmp_path / "check.json", tmp_path / "page.html"
    assert run("bench", "--only", "check", "--quick", "--json", str(file)) == AGREE
    assert run("report", "--from", str(file), "--out", str(page)) == AGREE
    assert "gallery of gradients" in page.read_text()


def test_quick_is_three_subjects_and_a_shorter_limit(no_processes, capsys):
    assert run("bench", "--only", "check", "--quick") == AGREE
    out = capsys.readouterr().out
    assert "named in 3 of 3" in " ".join(out.split())
    assert "> 10" in out


def test_the_gallery_has_wrong_gradients_and_right_ones():
    every, few = bench_command.gallery("all", "0"), bench_command.gallery("a few", "0")
    for cases in (every, few):
        assert {case.right for case in cases} == {True, False}
        assert len({case.name for case in cases}) == len(cases)
    assert len(few) < 10 < len(every)
    wrong, right = few[0], few[-1]
    assert run_method(METHODS[OURS], wrong).says == "wrong"
    assert run_method(METHODS[OURS], right).says == "right"
    assert run_method(METHODS[YARDSTICK], right).says == "right"


@pytest.mark.parametrize(
    "option",
    [("--plot", "a.svg"), ("--report", "a.html"), ("--against", "a.json"), ("--platform", "gpu")],
)
def test_the_methods_of_checking_have_fewer_options(option, capsys):
    assert run("bench", "--only", "check", *option) == USAGE
    assert "--only check: runs on the CPU" in capsys.readouterr().err
