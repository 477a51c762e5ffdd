import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.training import optimizers
from compare.training import trainer as trainers
from compare.training.loop import DivergenceError, steps_per_epoch, train_epochs

X, Y = np.linspace(-1, 1, 10, dtype=np.float32)[:, None], np.zeros((10, 1), np.float32)
BATCH = 4


def loss(params, model_state, batch, key):
    x, y = batch
    return ((x @ params["w"] - y) ** 2).mean(), model_state


gradient = jax.value_and_grad(loss, has_aux=True)


def poisoned(at):
    """A gradient that is NaN once the weight has been lowered so many times by 1."""

    def loss_and_grad(params, model_state, batch, key):
        w = jnp.where(params["w"] == -at, jnp.nan, 1.0)
        return (params["w"].sum(), model_state), {"w": w}

    return loss_and_grad


def prepared(gradients, rate=0.1, params=None):
    optimizer = optimizers.optimizer("sgd", rate)
    trainer = trainers.make_trainer(
        gradients, lambda p, s, x: x @ p["w"], lambda z, y: ((z - y) ** 2).mean(), optimizer, BATCH
    )
    params = {"w": jnp.ones((1, 1))} if params is None else params
    return trainer, trainers.first_state(gradients, params, (), optimizer, jax.random.key(0))


def looks(trainer, state, **settings):
    return list(train_epochs(trainer, state, (X, Y), (X, Y), batch_size=BATCH, **settings))


def test_a_row_after_every_few_epochs_and_at_the_end():
    trainer, state = prepared({"manual": gradient})
    found = looks(trainer, state, epochs=7, every=3)
    rows = [look.rows[0] for look in found]
    assert [(row.method, row.epoch, row.step) for row in rows] == [
        ("manual", 3, 9), ("manual", 6, 18), ("manual", 7, 21)
    ]  # fmt: skip
    assert rows[-1].train_loss < rows[0].train_loss
    assert rows[0].learning_rate == pytest.approx(0.1)
    assert rows[0].seconds < rows[1].seconds < rows[2].seconds


def test_going_on_is_as_if_it_had_never_stopped():
    trainer, state = prepared({"manual": gradient})
    whole = looks(trainer, state, epochs=6, every=2)
    part = looks(trainer, state, epochs=4, every=2)
    rest = looks(trainer, part[-1].state, epochs=6, every=2, history=part[-1].rows)
    assert len(rest) == 1
    assert (whole[-1].state.params["w"] == rest[-1].state.params["w"]).all()
    assert rest[-1].rows[0].seconds > part[-1].rows[0].seconds
    assert looks(trainer, whole[-1].state, epochs=6) == []


def test_both_sides_are_timed_apart():
    trainer, state = prepared({"manual": gradient, "autodiff": gradient})
    timed = trainers.timed_apart(trainer, state, X, Y)
    assert set(timed.alone_seconds) == {"manual", "autodiff"}
    assert all(seconds > 0 for seconds in timed.alone_seconds.values())
    chosen = trainer._replace(alone_seconds={"manual": 2.0, "autodiff": 4.0})
    rows = [row for look in looks(chosen, state, epochs=3, every=2) for row in look.rows]
    assert [(row.method, row.seconds, row.samples_per_second) for row in rows] == [
        ("manual", 4.0, 5.0), ("autodiff", 8.0, 2.5), ("manual", 6.0, 5.0), ("autodiff", 12.0, 2.5),
    ]  # fmt: skip
    one, state = prepared({"manual": gradient})
    assert trainers.timed_apart(one, state, X, Y).alone_seconds == {}


@pytest.mark.parametrize("stop_after", [0, 1, 3, 4, 5])
def test_an_interruption_is_obeyed_within_the_epoch_and_leaves_no_trace(stop_after):
    trainer, state = prepared({"manual": gradient, "autodiff": gradient})
    whole = looks(trainer, state, epochs=6, every=3)
    begun = iter(range(stop_after))
    part = looks(trainer, state, epochs=6, every=3, interrupted=lambda: next(begun, None) is None)
    last = part[-1].state if part else state
    assert [int(side.step) for side in trainer.sides(last).values()] == [3 * stop_after] * 2
    rows = [row for look in part for row in look.rows]
    rest = looks(trainer, last, epochs=6, every=3, history=rows)
    again, expected = (
        [row._replace(seconds=0.0, samples_per_second=0.0) for look in found for row in look.rows]
        for found in ([*part, *rest], whole)
    )
    assert again == expected
    assert sum(len(look.gaps) for look in [*part, *rest]) == sum(len(look.gaps) for look in whole)


def test_both_sides_have_rows_and_gaps():
    trainer, state = prepared({"manual": gradient, "autodiff": gradient})
    [look] = looks(trainer, state, epochs=2, every=2)
    assert [row.method for row in look.rows] == ["manual", "autodiff"]
    assert [gaps.manual.shape for gaps in look.gaps] == [(3, 1), (3, 1)]


@pytest.mark.parametrize("at", [0, 4, 5])
def test_the_step_that_is_not_finite_is_found_within_many_epochs(at):
    trainer, state = prepared({"manual": poisoned(at)}, 1.0, {"w": jnp.zeros((1, 1))})
    with pytest.raises(DivergenceError) as error:
        looks(trainer, state, epochs=10, every=5)
    assert error.value.method == "manual"
    assert (error.value.fault.step, error.value.fault.leaf) == (at + 1, "w")
    assert (error.value.last_good.step, error.value.last_good.params["w"]) == (at, -at)
    assert str(error.value).startswith(
        f"manual went non-finite at step {at + 1}, learning rate 1: w: the gradient has 1 of 1"
    )


def test_only_the_side_that_went_non_finite_is_blamed():
    gradients = {"manual": gradient, "autodiff": poisoned(2)}
    trainer, state = prepared(gradients, 1.0, {"w": jnp.zeros((1, 1))})
    with pytest.raises(DivergenceError, match="autodiff went non-finite at step 3"):
        looks(trainer, state, epochs=3)


def test_a_moved_trajectory_that_goes_non_finite_is_no_defect_of_the_training():
    trainer, state = prepared({"manual": gradient, "autodiff": gradient})
    broken = jax.tree.map(lambda leaf: leaf, state.autodiff.params)
    broken["w"] = broken["w"].at[1].set(jnp.nan)
    state = state._replace(autodiff=state.autodiff._replace(params=broken))
    assert len(looks(trainer, state, epochs=2)) == 2


def test_steps_of_an_epoch():
    assert [steps_per_epoch(10, size) for size in (3, 5, 10, 20)] == [4, 2, 1, 1]
