"""Measures time and memory of several engines that do the same work, in turns on one machine.

The speed of a machine changes from moment to moment. So the engines run in turns, in an order that
changes with every round, and the result is the ratio of their medians within one run; its spread is
that of the ratios of single rounds. Agreement is proved before anything is timed.
"""

import contextlib
import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from compare.benchmark.limits import Limits, Work, least_work
from compare.checker.gradient_report import GradientReport
from compare.problems.derivations import Derivation

__all__ = [
    "FEW_ROUNDS", "ROUNDS", "Measurement", "Prepared", "Subject", "changes", "compiled", "eager",
    "interleaved", "measure", "of_program",
]  # fmt: skip

TURN_SECONDS = 0.005
"""The least length of an engine's turn. It is long enough for caches and thread pools to be filled
with the engine's own work for most of the turn."""

LONG_SECONDS, LONG_ROUND_SECONDS = 0.1, 1.0
"""A run that takes longer warms itself up, and of rounds that take longer FEW_ROUNDS are enough."""

ROUNDS = 5
"""The least number of rounds."""

FEW_ROUNDS = 3
"""The same where they are long, or the measurement is a rough one."""

PAUSE_SECONDS = 0.002
"""The pause between two turns, in which the threads of the last engine fall asleep."""


class Prepared(NamedTuple):
    """One engine, ready to run.

    Attributes:
        run: does the work once, and returns when it is done.
        compile_ms: the time of tracing, lowering and compiling; None if nothing is compiled.
        temp_bytes: the memory for intermediate results that the compiler planned; None if nothing
            is compiled, or the compiler does not tell.
        spin_seconds: how long the engine's threads may keep a core busy after its last run.
        work: what the program has to do at least; None if nothing is compiled.
    """

    run: Callable[[], Any]
    compile_ms: float | None = None
    temp_bytes: int | None = None
    spin_seconds: float = 0.0
    work: Work | None = None


class Subject(NamedTuple):
    """A piece of work that several engines can do.

    Attributes:
        name: a rule or a model, with its settings.
        batch: the number of examples, or the size of the inputs in words.
        prove: compares hand-derived gradients with those of `jax.grad` on the same input.
        engines: `prepare() -> Prepared` of each engine by its name; `manual` comes first.
        derivations: those of the gradients that are derived by hand.
        parameters: the number of a model's parameters; None for what is no model.
    """

    name: str
    batch: str
    prove: Callable[[], GradientReport]
    engines: Mapping[str, Callable[[], Prepared]]
    derivations: tuple[Derivation, ...] = ()
    parameters: int | None = None


class Measurement(NamedTuple):
    """The time and memory of one engine.

    Attributes:
        model: the name of the subject.
        batch: the size of the subject.
        dtype: of the numbers.
        engine: `manual`, `autodiff`, `autodiff_same_forward`, `torch`, `numpy` or
            `scalar`.
        median_ms: the time of one run, the median over all rounds.
        min_ms: the time of one run in the fastest round.
        compile_ms: see `Prepared`.
        temp_bytes: see `Prepared`.
        temp_ratio: manual's temporary memory over this engine's; None if this engine has none.
        ratio: manual's median over this engine's.
        ratio_low: the first quartile of the rounds' ratios.
        ratio_high: the third quartile of the rounds' ratios.
        rounds: the number of rounds in which both had a turn.
        limit_ms: the time in which the device can do the subject's work at best; None if its limits
            were not measured.
        proof_ms: the time that the proof of agreement took.
        parameters: see `Subject`.
    """

    model: str
    batch: str
    dtype: str
    engine: str
    median_ms: float
    min_ms: float
    compile_ms: float | None
    temp_bytes: int | None
    temp_ratio: float | None
    ratio: float
    ratio_low: float
    ratio_high: float
    rounds: int
    limit_ms: float | None
    proof_ms: float
    parameters: int | None = None


def compiled(fn: Callable[..., Any], *args: Any) -> Prepared:
    """Prepares `fn(*args)` under `jax.jit`, compiled ahead of time."""
    start = time.perf_counter()
    traced = jax.jit(fn).trace(*args)
    executable = traced.lower().compile()
    return of_program(executable, args, traced.jaxpr, seconds=time.perf_counter() - start)


def of_program(executable: Any, args: Sequence[Any], jaxpr: Any, *, seconds: float) -> Prepared:
    """Prepares `executable(*args)`, whose tracing and compiling took so many seconds."""
    planned = executable.memory_analysis()
    return Prepared(
        run=lambda: jax.block_until_ready(executable(*args)),
        compile_ms=1e3 * seconds,
        temp_bytes=None if planned is None else planned.temp_size_in_bytes,
        work=least_work(jaxpr),
    )


def eager(run: Callable[[], Any], *, spin_seconds: float = 0.0) -> Prepared:
    """Prepares work that is not compiled; its threads spin for so many seconds afterwards."""
    return Prepared(run, spin_seconds=spin_seconds)


def measure(
    subject: Subject,
    *,
    seconds: float,
    seed: int = 0,
    limits: Limits | None = None,
    compile_alone: bool = True,
    least_rounds: int = ROUNDS,
) -> list[Measurement]:
    """Proves that manual agrees with `jax.grad` on this input, then times every engine.

    Args:
        subject: the work and the engines.
        seconds: the time for all engines together, without warm-up and compilation.
        seed: of the order of turns.
        limits: of the device, in the subject's dtype; None to leave `limit_ms` out.
        compile_alone: whether both are compiled before the proof, one at a time. The proof, which
            compiles side by side, is then left with what it does not share with them; else they are
            left with what they do not share with it, in less time, and `compile_ms` is longer.
        least_rounds: see `interleaved`.

    Returns:
        One measurement for each engine.

    Raises:
        ValueError: the gradients do not agree; the message is the report.
    """
    first = [name for name in ("manual", "autodiff") if compile_alone and name in subject.engines]
    with _one_precision():
        prepared = {name: subject.engines[name]() for name in first}
        start = time.perf_counter()
        report = subject.prove()
        proof_ms = 1e3 * (time.perf_counter() - start)
        if not report.agree:
            raise ValueError(
                f"{subject.name} {subject.batch}: nothing is timed that is wrong\n{report}"
            )
        rest = [name for name in subject.engines if name not in first]
        prepared |= {name: subject.engines[name]() for name in rest}
    times = interleaved(prepared, seconds=seconds, seed=seed, least_rounds=least_rounds)
    works = [engine.work for engine in prepared.values() if engine.work is not None]
    limit_ms = None
    if limits is not None and works:
        least = Work(*(min(amounts) for amounts in zip(*works, strict=True)))
        limit_ms = limits.least_ms(least, report.dtype)
    proved = _Proved(report.dtype, proof_ms, limit_ms)
    return [_measurement(subject, proved, name, prepared, times) for name in times]


def _one_precision() -> Any:
    """Makes a check use the precision of matrix products that is timed, where there is but one.

    A CPU computes alike at any precision. Elsewhere a check asks for the highest.
    """
    if jax.default_backend() == "cpu":
        return jax.default_matmul_precision("default")
    return contextlib.nullcontext()


class _Proved(NamedTuple):
    """What is known of a subject before it is timed."""

    dtype: str
    proof_ms: float
    limit_ms: float | None


def _measurement(
    subject: Subject,
    proved: _Proved,
    engine: str,
    prepared: Mapping[str, Prepared],
    times: Mapping[str, Sequence[float]],
) -> Measurement:
    first = next(iter(subject.engines))
    both = np.array([times[first], times[engine]])
    manual, taken = both[:, ~np.isnan(both).any(axis=0)]
    low, high = np.quantile(manual / taken, [0.25, 0.75])
    return Measurement(
        model=subject.name,
        batch=subject.batch,
        dtype=proved.dtype,
        engine=engine,
        median_ms=1e3 * float(np.median(taken)),
        min_ms=1e3 * float(taken.min()),
        compile_ms=prepared[engine].compile_ms,
        temp_bytes=prepared[engine].temp_bytes,
        temp_ratio=_quotient(prepared[first].temp_bytes, prepared[engine].temp_bytes),
        ratio=float(np.median(manual) / np.median(taken)),
        ratio_low=float(low),
        ratio_high=float(high),
        rounds=len(taken),
        limit_ms=proved.limit_ms,
        proof_ms=proved.proof_ms,
        parameters=subject.parameters,
    )


def _quotient(manual: int | None, other: int | None) -> float | None:
    return manual / other if manual is not None and other else None


def interleaved(
    engines: Mapping[str, Prepared], *, seconds: float, seed: int = 0, least_rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Times engines in rounds, in each of which every engine has one turn.

    After an engine whose threads spin, the next engine runs without being timed until they sleep.
    After a pause of that length it would start on idle, slower cores. For as long as a round waits
    for threads to sleep, further rounds are of the other engines alone.

    Args:
        engines: what is timed, by name.
        seconds: the time after which no new round of all begins.
        seed: of the order of turns within a round.
        least_rounds: there are at least so many rounds of all, or FEW_ROUNDS where one takes over
            a second.

    Returns:
        The seconds of one run of each engine, by round; NaN in a round in which it has no turn.
    """
    rng = np.random.default_rng(seed)
    took = {name: _one_run(engine) for name, engine in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in engines}
    spinning = max(engine.spin_seconds for engine in engines.values())
    further = _rounds_while_others_spin(engines, took)
    if sum(took.values()) > LONG_ROUND_SECONDS:
        least_rounds = FEW_ROUNDS
    start, rounds_of_all = time.perf_counter(), 0
    while rounds_of_all < least_rounds or time.perf_counter() - start < seconds:
        rounds_of_all += 1
        for taking_part in [list(engines), *further]:
            turns = dict.fromkeys(engines, math.nan)
            for name in rng.permutation(taking_part):
                time.sleep(PAUSE_SECONDS)
                turns[name] = _turn(engines[name].run, took[name], spinning)
                spinning = engines[name].spin_seconds
            for name, turn in turns.items():
                times[name].append(turn)
    return times


def _rounds_while_others_spin(
    engines: Mapping[str, Prepared], took: Mapping[str, float]
) -> list[list[str]]:
    """Returns the engines whose threads do not spin, as often as their turns take that time."""
    quiet = [name for name, engine in engines.items() if not engine.spin_seconds]
    if len(quiet) < 2:
        return []
    waiting = sum(engine.spin_seconds for engine in engines.values())
    return [quiet] * round(waiting / sum(max(TURN_SECONDS, took[name]) for name in quiet))


def _turn(run: Callable[[], Any], took: float, spinning: float) -> float:
    """Measures the mean time of as many runs as make a turn, after those that warm up.

    Args:
        run: the engine.
        took: how long a run takes, about.
        spinning: for how many seconds other threads may still be busy.
    """
    start = time.perf_counter()
    if took < LONG_SECONDS:
        run()
    while time.perf_counter() - start < spinning:
        run()
    return _mean(run, max(1, round(TURN_SECONDS / took)))


def _one_run(engine: Prepared) -> float:
    """Measures about how long a run takes; these runs also warm the engine up."""
    took = [_mean(engine.run, 1)]
    if engine.compile_ms is not None and took[0] > LONG_ROUND_SECONDS:
        return took[0]  # What is not compiled ahead may have compiled in its first run.
    while len(took) < 2 or (len(took) < 6 and min(took) < LONG_SECONDS):
        took.append(_mean(engine.run, 1))
    return min(took)


def _mean(run: Callable[[], Any], runs: int) -> float:
    start = time.perf_counter()
    for _ in range(runs):
        run()
    return (time.perf_counter() - start) / runs


def changes(
    then: Sequence[Sequence[dict[str, Any]]], now: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Compares manual's ratio to each engine with that of earlier runs.

    Only ratios are compared, since times depend on the machine. A ratio has changed if its range
    between the quartiles does not overlap that of any earlier run, and lies on one side of all.

    Args:
        then: the results of each earlier run, as in its JSON.
        now: those of this run.

    Returns:
        One `{"model", "batch", "engine", "then", "low", "high", "now", "change"}` for each ratio
        that this run and an earlier one have: `then` is the median of the earlier ratios, `low` and
        `high` are the least and the largest of them, and `change` is "slower", "faster" or "".
    """
    before: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in itertools.chain.from_iterable(then):
        before[row["model"], row["batch"], row["engine"]].append(row)
    found = []
    for row in now:
        old = before.get((row["model"], row["batch"], row["engine"]))
        if old is None or row["engine"] == "manual":
            continue
        slower = row["ratio_low"] > max(each["ratio_high"] for each in old)
        faster = row["ratio_high"] < min(each["ratio_low"] for each in old)
        ratios = [each["ratio"] for each in old]
        found.append(
            {
                "model": row["model"],
                "batch": row["batch"],
                "engine": row["engine"],
                "then": float(np.median(ratios)),
                "low": min(ratios),
                "high": max(ratios),
                "now": row["ratio"],
                "change": "slower" if slower else "faster" if faster else "",
            }
        )
    return found
