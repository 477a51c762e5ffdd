import json

import pytest

from compare.benchmark import check_process
from compare.benchmark.check_process import Outcome, main, run
from compare.benchmark.checkers import YARDSTICK, Case, Method

CASE = Case("a case", max, max, None, (), right=False)
SUBJECT = "compare.benchmark.check_subjects:case"


def test_it_says_ready_and_then_one_line_of_json(capsys):
    main([YARDSTICK, SUBJECT, "MLP 2-4-2", "1.0", "0"])
    ready, line = capsys.readouterr().out.splitlines()
    assert ready == "ready"
    outcome = Outcome(**json.loads(line))
    assert (outcome.case, outcome.right, outcome.says) == ("MLP 2-4-2", True, "right")
    assert outcome.seconds > 0
    assert outcome.peak_mb > 50


@pytest.mark.parametrize(
    ("error", "says", "message"),
    [
        (None, "right", ""),
        (AssertionError("off\n  by two"), "wrong", "off by two"),
        (TypeError("no integers"), "error", "TypeError: no integers"),
        (ValueError("x" * 900), "error", "ValueError: " + "x" * 188),
    ],
)
def test_an_error_is_what_the_method_says(error, says, message):
    def check(*_):
        if error is not None:
            raise error

    outcome = run(Method(check), CASE)
    assert (outcome.says, outcome.message, outcome.right) == (says, message, False)


def test_the_library_is_imported_before_the_cases_are_drawn(monkeypatch):
    monkeypatch.setitem(check_process.METHODS, "other", Method(print, library="no_such_library"))
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        main(["other", "no.such:cases"])
