"""Writes and reads the checkpoints of a training, by Orbax.

A checkpoint is written whole or not at all. A folder belongs to one run: each checkpoint holds the
run's settings, and only a run with the same settings may go on from it. Nothing is written to a
folder that holds anything but checkpoints.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import jax
import numpy as np

from compare.escapes import first_line
from compare.experiments.lock import LOCK
from compare.files import open_regular, replacing
from compare.trees import with_keys, without_keys

__all__ = ["INSTALL_TRAIN", "Checkpoint", "CheckpointError", "Checkpoints", "require_same"]

INSTALL_TRAIN = "pip install 'handgrad[train]'"
KEPT = 3
"""The number of checkpoints that are kept: the last ones."""

_OVERHEAD_BYTES = 131_072
"""What a checkpoint takes beside its numbers, in many small files."""

_LAST_GOOD, _SEAL = "last_good", "sha256.json"


class CheckpointError(Exception):
    """A checkpoint is damaged, of another program or of another run; the message is one line."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


class Checkpoint(NamedTuple):
    """The content of a checkpoint.

    Attributes:
        state: the state of the training, a pytree of arrays.
        log: the history of the run so far, in JSON's types.
        arrays: further arrays by name, whose shapes grow with the run.
    """

    state: Any
    log: Any
    arrays: dict[str, np.ndarray]


class Checkpoints:
    """The checkpoints in one folder, of one run.

    Args:
        folder: where they are; it is made if there is none.
        settings: the settings of the run; a run with others cannot go on from its checkpoints.
        resume: whether the folder may already hold checkpoints of this run.

    Raises:
        CheckpointError: Orbax is not installed, the folder cannot be written or holds something
            that this run did not write, or its last checkpoint is damaged.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, resume: bool):
        self._ocp = _orbax()
        self._folder = folder.absolute()
        self._settings = json.loads(json.dumps(settings))
        _require_own(folder, resume)
        _require_sealed(folder)
        options = self._ocp.CheckpointManagerOptions(
            max_to_keep=KEPT,
            enable_async_checkpointing=False,
            # All processes have the same parameters, so that the first alone writes them.
            multiprocessing_options=self._ocp.options.MultiprocessingOptions(
                primary_host=0, active_processes={0}, barrier_sync_key_prefix="handgrad"
            ),
            create=False,
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
            self._manager = self._ocp.CheckpointManager(self._folder, options=options)
        except OSError as error:
            raise CheckpointError(f"{folder}: cannot be written: {error.strerror}") from error

    def save(self, step: int, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint, and deletes the oldest if there are more than KEPT.

        Raises:
            CheckpointError: the checkpoint cannot be written; the earlier ones are untouched.
        """
        args = self._ocp.args
        items = {
            "run": args.JsonSave({"settings": self._settings, "log": checkpoint.log}),
            "state": args.StandardSave(jax.device_get(without_keys(checkpoint.state))),
        }
        if checkpoint.arrays:  # Orbax refuses an item without leaves
            items["arrays"] = args.StandardSave(checkpoint.arrays)
        try:
            _require_space(self._folder, items)
            with _quiet():
                self._manager.save(step, args=args.Composite(**items), force=True)
            _seal(self._folder / str(step))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{self._folder}: checkpoint {step} cannot be written: {_reason(error)}; the "
                "earlier ones are as they were: free some space there if it is full, and go on "
                "from them with --resume"
            ) from error

    def latest(self, like: Any) -> Checkpoint | None:
        """Reads the last checkpoint; None if there is none yet.

        Args:
            like: a state of the same structure, shapes and dtypes.

        Raises:
            CheckpointError: the checkpoint is damaged, of another run, or not like `like`.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        args, where = self._ocp.args, self._folder / str(step)
        run = self._restored(step, run=args.JsonRestore())["run"]
        if not isinstance(run, dict) or not {"settings", "log"} <= set(run):
            raise CheckpointError(f"{where}: is no checkpoint of handgrad; name another folder")
        require_same(where, run["settings"], self._settings)
        items = {"state": args.StandardRestore(jax.device_get(without_keys(like)))}
        if (where / "arrays").is_dir():
            items["arrays"] = args.StandardRestore()
        found = self._restored(step, **items)
        state = with_keys(found["state"], like)
        arrays = {name: np.asarray(array) for name, array in (found.get("arrays") or {}).items()}
        return Checkpoint(state, run["log"], arrays)

    def save_last_good(self, state: Any) -> Path:
        """Writes the state before a step that is not finite beside the checkpoints.

        Returns:
            The folder that it is in.

        Raises:
            CheckpointError: it cannot be written; the checkpoints are untouched.
        """
        path = self._folder / _LAST_GOOD
        try:
            with _quiet(), self._ocp.StandardCheckpointer() as checkpointer:
                checkpointer.save(path, jax.device_get(without_keys(state)), force=True)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be written: {_reason(error)}") from error
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._manager.close()

    def _restored(self, step: int, **items: Any) -> Any:
        # Orbax raises many kinds of errors where files are missing or the structure differs.
        try:
            return self._manager.restore(step, args=self._ocp.args.Composite(**items))
        except Exception as error:
            raise _damaged(self._folder / str(step), first_line(error)[:200]) from error


def _orbax() -> Any:
    try:
        import orbax.checkpoint as ocp
    except ImportError as error:
        raise CheckpointError(f"checkpoints need Orbax; {INSTALL_TRAIN}") from error
    return ocp


def _require_own(folder: Path, resume: bool) -> None:
    """Refuses a folder that holds anything but checkpoints, or, without `resume`, any of these.

    Raises:
        CheckpointError: the folder holds them, or is a file.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: is a file; name a folder for the checkpoints")
    names = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
    foreign = [name for name in names if not _is_ours(name)]
    if foreign:
        raise CheckpointError(
            f"{folder}: holds {foreign[0]!r}, which is no checkpoint; name an empty folder"
        )
    if not resume and any(name.isdigit() for name in names):
        raise CheckpointError(
            f"{folder}: holds the checkpoints of an earlier run; go on from them with --resume, or "
            "name another folder"
        )


def _is_ours(name: str) -> bool:
    return re.fullmatch(rf"(\d+|{_LAST_GOOD})(\.orbax-checkpoint-tmp.*)?", name) is not None


def require_same(where: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuses a checkpoint whose run had other settings than this run.

    Raises:
        CheckpointError: a setting differs; the message names the first.
    """
    for name in {**ours, **theirs}:
        if theirs.get(name) != ours.get(name):
            raise CheckpointError(
                f"{where}: is of a run with {name} {theirs.get(name)}, and this one has "
                f"{ours.get(name)}; use the same settings, or name another folder"
            )


def _damaged(where: Path, how: str) -> CheckpointError:
    return CheckpointError(
        f"{where}: is damaged: {how}; delete this folder to go on from the checkpoint before it"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what is logged of each of several writes: one failure is told once, as an error.

    Orbax also warns of what a killed run has left, which it removes.
    """
    loggers = [logging.getLogger(name) for name in ("asyncio", "absl")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _require_space(folder: Path, items: Mapping[str, Any]) -> None:
    """Refuses a disk that cannot hold a checkpoint: Orbax's threads would each report it.

    Raises:
        OSError: there is not enough space.
    """
    leaves = [leaf for item in items.values() for leaf in jax.tree.leaves(vars(item))]
    needed = _OVERHEAD_BYTES + sum(getattr(leaf, "nbytes", 0) for leaf in leaves)
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _reason(error: Exception) -> str:
    """Returns the system's own words: tensorstore wraps them in several lines of paths."""
    numbers = re.findall(r"os_error_code='(\d+)'", str(error))
    number = error.errno if isinstance(error, OSError) else int(numbers[0]) if numbers else None
    return first_line(error)[:200] if number is None else os.strerror(number)


def _seal(folder: Path) -> None:
    """Writes the SHA-256 of every file of a checkpoint into a file beside them.

    Orbax has no checksum over the numbers, and reports damage that it does find from several
    threads at once.
    """
    text = json.dumps(_digests(folder), indent=1)
    with replacing(folder / _SEAL) as file:
        file.write(text.encode())


def _require_sealed(checkpoints: Path) -> None:
    """Refuses a folder whose last checkpoint has changed since it was written.

    A checkpoint without a seal is accepted: Orbax has written it whole, and its run was killed
    before it wrote the seal.

    Raises:
        CheckpointError: a file is missing, new or different.
    """
    steps = [int(path.name) for path in checkpoints.glob("*") if path.name.isdigit()]
    folder = checkpoints / str(max(steps, default=""))
    try:
        with open_regular(folder / _SEAL) as file:
            sealed = json.loads(file.read())
        if not isinstance(sealed, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, f"{_SEAL} is no JSON") from error
    found = _digests(folder)
    for name in sorted({*sealed, *found}):
        if sealed.get(name) != found.get(name):
            raise _damaged(folder, f"{name} is not as it was written")


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(_SEAL)
    }
