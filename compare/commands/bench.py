"""The command `bench`: measures what the hand-derived rules cost and save."""

import importlib.util
import json as json_module
from pathlib import Path
from typing import Any

from compare.benchmark import Measurement, changes, measure, subjects
from compare.commands import outputs
from compare.commands.options import (
    AGREE,
    DISAGREE,
    Platform,
    UsageError,
    require_platform,
    require_writable,
)
from compare.report import json_file, plots, terminal

__all__ = ["bench"]

_SECONDS, _QUICK_SECONDS = 1.0, 0.5
"""The time for which the engines of one subject are timed."""


def bench(
    only: str = "",
    *,
    quick: bool = False,
    against: Path | None = None,
    plot: Path | None = None,
    platform: Platform | None = None,
    seed: int = 0,
    json: Path | None = None,
    report: Path | None = None,
) -> int:
    """Time every rule and model against jax.grad, and against PyTorch and NumPy where they are.

    Agreement is proved on the same numbers before anything is timed.

    Args:
        only: those whose name contains this; all if not given.
        quick: the smallest size of each, and fewer rounds.
        against: results of an earlier run, to show which ratios have changed.
        plot: write a bar chart to this file: .svg, .png or .pdf.
        platform: which device must run it; whatever jax finds if not given.
        seed: of the numbers and of the order of turns.
        json: write the results to this file.
        report: write them to this file as a page for a browser.
    """
    require_platform(platform)
    outputs.require(json=json, report=report)
    require_writable("--plot", plot)
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
    console.print(f"MEASURED: {len(chosen)} subjects, each after its gradients agreed")
    derivations = [d for subject in chosen for d in subject.derivations]
    outputs.save("bench", environment, results, json=json, report=report, derivations=derivations)
    if plot is not None:
        plots.benchmarks.save(results, plot)
    return AGREE


def _earlier(file: Path) -> list[dict[str, Any]]:
    """Reads the results in the JSON of an earlier run.

    Raises:
        UsageError: the file cannot be read, or another command wrote it.
    """
    try:
        content = json_module.loads(file.read_text(encoding="utf-8"))
        if content["command"] != "bench" or not all(
            {"model", "batch", "engine", "ratio", "ratio_low", "ratio_high"} <= set(row)
            for row in content["results"]
        ):
            raise ValueError("another command's results")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--against {file}: is not the JSON of an earlier bench ({error}); make one with "
            "--json FILE"
        ) from None
    return content["results"]
