"""Measures what checking a gradient costs, and what it finds: our checker and others, in turns.

Every method runs in a process of its own, one process at a time, on the CPU: compiling counts, and
nothing is left from an earlier method.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from compare.benchmark import check_subjects
from compare.benchmark.check_process import Outcome
from compare.benchmark.check_subjects import CheckSubject
from compare.benchmark.checkers import OURS, YARDSTICK

__all__ = ["FACTOR", "Cost", "Detection", "Finished", "costs", "detection", "run"]

FACTOR = 1.5
"""The factor by which the gradient of the wrong candidate is off."""

TOO_SLOW = "too slow"
"""What a method says that is not done within its time."""

_ROOT = Path(__file__).parents[2]


class Finished(NamedTuple):
    """What a process has printed, and how it ended.

    Attributes:
        outcomes: one for each case that was finished.
        ended: "" after the last case; else TOO_SLOW, or the last line of its errors.
    """

    outcomes: list[Outcome]
    ended: str


class Cost(NamedTuple):
    """What one method costs on one subject.

    Attributes:
        model: the name of the subject.
        batch: the number of examples.
        engine: the name of the method.
        median_ms: the median time over the rounds; None if the method has failed or is too slow.
        ratio: that over the time of compiling and running `jax.value_and_grad` once.
        ratio_low: the first quartile of the rounds' ratios.
        ratio_high: the third quartile of the rounds' ratios.
        rounds: the number of rounds.
        peak_mb: the largest memory of its process, the median over the rounds.
        limit_s: the time that the method had.
        right: whether the gradient is right.
        says: `right`, `wrong`, `error` or `too slow`; "" for the yardstick.
        message: what it says in words, such as the name of the bug.
    """

    model: str
    batch: str
    engine: str
    median_ms: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    rounds: int
    peak_mb: float | None
    limit_s: float
    right: bool
    says: str
    message: str


class Detection(NamedTuple):
    """What one method finds in a gallery of gradients.

    Attributes:
        model: the name of the gallery.
        batch: the number of gradients in words.
        engine: the name of the method.
        median_ms: the median time for one gradient; None if none was finished.
        ratio: None; there is no other time to compare with.
        ratio_low: None.
        ratio_high: None.
        wrong: the number of wrong gradients.
        detected: the number of wrong gradients that the method calls wrong.
        correct: the number of right gradients.
        false_alarms: the number of right gradients that the method calls wrong.
        errors: the number of gradients on which the method fails.
        missed: the names of the wrong gradients that it calls right.
        accused: the names of the right gradients that it calls wrong.
        messages: `name: message` of each error.
    """

    model: str
    batch: str
    engine: str
    median_ms: float | None
    ratio: None
    ratio_low: None
    ratio_high: None
    wrong: int
    detected: int
    correct: int
    false_alarms: int
    errors: int
    missed: list[str]
    accused: list[str]
    messages: list[str]


def run(
    method: str, source: str, words: Sequence[str] = (), *, limit: float | None = None
) -> Finished:
    """Runs a method on some cases in a fresh process, and waits for it.

    Args:
        method: its name in `METHODS`.
        source: the function that makes the cases, written `module:function`.
        words: the function's arguments.
        limit: the seconds after which the process is killed; they begin after its imports.
    """
    # Not a module of these names in the working folder: -P.
    program = "-P", "-m", "compare.benchmark.check_process"
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    environment = {
        **os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
    }  # fmt: skip
    # Without a buffer: what follows the first line is left to `communicate`.
    with subprocess.Popen(
        [sys.executable, *program, method, source, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # It is ready.
        try:
            out, err = process.communicate(timeout=limit)
            ended = _last_line(err, process.returncode) if process.returncode else ""
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            ended = TOO_SLOW
    lines = [line for line in out.decode().splitlines() if line.startswith("{")]
    return Finished([Outcome(**json.loads(line)) for line in lines], ended)


def _last_line(err: bytes, code: int) -> str:
    return f"exit code {code}: {(err.decode().strip().splitlines() or ['no message'])[-1]}"


def costs(
    subject: CheckSubject, methods: Sequence[str], *, rounds: int, limit: float, seed: int = 0
) -> Iterator[Cost]:
    """Measures the methods on one subject, in turns.

    A method that is too slow or fails has no further turn.

    Args:
        subject: the loss.
        methods: the names of the methods; the yardstick comes first.
        rounds: the number of turns of each method.
        limit: the seconds that a method has.
        seed: of the subject's numbers.

    Raises:
        RuntimeError: the yardstick cannot be measured.
    """
    turns = [(name, name, 1.0) for name in methods]
    place = methods.index(OURS) + 1
    turns.insert(place, (f"{OURS}, ×{FACTOR}", OURS, FACTOR))
    found: dict[str, list[Outcome]] = {label: [] for label, _, _ in turns}
    for _ in range(rounds):
        for label, method, factor in turns:
            if all(outcome.says in ("right", "wrong") for outcome in found[label]):
                found[label].append(_once(subject, method, factor, limit, seed))
    failed = [outcome for outcome in found[YARDSTICK] if outcome.says != "right"]
    if failed:
        raise RuntimeError(f"{subject.name}: {YARDSTICK}: {failed[0].message or failed[0].says}")
    yardstick = [outcome.seconds for outcome in found[YARDSTICK]]
    for label, outcomes in found.items():
        yield _cost(subject, label, outcomes, yardstick, limit)


def _once(subject: CheckSubject, method: str, factor: float, limit: float, seed: int) -> Outcome:
    source = f"{check_subjects.__name__}:{check_subjects.case.__name__}"
    words = [subject.name, str(factor), str(seed)]
    outcomes, ended = run(method, source, words, limit=limit)
    if outcomes:
        return outcomes[0]
    says = ended if ended == TOO_SLOW else "error"
    return Outcome(subject.name, factor == 1.0, says, ended, float("nan"), float("nan"))


def _cost(
    subject: CheckSubject,
    label: str,
    outcomes: Sequence[Outcome],
    yardstick: Sequence[float],
    limit: float,
) -> Cost:
    last = outcomes[-1]
    failed = last.says in ("error", TOO_SLOW)
    taken = np.array([outcome.seconds for outcome in outcomes])
    ratios = taken / np.array(yardstick[: len(taken)])
    low, high = np.quantile(ratios, [0.25, 0.75])
    return Cost(
        model=subject.name,
        batch=str(subject.batch),
        engine=label,
        median_ms=None if failed else 1e3 * float(np.median(taken)),
        ratio=None if failed else float(np.median(taken) / np.median(yardstick)),
        ratio_low=None if failed else float(low),
        ratio_high=None if failed else float(high),
        rounds=len(outcomes),
        peak_mb=None if failed else float(np.median([o.peak_mb for o in outcomes])),
        limit_s=limit,
        right=last.right,
        says="" if label == YARDSTICK else last.says,
        message=last.message,
    )


def detection(method: str, source: str, words: Sequence[str] = ()) -> Detection:
    """Runs a method on a gallery of gradients, all in one process.

    Args:
        method: its name in `METHODS`.
        source: the function that makes the cases, written `module:function`.
        words: the function's arguments.

    Raises:
        RuntimeError: the process ended before the last gradient.
    """
    outcomes, ended = run(method, source, words)
    if ended:
        raise RuntimeError(f"{method}: {ended}, after {len(outcomes)} gradients")
    wrong = [outcome for outcome in outcomes if not outcome.right]
    right = [outcome for outcome in outcomes if outcome.right]
    missed = [outcome.case for outcome in wrong if outcome.says == "right"]
    accused = [outcome.case for outcome in right if outcome.says == "wrong"]
    failed = [outcome for outcome in outcomes if outcome.says == "error"]
    return Detection(
        model="gallery of gradients",
        batch=f"{len(wrong)} wrong, {len(right)} right",
        engine=method,
        median_ms=1e3 * float(np.median([outcome.seconds for outcome in outcomes])),
        ratio=None,
        ratio_low=None,
        ratio_high=None,
        wrong=len(wrong),
        detected=sum(outcome.says == "wrong" for outcome in wrong),
        correct=len(right),
        false_alarms=len(accused),
        errors=len(failed),
        missed=missed,
        accused=accused,
        messages=[f"{outcome.case}: {outcome.message}" for outcome in failed],
    )
