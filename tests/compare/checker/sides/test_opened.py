"""Custom rules are opened, wherever they are; JAX's own stay, and nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.checker.sides.opened import custom_rules, held, opened

X = jnp.linspace(0.5, 1.5, 4)


@jax.custom_vjp
def square(x):
    return x**2


square.defvjp(lambda x: (square(x), x), lambda x, g: (3 * x * g,))


@jax.custom_jvp
def cube(x):
    return x**3


cube.defjvp(lambda primals, tangents: (cube(*primals), 5 * tangents[0]))


def in_scan(x):
    return lax.scan(lambda c, t: (c + square(t), cube(c)), jnp.zeros(()), x)[1].sum()


def in_while(x):
    return lax.fori_loop(0, 3, lambda i, c: c + square(c), x).sum()


def in_cond(x):
    return lax.cond(x[0] > 0, lambda x: square(x), lambda x: x, x).sum()


def in_jit(x):
    return jax.jit(lambda x: square(x) * cube(x))(x).sum()


def in_vmap(x):
    return jax.vmap(square)(x).sum()


def in_checkpoint(x):
    return jax.checkpoint(lambda x: square(cube(x)))(x).sum()


def plain(fn):
    """The same function with undecorated ones in place of the decorated."""

    def of(x):
        globals_before = square, cube
        globals().update(square=lambda x: x**2, cube=lambda x: x**3)
        try:
            return fn(x)
        finally:
            globals().update(square=globals_before[0], cube=globals_before[1])

    return of


EVERYWHERE = [in_scan, in_while, in_cond, in_jit, in_vmap, in_checkpoint]


@pytest.mark.parametrize("fn", EVERYWHERE)
def test_a_rule_is_opened_wherever_it_is(fn):
    derivative = jax.jacfwd if fn is in_while else jax.grad
    right = derivative(plain(fn))(X)
    assert np.allclose(derivative(opened(fn))(X), right, rtol=1e-6)
    assert np.allclose(opened(fn)(X), fn(X), rtol=1e-6)
    if fn is not in_while:  # JAX has no forward mode through custom_vjp.
        assert not np.allclose(derivative(fn)(X), right, rtol=1e-2)


@pytest.mark.parametrize("fn", EVERYWHERE)
def test_a_rule_is_found_wherever_it_is(fn):
    assert custom_rules(jax.make_jaxpr(fn)(X).jaxpr)


@pytest.mark.parametrize("fn", [jax.nn.relu, jnp.logaddexp, jax.nn.silu, lambda x, *_: jnp.sinc(x)])
def test_jaxs_own_rules_stay(fn):
    args = (X,) if fn is not jnp.logaddexp else (X, X)
    of = lambda *args: fn(*args).sum()  # noqa: E731
    assert not custom_rules(jax.make_jaxpr(of)(*args).jaxpr)
    assert jax.grad(opened(of))(*args) == pytest.approx(jax.grad(of)(*args), nan_ok=True)


def test_relu_keeps_its_subgradient_at_zero():
    assert jax.grad(opened(lambda x: jax.nn.relu(x) * square(2.0)))(0.0) == 0


def test_pytrees_and_what_is_no_array_are_passed_on():
    def fn(params, name, scale):
        return {"out": square(params["w"]) * scale, "name": jnp.asarray(len(name))}

    assert opened(fn)({"w": X}, "four", 2)["out"] == pytest.approx(2 * X**2)
    assert opened(fn)({"w": X}, "four", 2)["name"] == 4


def stopped(x):
    return jnp.sin(x) * lax.stop_gradient(jnp.cos(x))


STOPPED = [
    lambda x: stopped(x).sum(),
    lambda x: lax.scan(lambda c, t: (c + stopped(t * c), c), jnp.ones(()), x)[1].sum(),
    lambda x: lax.fori_loop(0, 3, lambda i, c: c + stopped(c), x).sum(),
    lambda x: lax.cond(x[0] > 0, stopped, lambda x: x, x).sum(),
    lambda x: jax.jit(lambda x: jax.vmap(stopped)(x) ** 2)(x).sum(),
    lambda x: jax.jvp(stopped, (x,), (x,))[1].sum(),
]


@pytest.mark.parametrize("fn", STOPPED)
def test_what_is_held_moves_no_value(fn):
    x, direction, step = jnp.asarray([0.7, -0.4, 1.1]), jnp.asarray([0.3, 1.2, -0.5]), 1e-4
    with jax.enable_x64(True):
        x, direction = (jnp.asarray(np.asarray(own, np.float64)) for own in (x, direction))
        loss, sites = held(lambda leaves, _: fn(*leaves), [x], [])
        up, down = (loss([x + s * direction], []) for s in (step, -step))
        assert np.isclose((up - down) / (2 * step), jax.grad(fn)(x) @ direction, rtol=1e-6)
        assert loss([x], []) == fn(x)
    assert sites
    assert all(__file__ in site for site in sites)


def test_what_jax_itself_holds_is_left():
    def loss(leaves, _):
        return jax.nn.softmax(leaves[0])[0] + jax.nn.logsumexp(leaves[0])

    assert "stop_gradient" in str(jax.make_jaxpr(loss)([jnp.ones(3)], []))
    assert held(loss, [jnp.ones(3)], []) == (loss, [])
