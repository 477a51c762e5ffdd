"""The command `bench`: measures what the hand-derived rules cost and save."""

import importlib.util
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import jax
from rich.console import Console
from rich.markup import escape

from compare import terminal
from compare.benchmark import (
    ELSEWHERE,
    FEW_ROUNDS,
    ON_CPU,
    ROUNDS,
    Subject,
    changes,
    check_cost,
    measure,
    measured_limits,
    subjects,
)
from compare.benchmark.check_subjects import subjects as check_subjects
from compare.benchmark.checkers import YARDSTICK, Case, installed
from compare.commands import outputs
from compare.commands.options import (
    AGREE,
    DISAGREE,
    OptionalPath,
    OptionalPlatform,
    OptionalSeconds,
    Seed,
    UsageError,
    not_given,
    require_platform,
    require_writable,
)
from compare.datasets import DataError
from compare.mutants import mutants, originals
from compare.report import json_file, plots

__all__ = ["bench", "gallery"]

_SECONDS, _QUICK_SECONDS = 0.6, 0.2
"""The time for which the engines of one subject are timed."""

_CHECK = "check"
"""What --only names the methods of checking a gradient."""


def bench(
    only: str = "",
    *,
    quick: bool = False,
    against: Annotated[tuple[Path, ...] | None, not_given("[PATH [PATH ...]]")] = None,
    resume: OptionalPath = None,
    seconds: OptionalSeconds = None,
    plot: OptionalPath = None,
    platform: OptionalPlatform = None,
    seed: Seed = 0,
    json: OptionalPath = None,
    report: OptionalPath = None,
) -> int:
    """Time every rule and model against jax.grad, and against PyTorch and NumPy where they are.

    Agreement is proved before anything is timed, of what is large on a smaller input that takes the
    same steps. On a GPU or TPU the sizes are such that fill it. As soon as a subject is measured,
    its line is printed and --json written; a run that is stopped keeps what it has.

    With --only check it measures something else, which is not in the whole: what checking a
    gradient costs, and what it finds, by our checker and by those of jax, chex and PyTorch, on the
    CPU.

    Args:
        only: those whose name contains this; all if not given; or check.
        quick: the smallest size of each, in fewer rounds, without jax.grad of our forward pass.
        against: results of earlier runs: which ratios have changed, and the spread of several.
        resume: results of a run that was stopped, to go on with; what it has is not measured again.
        seconds: begin with no further subject after this time; measure all if not given.
        plot: write a bar chart to this file: .svg, .png or .pdf.
        platform: which device must run it; whatever jax finds if not given.
        seed: of the numbers and of the order of turns.
        json: write the results to this file.
        report: write them to this file as a page for a browser.
    """
    if only == _CHECK:
        if against or {plot, report, resume, seconds} != {None} or platform not in (None, "cpu"):
            raise UsageError(
                "--only check: runs on the CPU, without --plot, --against, --report, --resume and "
                "--seconds"
            )
        return _checks(quick=quick, seed=seed, json=json)
    require_platform(platform)
    outputs.require(json=json, report=report)
    require_writable("--plot", plot)
    if plot is not None and plot.suffix not in (".svg", ".png", ".pdf"):
        raise UsageError(f"--plot {plot}: must end in .svg, .png or .pdf")
    if seconds is not None and not seconds > 0:
        raise UsageError(f"--seconds {seconds}: must be positive")
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise UsageError(f"--plot {plot}: needs matplotlib; {plots.INSTALL_REPORT}")
    if against == ():
        raise UsageError("--against: name files that --json of bench wrote")
    environment = json_file.environment("default")
    earlier = [_earlier("--against", file)["results"] for file in against or ()]
    measured = [] if resume is None else _begun(resume, environment)
    on_cpu = jax.default_backend() == "cpu"
    sizes = ON_CPU if on_cpu else ELSEWHERE
    chosen = subjects(only, smallest=quick, seed=seed, sizes=sizes)
    if not chosen:
        raise UsageError(f"no subject's name contains {only!r}; leave --only out to time them all")
    kept = outputs.Growing(
        "bench", environment, json=json if json is not None else resume, report=report,
        derivations=[d for subject in chosen for d in subject.derivations],
    )  # fmt: skip
    kept.results += measured
    run = _Run(chosen, kept, ("float32",) if on_cpu else ("float32", "bfloat16"))
    console = terminal.console()
    notes = [] if on_cpu else ["NumPy, which runs on the CPU, is not timed beside this device"]
    console.print(terminal.header(environment, ["random numbers"], notes))
    with kept:
        finished = run.measure(console, quick=quick, seconds=seconds, seed=seed)
    results = kept.results
    if not results:
        return DISAGREE
    console.print(terminal.benchmarks.ratio_note())
    console.print(terminal.benchmarks.others_table(results))
    console.print(terminal.benchmarks.scalar_table(results))
    console.print(terminal.benchmarks.absolute_table(results))
    if earlier:
        console.print(terminal.benchmarks.changes_table(changes(earlier, results), len(earlier)))
    going_on = resume if json is None else json
    console.print(run.last_line(going_on, finished=finished), markup=False)
    outputs.write_all(
        lambda: plot is None or plots.benchmarks.save(results, plot),
        lambda: kept.finish(console, plot),
    )
    return DISAGREE if run.wrong else AGREE


class _Run:
    """A benchmark that keeps what it has, whenever it is stopped.

    Args:
        chosen: what is measured.
        kept: what has it.
        dtypes: those of the numbers.

    Attributes:
        wrong: the names of those whose gradients do not agree, and which are not timed.
    """

    def __init__(self, chosen: Sequence[Subject], kept: outputs.Growing, dtypes: tuple[str, ...]):
        self._chosen, self._kept, self._dtypes = chosen, kept, dtypes
        self.wrong: list[str] = []

    def measure(self, console: Console, *, quick: bool, seconds: float | None, seed: int) -> bool:
        """Measures what is not measured yet, a line each; tells whether that is all.

        Raises:
            WriteError: the results cannot be written.
        """
        have = {_key(row) for row in self._kept.results}
        console.print(terminal.benchmarks.ratio_head())
        for _, rows in groupby(self._kept.results, key=_key):
            console.print(terminal.benchmarks.ratio_row(list(rows)))
        start, limits = time.monotonic(), measured_limits(self._dtypes)
        of_each = _QUICK_SECONDS if quick else _SECONDS
        with terminal.progress("measuring") as status:
            for i, subject in enumerate(self._chosen):
                if (subject.name, subject.batch) in have:
                    continue
                late = seconds is not None and time.monotonic() - start > seconds
                if late and self._kept.results:
                    return False
                place = f"{i + 1} of {len(self._chosen)}"
                status.update(f"{place}: {subject.name} {subject.batch}")
                try:
                    found = measure(
                        subject,
                        seconds=of_each,
                        seed=seed,
                        limits=limits,
                        compile_alone=not quick,
                        least_rounds=FEW_ROUNDS if quick else ROUNDS,
                    )
                except ValueError as error:
                    self.wrong.append(subject.name)
                    terminal.print_above(status, console, escape(str(error)))
                    continue
                rows = [row._asdict() for row in found]
                terminal.print_above(status, console, terminal.benchmarks.ratio_row(rows))
                self._kept.add(rows)
        return True

    def last_line(self, file: Path | None, *, finished: bool) -> str:
        """Says how much was measured, and how to go on from what is kept in a file, if any."""
        done = len({_key(row) for row in self._kept.results})
        count = "1 subject" if done == 1 else f"{done} subjects"
        if self.wrong:
            return f"MEASURED: {count}; gradients disagree of {', '.join(self.wrong)}"
        if finished:
            proofs = {_key(row): row.get("proof_ms", 0.0) for row in self._kept.results}
            seconds = sum(proofs.values()) / 1e3
            return f"MEASURED: {count}, each after its gradients agreed, which took {seconds:.0f} s"
        further = "--json FILE keeps it" if file is None else f"--resume {file} goes on"
        return f"MEASURED: {count} of {len(self._chosen)} in the time given; {further}"


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["model"], row["batch"]


def _checks(*, quick: bool, seed: int, json: Path | None) -> int:
    """Measures what the methods of checking a gradient cost, and what they find."""
    require_platform("cpu")
    outputs.require(json=json)
    environment = json_file.environment("default")
    console = terminal.console()
    console.print(terminal.header(environment, ["random numbers"], []))
    methods, chosen = installed(), check_subjects(quick=quick)
    rounds, limit = (1, 10.0) if quick else (3, 60.0)
    kept = outputs.Growing("bench", environment, json=json)
    render = terminal.check_cost
    with terminal.progress("measuring") as status, kept:
        terminal.print_above(status, console, render.cost_head())
        for i, subject in enumerate(chosen):
            status.update(f"{i + 1} of {len(chosen)}: {subject.name}")
            costs = check_cost.costs(subject, methods, rounds=rounds, limit=limit, seed=seed)
            rows = [row._asdict() for row in costs]
            terminal.print_above(status, console, render.cost_rows(rows))
            kept.add(rows)
        terminal.print_above(status, console, render.cost_note(kept.results))
        terminal.print_above(status, console, render.detection_head())
        for method in methods:
            if method != YARDSTICK:
                status.update(f"the gallery of mutants: {method}")
                words = ["a few" if quick else "all", str(seed)]
                found = check_cost.detection(method, f"{__name__}:gallery", words)._asdict()
                terminal.print_above(status, console, render.detection_row(found))
                kept.add([found])
        terminal.print_above(status, console, render.detection_note())
    console.print(f"MEASURED: {len(methods) - 1} methods of checking a gradient")
    kept.finish(console)
    return AGREE


def gallery(size: str, seed: str) -> list[Case]:
    """Collects the wrong gradients of the gallery of mutants, and its right ones.

    Args:
        size: `all`, or `a few` of them.
        seed: of the parameters and the data.
    """
    wrong, right = mutants(), originals()
    if size == "a few":
        wrong, right = wrong[::48], right[::16]
    return [
        *(_case(m.name, m.loss, m.candidate, m.make(int(seed)), right=False) for m in wrong),
        *(
            _case(f"right one of {o.mutants[0].name}", o.loss, o.correct, o.make(int(seed)))
            for o in right
        ),
    ]


def _case(name: str, loss: Any, candidate: Any, point: Any, *, right: bool = True) -> Case:
    params, *args = point
    return Case(name, loss, candidate, params, tuple(args), right)


def _earlier(option: str, file: Path) -> dict[str, Any]:
    """Reads the JSON of an earlier run.

    Raises:
        DataError: the file cannot be read, or another command wrote it.
    """
    try:
        content = json_file.read(file)
        if content["command"] != "bench":
            raise ValueError("another command's results")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{option} {file}: is not the JSON of an earlier bench ({reason}); make one with "
            "--json FILE"
        ) from None
    return content


def _begun(file: Path, environment: dict[str, Any]) -> list[dict[str, Any]]:
    """Reads what a run that was stopped has measured on this device, with these versions.

    Raises:
        DataError: the file is no such run, or was made elsewhere.
    """
    content = _earlier("--resume", file)
    other = [name for name, value in environment.items() if content["environment"][name] != value]
    if other:
        name = other[0]
        raise DataError(
            f"--resume {file}: was measured with {name} {content['environment'][name]}, this is "
            f"{environment[name]}; ratios of two machines are not put together"
        )
    return content["results"]
