"""Exit codes, the values of options, and checks before the work that all commands share."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import jax
import tyro

from compare import files, problems
from compare.commands.interruption import INTERRUPTED

__all__ = [
    "AGREE", "DATA", "DISAGREE", "INTERRUPTED", "NONFINITE", "PEER_LOST", "UNEXPECTED", "USAGE",
    "DtypeName", "OptionalDataset", "OptionalDtype", "OptionalModel", "OptionalPath",
    "OptionalPlatform", "OptionalSeconds", "Platform", "Precision", "Seed", "UsageError",
    "not_given", "require_platform", "require_writable",
]  # fmt: skip

AGREE, DISAGREE, USAGE, DATA, NONFINITE, PEER_LOST, UNEXPECTED = 0, 1, 2, 3, 4, 5, 70
"""Exit codes, beside INTERRUPTED."""

DtypeName = Literal["float64", "float32", "bfloat16"]
Precision = Literal["highest", "high", "default"]
Platform = Literal["cpu", "gpu", "tpu"]


def not_given(metavar: str, otherwise: str = "", *aliases: str) -> Any:
    """Returns how the help shows an option that need not be given.

    Args:
        metavar: what stands for its value.
        otherwise: what holds where it is not given, where its own text does not say so.
        *aliases: further names of it.
    """
    hint = f"(default: {otherwise})" if otherwise else ""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=hint, aliases=aliases)


OptionalPath = Annotated[Path | None, not_given("PATH")]
OptionalPlatform = Annotated[Platform | None, not_given("{cpu,gpu,tpu}")]
OptionalSeconds = Annotated[float | None, not_given("SECONDS")]
OptionalDtype = Annotated[DtypeName | None, not_given("{float64,float32,bfloat16}")]
OptionalDataset = Annotated[problems.DatasetName | None, not_given("{mnist,mnist5k}")]
OptionalModel = Annotated[
    problems.ModelName | None, not_given(f"{{{','.join(get_args(problems.ModelName))}}}")
]


def _seed(words: list[str]) -> int:
    """Reads a seed.

    Raises:
        ValueError: it is none that each of the generators takes: NumPy's, JAX's, scikit-learn's.
    """
    seed, most = int(words[0]), 2**32 - 1
    if not 0 <= seed <= most:
        raise ValueError(f"must be from 0 to {most}, got {seed}")
    return seed


Seed = Annotated[
    int,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=_seed,
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda seed: [str(seed)],
    ),
]


class UsageError(Exception):
    """The command cannot run as it was typed; the message is one line that says what to do."""


def require_platform(platform: str | None) -> None:
    """Makes jax use this platform; to be called before anything else uses jax.

    Raises:
        UsageError: jax does not find the platform.
    """
    if platform == "cpu":
        jax.config.update("jax_platforms", "cpu")
    found = jax.default_backend()
    if platform not in (None, found):
        extras = {"gpu": "'handgrad[cuda12]' or 'handgrad[cuda13]'", "tpu": "'handgrad[tpu]'"}
        raise UsageError(
            f"--platform {platform}: jax finds only {found} here; install {extras[platform]} on a "
            f"machine with a {platform}, or use --platform {found}"
        )


def require_writable(option: str, file: Path | None) -> None:
    """Refuses a file that cannot be written, before the work is done.

    Args:
        option: the option that names the file, for the message.
        file: None where the option is not given.

    Raises:
        UsageError: the file is a folder, or its folder does not exist.
        WriteError: it was tried to write the file, and it cannot be.
    """
    if file is None:
        return
    try:
        if why := files.misplaced(file):
            raise UsageError(f"{option} {file}: {why}")
        files.require_writable(file)
    except OSError as error:
        raise files.WriteError(f"{option} {files.unwritten(file, error)}") from error
