"""Accelerators without the hardware: everything lowers for every platform."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from autodiff import cnn as autodiff_cnn
from autodiff import mlp as autodiff_mlp
from autodiff import regularised_mlp as autodiff_regularised_mlp
from compare import check_gradients, problems
from compare.experiments.experiment import prepare
from manual import cnn as manual_cnn
from manual import mlp as manual_mlp
from manual import regularised_mlp as manual_regularised_mlp
from manual.rules import activations, dense, losses

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
MATRIX = jax.ShapeDtypeStruct((5, 3), jnp.float32)
LABELS = jax.ShapeDtypeStruct((5,), jnp.int32)
KEY = jax.eval_shape(lambda: jax.random.key(0))


def lower(fn, *args):
    """Lowers fn and its gradient for every platform, and returns the platforms."""
    return export.export(jax.jit(fn), platforms=PLATFORMS)(*args).platforms


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_activations(name):
    rule = activations.by_name(name)
    assert lower(lambda x: jax.vjp(rule, x)[1](x), MATRIX) == PLATFORMS


@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses(name):
    rule = losses.by_name(name)
    targets = LABELS if name.endswith("integer_labels") else MATRIX
    assert lower(jax.value_and_grad(rule), MATRIX, targets) == PLATFORMS


def test_dense():
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((5, 3), (3, 2), (2,))]
    assert lower(lambda *xs: jax.vjp(dense, *xs)[1](dense(*xs)), *shapes) == PLATFORMS


@pytest.mark.parametrize("model", [manual_mlp, autodiff_mlp])
def test_mlps(model):
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), (3, 4, 10)))
    assert lower(model.loss_and_grad, params, (MATRIX, LABELS)) == PLATFORMS


@pytest.mark.parametrize("model", [manual_regularised_mlp, autodiff_regularised_mlp])
def test_regularised_mlps(model):
    params, state = jax.eval_shape(lambda key: model.init(key, (3, 4, 1)), KEY)
    targets = jax.ShapeDtypeStruct((5, 1), jnp.float32)
    assert lower(model.loss_and_grad, params, state, (MATRIX, targets), KEY) == PLATFORMS
    assert lower(model.predict, params, state, MATRIX) == PLATFORMS


@pytest.mark.parametrize("model", [manual_cnn, autodiff_cnn])
def test_cnns(model):
    params = jax.eval_shape(lambda key: model.init(key, (5, 4, 2), (3, 4), 10), KEY)
    images = jax.ShapeDtypeStruct((5, 5, 4, 2), jnp.float32)
    assert lower(model.loss_and_grad, params, (images, LABELS)) == PLATFORMS
    assert lower(model.predict, params, images) == PLATFORMS


@pytest.mark.table
@pytest.mark.parametrize("method", ["manual", "autodiff", "both"])
@pytest.mark.parametrize("name", problems.PROBLEMS["classification"].recipes)
def test_an_epoch_of_training(name, method):
    problem = problems.load("classification", model=name)
    recipe = problems.PROBLEMS["classification"].recipes[name]
    run = prepare(problem, recipe._replace(batch=300), method)
    assert lower(run.trainer.epoch, run.state, *run.train_data) == PLATFORMS
    x, y = run.test_data
    assert lower(run.trainer.evaluate, problem.params, problem.state, x, y) == PLATFORMS


def test_the_comparison_multiplies_at_the_highest_precision():
    seen = []

    def loss(params, x):
        product = jax.make_jaxpr(jnp.matmul)(x, params)
        seen.append(product.eqns[-1].params["precision"])
        return (x @ params).sum()

    def candidate(params, x):
        return loss(params, x), jnp.broadcast_to(x.sum(axis=0)[:, None], params.shape)

    w, x = jnp.ones((3, 2)), jnp.ones((4, 3))
    assert check_gradients(candidate, loss, w, x).agree
    highest = jax.lax.Precision.HIGHEST
    assert seen
    assert all(precision == (highest, highest) for precision in seen)
    with jax.default_matmul_precision("bfloat16"):
        assert check_gradients(candidate, loss, w, x).precision == "bfloat16"
