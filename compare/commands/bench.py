"""The command `bench`: measures what the hand-derived rules cost and save."""

import importlib.util
from pathlib import Path
from typing import Any

from compare import terminal
from compare.benchmark import Measurement, changes, check_cost, measure, subjects
from compare.benchmark.check_subjects import subjects as check_subjects
from compare.benchmark.checkers import YARDSTICK, Case, installed
from compare.commands import outputs
from compare.commands.options import (
    AGREE,
    DISAGREE,
    OptionalPath,
    OptionalPlatform,
    UsageError,
    require_platform,
    require_writable,
)
from compare.datasets import DataError
from compare.mutants import mutants, originals
from compare.report import json_file, plots

__all__ = ["bench", "gallery"]

_SECONDS, _QUICK_SECONDS = 1.0, 0.5
"""The time for which the engines of one subject are timed."""

_CHECK = "check"
"""What --only names the methods of checking a gradient."""


def bench(
    only: str = "",
    *,
    quick: bool = False,
    against: OptionalPath = None,
    plot: OptionalPath = None,
    platform: OptionalPlatform = None,
    seed: int = 0,
    json: OptionalPath = None,
    report: OptionalPath = None,
) -> int:
    """Time every rule and model against jax.grad, and against PyTorch and NumPy where they are.

    Agreement is proved on the same numbers before anything is timed.

    --only check measures something else, which is not in the whole: what checking a gradient costs,
    and what it finds, by our checker and by those of jax, chex and PyTorch, on the CPU.

    Args:
        only: those whose name contains this; all if not given; or check.
        quick: the smallest size of each, and fewer rounds.
        against: results of an earlier run, to show which ratios have changed.
        plot: write a bar chart to this file: .svg, .png or .pdf.
        platform: which device must run it; whatever jax finds if not given.
        seed: of the numbers and of the order of turns.
        json: write the results to this file.
        report: write them to this file as a page for a browser.
    """
    if only == _CHECK:
        if (plot, against, report) != (None, None, None) or platform not in (None, "cpu"):
            raise UsageError(
                "--only check: runs on the CPU, without --plot, --against and --report"
            )
        return _checks(quick=quick, seed=seed, json=json)
    require_platform(platform)
    outputs.require(json=json, report=report)
    require_writable("--plot", plot)
    if plot is not None and plot.suffix not in (".svg", ".png", ".pdf"):
        raise UsageError(f"--plot {plot}: must end in .svg, .png or .pdf")
    earlier = None if against is None else _earlier(against)
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise UsageError(f"--plot {plot}: needs matplotlib; {plots.INSTALL_REPORT}")
    chosen = subjects(only, smallest=quick, seed=seed)
    if not chosen:
        raise UsageError(f"no subject's name contains {only!r}; leave --only out to time them all")
    environment = json_file.environment("default")
    console = terminal.console()
    console.print(terminal.header(environment, ["random numbers"], []))
    measured: list[Measurement] = []
    with terminal.progress("measuring") as status:
        for i, subject in enumerate(chosen):
            status.update(f"{i + 1} of {len(chosen)}: {subject.name} {subject.batch}")
            try:
                seconds = _QUICK_SECONDS if quick else _SECONDS
                measured += measure(subject, seconds=seconds, seed=seed)
            except ValueError as error:
                console.print(str(error), markup=False)
                return DISAGREE
    results = [row._asdict() for row in measured]
    console.print(terminal.benchmarks.ratio_table(results))
    console.print(terminal.benchmarks.absolute_table(results))
    if earlier is not None:
        console.print(terminal.benchmarks.changes_table(changes(earlier, measured)))
    count = "1 subject" if len(chosen) == 1 else f"{len(chosen)} subjects"
    console.print(f"MEASURED: {count}, each after its gradients agreed")
    outputs.write_all(
        lambda: outputs.save(
            "bench", environment, results, json=json, report=report,
            derivations=[d for subject in chosen for d in subject.derivations],
        ),
        lambda: plot is None or plots.benchmarks.save(results, plot),
    )  # fmt: skip
    return AGREE


def _checks(*, quick: bool, seed: int, json: Path | None) -> int:
    """Measures what the methods of checking a gradient cost, and what they find."""
    require_platform("cpu")
    outputs.require(json=json)
    environment = json_file.environment("default")
    console = terminal.console()
    console.print(terminal.header(environment, ["random numbers"], []))
    methods, chosen = installed(), check_subjects(quick=quick)
    rounds, limit = (1, 10.0) if quick else (3, 60.0)
    results: list[dict[str, Any]] = []
    with terminal.progress("measuring") as status:
        for i, subject in enumerate(chosen):
            status.update(f"{i + 1} of {len(chosen)}: {subject.name}")
            found = check_cost.costs(subject, methods, rounds=rounds, limit=limit, seed=seed)
            results += [row._asdict() for row in found]
        console.print(terminal.benchmarks.check_cost_table(results))
        found = []
        for method in methods:
            if method != YARDSTICK:
                status.update(f"the gallery of mutants: {method}")
                words = ["a few" if quick else "all", str(seed)]
                found.append(check_cost.detection(method, f"{__name__}:gallery", words)._asdict())
        console.print(terminal.benchmarks.detection_table(found))
    console.print(f"MEASURED: {len(methods) - 1} methods of checking a gradient")
    outputs.save("bench", environment, [*results, *found], json=json)
    return AGREE


def gallery(size: str, seed: str) -> list[Case]:
    """Collects the wrong gradients of the gallery of mutants, and its right ones.

    Args:
        size: `all`, or `a few` of them.
        seed: of the parameters and the data.
    """
    wrong, right = mutants(), originals()
    if size == "a few":
        wrong, right = wrong[::24], right[::8]
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


def _earlier(file: Path) -> list[dict[str, Any]]:
    """Reads the results in the JSON of an earlier run.

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
            f"--against {file}: is not the JSON of an earlier bench ({reason}); make one with "
            "--json FILE"
        ) from None
    return content["results"]
