"""A learner's attempt at an exercise: their backward pass against `jax.grad` of the forward pass.

The forward pass is plain NumPy that jax.numpy has as well. So the learner's file is loaded twice:
as it is, and with jax.numpy for `np`, which `jax.grad` can differentiate; its sigmoid and softmax
are those of jax.nn then.
"""

import ast
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from compare import own
from compare.checker import GradientReport, check_gradients
from compare.escapes import first_line
from compare.exercises.exercise import Exercise
from compare.exercises.recurrent import LOSSES

__all__ = ["Attempt", "attempt", "given_lines"]


class Attempt(NamedTuple):
    """What came of an exercise.

    Attributes:
        exercise: which one.
        path: the learner's file.
        state: `solved`, `unfinished`, or `wrong`.
        why: where there is nothing to compare, what is missing, in a sentence; else "".
        report: of the comparison; None where there was none.
        learned: what a training with this backward pass led to; "" where the exercise has none.
    """

    exercise: Exercise
    path: Path
    state: str
    why: str = ""
    report: GradientReport | None = None
    learned: str = ""


def attempt(exercise: Exercise, path: Path) -> Attempt:
    """Checks the learner's file, and trains with it where the exercise does.

    Raises:
        OwnFileError: the file does not run, a function is missing, was changed where it is part of
            the question, or raises an error.
    """
    module = own.load(path)
    _require_the_question(exercise, path)
    point = _theirs(path, module.inputs)
    try:
        grads = _theirs(path, lambda: _candidate(module)(*point)[1])
    except NotImplementedError:
        return Attempt(exercise, path, "unfinished", "backward is not written yet")
    if why := _unlike(grads, point[0]):
        return Attempt(exercise, path, "wrong", why)
    loss = LOSSES.get(exercise.number) or _loss(path)
    with warnings.catch_warnings():  # Those of their own functions were shown above.
        warnings.simplefilter("ignore")
        report = _theirs(path, lambda: check_gradients(_candidate(module), loss, *point, jit=False))
    if not report.agree:
        return Attempt(exercise, path, "wrong", "", report)
    train = getattr(module, "train", None)
    learned = _theirs(path, train) if train else ""
    return Attempt(exercise, path, "solved", "", report, learned)


def given_lines(exercise: Exercise, path: Path) -> set[int]:
    """Finds the lines of the functions that the learner was given: all but `backward`."""
    given, found = _functions(exercise.template), _functions(path.read_text("utf-8"))
    nodes = [node for name, node in found.items() if name in given and name != "backward"]
    return {n for node in nodes for n in range(node.lineno, (node.end_lineno or 0) + 1)}


def _require_the_question(exercise: Exercise, path: Path) -> None:
    """Refuses a file in which a function is missing, or other than the learner was given it."""
    given, found = _functions(exercise.template), _functions(path.read_text("utf-8"))
    for name, node in given.items():
        if name not in found:
            raise own.OwnFileError(f"{path}: has no function {name}")
        if name != "backward" and ast.dump(found[name]) != ast.dump(node):
            raise own.OwnFileError(
                f"{path}:{found[name].lineno}: {name} is part of the question and was changed; "
                f"move the file away, and `handgrad exercises start {path.parent}` writes it anew"
            )


def _functions(source: str) -> dict[str, ast.FunctionDef]:
    return {n.name: n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}


def _candidate(module: ModuleType) -> Callable[..., tuple[Any, Any]]:
    """The loss and the gradient by hand; of a layer, the loss is Σ dy ⊙ y."""

    def network(params: Any, *args: Any) -> tuple[Any, Any]:
        loss, saved = module.forward(params, *args)
        return loss, module.backward(saved)

    def layer(params: Any, *args: Any) -> tuple[Any, Any]:
        *others, dy = args
        y, saved = module.forward(params, *others)
        return np.sum(dy * y), module.backward(dy, saved)

    return layer if _is_layer(module) else network


def _loss(path: Path) -> Callable[..., Any]:
    """What `jax.grad` differentiates: the forward pass with jax.numpy for `np`."""
    module = own.load(path)
    module.__dict__.update({k: v for k, v in _OF_JAX.items() if hasattr(module, k)})

    def network(params: Any, *args: Any) -> Any:
        return module.forward(params, *args)[0]

    def layer(params: Any, *args: Any) -> Any:
        *others, dy = args
        return jnp.sum(dy * module.forward(params, *others)[0])

    return layer if _is_layer(module) else network


_OF_JAX = {"np": jnp, "sigmoid": jax.nn.sigmoid, "softmax": jax.nn.softmax}
"""What takes the place of NumPy, and of a lesson's own functions that the diagnosis knows."""


def _is_layer(module: ModuleType) -> bool:
    """Whether `backward` takes the derivative by the output as well: `backward(dy, saved)`."""
    return len(inspect.signature(module.backward).parameters) == 2


def _unlike(grads: Any, params: dict[str, Any]) -> str:
    """Says how a gradient is not made like the parameters; "" where it is."""
    names = ", ".join(params)
    if not isinstance(grads, dict):
        return f"backward returns {_kind(grads)}; it should return a dict with {names}"
    missing = [name for name in params if name not in grads]
    if missing:
        return f"backward returns no {', '.join(missing)}; it should return a dict with {names}"
    for name, value in params.items():
        shape, wanted = np.shape(grads[name]), np.shape(value)
        if shape != wanted:
            return f"{name} has shape {wanted}, and the gradient returned for it has shape {shape}"
    return ""


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _theirs(path: Path, call: Callable[[], Any]) -> Any:
    """Calls what runs the learner's functions; an error of theirs is told with its line."""
    try:
        return call()
    except NotImplementedError:
        raise
    except (Exception, SystemExit) as error:
        where = own.place(error, path) or path
        raise own.OwnFileError(f"{where}: {first_line(error, kind=True)}") from error
