"""Runs whole trainings of problems: prepared, kept, resumed, on one host or many."""

from compare.experiments import ahead, lock, params_file, processes, results, run
from compare.experiments.checkpoints import CheckpointError, Checkpoints
from compare.experiments.experiment import Experiment, prepare
from compare.experiments.lock import FolderInUseError
from compare.experiments.params_file import ParamsFileError
from compare.experiments.processes import PeerLostError, Processes

__all__ = [
    "CheckpointError", "Checkpoints", "Experiment", "FolderInUseError", "ParamsFileError",
    "PeerLostError", "Processes", "ahead", "lock", "params_file", "prepare", "processes", "results",
    "run",
]  # fmt: skip
