"""What is compared with what: a data set, a model on both sides, and its parameters.

The only file that imports both `manual` and `autodiff`.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from autodiff import cnn as autodiff_cnn
from autodiff import mlp as autodiff_mlp
from autodiff import regularised_mlp as autodiff_regularised_mlp
from compare.datasets import Dataset, classification, mnist, xor
from compare.problems.derivations import Derivation, of_model, of_rule
from manual import cnn as manual_cnn
from manual import mlp as manual_mlp
from manual import regularised_mlp as manual_regularised_mlp
from manual import rules
from manual.rules import losses
from manual.rules.tie import tie

__all__ = [
    "PROBLEMS",
    "DatasetName",
    "Model",
    "ModelName",
    "Problem",
    "ProblemName",
    "choose",
    "cnn",
    "load",
    "mlp",
    "mlp_with_loss",
    "regularised_mlp",
]

ProblemName = Literal["xor", "mnist", "classification"]
ModelName = Literal["mlp", "regularised-mlp", "cnn"]
DatasetName = Literal["mnist", "mnist5k"]


class Model(NamedTuple):
    """One model on both sides, all with one signature: what needs no state or key ignores it.

    Attributes:
        name: `mlp`, `regularised-mlp` or `cnn`.
        settings: the model in words: its sizes and what is in between.
        init: `init(key) -> (params, state)`, the same on both sides; state may be ().
        manual: `manual(params, state, batch, key) -> ((loss, state), grads)`, derived by hand.
        loss: `loss(params, state, batch, key) -> (loss, state)`, for `jax.grad`.
        predict: `predict(params, state, x) -> logits`, in inference.
        criterion: `criterion(logits, targets) -> loss`, the mean over the rows.
        resized: `resized(hidden) -> Model`, the same with hidden layers of these widths.
        derivations: of the model and of each rule in it.
        image: (height, width, channels) of an example, where the model takes images.
    """

    name: str
    settings: str
    init: Callable[..., Any]
    manual: Callable[..., Any]
    loss: Callable[..., Any]
    predict: Callable[..., Any]
    criterion: Callable[..., Any]
    resized: "Callable[[Sequence[int]], Model]"
    derivations: tuple[Derivation, ...] = ()
    image: tuple[int, int, int] | None = None


class Problem(NamedTuple):
    """One model on one batch of data.

    Attributes:
        name: `xor`, `mnist` or `classification`.
        model: the model on both sides.
        data: all of the data, as the model takes it; `data.name` is `mnist5k` where it is that.
        params: the parameters, float32.
        state: of the model: running statistics, or ().
        batch: (x, targets), rows are examples.
        key: of the model's random masks.
    """

    name: str
    model: Model
    data: Dataset
    params: Any
    state: Any
    batch: tuple[np.ndarray, np.ndarray]
    key: jax.Array


def mlp(sizes: Sequence[int], activation: str, loss: str) -> Model:
    """The multilayer perceptron with these sizes, activation and loss."""
    settings = {"activation": activation, "loss": loss}

    def by_hand(params: Any, state: Any, batch: Any, key: Any) -> Any:
        value, grads = manual_mlp.loss_and_grad(params, batch, **settings)
        return (value, state), grads

    return Model(
        name="mlp",
        settings=f"{'-'.join(map(str, sizes))} {activation}",
        init=lambda key: (manual_mlp.init(key, sizes), ()),
        manual=by_hand,
        loss=lambda params, state, batch, key: (
            autodiff_mlp.loss(params, batch, **settings),
            state,
        ),
        predict=lambda params, state, x: manual_mlp.predict(params, x, activation=activation),
        criterion=tie(*losses.by_name(loss)),
        resized=lambda hidden: mlp((sizes[0], *hidden, sizes[-1]), activation, loss),
        derivations=_derivations(manual_mlp, "dense", activation, loss),
    )


def mlp_with_loss(
    sizes: Sequence[int],
    activation: str,
    loss: Callable[[jax.Array, Any], jax.Array],
    slope: Callable[[jax.Array, Any], jax.Array],
) -> Model:
    """The multilayer perceptron with a loss that the rules do not have.

    By hand, the layers' derivatives are the rules' and that of the loss is `slope`.

    Args:
        sizes: of the layers, input first.
        activation: of the hidden layers.
        loss: `loss(logits, targets)`, the mean over the rows, for `jax.grad`.
        slope: `slope(logits, targets)`, its derivative by the logits, derived by hand.
    """
    by_hand = partial(manual_mlp.predict, activation=activation)
    idiom = partial(autodiff_mlp.predict, activation=activation)

    def manual(params: Any, state: Any, batch: Any, key: Any) -> Any:
        x, targets = batch
        logits, pull_back = jax.vjp(lambda p: by_hand(p, x), params)
        return (loss(logits, targets), state), pull_back(slope(logits, targets))[0]

    return mlp(sizes, activation, _BINARY)._replace(
        manual=manual,
        loss=lambda params, state, batch, key: (loss(idiom(params, batch[0]), batch[1]), state),
        criterion=loss,
        resized=lambda hidden: mlp_with_loss(
            (sizes[0], *hidden, sizes[-1]), activation, loss, slope
        ),
    )


def regularised_mlp(sizes: Sequence[int], loss: str, *, rate: float = 0.3) -> Model:
    """The multilayer perceptron with batch normalisation and dropout."""
    settings = {"rate": rate, "loss": loss}
    return Model(
        name="regularised-mlp",
        settings=f"{'-'.join(map(str, sizes))} batch-norm relu dropout {rate:g}",
        init=lambda key: manual_regularised_mlp.init(key, sizes),
        manual=partial(manual_regularised_mlp.loss_and_grad, **settings),
        loss=partial(autodiff_regularised_mlp.loss, **settings),
        predict=manual_regularised_mlp.predict,
        criterion=tie(*losses.by_name(loss)),
        resized=lambda hidden: regularised_mlp((sizes[0], *hidden, sizes[-1]), loss, rate=rate),
        derivations=_derivations(
            manual_regularised_mlp, "dense", "batch_norm", "relu", "dropout", loss
        ),
    )


def cnn(image: tuple[int, int, int], channels: Sequence[int], n_out: int, loss: str) -> Model:
    """The convolutional network with these widths."""

    def by_hand(params: Any, state: Any, batch: Any, key: Any) -> Any:
        value, grads = manual_cnn.loss_and_grad(params, batch, loss=loss)
        return (value, state), grads

    return Model(
        name="cnn",
        settings="-".join(["×".join(map(str, image)), *map(str, channels), str(n_out)]),
        init=lambda key: (manual_cnn.init(key, image, channels, n_out), ()),
        manual=by_hand,
        loss=lambda params, state, batch, key: (
            autodiff_cnn.loss(params, batch, loss=loss),
            state,
        ),
        predict=lambda params, state, x: manual_cnn.predict(params, x),
        criterion=tie(*losses.by_name(loss)),
        resized=lambda hidden: cnn(image, hidden, n_out, loss),
        derivations=_derivations(
            manual_cnn, "conv2d", "max_pool", "relu", "flatten", "dense", loss
        ),
        image=image,
    )


def _derivations(module: Any, *names: str) -> tuple[Derivation, ...]:
    """Of a model's module, and of the rules with these names that it puts together."""
    passes = [[getattr(rules, f"{name}_{half}") for half in ("fwd", "bwd")] for name in names]
    return (
        of_model(module),
        *(of_rule(name, *pair) for name, pair in zip(names, passes, strict=True)),
    )


_BINARY = "sigmoid_binary_cross_entropy"
_CLASSES = "softmax_cross_entropy_with_integer_labels"

PROBLEMS: dict[str, tuple[Model, ...]] = {
    "xor": (mlp((2, 4, 1), "leaky_relu", _BINARY),),
    "mnist": (
        mlp((784, 128, 64, 10), "relu", _CLASSES),
        regularised_mlp((784, 256, 128, 64, 10), _CLASSES),
        cnn((28, 28, 1), (16, 32), 10, _CLASSES),
    ),
    "classification": (
        mlp((10, 8, 4, 1), "sigmoid", _BINARY),
        regularised_mlp((10, 8, 4, 1), _BINARY),
    ),
}
"""Every problem's models, the plainest first."""


def load(
    name: str,
    *,
    model: str = "mlp",
    hidden: Sequence[int] | None = None,
    batch: int = 64,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
    dataset: DatasetName | None = None,
) -> Problem:
    """The problem called `name`, with seeded parameters and a seeded choice of training rows.

    Args:
        name: one of PROBLEMS.
        model: the name of one of its models.
        hidden: the widths of its hidden layers, where not its own.
        batch: how many rows; a data set with fewer gives all it has.
        seed: of the parameters, of the choice and of random masks.
        data_dir: where MNIST's IDX files are.
        dataset: forces MNIST or its subset.

    Raises:
        DataError: the data are missing or invalid.
        ValueError: there is no such problem or model, or `batch` or a width is not positive.
    """
    chosen = choose(name, model, hidden)
    if batch < 1:
        raise ValueError(f"batch must be a positive number of rows, got {batch}")
    data = _shaped(_data(name, seed, data_dir, dataset), chosen.image)
    key, mask_key = jax.random.split(jax.random.key(seed))
    params, state = jax.jit(chosen.init)(key)
    return Problem(name, chosen, data, params, state, _rows(data, batch, seed), mask_key)


def choose(name: str, model: str = "mlp", hidden: Sequence[int] | None = None) -> Model:
    """The model called `model` of the problem called `name`.

    Args:
        name: one of PROBLEMS.
        model: the name of one of its models.
        hidden: the widths of its hidden layers, where not its own.

    Raises:
        ValueError: there is no such problem or model, or a width is not positive.
    """
    if name not in PROBLEMS:
        raise ValueError(f"unknown problem {name!r}; choose from {', '.join(PROBLEMS)}")
    models = {m.name: m for m in PROBLEMS[name]}
    if model not in models:
        raise ValueError(f"{name} has no model {model!r}; choose from {', '.join(models)}")
    if hidden is None:
        return models[model]
    if min(hidden, default=1) < 1:
        raise ValueError(f"widths must be positive, got {' '.join(map(str, hidden))}")
    return models[model].resized(hidden)


def _data(
    name: str, seed: int, data_dir: str | os.PathLike[str] | None, dataset: DatasetName | None
) -> Dataset:
    if name == "xor":
        return xor.load()
    if name == "classification":
        return classification.load(seed)
    return mnist.load(data_dir, dataset)


def _shaped(data: Dataset, image: tuple[int, int, int] | None) -> Dataset:
    """The data with their rows as images, where a model takes images."""
    if image is None:
        return data
    return data._replace(
        x_train=data.x_train.reshape(-1, *image), x_test=data.x_test.reshape(-1, *image)
    )


def _rows(data: Dataset, batch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(len(data.x_train))[:batch]
    return data.x_train[order], data.y_train[order]
