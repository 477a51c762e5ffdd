"""Writes and reads trained parameters: a NumPy archive with an array for each leaf."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare.files import replacing
from compare.trees import by_path

__all__ = ["ParamsFileError", "load", "save"]


class ParamsFileError(Exception):
    """The file is missing, damaged, or of another model; the message is one line."""


class _Trained(NamedTuple):
    params: Any
    model_state: Any


def save(path: Path, params: Any, model_state: Any) -> None:
    """Writes parameters and the state of a model to one file, whole or not at all.

    An array has the path of its leaf for its name, such as `params/0/w` or `model_state/0/mean`.
    NumPy has no bfloat16: such arrays become float32, which holds their numbers exactly.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = by_path(_Trained(params, model_state))
    portable: dict[str, Any] = {
        name: array.astype(np.float32) if array.dtype == jnp.bfloat16 else array
        for name, array in arrays.items()
    }
    # First in memory: an archive that cannot be written to its end complains again when it closes.
    content = io.BytesIO()
    np.savez(content, **portable)
    with replacing(path) as file:
        file.write(content.getbuffer())


def load(path: Path, params: Any, model_state: Any) -> tuple[Any, Any]:
    """Reads parameters and the state of a model.

    Args:
        path: the file.
        params: parameters of the same structure and shapes.
        model_state: a state of the same structure and shapes.

    Returns:
        The parameters and the state.

    Raises:
        ParamsFileError: the file is missing or damaged, or its arrays have other paths or shapes.
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
