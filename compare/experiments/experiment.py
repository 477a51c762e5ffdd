"""Prepares a training of a problem: its data, its functions and its first state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from compare import problems
from compare.training import LossAndGrad, Optimizer, devices, optimizer, steps_per_epoch
from compare.training.loop import Trainer
from compare.training.trainer import first_state, make_trainer
from compare.trees import is_float

__all__ = ["SIDES", "Experiment", "prepare"]

SIDES = {"manual": ("manual",), "autodiff": ("autodiff",), "both": ("manual", "autodiff")}
"""The sides that each method trains."""


class Experiment(NamedTuple):
    """A training that is ready to run.

    Attributes:
        problem: the model on both sides, and the data on the host in the dtype of the training.
        recipe: how the model is trained.
        gradients: the gradient of each side.
        optimizer: with its learning rate.
        trainer: the functions of the training, not compiled.
        state: the first state.
        train_data: x and targets, on the devices.
        test_data: x and targets, on the devices.
        mesh: devices that share each batch; None for one device.
    """

    problem: problems.Problem
    recipe: problems.Recipe
    gradients: dict[str, LossAndGrad]
    optimizer: Optimizer
    trainer: Trainer
    state: Any
    train_data: tuple[Any, Any]
    test_data: tuple[Any, Any]
    mesh: Mesh | None


def prepare(
    problem: problems.Problem,
    recipe: problems.Recipe,
    method: str,
    *,
    dtype: str = "float32",
    seed: int = 0,
    mesh: Mesh | None = None,
) -> Experiment:
    """Prepares a training.

    Args:
        problem: the model and the data.
        recipe: how the model is trained.
        method: one of SIDES.
        dtype: of parameters and data; float64 needs `jax.enable_x64`.
        seed: of the perturbations by one unit in the last place, where both sides train.
        mesh: devices that share each batch; None for one device.

    Raises:
        ValueError: a number of the recipe is out of range, or the devices do not divide the batch.
    """
    rows = len(problem.data.x_train)
    _require_batch(recipe.batch, rows, mesh)
    chosen = _optimizer(recipe, steps_per_epoch(rows, recipe.batch))
    problem = _in_dtype(problem, dtype)
    model, data = problem.model, problem.data
    sides = {"manual": model.manual, "autodiff": jax.value_and_grad(model.loss, has_aux=True)}
    gradients: dict[str, LossAndGrad] = {name: sides[name] for name in SIDES[method]}
    state = first_state(gradients, problem.params, problem.state, chosen, problem.key, seed)
    train_data, test_data = devices.replicate(
        ((data.x_train, data.y_train), (data.x_test, data.y_test)), mesh
    )
    return Experiment(
        problem=problem,
        recipe=recipe,
        gradients=gradients,
        optimizer=chosen,
        trainer=make_trainer(gradients, model.predict, model.criterion, chosen, recipe.batch, mesh),
        state=devices.replicate(state, mesh),
        train_data=train_data,
        test_data=test_data,
        mesh=mesh,
    )


def _optimizer(recipe: problems.Recipe, steps: int) -> Optimizer:
    return optimizer(
        recipe.optimizer,
        recipe.learning_rate,
        recipe.schedule,
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        clip=recipe.clip,
        weight_decay=recipe.weight_decay,
    )


def _require_batch(batch: int, rows: int, mesh: Mesh | None) -> None:
    """Refuses a number of rows of a step that the data or the devices do not allow.

    Raises:
        ValueError: `batch` is not positive or more than all rows, or the devices do not divide it.
    """
    if batch < 1:
        raise ValueError(f"batch must be a positive number of rows, got {batch}")
    if batch > rows:
        raise ValueError(f"batch must be at most the {rows} rows of the data, got {batch}")
    if mesh is not None and batch % mesh.size:
        above = batch + mesh.size - batch % mesh.size
        raise ValueError(
            f"{mesh.size} devices do not divide a batch of {batch} rows; choose --batch "
            f"{above} or another multiple of {mesh.size}, or other --devices"
        )


def _in_dtype(problem: problems.Problem, dtype: str) -> problems.Problem:
    def cast(tree: Any) -> Any:
        return jax.tree.map(
            lambda leaf: np.asarray(leaf, jnp.dtype(dtype)) if is_float(leaf) else leaf, tree
        )

    return problem._replace(
        params=cast(problem.params), state=cast(problem.state), data=cast(problem.data)
    )
