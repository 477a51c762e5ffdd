"""Renders training and predictions for a terminal: the looks, the classes, the parting."""

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from compare.escapes import escaped
from compare.report.html.verdict import leap_text
from compare.terminal.screen import moving_console, titled_table

__all__ = [
    "Bar", "class_table", "look_head", "look_rows", "parting_text", "prediction",
    "prediction_table", "speed", "summary",
]  # fmt: skip

_NAMES = {"manual": "by hand", "autodiff": "by jax.grad"}
_SHORT = {"manual": "hand", "autodiff": "grad"}


class Bar:
    """A bar on standard error: epochs done, steps per second, time left; gone when it is stopped.

    Args:
        epochs: the number in all.
        done: the number before the start.
        steps: of an epoch.
        quiet: shows nothing.
    """

    def __init__(self, epochs: int, done: int, steps: int, *, quiet: bool = False):
        console = moving_console()
        console.quiet = console.quiet or quiet
        self._bar = Progress(
            SpinnerColumn(), TextColumn("training"), BarColumn(20),
            TextColumn("{task.completed} of {task.total} epochs"),
            _StepsPerSecond(steps), TimeRemainingColumn(compact=True), TextColumn("left"),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("training", total=epochs, completed=done)

    def advance(self, epoch: int) -> None:
        """Shows that so many epochs are done."""
        self._bar.update(self._task, completed=epoch)

    def start(self) -> None:
        """Shows the bar, or shows it again."""
        self._bar.start()

    def stop(self) -> None:
        """Takes the bar away."""
        self._bar.stop()


class _StepsPerSecond(ProgressColumn):
    def __init__(self, steps: int):
        super().__init__()
        self._steps = steps

    def render(self, task: Task) -> Text:
        """Writes the steps of a second as they were last."""
        return Text("" if task.speed is None else f"{task.speed * self._steps:,.0f} steps/s")


def look_head(title: str) -> RenderableType:
    """Builds the head of the table of looks, whose rows `look_rows` builds as they come."""
    return _looks(titled_table(title))


def look_rows(rows: Sequence[dict[str, Any]]) -> RenderableType:
    """Builds the rows of one look, one for each side."""
    table = _looks(Table.grid(padding=(0, 2, 0, 0)))
    for row in rows:
        table.add_row(
            str(row["epoch"]), _SHORT[row["method"]],
            _loss(row["train_loss"]), f"{row['train_accuracy']:.2%}",
            _loss(row["test_loss"]), f"{row['test_accuracy']:.2%}",
            f"{row['learning_rate']:.1e}", f"{row['seconds']:.2f}",
        )  # fmt: skip
    return Padding(table, (0, 0, 0, 1))


def _looks(table: Table) -> Table:
    """Gives a table its columns, as wide whatever is in them."""
    columns = (
        ("epoch", 7), ("by", 4), ("train\nloss", 8), ("accuracy", 8), ("test\nloss", 8),
        ("accuracy", 8), ("rate", 7), ("s", 8),
    )  # fmt: skip
    for name, width in columns:
        justify = "left" if name == "by" else "right"
        table.add_column(name, justify=justify, no_wrap=True, width=width)
    return table


def _loss(value: float) -> str:
    return f"{value:.5f}" if abs(value) < 99 else f"{value:.2e}"


def speed(results: Sequence[dict[str, Any]]) -> Text:
    """Writes how fast each side was, and when it was good."""
    lines = []
    for result in results:
        reached = result["seconds_to_98"]
        compiled = result["compile_seconds"]
        lines.append(
            f"{_NAMES[result['method']]}: {result['samples_per_second']:,.0f} samples/s"
            + (f", compiled in {compiled:.1f} s" if compiled and len(results) == 1 else "")
            + "; 98% test accuracy "
            + ("not reached" if reached is None else f"after {reached:.1f} s")
        )
    if len(results) > 1:
        lines.append("The seconds of a side are those of its epochs, alone.")
    return Text("\n".join(["", *lines, ""]), style="dim")


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
    data = "" if first["dataset"] == first["problem"] else f" on {first['dataset']}"
    epochs = last[0][1]["epoch"]
    return Text(
        f"TRAINED: {first['problem']} {first['model']}{data}, "
        f"{epochs} epoch{'s' if epochs != 1 else ''} in {first['seconds']:.1f} s; "
        f"test accuracy {scores}",
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
