"""The options of `train` in groups, and the checks on them before anything is loaded."""

import dataclasses
import importlib.util
import re
from pathlib import Path
from typing import Annotated, Any, get_args

import jax

from compare import files, problems
from compare.commands import outputs
from compare.commands.options import OptionalPath, UsageError, not_given
from compare.experiments import Processes
from compare.report.event_files import INSTALL_TENSORBOARD
from compare.training.optimizers import OptimizerName, ScheduleName

__all__ = ["Cluster", "Keeping", "Optimization", "settings"]


def _one_of(names: Any) -> str:
    return f"{{{','.join(get_args(names))}}}"


def _by_problem(metavar: str, setting: str, *aliases: str) -> Any:
    """An option that each problem has a value of its own for, which the help shows."""
    own: dict[Any, list[str]] = {}
    for name, problem in problems.PROBLEMS.items():
        value = getattr(next(iter(problem.recipes.values())), setting)
        own.setdefault("none" if value is None else value, []).append(name)
    values = "; ".join(f"{value} for {', '.join(names)}" for value, names in own.items())
    return not_given(metavar, values, *aliases)


@dataclasses.dataclass(frozen=True)
class Optimization:
    """How it is trained; what is not given is the problem's own.

    Attributes:
        epochs: passes over the data.
        batch: rows of a step.
        optimizer: one of optax's.
        learning_rate: the largest.
        schedule: of the learning rate.
        clip: the largest global norm of a gradient.
        weight_decay: decoupled in adamw, added to the gradient in the others.
    """

    epochs: Annotated[int | None, _by_problem("INT", "epochs")] = None
    batch: Annotated[int | None, _by_problem("INT", "batch")] = None
    optimizer: Annotated[OptimizerName | None, _by_problem(_one_of(OptimizerName), "optimizer")] = (
        None
    )
    learning_rate: Annotated[
        float | None, _by_problem("FLOAT", "learning_rate", "--lr", "--rate")
    ] = None
    schedule: Annotated[ScheduleName | None, _by_problem(_one_of(ScheduleName), "schedule")] = None
    clip: Annotated[float | None, _by_problem("FLOAT", "clip")] = None
    weight_decay: Annotated[float | None, _by_problem("FLOAT", "weight_decay")] = None

    def recipe(self, problem: str, model: str) -> problems.Recipe:
        """Returns the problem's own recipe for the model, with the options that were given.

        Raises:
            UsageError: the problem has no such model, or the number of epochs is not positive.
        """
        recipes = problems.PROBLEMS[problem].recipes
        if model not in recipes:
            raise UsageError(f"{problem} has no model {model!r}; choose from {', '.join(recipes)}")
        given = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        recipe = recipes[model]._replace(**given)
        if recipe.epochs < 1:
            raise UsageError(f"epochs must be a positive number, got {recipe.epochs}")
        return recipe


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Which devices and processes share each batch.

    Attributes:
        devices: how many in all; on a CPU they are simulated. One, or all of several processes.
        distributed: one of the processes of a cluster that JAX recognises by itself: SLURM, Open
            MPI, Kubernetes, TPU pods.
        coordinator: of the first process, which the others can reach. It knows no
            passwords: it belongs on a private network.
        bind: where the first process listens, if that is not the coordinator's address,
            as behind a translation of addresses; 0.0.0.0:PORT is every interface.
        processes: how many there are, on one host or on many.
        process: which of them this is, from 0.
    """

    devices: Annotated[int | None, not_given("INT")] = None
    distributed: bool = False
    coordinator: Annotated[str | None, not_given("HOST:PORT")] = None
    bind: Annotated[str | None, not_given("HOST:PORT")] = None
    processes: Annotated[int | None, not_given("INT")] = None
    process: Annotated[int | None, not_given("INT")] = None

    def joined(self) -> Processes | None:
        """Returns the place of this process among others; None if it is the only one.

        Raises:
            UsageError: one of the three options is missing, or a number is out of range.
        """
        three = (self.coordinator, self.processes, self.process)
        if self.distributed:
            if (*three, self.devices) != (None,) * 4:
                raise UsageError(
                    "--distributed finds the processes and takes all of their devices: leave "
                    "--coordinator, --processes, --process and --devices out"
                )
            if self.bind is not None:
                _require_address("--bind", self.bind)
            return Processes(bind=self.bind)
        if three == (None, None, None):
            if self.bind is not None:
                raise UsageError("--bind needs --coordinator or --distributed")
            return None
        if None in three:
            raise UsageError("--coordinator, --processes and --process belong together")
        assert self.coordinator is not None
        assert self.processes is not None
        assert self.process is not None
        if not 0 <= self.process < self.processes:
            raise UsageError(
                f"--process must be from 0 to {self.processes - 1}, got {self.process}"
            )
        bind = self.coordinator if self.bind is None else self.bind
        _require_address("--coordinator", self.coordinator)
        _require_address("--bind", bind)
        return Processes(self.coordinator, bind, self.processes, self.process)

    def request_devices(self) -> None:
        """Makes jax simulate this process's share of the devices on a CPU.

        It must be called before jax looks for devices.

        Raises:
            UsageError: their number is not positive, or the processes do not divide it.
        """
        count, processes = self.devices, self.processes or 1
        if count is None:
            return
        if count < 1 or count % processes:
            raise UsageError(
                f"--devices must be a positive multiple of the {processes} process(es), got {count}"
            )
        jax.config.update("jax_num_cpu_devices", count // processes)


def _require_address(option: str, address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or re.fullmatch(r"[0-9]{1,5}", port) is None or not 0 < int(port) < 65536:
        raise UsageError(f"{option} must be HOST:PORT, got {address!r}")


@dataclasses.dataclass(frozen=True)
class Keeping:
    """What is kept.

    Attributes:
        checkpoint: write checkpoints to this folder.
        resume: go on from the last checkpoint, if there is one.
        out: write curves, tables and the final parameters to this folder.
        log_dir: write event files for TensorBoard to this folder.
        json: write the results to this file.
        report: write them to this file as a page for a browser.
    """

    checkpoint: OptionalPath = None
    resume: bool = False
    out: OptionalPath = None
    log_dir: OptionalPath = None
    json: OptionalPath = None
    report: OptionalPath = None

    def require_usable(self) -> None:
        """Refuses files and folders that could not be written in the end.

        Raises:
            UsageError: a folder is a file, or a library is missing.
            WriteError: it was tried to write a file, and it cannot be.
        """
        outputs.require(json=self.json, report=self.report)
        if self.resume and self.checkpoint is None:
            raise UsageError("--resume needs --checkpoint DIR, the folder to go on from")
        for option, folder in (("--out", self.out), ("--log-dir", self.log_dir)):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise UsageError(f"{option} {folder}: is a file; name a folder")
        if self.log_dir is not None:
            if importlib.util.find_spec("tensorboardX") is None:
                raise UsageError(
                    f"--log-dir {self.log_dir}: needs tensorboardX; {INSTALL_TENSORBOARD}"
                )
            _require_writable("--log-dir", self.log_dir, "events")
        if self.out is None:
            return
        if importlib.util.find_spec("matplotlib") is None:
            raise UsageError(f"--out {self.out}: needs matplotlib; pip install 'handgrad[report]'")
        _require_writable("--out", self.out, "train.json")


def _require_writable(option: str, folder: Path, name: str) -> None:
    """Tries to write a file in a folder, or in the innermost one above it that exists.

    Raises:
        WriteError: it cannot be written. Where it is not there the message is about the folder.
    """
    nearest = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    file = nearest / name
    try:
        files.require_writable(file)
    except files.WriteError as error:
        cause = error.__cause__
        if file.exists() or not isinstance(cause, OSError):
            raise
        raise files.WriteError(f"{option} {files.unwritten(folder, cause)}") from cause


def settings(recipe: problems.Recipe, **further: Any) -> dict[str, Any]:
    """Collects what determines a training, and must be the same if the training is resumed.

    The number of epochs is left out unless the learning rate depends on it.

    Args:
        recipe: how the model is trained.
        **further: what else determines the training.
    """
    found = {**further, **recipe._asdict()}
    if recipe.schedule not in ("cosine", "warmup-cosine"):
        del found["epochs"]
    return found
