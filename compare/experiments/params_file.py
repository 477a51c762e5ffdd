"""Writes and reads trained parameters: a NumPy archive with an array for each leaf."""

import io
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_leaves_with_path

from compare.files import open_regular, replacing
from compare.trees import by_path, path_of

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
        params: parameters of the same structure and shapes, or what `jax.eval_shape` gives.
        model_state: a state of the same structure and shapes, likewise.

    Returns:
        The parameters and the state.

    Raises:
        ParamsFileError: the file is missing or damaged; or its arrays have other paths, shapes or
            types, or are not finite. Nothing that is larger than the model is read.
    """
    like = _Trained(params, model_state)
    wanted = {path_of(path, ""): leaf for path, leaf in tree_leaves_with_path(like)}
    try:
        with open_regular(path) as file:
            _require_small(file, wanted)
            with zipfile.ZipFile(file) as archive:
                found = _read(archive, wanted)
    except FileNotFoundError as error:
        raise ParamsFileError(f"{path}: is not there; train --out DIR writes it") from error
    except _OtherModelError as error:
        raise ParamsFileError(f"{path}: {error}: it is of another model") from error
    except Exception as error:  # NumPy and zipfile have many ways to say that it is damaged
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ParamsFileError(f"{path}: is no intact NumPy archive ({reason})") from error
    return tuple(jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in wanted]))


class _OtherModelError(Exception):
    """An array is not the model's."""


def _require_small(file: BinaryIO, wanted: Mapping[str, Any]) -> None:
    """Refuses a file much larger than the arrays in it, before its directory is read."""
    most = (1 << 20) + 2 * sum(8 * math.prod(leaf.shape) for leaf in wanted.values())
    size = os.fstat(file.fileno()).st_size
    if size > most:
        raise _OtherModelError(f"has {size:,} bytes, and the model's has at most {most:,}")


def _read(archive: zipfile.ZipFile, wanted: Mapping[str, Any]) -> dict[str, np.ndarray]:
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    for name in {**wanted, **dict.fromkeys(names)}:
        if name not in wanted or name not in names:
            shapes = [wanted[name].shape if name in wanted else "missing",
                      "there" if name in names else "missing"]  # fmt: skip
            raise _OtherModelError(f"{name} is {shapes[1]}, and the model's is {shapes[0]}")
    return {name: _array(archive, name, leaf) for name, leaf in wanted.items()}


def _array(archive: zipfile.ZipFile, name: str, wanted: Any) -> np.ndarray:
    """Reads one array, if its header says that it is the model's."""
    with archive.open(f"{name}.npy") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} has another version of the format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if shape != wanted.shape:
        raise _OtherModelError(f"{name} is {shape}, and the model's is {wanted.shape}")
    floating = jnp.issubdtype(wanted.dtype, jnp.floating)
    if dtype not in ([np.float32, np.float64] if floating else [wanted.dtype]):
        raise _OtherModelError(f"{name} is of {dtype}, and the model's is of {wanted.dtype}")
    with archive.open(f"{name}.npy") as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):
            raise ValueError(f"{name} goes on after its last number")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has numbers that are not finite")
    return array
