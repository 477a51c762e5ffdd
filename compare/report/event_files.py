"""Writes the looks at a training as event files for TensorBoard."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from compare.files import WriteError, unwritten

__all__ = ["INSTALL_TENSORBOARD", "EventFiles"]

INSTALL_TENSORBOARD = "pip install 'handgrad[tensorboard]'"

_NUMBERS = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate",
    "samples_per_second",
)  # fmt: skip


class EventFiles:
    """An event file in a folder, which TensorBoard shows while it grows.

    Args:
        folder: where it is; it is made if there is none, and may have those of the same run before
            it was resumed.

    Attributes:
        is_first: whether the folder had no event file.

    Raises:
        WriteError: the folder cannot be written.
    """

    def __init__(self, folder: Path):
        from tensorboardX import SummaryWriter

        self._folder = folder
        try:
            self.is_first = not any(folder.glob("events.out.tfevents.*"))
            self._writer = SummaryWriter(str(folder), flush_secs=1)
        except OSError as error:
            raise WriteError(unwritten(folder, error)) from error

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes rows of the history, the numbers of each method under its name."""
        for row in rows:
            for name in _NUMBERS:
                self._writer.add_scalar(f"{row['method']}/{name}", row[name], row["epoch"])
        self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.close()
