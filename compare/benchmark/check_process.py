"""Runs one method of checking a gradient, as a program, in a process of its own.

    python -m compare.benchmark.check_process METHOD CASES [WORD ...]

`CASES` is a function, written `module:function`; of the words it makes a list of `Case`. The
program prints `ready` when everything is imported and drawn, and then one line of JSON a case.
"""

import importlib
import json
import pkgutil
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compare.benchmark.checkers import METHODS, Case, Method

__all__ = ["Outcome", "main", "run"]


class Outcome(NamedTuple):
    """What a method says of one gradient.

    Attributes:
        case: the name of the case.
        right: whether the gradient is right.
        says: `right`, `wrong`, or `error` if the method fails.
        message: the error's message, in one line; "" if there was none.
        seconds: the time that the method took.
        peak_mb: the largest memory of the process so far.
    """

    case: str
    right: bool
    says: str
    message: str
    seconds: float
    peak_mb: float


def main(argv: Sequence[str]) -> None:
    """Runs the method on every case."""
    name, source, *words = argv
    method = METHODS[name]
    if method.library:
        importlib.import_module(method.library)
    cases = pkgutil.resolve_name(source)(*words)
    print("ready", flush=True)
    for case in cases:
        print(json.dumps(run(method, case)._asdict()), flush=True)


def run(method: Method, case: Case) -> Outcome:
    """Runs the method on one case."""
    says, message = "right", ""
    start = time.perf_counter()
    try:
        method.check(case.loss, case.candidate, case.params, case.args)
    except AssertionError as error:
        says, message = "wrong", str(error)
    except Exception as error:  # Whatever a library raises is a result, and is reported.
        says, message = "error", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    message = " ".join(message.split())
    return Outcome(case.name, case.right, says, message[:200], seconds, peak_mb())


def peak_mb() -> float:
    """Returns the largest memory that this process has had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux counts in ru_maxrss the memory of the process that started this one.
        (peak,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024 / 1e6
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024 / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
