"""Trained parameters as one NumPy archive: an array for each leaf, under its path."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.files import replacing
from compare.trees import by_path

__all__ = ["ParamsFileError", "load", "save"]


class ParamsFileError(Exception):
    """The file is not there, damaged, or of another model; the message is one line."""


class _Trained(NamedTuple):
    params: Any
    model_state: Any


def save(path: Path, params: Any, model_state: Any) -> None:
    """Writes `params/0/w` and so on, and `model_state/...`, whole or not at all.

    NumPy has no bfloat16; such numbers become float32, which holds them exactly.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = by_path(_Trained(params, model_state))
    portable: dict[str, Any] = {
        name: array.astype(np.float32) if array.dtype == jnp.bfloat16 else array
        for name, array in arrays.items()
    }
    with replacing(path) as file:
        np.savez(file, **portable)


def load(path: Path, params: Any, model_state: Any) -> tuple[Any, Any]:
    """Reads parameters and statistics.

    Args:
        path: the file.
        params: a tree of the same structure and shapes.
        model_state: the same.

    Raises:
        ParamsFileError: the file is not there, damaged, or has other leaves.
    """
    like = _Trained(params, model_state)
    wanted = by_path(like)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise ParamsFileError(f"{path}: is not there; train --out DIR writes it") from error
    except Exception as error:  # NumPy and zipfile have many ways to say that it is damaged
        raise ParamsFileError(f"{path}: is no intact NumPy archive ({error})") from error
    for name in {**wanted, **found}:
        shapes = [tree[name].shape if name in tree else "missing" for tree in (wanted, found)]
        if shapes[0] != shapes[1]:
            raise ParamsFileError(
                f"{path}: {name} is {shapes[1]}, and the model's is {shapes[0]}: it is of another "
                "model"
            )
    return tuple(jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in wanted]))
