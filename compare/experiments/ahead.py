"""Tells what a resumed training will go on from, before anything is loaded or compiled."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compare.experiments.checkpoints import CheckpointError, require_same
from compare.files import open_regular

__all__ = ["epochs_kept"]


def epochs_kept(folder: Path, settings: Mapping[str, Any], epochs: int) -> int:
    """Counts the epochs that the last checkpoint of a folder has; 0 where there is none.

    A checkpoint that cannot be read counts as none here: `Checkpoints` tells what is wrong with it.

    Args:
        folder: the checkpoints.
        settings: those of this run that are known; they are held against those of the checkpoint.
        epochs: the number that is asked for.

    Raises:
        CheckpointError: the checkpoint is of a run with other settings, such as a schedule of the
            learning rate that was made for another number of epochs.
    """
    where = folder / str(
        max((int(p.name) for p in folder.glob("*") if p.name.isdigit()), default=0)
    )
    try:
        with open_regular(where / "run" / "metadata") as file:
            run = json.loads(file.read())
        theirs, log = dict(run["settings"]), run["log"]
        done = int(log[-1]["epoch"]) if log else 0
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return 0
    ours = json.loads(json.dumps(settings))
    planned = theirs.get("epochs", epochs)
    others = {name: value for name, value in ours.items() if name != "epochs"}
    require_same(where, {name: theirs.get(name) for name in others}, others)
    if planned != epochs:
        raise CheckpointError(
            f"{where}: its learning rate follows a {ours['schedule']} schedule made for {planned} "
            f"epochs, which cannot be {epochs} now; resume it with --epochs {planned}, or train "
            f"{epochs} in another folder"
        )
    return done
