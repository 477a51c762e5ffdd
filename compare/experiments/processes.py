"""Runs several processes, on one host or on many, that train as one through `jax.distributed`.

When a process is lost the others cannot go on, and they do not always get an exception: jax's
runtime kills a process that has lost its coordinator (see `compare.commands.training.supervision`).
"""

import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from compare.escapes import first_line

__all__ = [
    "HEARTBEAT_SECONDS", "NoClusterError", "PeerLostError", "Processes", "is_first", "join",
    "leave", "lost", "several", "share", "watching_peers",
]  # fmt: skip

HEARTBEAT_SECONDS = 20
"""After so much silence a process counts as lost; if its connection closes, at once."""

JOIN_SECONDS = 60
"""The time that processes wait for each other at the start."""


class PeerLostError(Exception):
    """Another process has died, or never came; the message is one line."""


class NoClusterError(Exception):
    """JAX recognises no cluster; the message is one line."""


class Processes(NamedTuple):
    """The place of this process among the processes of a run.

    What is None is found by JAX, on a cluster that it recognises.

    Attributes:
        coordinator: HOST:PORT of the first process.
        bind: HOST:PORT where the first process listens: on this address and no other.
        size: the number of processes.
        rank: the number of this process, from 0.
    """

    coordinator: str | None = None
    bind: str | None = None
    size: int | None = None
    rank: int | None = None


def join(processes: Processes) -> None:
    """Connects this process with the others, before jax looks for devices.

    Raises:
        NoClusterError: it is left to JAX to find the others, and it recognises no cluster.
        PeerLostError: not all of them come within JOIN_SECONDS, or the address is wrong.
    """
    _silence_runtime()
    # It takes SIGTERM for itself, to warn of machines that are about to be taken away.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            processes.coordinator,
            processes.size,
            processes.rank,
            coordinator_bind_address=processes.bind if processes.rank in (0, None) else None,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        if processes.coordinator is None:
            if "should be defined" in str(error):
                raise NoClusterError(
                    "--distributed: JAX recognises no cluster here (SLURM, Open MPI, Kubernetes, "
                    "TPU pods); give --coordinator, --processes and --process"
                ) from error
            raise PeerLostError(
                f"the processes of this cluster did not meet within {JOIN_SECONDS} s: does it "
                f"start --distributed in each of them? ({first_line(error)[:120]})"
            ) from error
        raise PeerLostError(
            f"process {processes.rank} of {processes.size} did not meet the others at "
            f"{processes.coordinator} within {JOIN_SECONDS} s: start all of them with the same "
            "--coordinator and --processes, each with its own --process "
            f"({first_line(error)[:120]})"
        ) from error


def leave() -> None:
    """Waits for the other processes, and disconnects from them."""
    jax.distributed.shutdown()


def is_first() -> bool:
    """Tells whether this process is the first or only one, which alone writes and prints."""
    return jax.process_index() == 0


def several() -> bool:
    """Tells whether there is more than one process."""
    return jax.process_count() > 1


def share(tree: Any) -> Any:
    """Sends the first process's arrays to all; each must pass a tree of the same shapes."""
    if not several():
        return tree
    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(tree))


def watching_peers(work: Callable[[], int]) -> int:
    """Runs `work` in one process among several.

    Returns:
        The result of `work`.

    Raises:
        PeerLostError: `work` has failed because another process is lost.
    """
    try:
        return work()
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        if several() and _is_about_peers(error):
            raise PeerLostError(lost(f"ended the run ({first_line(error)[:120]})")) from error
        raise


def lost(what: str) -> str:
    """Says that another process was lost, "which `what`", and what to do."""
    return (
        f"another process was lost, which {what}; start all of them again, with --resume to go on "
        "from the last checkpoint"
    )


def _is_about_peers(error: Exception) -> bool:
    words = ("gloo", "nccl", "collective", "coordination", "peer", "heartbeat")
    return any(word in str(error).lower() for word in words)


def _silence_runtime() -> None:
    """Hides the messages of jax's runtime about other processes.

    The runtime's native code writes them to the file descriptors 1 and 2, which now lead to
    nowhere. Python's output is sent on to where they led before.
    """
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))
    with open(os.devnull, "wb") as nothing:
        for number in (1, 2):
            os.dup2(nothing.fileno(), number)
