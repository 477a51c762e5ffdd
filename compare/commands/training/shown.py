"""Shows a training while it runs: some of its looks as rows of a table, and a bar."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from compare import terminal
from compare.experiments import Experiment, run
from compare.training import steps_per_epoch
from compare.training.loop import Row

__all__ = ["Shown"]

_ROWS = 10


class Shown:
    """Shows the looks as they come, some ten of them with the last one; it is called with each.

    Args:
        console: for the table.
        experiment: what is trained.
        done: the run so far, whose looks are shown at once.
        further: is called with the rows of each look as well.
        quiet: shows no bar.

    Attributes:
        looked: whether it was called yet.
    """

    def __init__(
        self,
        console: Console,
        experiment: Experiment,
        done: run.Run,
        further: Callable[[Sequence[Row]], None],
        *,
        quiet: bool = False,
    ):
        epochs, began = experiment.recipe.epochs, run.epochs_done(experiment, done)
        sides = len(experiment.gradients)
        before = [done.history[i : i + sides] for i in range(0, len(done.history), sides)]
        every = run.every(epochs)
        count = len(before) + max(0, -(-epochs // every) - began // every)
        self._stride = max(1, -(-count // _ROWS))
        self._left = count
        self.looked = False
        self._console, self._further = console, further
        steps = steps_per_epoch(len(experiment.train_data[0]), experiment.recipe.batch)
        self._bar = terminal.training.Bar(epochs, began, steps, quiet=quiet)
        problem = experiment.problem
        title = f"{problem.name}: {problem.model.name} {problem.model.settings}"
        console.print(terminal.training.look_head(title))
        for rows in before:
            self._show(rows)

    def __call__(self, rows: Sequence[Row]) -> None:
        """Shows the rows of one look, one for each side."""
        self.looked = True
        self._bar.advance(rows[0].epoch)
        self._show(rows)
        self._further(rows)

    def _show(self, rows: Sequence[Row]) -> None:
        self._left -= 1
        if self._left % self._stride == 0:
            table = terminal.training.look_rows([row._asdict() for row in rows])
            terminal.print_above(self._bar, self._console, table)

    def __enter__(self) -> "Shown":
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()
