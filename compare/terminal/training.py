"""Renders training and predictions for a terminal: the looks, the classes, the parting."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from compare.escapes import escaped
from compare.report.html.verdict import leap_text
from compare.terminal.screen import titled_table

__all__ = [
    "class_table", "history_table", "parting_text", "prediction", "prediction_table",
    "summary",
]  # fmt: skip

_ROWS = 10
_NAMES = {"manual": "by hand", "autodiff": "by jax.grad"}


def history_table(result: dict[str, Any]) -> RenderableType:
    """Builds the table of some ten looks at one side, the last look among them."""
    table = titled_table(
        f"{result['problem']}: {result['model']} {result['settings']}, {_NAMES[result['method']]}"
    )
    columns = ("epoch", "train loss", "accuracy", "test loss", "accuracy", "rate", "s")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    rows = result["history"]
    stride = max(1, -(-len(rows) // _ROWS))
    for row in rows[(len(rows) - 1) % stride :: stride]:
        table.add_row(
            str(row["epoch"]),
            f"{row['train_loss']:.5f}", f"{row['train_accuracy']:.2%}",
            f"{row['test_loss']:.5f}", f"{row['test_accuracy']:.2%}",
            f"{row['learning_rate']:.1e}", f"{row['seconds']:.2f}",
        )  # fmt: skip
    reached = result["seconds_to_98"]
    note = (
        f"compiled in {result['compile_seconds']:.1f} s, then {result['samples_per_second']:,.0f} "
        f"samples/s; 98% test accuracy "
        + ("not reached" if reached is None else f"after {reached:.1f} s")
    )
    return Group(table, Text(f"{note}\n", style="dim"))


def class_table(result: dict[str, Any]) -> RenderableType:
    """Builds the table of the confusion matrix, with each class's precision and recall."""
    counts = result["confusion"]
    table = titled_table(
        f"test rows of each class (down) taken for each (across), {result['method']}"
    )
    table.padding = (0, 0)
    table.add_column("", justify="right", no_wrap=True)
    for name in range(len(counts)):
        table.add_column(str(name), justify="right", no_wrap=True, min_width=5)
    table.add_column("recall", justify="right", no_wrap=True, min_width=7)
    for i, row in enumerate(counts):
        cells = [
            Text(str(count), style="bold" if i == j else "dim" if count == 0 else "")
            for j, count in enumerate(row)
        ]
        table.add_row(str(i), *cells, _share(result["recall"][i]))
    table.add_section()
    table.add_row("precision", *map(_share, result["precision"]), "")
    return table


def parting_text(parting: dict[str, Any]) -> Text:
    """Writes whether the two trajectories part as rounding does or by a defect, and how far."""
    distance, spread = parting["distance"][-1], parting["spread"][-1]
    alike, step = parting["identical_steps"], parting["step"]
    together = f"identical to the last bit for {alike} of {parting['steps'][-1]} steps"
    if parting["verdict"] == "identical":
        return Text(f"IDENTICAL: manual and jax.grad are {together}", style="bold green")
    against = (
        f"{together}; at the end {_number(distance)} apart, relative to the parameters, where "
        f"jax.grad is {_number(spread)} from itself, moved at the start by one unit in the last "
        "place"
    )
    excess = "infinitely" if parting["excess"] is None else f"{parting['excess']:.2g} times"
    if leap := leap_text(parting):
        return Text(f"PARTED AS ROUNDING DOES: {against}. {leap}", style="green")
    if parting["verdict"] == "chaos":
        return Text(
            f"PARTED AS ROUNDING DOES: {against}. At most {excess} what that allows.",
            style="green",
        )
    return Text(
        f"DEFECT: they part faster than rounding: {against}. Worst at step {step} in "
        f"{parting['leaf']}, {excess} what that allows; see which side is wrong with: "
        "handgrad gradients",
        style="bold red",
    )


def summary(results: Sequence[dict[str, Any]]) -> Text:
    """Writes the last line: the epochs, the seconds and the test accuracy of each side."""
    last = [(r["method"], r["history"][-1]) for r in results]
    scores = ", ".join(f"{row['test_accuracy']:.2%} {_NAMES[method]}" for method, row in last)
    first = results[0]
    return Text(
        f"TRAINED: {first['problem']} {first['model']}, {last[0][1]['epoch']} epochs in "
        f"{first['seconds']:.1f} s; test accuracy {scores}",
        style="bold green",
    )


def prediction_table(results: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the table of the probability of each class, a row for each picture."""
    table = titled_table("probability of each digit, %")
    table.padding = (0, 0)
    table.add_column("picture", overflow="fold", ratio=1)
    for name in range(10):
        table.add_column(str(name), justify="right", no_wrap=True, min_width=5)
    for result in results:
        shares = [
            Text(f"{100 * p:.1f}", style="bold" if i == result["predicted"] else "dim")
            for i, p in enumerate(result["probabilities"])
        ]
        table.add_row(escape(escaped(result["image"])), *shares)
    return table


def prediction(result: dict[str, Any]) -> Text:
    """Writes the digit that is predicted for one picture."""
    probability = result["probabilities"][result["predicted"]]
    return Text(
        f"PREDICTED: {result['predicted']} ({probability:.1%}) on {escaped(result['image'])}"
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}" if value < 1 else "100%"


def _number(value: float | None) -> str:
    return "infinitely far" if value is None else f"{value:.1e}"
