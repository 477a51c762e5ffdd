import pytest

from compare.benchmark import check_cost
from compare.benchmark.check_cost import TOO_SLOW, Finished, costs, detection, run
from compare.benchmark.check_process import Outcome, peak_mb
from compare.benchmark.check_subjects import SUBJECTS
from compare.benchmark.checkers import OURS, YARDSTICK

CASES = "compare.benchmark.check_subjects:case"
SUBJECT = SUBJECTS[0]


def test_a_method_runs_in_a_process_of_its_own():
    ballast = bytearray(b"1") * 500_000_000
    (outcome,), ended = run(YARDSTICK, CASES, [SUBJECT.name, "1.0", "0"], limit=300)
    assert ended == ""
    assert (outcome.says, outcome.right) == ("right", True)
    assert outcome.seconds > 0
    assert 50 < outcome.peak_mb < peak_mb() - 0.5 * len(ballast) / 1e6


def test_what_takes_too_long_is_ended():
    large = next(subject for subject in SUBJECTS if "2048" in subject.name)
    assert run(OURS, CASES, [large.name, "1.0", "0"], limit=0.01) == Finished([], TOO_SLOW)


def test_a_process_that_fails_says_why():
    outcomes, ended = run(YARDSTICK, CASES, ["no such subject", "1.0", "0"])
    assert outcomes == []
    assert ended.startswith("exit code 1: ValueError: not enough values to unpack")


@pytest.fixture
def processes(monkeypatch):
    """Stands in for the processes: `answers[method, factor]` is a list of what each gives."""
    answers, started = {}, []

    def stand_in(method, source, words=(), *, limit=None):
        started.append(method if words[1] == "1.0" else f"{method}, {words[1]}")
        return answers[method, words[1]].pop(0)

    monkeypatch.setattr(check_cost, "run", stand_in)
    return answers, started


def took(seconds, says="right", message=""):
    return Finished([Outcome("a case", True, says, message, seconds, 100 * seconds)], "")


def test_methods_take_turns_and_ratios_are_of_the_medians(processes):
    answers, started = processes
    answers[YARDSTICK, "1.0"] = [took(1.0), took(2.0), took(4.0)]
    answers[OURS, "1.0"] = [took(3.0), took(5.0), took(4.0)]
    answers[OURS, "1.5"] = [took(6.0, "wrong", "manual_wrong constant_factor") for _ in range(3)]
    yardstick, right, wrong = costs(SUBJECT, [YARDSTICK, OURS], rounds=3, limit=60)
    assert started == 3 * [YARDSTICK, OURS, f"{OURS}, 1.5"]
    assert (yardstick.median_ms, yardstick.ratio, yardstick.says) == (2000, 1.0, "")
    assert (right.median_ms, right.ratio, right.peak_mb, right.rounds) == (4000, 2.0, 400, 3)
    assert (right.ratio_low, right.ratio_high) == (1.75, 2.75)
    assert (wrong.engine, wrong.says, wrong.message) == (
        "check_gradients, ×1.5", "wrong", "manual_wrong constant_factor"
    )  # fmt: skip


def test_what_is_too_slow_or_fails_has_no_other_turn_and_no_number(processes):
    answers, started = processes
    answers[YARDSTICK, "1.0"] = [took(1.0), took(1.0)]
    answers[OURS, "1.0"] = [took(1.0), Finished([], TOO_SLOW)]
    answers[OURS, "1.5"] = [Finished([], "exit code -9: no message")]
    answers["other", "1.0"] = [took(1.0, "error", "TypeError: integers")]
    rows = list(costs(SUBJECT, [YARDSTICK, OURS, "other"], rounds=2, limit=7))
    assert [row.says for row in rows] == ["", TOO_SLOW, "error", "error"]
    assert [row.message for row in rows[2:]] == ["exit code -9: no message", "TypeError: integers"]
    for row in rows[1:]:
        assert row.median_ms is row.ratio is row.ratio_low is row.ratio_high is row.peak_mb is None
        assert row.limit_s == 7
    assert started.count("other") == 1


def test_without_a_yardstick_there_is_no_ratio(processes):
    answers, _ = processes
    answers[YARDSTICK, "1.0"] = [Finished([], TOO_SLOW)]
    answers[OURS, "1.0"] = answers[OURS, "1.5"] = [took(1.0), took(1.0)]
    with pytest.raises(RuntimeError, match=f"{YARDSTICK}: {TOO_SLOW}"):
        list(costs(SUBJECT, [YARDSTICK, OURS], rounds=1, limit=7))


def test_what_is_found_in_a_gallery_is_counted(monkeypatch):
    said = [
        ("a", False, "wrong", ""), ("b", False, "right", ""), ("c", False, "error", "TypeError: c"),
        ("d", True, "right", ""), ("e", True, "wrong", ""), ("f", True, "error", "TypeError: f"),
        ("g", False, "wrong", ""),
    ]  # fmt: skip
    outcomes = [Outcome(*words, float(i), 1.0) for i, words in enumerate(said)]
    monkeypatch.setattr(check_cost, "run", lambda *_: Finished(outcomes, ""))
    found = detection("a method", "a:gallery")
    assert (found.wrong, found.detected, found.correct, found.false_alarms) == (4, 2, 3, 1)
    assert (found.missed, found.accused) == (["b"], ["e"])
    assert (found.errors, found.messages) == (2, ["c: TypeError: c", "f: TypeError: f"])
    assert found.median_ms == 3000


def test_a_gallery_that_is_not_finished_is_not_counted(monkeypatch):
    ended = Finished([Outcome("a", True, "right", "", 1.0, 1.0)], "exit code -9: no message")
    monkeypatch.setattr(check_cost, "run", lambda *_: ended)
    with pytest.raises(RuntimeError, match="exit code -9: no message, after 1 gradients"):
        detection("a method", "a:gallery")
