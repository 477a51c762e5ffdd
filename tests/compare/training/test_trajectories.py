import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import problems
from compare.training.optimizers import optimizer
from compare.training.steps import init_state
from compare.training.trajectories import LIMIT, Gaps, init_pair, judge_parting, make_pair_epoch
from compare.trees import by_path, is_float

EPSILON = 1e-7


def run(
    name,
    *,
    dtype="float32",
    epochs=40,
    batch=800,
    wrong=lambda grads: grads,
    optimizer_name="adam",
):
    """So many epochs of both sides, and what the judge_parting says."""
    problem = problems.load(name)
    model, data = problem.model, problem.data
    chosen = optimizer(optimizer_name, 1e-2).transformation

    def manual(*args):
        value, grads = model.manual(*args)
        return value, wrong(grads)

    with jax.enable_x64(dtype == "float64"):
        params, x, y = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, dtype if is_float(leaf) else None),
            (problem.params, data.x_train, data.y_train),
        )
        autodiff = jax.value_and_grad(model.loss, has_aux=True)
        epoch = make_pair_epoch(manual, autodiff, chosen, batch)
        pair = init_pair(init_state(params, problem.state, chosen, problem.key))
        gaps = []
        for _ in range(epochs):
            pair, _, more = epoch(pair, x, y)
            gaps.append(jax.tree.map(np.asarray, more))
    gaps = Gaps(*(np.concatenate(parts) for parts in zip(*gaps, strict=True)))
    return gaps, judge_parting(gaps, list(by_path(params)))


@pytest.mark.parametrize(("name", "epochs", "batch"), [("xor", 1000, 4), ("classification", 10, 8)])
def test_in_float64_they_stay_together_for_1000_steps(name, epochs, batch):
    gaps, parting = run(name, dtype="float64", epochs=epochs, batch=batch)
    assert len(gaps.total) == 1000
    assert gaps.total.max() < 1e-9
    assert parting.verdict == "chaos"


def test_in_float32_they_part_like_chaos():
    gaps, parting = run("classification")
    assert parting.verdict == "chaos"
    assert 0 < gaps.total[-1] < 1e-4
    assert 0 < parting.excess < 1


def scaled(i, name, factor):
    def wrong(grads):
        return [
            {k: factor * g if (j, k) == (i, name) else g for k, g in layer.items()}
            for j, layer in enumerate(grads)
        ]

    return wrong


def summed_over_everything(grads):
    return [{**layer, "b": jnp.full_like(layer["b"], layer["b"].sum())} for layer in grads]


@pytest.mark.parametrize(
    ("wrong", "settings"),
    [
        (summed_over_everything, {}),
        (scaled(1, "w", -1), {}),
        (scaled(0, "b", 0), {}),
        (scaled(0, "b", 1.001), {"dtype": "float64"}),
        (scaled(0, "b", 1.001), {"optimizer_name": "sgd"}),
    ],
    ids=["bias summed over everything", "sign", "zero", "0.1% in float64", "0.1% under sgd"],
)
def test_a_wrong_gradient_is_a_defect(wrong, settings):
    gaps, parting = run("xor", wrong=wrong, **settings)
    assert parting.verdict == "defect"
    assert parting.excess > 1
    assert gaps.total.any()


def test_adam_hides_a_constant_factor_in_float32():
    """A limit of this yardstick, which the gradients themselves do not have."""
    assert run("xor", wrong=scaled(0, "b", 2))[1].verdict == "chaos"


def gaps_of(manual, moved, size=1.0):
    """One leaf, the same distance for every draw."""
    steps = len(manual)
    return Gaps(
        np.array(manual)[:, None],
        np.broadcast_to(np.array(moved)[:, None, None], (steps, 4, 1)),
        np.full((steps, 1), size),
        np.full(steps, EPSILON),
    )


@pytest.mark.parametrize(
    ("manual", "moved", "verdict", "step"),
    [
        ([0, 0, 0], [1e-7, 1e-6, 1e-5], "identical", 1),
        ([1e-7, 1e-6, 1e-5], [1e-7, 1e-6, 1e-5], "chaos", 1),
        ([1e-7, 1e-6, 0.9 * LIMIT * 1e-5], [1e-7, 1e-6, 1e-5], "chaos", 3),
        ([1e-7, 1e-6, 1.1 * LIMIT * 1e-5], [1e-7, 1e-6, 1e-5], "defect", 3),
        ([1e-7, 1e-7, 1e-7], [1e-5, 0, 0], "chaos", 1),
        ([0, EPSILON, 0], [0, 0, 0], "chaos", 2),
        ([0, 1, np.nan], [0, 1, 1], "defect", 3),
        ([0, 1, 1], [0, 1, np.nan], "chaos", 2),
    ],
)
def test_the_judge(manual, moved, verdict, step):
    parting = judge_parting(gaps_of(manual, moved), ["w"])
    assert (parting.verdict, parting.step) == (verdict, step)
    assert parting.leaf == "w"
    assert (parting.onset is not None) == (verdict == "defect")
    assert parting.identical_steps == sum(np.cumsum(manual) == 0)


def test_the_distances_of_all_leaves_are_one():
    gaps = Gaps(
        np.array([[3.0, 4.0]]), np.array([[[3.0, 4.0], [0.0, 0.0]]]), np.array([[6.0, 8.0]]), 0
    )
    assert gaps.total == pytest.approx([0.5])
    assert gaps.spread == pytest.approx([0.5 / np.sqrt(2)])


def test_moved_parameters_are_one_unit_away():
    state = init_state(
        {"w": jnp.linspace(1, 2, 9)}, (), optimizer("sgd", 1.0)[0], jax.random.key(0)
    )
    pair = init_pair(state)
    own, *moved = np.asarray(pair.autodiff.params["w"])
    assert (own == state.params["w"]).all()
    assert len({tuple(np.sign(draw - own)) for draw in moved}) == 4
    for draw in moved:
        assert (np.abs(draw - own) <= np.spacing(own)).all()
        assert (draw != own).all()
