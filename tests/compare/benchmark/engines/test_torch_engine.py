import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from compare import check_gradients, problems
from compare.benchmark.engines import torch_base, torch_engine
from compare.training.steps import init_state, make_step

pytestmark = pytest.mark.skipif(
    not torch_base.installed(), reason="PyTorch is not installed: pip install 'handgrad[bench]'"
)
CLASSES = "softmax_cross_entropy_with_integer_labels"
MODELS = {
    "mlp": (problems.mlp((6, 5, 3), "relu", CLASSES), (6,), torch_engine.mlp_loss_and_grad),
    "cnn": (
        problems.cnn((6, 9, 2), (3, 4), 5, CLASSES),
        (6, 9, 2),
        torch_engine.cnn_loss_and_grad,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_computes_the_gradient_of_jax(name):
    model, example, steps = MODELS[name]
    rng = np.random.default_rng(0)
    params, state = model.init(jax.random.key(0))
    batch = rng.standard_normal((4, *example)).astype(np.float32), rng.integers(0, 3, 4)

    def candidate(params, state, batch, key):
        step, result = steps(params, batch)
        step()
        step()  # Gradients are set anew, not added to.
        value, grads = result()
        return (value, state), grads

    point = params, state, batch, jax.random.key(1)
    report = check_gradients(candidate, model.loss, *point, has_aux=True, jit=False)
    assert report.agree, report


ROWS, BATCH, RATE = 14, 4, 1e-2
"""Three full batches and one of two rows."""


@pytest.fixture
def training():
    """Parameters and data in float64, an order of the rows, and one epoch of our steps."""
    model, example, _ = MODELS["mlp"]
    params, state = model.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    data = rng.standard_normal((ROWS, *example)), rng.integers(0, 3, ROWS)
    order = rng.permutation(ROWS)
    optimizer = optax.adam(RATE)
    step = jax.jit(make_step(model.manual, optimizer))

    def epoch(params):
        run = init_state(params, state, optimizer, jax.random.key(1))
        for start in range(0, ROWS, BATCH):
            run, _ = step(run, tuple(jnp.asarray(a[order[start : start + BATCH]]) for a in data))
        return run.params

    with jax.enable_x64(True):
        yield jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params), data, order, epoch


def distance(some, others):
    pairs = zip(jax.tree.leaves(some), jax.tree.leaves(others), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def torch_epoch(training, rate=RATE, first=0):
    params, data, order, _ = training
    epoch, result = torch_engine.mlp_training(params, data, BATCH, rate)
    epoch(np.roll(order, -first))
    return result()[2]


def test_its_training_is_ours(training):
    """They part by what a unit in the last place of the start makes of itself, and no more."""
    params, _, _, epoch = training
    ours, units = epoch(params), np.finfo(float).eps * np.array([-2, -1, 1, 2])
    moved = [jax.tree.map(lambda p, eps=eps: p * (1 + eps), params) for eps in units]
    tolerance = 10 * max(distance(ours, epoch(start)) for start in moved)
    assert distance(ours, torch_epoch(training)) <= tolerance
    assert distance(ours, torch_epoch(training, rate=RATE * (1 + 1e-9))) > tolerance
    assert distance(ours, torch_epoch(training, first=BATCH)) > tolerance, "another first batch"


def test_its_training_shuffles_and_learns(training):
    params, data, _, _ = training
    epoch, result = torch_engine.mlp_training(params, data, ROWS, RATE)
    epoch()
    first = result()[0]
    for _ in range(20):
        epoch()
    assert result()[0] < first
