import threading

import jax
import jax.numpy as jnp
import pytest

from compare.checker.check import check_gradients
from compare.checker.rules import check_rule
from compare.checker.sides.settings import kept_settings

PARAMS, X = {"w": jnp.array([0.5, -0.25])}, jnp.array([1.0, 2.0])


def loss(params, x):
    return jnp.sum(jnp.tanh(params["w"] * x))


def changes_all(params, x):
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "bfloat16")
    return jax.value_and_grad(loss)(params, x)


def changes_its_thread(params, x):
    jax.enable_x64(True).__enter__()
    return jax.value_and_grad(loss)(params, x)


def settings():
    """What this thread has, and what a new one has."""
    found = [jax.config.values]
    thread = threading.Thread(target=lambda: found.append(jax.config.values))
    thread.start()
    thread.join()
    return found


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("candidate", [changes_all, changes_its_thread])
def test_a_changed_setting_is_undone_and_named(candidate, jit):
    before = settings()
    report = check_gradients(candidate, loss, PARAMS, X, jit=jit)
    assert settings() == before
    assert report.agree
    said = [line for line in report.details if "was changed to" in line]
    assert any("jax_enable_x64 was changed to True" in line for line in said)
    assert len(said) == (2 if candidate is changes_all else 1)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError])
def test_every_kind_of_exit_leaves_the_settings(kind):
    before = settings()

    def fails(params, x):
        jax.config.update("jax_debug_nans", True)
        jax.enable_x64(True).__enter__()
        raise kind

    with pytest.raises(kind):
        check_gradients(fails, loss, PARAMS, X)
    assert settings() == before

    def bwd(residuals, dy):
        fails(residuals, dy)

    with pytest.raises(kind):
        check_rule(lambda x: (jnp.sin(x), (x,)), bwd, X)
    assert settings() == before


def test_what_is_left_alone_is_not_named():
    assert not any("setting" in line for line in check_gradients(
        jax.value_and_grad(loss), loss, PARAMS, X
    ).details)  # fmt: skip
    with kept_settings() as changed, jax.enable_x64(True):
        pass
    assert changed == {}
