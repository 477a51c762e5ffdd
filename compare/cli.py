"""The command line: finds the command, runs it, and turns its errors into exit codes."""

import contextlib
import difflib
import os
import re
import shlex
import sys
import traceback
from collections.abc import Sequence

import tyro

from compare import __version__
from compare.commands import completion, outputs, streams
from compare.commands.articles import articles
from compare.commands.bench import bench
from compare.commands.check import check
from compare.commands.gradients import gradients
from compare.commands.learning.exercises import exercises
from compare.commands.learning.explain import explain
from compare.commands.mutants import mutants
from compare.commands.options import (
    DATA,
    INTERRUPTED,
    PEER_LOST,
    UNEXPECTED,
    USAGE,
    UsageError,
)
from compare.commands.predict import predict
from compare.commands.report import report
from compare.commands.training import config, supervision
from compare.commands.training.train import train
from compare.commands.words import refused, spelling
from compare.datasets import DataError
from compare.escapes import escaped
from compare.experiments import (
    CheckpointError,
    FolderInUseError,
    ParamsFileError,
    PeerLostError,
)
from compare.files import WriteError

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
    "exercises": exercises,
    "explain": explain,
}
"""Every command by its name."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code; without a command, `gradients`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    whole = _TRACEBACK in argv
    argv = [word for word in argv if word != _TRACEBACK]
    if argv == ["--version"]:
        print(f"handgrad {__version__}")
        sys.exit(0)
    if problem := _unknown(argv):
        supervision.exit_with(_say(problem, USAGE))
    argv[:1] = [_TYROS.get(word, word) for word in argv[:1]]
    if not argv or (argv[0].startswith("-") and argv[0] not in _TYROS.values()):
        argv = ["gradients", *argv]
    if (command := COMMANDS.get(argv[0])) and (
        problem := spelling.misspelt(argv[1:], argv[0], command)
        or spelling.valued(argv[1:], command)
    ):
        supervision.exit_with(_say(problem, USAGE))
    with streams.guarded(sys.stdout, sys.stderr) as out:
        code = _run(argv, whole=whole)
        out.flush()
        # A reader that has seen enough, such as `head`, is no failure.
        if out.error is not None and not isinstance(out.error, BrokenPipeError):
            _say(
                f"standard output: {out.error.strerror or out.error}; what it was to show is lost, "
                "and the files that options name are written"
            )
            code = code or DATA
        supervision.exit_with(code)


_COMPLETION = "--print-completion"


def _unknown(argv: Sequence[str]) -> str:
    """Tells of a first word that is no command, and of a shell that is none; "" if all is well."""
    if argv[:1] == [_COMPLETION] and argv[1:] not in [[shell] for shell in completion.SHELLS]:
        return f"{_COMPLETION}: takes {' or '.join(completion.SHELLS)}"
    if not argv or argv[0] in COMMANDS or argv[0].startswith("-"):
        return ""
    near = difflib.get_close_matches(argv[0], COMMANDS, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{argv[0]}: is no command; {meant}the commands are {', '.join(COMMANDS)}"


_TYROS = {"-h": "-h", "--help": "--help", _COMPLETION: "--tyro-print-completion"}
"""Options of the whole, and what tyro calls them."""


def _without_a_command(line: str) -> str:
    """Tells which command runs without one, where tyro says in its help that one is required."""
    return re.sub(rf"\(required\)({_STYLE}*) {{10}}", r"(default: gradients)\1", line)


_STYLE = r"(?:\x1b\[[0-9;]*m)"
_TRACEBACK = "--traceback"


def _run(argv: Sequence[str], *, whole: bool) -> int:
    """Runs one command, and returns its exit code; an error is one line on standard error."""
    # tyro wraps what is in its boxes, and not the description above them.
    is_help = not {"-h", "--help"}.isdisjoint(argv)
    try:
        if argv[0] == "train":
            argv = ["train", *config.expanded(argv[1:], train)]
        outputs.command_line.set(shlex.join(["handgrad", *argv]))
        edited = _without_a_command if argv[0] in _TYROS.values() else str
        wrapping = streams.wrapping(edited) if is_help else contextlib.nullcontext()
        with wrapping, refused.told_plainly(argv[0]):
            return tyro.extras.subcommand_cli_from_dict(
                COMMANDS,
                prog="handgrad",
                description="Gradients derived by hand, proved against jax.grad. With --traceback, "
                "an unexpected error shows where it came from. --version tells the version, and "
                "--print-completion bash (zsh) what completes commands in a shell.",
                args=argv,
            )
    except SystemExit as exit_:  # tyro has shown its help, or what is wrong with the words
        code = 0 if exit_.code is None else exit_.code
        if code == 0 and argv[0] == _TYROS[_COMPLETION]:
            print(completion.positional(argv[1]))
        return code if isinstance(code, int) else USAGE
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except Exception as error:
        expected = next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)
        if expected is not None:
            return _say(str(error), expected)
        if whole:
            traceback.print_exc()
        if isinstance(error, OSError) and error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            return _say(f"{where}{error.strerror}", DATA)
        return _say(
            f"unexpected {type(error).__name__} at {_place(error)}: {str(error)[:200]}; please "
            f"report it with what the same command shows with {_TRACEBACK}",
            UNEXPECTED,
        )


_CODES = {
    UsageError: USAGE, DataError: DATA, CheckpointError: DATA, FolderInUseError: DATA,
    ParamsFileError: DATA, WriteError: DATA, PeerLostError: PEER_LOST,
}  # fmt: skip
"""The errors that a command is expected to end with."""


def _say(text: str, code: int = DATA) -> int:
    print(f"handgrad: {escaped(' '.join(text.split()))}", file=sys.stderr)
    return code


def _place(error: BaseException) -> str:
    """Finds the innermost line of ours that an error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(_OWN)]
    frame = (own or frames)[-1]
    return f"{os.path.relpath(frame.filename, _ROOT)}:{frame.lineno}"


_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OWN = tuple(os.path.join(_ROOT, name, "") for name in ("compare", "manual", "autodiff"))
