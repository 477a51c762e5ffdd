"""How long, how much memory: several engines at the same work, taking turns on the same machine.

A machine is never quiet, and never equally fast for long. So the engines run in turns, in an order
that changes with every round, and what counts is the ratio of two medians from one run; its spread
is that of the ratios of single rounds. Agreement is proved before anything is timed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from compare.checker.gradient_report import GradientReport
from compare.problems.derivations import Derivation

__all__ = [
    "Measurement", "Prepared", "Subject", "changes", "compiled", "eager", "interleaved", "measure"
]  # fmt: skip

TURN_SECONDS = 0.005
"""An engine runs at least this long before the next has its turn, so that caches and thread pools
are its own for most of it."""

PAUSE_SECONDS = 0.002
"""Between two turns, for the threads of the last engine to fall asleep."""


class Prepared(NamedTuple):
    """One engine, ready to run.

    Attributes:
        run: does the work once, and returns when it is done.
        compile_ms: tracing, lowering and compiling; None where nothing is compiled.
        temp_bytes: memory for intermediate results, as the compiler planned it; None where no
            compiler did.
        spin_seconds: how long its threads may keep a core busy after its last run.
    """

    run: Callable[[], Any]
    compile_ms: float | None = None
    temp_bytes: int | None = None
    spin_seconds: float = 0.0


class Subject(NamedTuple):
    """A piece of work that several engines can do.

    Attributes:
        name: a rule or a model, with its settings.
        batch: the examples in it, or the size of its inputs in words.
        prove: compares hand-derived gradients with those of `jax.grad` on this very input.
        engines: each `prepare() -> Prepared`; `manual` is the first.
        derivations: of what is done by hand.
    """

    name: str
    batch: str
    prove: Callable[[], GradientReport]
    engines: Mapping[str, Callable[[], Prepared]]
    derivations: tuple[Derivation, ...] = ()


class Measurement(NamedTuple):
    """What one engine took.

    Attributes:
        model: the name of the subject.
        batch: its size.
        dtype: of the numbers.
        engine: `manual`, `autodiff`, `autodiff_same_forward`, `torch` or `numpy`.
        median_ms: of one run, over all rounds.
        min_ms: the fastest round.
        compile_ms: as `Prepared`.
        temp_bytes: as `Prepared`.
        temp_ratio: manual's temporary memory over this engine's; None where that is none.
        ratio: manual's median over this engine's.
        ratio_low: the first quartile of that ratio over the rounds.
        ratio_high: the third quartile.
        rounds: how many turns the engine had.
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


def compiled(fn: Callable[..., Any], *args: Any) -> Prepared:
    """`fn(*args)` under `jax.jit`, compiled ahead of time."""
    start = time.perf_counter()
    executable = jax.jit(fn).lower(*args).compile()
    elapsed = time.perf_counter() - start
    planned = executable.memory_analysis()
    return Prepared(
        lambda: jax.block_until_ready(executable(*args)),
        1e3 * elapsed,
        None if planned is None else planned.temp_size_in_bytes,
    )


def eager(run: Callable[[], Any], *, spin_seconds: float = 0.0) -> Prepared:
    """Work that no compiler prepares, by threads that go on spinning for so many seconds."""
    return Prepared(run, spin_seconds=spin_seconds)


def measure(subject: Subject, *, seconds: float, seed: int = 0) -> list[Measurement]:
    """Proves that manual agrees with `jax.grad` on this input, then times every engine.

    Args:
        subject: the work and who does it.
        seconds: how long all engines together are timed, warm-up and compilation aside.
        seed: of the order of turns.

    Raises:
        ValueError: the gradients do not agree; the message is the report.
    """
    report = subject.prove()
    if not report.agree:
        raise ValueError(
            f"{subject.name} {subject.batch}: nothing is timed that is wrong\n{report}"
        )
    prepared = {name: prepare() for name, prepare in subject.engines.items()}
    times = interleaved(prepared, seconds=seconds, seed=seed)
    manual = np.array(next(iter(times.values())))
    manual_bytes = next(iter(prepared.values())).temp_bytes
    rows = []
    for name, own in times.items():
        low, high = np.quantile(manual / own, [0.25, 0.75])
        rows.append(
            Measurement(
                model=subject.name,
                batch=subject.batch,
                dtype=report.dtype,
                engine=name,
                median_ms=1e3 * float(np.median(own)),
                min_ms=1e3 * min(own),
                compile_ms=prepared[name].compile_ms,
                temp_bytes=prepared[name].temp_bytes,
                temp_ratio=_quotient(manual_bytes, prepared[name].temp_bytes),
                ratio=float(np.median(manual) / np.median(own)),
                ratio_low=float(low),
                ratio_high=float(high),
                rounds=len(own),
            )
        )
    return rows


def _quotient(own: int | None, other: int | None) -> float | None:
    return own / other if own is not None and other else None


def interleaved(
    engines: Mapping[str, Prepared], *, seconds: float, seed: int = 0
) -> dict[str, list[float]]:
    """Seconds of one run for each engine and round; in every round each has one turn.

    After an engine whose threads spin, the next one runs uncounted until they sleep: a pause for as
    long would have it start on cold cores.

    Args:
        engines: what is timed, by name.
        seconds: after this long no new round begins; there are five at least.
        seed: of the order of turns within a round.
    """
    rng = np.random.default_rng(seed)
    repeats = {name: _repeats(engine.run) for name, engine in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in engines}
    spinning = max(engine.spin_seconds for engine in engines.values())
    start, least_rounds = time.perf_counter(), 5
    while min(map(len, times.values())) < least_rounds or time.perf_counter() - start < seconds:
        for name in rng.permutation(list(engines)):
            time.sleep(PAUSE_SECONDS)
            times[name].append(_turn(engines[name].run, repeats[name], spinning))
            spinning = engines[name].spin_seconds
    return times


def _turn(run: Callable[[], Any], repeats: int, warm_up_seconds: float = 0.0) -> float:
    """The mean of a few runs, after one or, for so long, more that are not counted."""
    start = time.perf_counter()
    run()
    while time.perf_counter() - start < warm_up_seconds:
        run()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def _repeats(run: Callable[[], Any]) -> int:
    """How many runs make a turn; the first ones of all warm up."""
    took = [_turn(run, 1) for _ in range(3)]
    return max(1, round(TURN_SECONDS / min(took)))


def changes(then: Sequence[dict[str, Any]], now: Sequence[Measurement]) -> list[dict[str, Any]]:
    """How manual's ratio to each engine has changed since an earlier run.

    Only ratios are compared: they outlive the machine that they were taken on. A change counts
    where the quartiles of both runs lie apart.

    Args:
        then: the results of an earlier run, as its JSON has them.
        now: those of this run.

    Returns:
        One `{"model", "batch", "engine", "then", "now", "change"}` for each measurement of both;
        `change` is "slower", "faster" or "".
    """
    before = {(row["model"], row["batch"], row["engine"]): row for row in then}
    found = []
    for row in now:
        old = before.get((row.model, row.batch, row.engine))
        if old is None or row.engine == "manual":
            continue
        slower, faster = row.ratio_low > old["ratio_high"], row.ratio_high < old["ratio_low"]
        found.append(
            {
                "model": row.model,
                "batch": row.batch,
                "engine": row.engine,
                "then": old["ratio"],
                "now": row.ratio,
                "change": "slower" if slower else "faster" if faster else "",
            }
        )
    return found
