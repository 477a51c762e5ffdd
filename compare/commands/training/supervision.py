"""The supervisor of a process that trains with others: it survives it, and says what has happened.

JAX's runtime kills a process whose peers are lost, without an exception. So each of them is the
worker of another process, which waits for it and imports nothing that it does not need for that.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from compare.commands.interruption import handling

__all__ = ["exit_with", "is_for_several", "supervise"]

_WORKER = "HANDGRAD_WORKER"
_ROOT = Path(__file__).parents[3]
_OF_SEVERAL = {"--distributed", "--coordinator", "--processes", "--process"}


def is_for_several(argv: Sequence[str]) -> bool:
    """Tells whether the words of a command are of a training in several processes.

    It may be one all the same if they name a file with options.
    """
    words = {word.partition("=")[0] for word in argv}
    return argv[:1] == ["train"] and bool(words & _OF_SEVERAL) and not words & {"-h", "--help"}


def supervise(argv: Sequence[str]) -> int | None:
    """Runs a command again in a worker, and waits for the worker.

    Args:
        argv: the arguments of `handgrad`.

    Returns:
        The worker's exit code, or, with a line on standard error, that of a run that has lost a
        process; None in the worker itself, which then does the work.
    """
    if _WORKER in os.environ:
        threading.Thread(target=_end_with_supervisor, daemon=True).start()
        return None
    # A compare.py in the working folder is not ours: without -P it would be what runs.
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "compare", *argv],
        env={**os.environ, "PYTHONPATH": path, _WORKER: "1"},
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    # The worker is in a session of its own, to which the terminal sends no SIGINT.
    with handling(worker.send_signal):
        code = worker.wait()
    return _lost() if code == -signal.SIGABRT else code


def _lost() -> int:
    # Late, since they import jax.
    from compare.commands.options import PEER_LOST
    from compare.experiments.processes import lost

    print(f"handgrad: {lost('ended the run')}", file=sys.stderr)
    return PEER_LOST


def exit_with(code: int) -> NoReturn:
    """Ends this process; a worker ends at once, as a peer may be waiting for it."""
    if _WORKER in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _end_with_supervisor() -> None:
    """Ends the worker when its supervisor is gone: then the pipe to standard input closes."""
    os.read(0, 1)
    os._exit(1)
