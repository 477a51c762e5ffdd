import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from compare import check_gradients, problems
from compare.engines import torch_engine
from compare.training import init_state, make_step

pytestmark = pytest.mark.skipif(
    not torch_engine.installed(), reason="PyTorch is not installed: pip install 'handgrad[bench]'"
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


def float64_problem():
    model, example, _ = MODELS["mlp"]
    params, state = model.init(jax.random.key(0))
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
    rng = np.random.default_rng(0)
    return model, params, state, (rng.standard_normal((ROWS, *example)), rng.integers(0, 3, ROWS))


def by_steps(model, params, state, data, order):
    """The parameters after one epoch of our steps."""
    optimizer = optax.adam(RATE)
    step = jax.jit(make_step(model.manual, optimizer))
    run = init_state(params, state, optimizer, jax.random.key(1))
    for start in range(0, ROWS, BATCH):
        rows = order[start : start + BATCH]
        run, _ = step(run, tuple(jnp.asarray(a[rows]) for a in data))
    return run.params


def distance(some, others):
    pairs = zip(jax.tree.leaves(some), jax.tree.leaves(others), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


@pytest.mark.parametrize(
    ("rate", "swapped", "same"),
    [(RATE, False, True), (RATE * 1.001, False, False), (RATE, True, False)],
)
def test_its_training_is_ours(rate, swapped, same):
    """In float64 they part by what a unit in the last place of the start makes of itself."""
    order = np.random.default_rng(1).permutation(ROWS)
    with jax.enable_x64(True):
        model, params, state, data = float64_problem()
        ours = by_steps(model, params, state, data, order)
        moved = [
            jax.tree.map(lambda p, eps=eps: p * (1 + eps), params)
            for eps in np.finfo(float).eps * np.array([1, -1, 2, -2])
        ]
        noise = max(distance(ours, by_steps(model, p, state, data, order)) for p in moved)
        epoch, result = torch_engine.mlp_training(params, data, BATCH, rate)
        epoch(np.concatenate([order[BATCH:], order[:BATCH]]) if swapped else order)
        assert (distance(ours, result()[2]) <= 10 * noise) == same


def test_its_training_shuffles_all_rows_and_learns():
    with jax.enable_x64(True):
        _, params, _, data = float64_problem()
        epoch, result = torch_engine.mlp_training(params, data, ROWS, RATE)
        epoch()
        first = result()[0]
        for _ in range(20):
            epoch()
        assert result()[0] < first
