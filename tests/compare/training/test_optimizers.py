import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from compare.training.optimizers import optimizer

NAMES = ("adam", "adamw", "sgd", "momentum")
SCHEDULES = ("constant", "cosine", "warmup-cosine", "plateau")
PARAMS = {"w": jnp.array([3.0, -4.0])}


def updates(chosen, grads, *, params=PARAMS, steps=1):
    """The update of the last of so many steps, and the state."""
    state = chosen.transformation.init(params)
    advance = jax.jit(lambda state: chosen.transformation.update(grads, state, params, value=1.0))
    update = params
    for _ in range(steps):
        update, state = advance(state)
    return update["w"], state


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_scanned_in_each_dtype(name, schedule, dtype):
    with jax.enable_x64(dtype == "float64"):
        chosen = optimizer(name, 0.1, schedule, epochs=3, steps_per_epoch=5, clip=1, weight_decay=1)
        params = {"w": jnp.ones(2, dtype)}
        state = chosen.transformation.init(params)

        def step(params, state):
            update, state = chosen.transformation.update(
                params, state, params, value=params["w"][0]
            )
            return optax.apply_updates(params, update), state

        described = jax.eval_shape(lambda: (params, state))
        assert jax.eval_shape(step, params, state) == described


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.1, 0.1, 0.1]),
        ("cosine", [0.1, 0.05, 0.0]),
        ("warmup-cosine", [0.0, 0.05868, 0.0]),
    ],
)
def test_the_learning_rate_at_the_start_in_the_middle_and_at_the_end(schedule, expected):
    chosen = optimizer("sgd", 0.1, schedule, epochs=4, steps_per_epoch=5)
    state = chosen.transformation.init(PARAMS)
    rates = [float(chosen.learning_rate(state, step)) for step in (0, 10, 20)]
    assert rates == pytest.approx(expected, abs=1e-4)


def test_a_plateau_makes_it_smaller():
    chosen = optimizer("sgd", 1.0, "plateau", epochs=20, steps_per_epoch=2)
    short, state = updates(chosen, PARAMS, steps=20)
    assert short.tolist() == [-3, 4]
    assert chosen.learning_rate(state, 20) == 1
    long, state = updates(chosen, PARAMS, steps=24)
    assert long.tolist() == pytest.approx([-0.3, 0.4])
    assert chosen.learning_rate(state, 24) == pytest.approx(0.1)


def test_clipping_keeps_the_direction():
    update, _ = updates(optimizer("sgd", 1.0, clip=1), PARAMS)
    assert update.tolist() == pytest.approx([-0.6, 0.8])


def test_weight_decay_is_added_to_the_gradient_and_decoupled_in_adamw():
    nothing = {"w": jnp.zeros(2)}
    sgd, _ = updates(optimizer("sgd", 0.1, weight_decay=0.5), nothing)
    adamw, _ = updates(optimizer("adamw", 0.1, weight_decay=0.5), nothing)
    assert sgd.tolist() == pytest.approx([-0.15, 0.2])
    assert adamw.tolist() == pytest.approx([-0.15, 0.2])
    adam, _ = updates(optimizer("adam", 0.1, weight_decay=0.5), nothing)
    assert adam.tolist() == pytest.approx([-0.1, 0.1], rel=1e-4)
    plain, _ = updates(optimizer("adam", 0.1), nothing)
    assert not plain.any()
    default, _ = updates(optimizer("adamw", 0.1), nothing)
    assert default.tolist() == pytest.approx([-3e-5, 4e-5])


def test_momentum_keeps_nine_tenths():
    update, _ = updates(optimizer("momentum", 1.0), {"w": jnp.ones(2)}, steps=2)
    np.testing.assert_allclose(update, -1.9, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("adma", 0.1), "unknown optimizer 'adma'; choose from adam, adamw, sgd, momentum"),
        (("adam", 0.1, "cosinus"), "unknown schedule 'cosinus'; choose from constant, cosine"),
        (("adam", 0.0), "learning_rate must be positive, got 0.0"),
        (("adam", float("nan")), "learning_rate must be positive, got nan"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        optimizer(*settings)
    with pytest.raises(ValueError, match="clip must be positive, got -1"):
        optimizer("adam", 0.1, clip=-1)
