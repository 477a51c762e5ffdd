import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.benchmark import checkers
from compare.benchmark.checkers import METHODS, OURS, YARDSTICK


def loss(params, x, scale):
    return jnp.sum(jnp.sin(scale * (x @ params["w"] + params["b"])))


def candidate(params, *args):
    return jax.value_and_grad(loss)(params, *args)


def off(params, *args):
    value, grads = candidate(params, *args)
    return value, {**grads, "w": 1.5 * grads["w"]}


@pytest.fixture
def point():
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.uniform(size=(3, 2)), jnp.float32), "b": jnp.ones(2) / 8}
    return params, (jnp.asarray(rng.uniform(size=(5, 3)), jnp.float32), 2)


JUDGES = [
    pytest.param(
        name, marks=pytest.mark.skipif(name not in checkers.installed(), reason="no PyTorch")
    )
    for name in METHODS
    if name != YARDSTICK
]


@pytest.mark.table
@pytest.mark.parametrize("name", JUDGES)
def test_each_method_tells_a_wrong_gradient_from_a_right_one(name, point):
    params, args = point
    METHODS[name].check(loss, candidate, params, args)
    with pytest.raises(AssertionError):
        METHODS[name].check(loss, off, params, args)


def test_ours_names_the_bug(point):
    def doubled(params, *args):
        value, grads = candidate(params, *args)
        return value, jax.tree.map(lambda g: 2 * g, grads)

    with pytest.raises(AssertionError, match="manual_wrong constant_factor"):
        METHODS[OURS].check(loss, doubled, *point)


def test_the_yardstick_checks_nothing(point):
    METHODS[YARDSTICK].check(loss, off, *point)


def test_in_float64_every_floating_array_is(point):
    seen = []

    def check(loss, candidate, params, args):
        seen.extend(np.asarray(leaf).dtype for leaf in jax.tree.leaves((params, args[0])))
        assert args[1] == 2
        assert jnp.ones(()).dtype == np.float64

    checkers.in_float64(check)(loss, candidate, *point)
    assert seen == [np.float64] * 3
    assert jnp.ones(()).dtype == np.float32


def test_the_backward_pass_is_the_candidates(point):
    params, args = point
    f = checkers.with_backward(loss, off, args)
    np.testing.assert_array_equal(f(params), loss(params, *args))
    value, pullback = jax.vjp(f, params)
    (grads,) = pullback(3 * jnp.ones_like(value))
    expected = off(params, *args)[1]
    np.testing.assert_allclose(grads["w"], 3 * expected["w"], rtol=1e-6)
    np.testing.assert_allclose(grads["b"], 3 * expected["b"], rtol=1e-6)


def test_what_is_not_installed_is_not_listed(monkeypatch):
    monkeypatch.setattr(checkers.importlib.util, "find_spec", lambda name: None)
    assert [n for n in METHODS if n not in checkers.installed()] == [
        "torch gradcheck, fast", "torch gradcheck, slow"
    ]  # fmt: skip
