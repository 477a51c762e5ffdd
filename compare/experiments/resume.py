"""Going on from a checkpoint that the first process reads, in all processes."""

import json
from typing import Any

import numpy as np

from compare.experiments import processes
from compare.experiments.checkpoints import Checkpoints, Saved
from compare.trees import with_keys, without_keys

__all__ = ["latest"]


def latest(checkpoints: Checkpoints | None, like: Any) -> Saved | None:
    """The last checkpoint; None where there is none yet.

    Args:
        checkpoints: of this run; None in all processes but the first.
        like: a state of the same structure, shapes and dtypes.

    Raises:
        CheckpointError: it is damaged or of another run.
    """
    saved = None if checkpoints is None else checkpoints.latest(like)
    header = _shared_json(None if saved is None else _header(saved))
    if header is None:
        return None
    empty = without_keys(like), _zeros(header["arrays"])
    own = empty if saved is None else (without_keys(saved.state), saved.arrays)
    state, arrays = processes.share(own)
    return Saved(with_keys(state, like), header["log"], arrays)


def _header(saved: Saved) -> dict[str, Any]:
    arrays = {name: [array.shape, array.dtype.name] for name, array in saved.arrays.items()}
    return {"log": saved.log, "arrays": arrays}


def _zeros(shapes: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes.items()}


def _shared_json(content: Any) -> Any:
    """What the first process has, in all of them."""
    text = np.frombuffer(json.dumps(content).encode(), np.uint8)
    size = int(processes.share(np.array(len(text))))
    own = text if processes.is_first() else np.zeros(size, np.uint8)
    return json.loads(processes.share(own).tobytes())
