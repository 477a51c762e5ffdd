"""The command line: finds the command, runs it, and turns its errors into exit codes."""

import shlex
import sys
from collections.abc import Sequence

import tyro

from compare import __version__
from compare.commands import outputs
from compare.commands.articles import articles
from compare.commands.bench import bench
from compare.commands.check import check
from compare.commands.gradients import gradients
from compare.commands.mutants import mutants
from compare.commands.options import DATA, INTERRUPTED, PEER_LOST, USAGE, UsageError
from compare.commands.predict import predict
from compare.commands.report import report
from compare.commands.train import train
from compare.datasets import DataError
from compare.experiments import CheckpointError, ParamsFileError, PeerLostError, processes

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "gradients": gradients,
    "check": check,
    "train": train,
    "predict": predict,
    "bench": bench,
    "articles": articles,
    "mutants": mutants,
    "report": report,
}
"""Every command by its name."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code; without a command, `gradients`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv == ["--version"]:
        print(f"handgrad {__version__}")
        sys.exit(0)
    argv[:1] = [_TYROS.get(word, word) for word in argv[:1]]
    if not argv or (argv[0].startswith("-") and argv[0] not in _TYROS.values()):
        argv = ["gradients", *argv]
    outputs.command_line.set(shlex.join(["python", "-m", "compare", *argv]))
    processes.exit_with(_run(argv))


_TYROS = {"-h": "-h", "--help": "--help", "--print-completion": "--tyro-print-completion"}
"""Options of the whole, and what tyro calls them."""


def _run(argv: Sequence[str]) -> int:
    try:
        return tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="handgrad",
            description="Gradients derived by hand, proved against jax.grad.",
            args=argv,
        )
    except UsageError as error:
        print(f"handgrad: {error}", file=sys.stderr)
        return USAGE
    except (DataError, CheckpointError, ParamsFileError) as error:
        print(f"handgrad: {error}", file=sys.stderr)
        return DATA
    except PeerLostError as error:
        print(f"handgrad: {error}", file=sys.stderr)
        return PEER_LOST
    except KeyboardInterrupt:
        print("handgrad: interrupted", file=sys.stderr)
        return INTERRUPTED
