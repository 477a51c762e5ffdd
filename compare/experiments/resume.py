"""Gives all processes the last checkpoint, which only the first process reads."""

import json
from typing import Any

import numpy as np

from compare.experiments import processes
from compare.experiments.checkpoints import Checkpoint, Checkpoints
from compare.trees import with_keys, without_keys

__all__ = ["latest"]


def latest(checkpoints: Checkpoints | None, like: Any) -> Checkpoint | None:
    """Reads the last checkpoint in the first process, and shares it with the others.

    Args:
        checkpoints: of this run; None in all processes but the first.
        like: a state of the same structure, shapes and dtypes.

    Returns:
        The checkpoint, the same in all processes; None if there is none yet.

    Raises:
        CheckpointError: the checkpoint is damaged or of another run.
    """
    read = None if checkpoints is None else checkpoints.latest(like)
    header = _shared_json(None if read is None else _header(read))
    if header is None:
        return None
    empty = without_keys(like), _zeros(header["arrays"])
    content = empty if read is None else (without_keys(read.state), read.arrays)
    state, arrays = processes.share(content)
    return Checkpoint(with_keys(state, like), header["log"], arrays)


def _header(checkpoint: Checkpoint) -> dict[str, Any]:
    arrays = {name: [array.shape, array.dtype.name] for name, array in checkpoint.arrays.items()}
    return {"log": checkpoint.log, "arrays": arrays}


def _zeros(shapes: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes.items()}


def _shared_json(content: Any) -> Any:
    """Returns the content that the first process passes, in all processes."""
    text = np.frombuffer(json.dumps(content).encode(), np.uint8)
    size = int(processes.share(np.array(len(text))))
    buffer = text if processes.is_first() else np.zeros(size, np.uint8)
    return json.loads(processes.share(buffer).tobytes())
