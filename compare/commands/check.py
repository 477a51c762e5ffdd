"""The command `check`: holds the functions in a person's own file against `jax.grad`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import tyro

from compare import own, terminal
from compare.checker import GradientReport, check_gradients, check_rule
from compare.commands import outputs
from compare.commands.options import (
    AGREE,
    DATA,
    DISAGREE,
    USAGE,
    OptionalDtype,
    OptionalPath,
    Seed,
    UsageError,
    not_given,
)
from compare.datasets import DataError
from compare.escapes import escaped, first_line
from compare.problems import Derivation
from compare.report import json_file

__all__ = ["check"]

_CANDIDATE = tyro.conf.arg(metavar="FILE.py[:CANDIDATE]")
_LOSS = not_given("[FILE.py:LOSS]")


_T = TypeVar("_T")


class _Asked(NamedTuple):
    """What was typed: two places, and how to check."""

    file: Path
    name: str
    loss: tuple[Path, str] | None
    shapes: dict[str, own.Shape]
    seed: int
    jit: bool
    settings: dict[str, Any]
    verbose: bool = False


def check(
    candidate: Annotated[tyro.conf.Positional[str], _CANDIDATE],
    loss: Annotated[tyro.conf.Positional[str | None], _LOSS] = None,
    /,
    *,
    shapes: str = "",
    dtype: OptionalDtype = None,
    jit: bool = True,
    accuracy: Annotated[float | None, not_given("FLOAT")] = None,
    seed: Seed = 0,
    html: OptionalPath = None,
    json: OptionalPath = None,
    verbose: bool = False,
    watch: bool = False,
) -> int:
    """Hold your own functions against jax.grad.

    It looks for NAME_loss_and_grad with NAME_loss, for NAME_bwd with NAME_fwd, and for a
    jax.custom_vjp NAME with NAME_inputs, and checks each at the point that NAME_inputs() or
    inputs() returns as a tuple of arguments.

    Args:
        candidate: the file; with the name of one function to check, if not every one.
        loss: what jax.grad is to differentiate, where the names do not tell.
        shapes: random inputs and parameters: "w=3x2,s=scalar", labels=5:10 are integers below 10.
        dtype: of every floating array; as the inputs have it if not given.
        jit: run the candidate under jax.jit; one that jax cannot trace, as in NumPy, runs without.
        accuracy: how much of its largest entry a gradient may be off by, for what is approximate.
        seed: of the random inputs and the noise measurement.
        html: write the reports to this file as a page for a browser.
        json: write them to this file.
        verbose: list every line of a wrong backward pass, not those near the mistake alone.
        watch: check again whenever the file is saved; Ctrl-C ends it.
    """
    outputs.require(json=json, report=html, option="--html")
    asked = _asked(candidate, loss, shapes)._replace(
        seed=seed,
        jit=jit,
        settings={"dtype": dtype, "accuracy": accuracy, "seed": seed},
        verbose=verbose,
    )
    code = DISAGREE
    try:
        while True:
            try:
                code = _run(asked, html, json)
            except (DataError, UsageError) as error:
                if not watch:
                    raise
                print(f"handgrad: {error}", file=sys.stderr)
                code = DATA if isinstance(error, DataError) else USAGE
            if not watch:
                return code
            files = [asked.file, *([asked.loss[0]] if asked.loss else [])]
            print(f"\nwatching {files[0]}; Ctrl-C ends\n", file=sys.stderr)
            own.changed(files)
    except KeyboardInterrupt:
        if watch:
            return code
        raise


def _asked(candidate: str, loss: str | None, shapes: str) -> _Asked:
    """Reads the places and the shapes.

    Raises:
        UsageError: a place names no function where it must, or the shapes are none.
    """
    file, name = _place(candidate)
    of = None if loss is None else _place(loss)
    for word, place in ((candidate, (file, name)), (loss, of)):
        if of is not None and place is not None and not place[1]:
            raise UsageError(f"{word}: name the function as well: {place[0]}:NAME")
    try:
        return _Asked(file, name, of, own.shapes(shapes) if shapes else {}, 0, True, {})
    except ValueError as error:
        raise UsageError(f"--shapes {shapes}: {error}") from None


def _place(word: str) -> tuple[Path, str]:
    file, colon, name = word.rpartition(":")
    return (Path(file), name) if colon and name.isidentifier() and file else (Path(word), "")


def _run(asked: _Asked, html: Path | None, json: Path | None) -> int:
    """Loads the file, checks what it has, and shows and writes the reports.

    What cannot be checked is told, and the rest of the file is checked all the same.

    Raises:
        DataError: the file cannot be used, or nothing of it can be checked.
        UsageError: nothing can be checked so.
    """
    try:
        module, pairs, lacking = _loaded(asked)
    except own.OwnFileError as error:
        raise DataError(str(error)) from error
    console = terminal.console()
    reports: list[GradientReport] = []
    failed: dict[str, DataError | UsageError] = {}
    for pair in pairs:
        try:
            with terminal.progress(f"checking {pair.title}"):
                report = _check(asked, pair, _point(asked, module, pair))
        except own.OwnFileError as error:
            failed[pair.title] = DataError(str(error))
            continue
        except (DataError, UsageError) as error:
            failed[pair.title] = error
            continue
        reports.append(report)
        text = report.text(verbose=asked.verbose)
        console.print(f"{pair.title}\n\n{text}\n", markup=False, soft_wrap=True)
    if not reports:
        raise next(iter(failed.values()))
    failed |= {each.name: DataError(each.advice) for each in lacking if each.is_candidate}
    others = [f"left out: {each.name}: {each.advice}" for each in lacking if not each.is_candidate]
    for line in (*(f"not checked: {title}: {why}" for title, why in failed.items()), *others):
        print(f"handgrad: {escaped(line)}", file=sys.stderr)
    console.print(terminal.gradients.verdict(reports, unchecked=len(failed)))
    outputs.save(
        "check",
        json_file.environment("highest"),
        [report.to_dict() for report in reports],
        json=json,
        report=html,
        derivations=[Derivation(**d) for report in reports for d in report.derivations],
    )
    if not all(report.agree for report in reports):
        return DISAGREE
    return next((_CODES[type(error)] for error in failed.values()), AGREE)


_CODES = {DataError: DATA, UsageError: USAGE}


def _loaded(asked: _Asked) -> tuple[Any, list[own.Pair], list[own.LeftOut]]:
    """The file as a module, what of it is to be checked, and what cannot be."""
    module, file = own.load(asked.file), str(asked.file)
    loss = None
    if asked.loss is not None:
        other, name = asked.loss
        home = module if other == asked.file else own.load(other)
        loss = getattr(home, name, None)
        if not callable(loss):
            raise own.OwnFileError(f"{other}: has no function {name}")
    if asked.name:
        return module, [own.named(module, file, asked.name, loss)], []
    pairs = own.found(module, file)
    return module, pairs, own.left_out(module, file, pairs)


def _point(asked: _Asked, module: Any, pair: own.Pair) -> tuple[Any, ...]:
    try:
        if asked.shapes:
            return own.drawn(pair, asked.shapes, asked.seed)
        return _theirs(asked.file, lambda: own.given(module, str(asked.file), pair))
    except ValueError as error:
        raise UsageError(f"--shapes: {error}") from None


def _check(asked: _Asked, pair: own.Pair, point: tuple[Any, ...]) -> GradientReport:
    run: Callable[..., GradientReport] = {"gradients": check_gradients, "rule": check_rule}[
        pair.kind
    ]

    def of(*, jit: bool) -> GradientReport:
        return run(*pair.functions, *point, jit=jit, **asked.settings)

    def either() -> GradientReport:
        try:
            return of(jit=asked.jit)
        except ValueError as error:
            if not asked.jit or "pass jit=False" not in str(error):
                raise
            return of(jit=False)

    return _theirs(asked.file, either)


def _theirs(file: Path, call: Callable[[], _T]) -> _T:
    """Calls what runs a person's functions; an error is told with their line.

    Raises:
        DataError: an error of their functions.
        UsageError: the check cannot be made of these functions at this point.
    """
    try:
        return call()
    except (own.OwnFileError, UsageError):
        raise
    except Exception as error:
        where = own.place(error, file)
        if where:
            raise DataError(f"{where}: {first_line(error, kind=True)}") from error
        if isinstance(error, TypeError | ValueError):
            raise UsageError(f"{file}: {first_line(error)}") from error
        raise
