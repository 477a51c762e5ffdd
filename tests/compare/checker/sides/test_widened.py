"""A loss in float64 all along, whatever narrower types it names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.checker.sides.widened import Rounded, rounding, rounds_constants, widened
from compare.diagnosis.tape import record
from compare.sites import site_of

X = np.linspace(0.1, 0.9, 6).reshape(2, 3)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def by_casts(x):
    return jax.nn.softmax(x.astype(jnp.float32)).astype(x.dtype).sum(axis=0)


def by_product(x):
    return lax.dot(
        x.astype(jnp.bfloat16), x.T.astype(jnp.bfloat16), preferred_element_type="float32"
    )


def by_precision(x):
    return lax.reduce_precision(jnp.sin(x), 5, 10)


def by_scan(x):
    step = lambda c, t: (c + jnp.tanh(t).astype(jnp.float32), c)  # noqa: E731
    return lax.scan(step, jnp.zeros(3, jnp.float32), x)


def by_a_carry_that_float64_cannot_have(x):
    step = lambda c, t: (c * t + t, c)  # noqa: E731
    return lax.scan(step, jnp.zeros(3, jnp.float32), x.astype(x.dtype))


def by_refusal(x):
    if x.dtype != jnp.float32:
        raise TypeError("in float32 alone")
    return jnp.sin(x)


def by_loop(x):
    return lax.fori_loop(0, 3, lambda i, c: jnp.sin(c) * 2, x.astype(jnp.float16))


def by_branch(x):
    y = x.astype(jnp.float32)
    return lax.cond(x[0, 0] > 0, jnp.exp, jnp.sin, y)


def by_branch_on_a_constant(x):
    """A branch with a number of its own, which stays narrow when the other becomes wide."""
    y = x.astype(jnp.float32)
    return lax.cond(x[0, 0] > 0, lambda y: jnp.exp(y), lambda y: jnp.ones(y.shape, y.dtype), y)


def by_scatter(x):
    y = x.astype(jnp.float32)
    return jnp.zeros(4, jnp.float32).at[jnp.array([0, 2, 2])].add(y[0])


def by_complex_casts(x):
    weights = np.asarray([1, 2j, 3 - 1j], np.complex64)
    return jnp.real(jnp.fft.ifft(jnp.fft.fft(x).astype(jnp.complex64) * weights)).astype(x.dtype)


def by_complex_scatter(x):
    z = lax.complex(x[0], x[1]).astype(jnp.complex64)
    return jnp.real(jnp.zeros(4, jnp.complex64).at[jnp.array([0, 2, 2])].add(z))


WIDE = {
    by_complex_casts: lambda x: jnp.real(
        jnp.fft.ifft(jnp.fft.fft(x) * np.asarray([1, 2j, 3 - 1j]))
    ),
    by_complex_scatter: lambda x: jnp.stack([x[0, 0], 0 * x[0, 0], x[0, 1] + x[0, 2], 0 * x[0, 0]]),
    by_branch_on_a_constant: jnp.exp,
    by_scatter: lambda x: jnp.stack([x[0, 0], 0 * x[0, 0], x[0, 1] + x[0, 2], 0 * x[0, 0]]),
    by_a_carry_that_float64_cannot_have: lambda x: (
        x[0] * x[1] + x[1],
        jnp.stack([jnp.zeros(3), x[0]]),
    ),
    by_refusal: jnp.sin,
    by_casts: lambda x: jax.nn.softmax(x).sum(axis=0),
    by_product: lambda x: x @ x.T,
    by_precision: jnp.sin,
    by_scan: lambda x: (jnp.tanh(x).sum(0), jnp.stack([jnp.zeros(3), jnp.tanh(x[0])])),
    by_loop: lambda x: 2 * jnp.sin(2 * jnp.sin(2 * jnp.sin(x))),
    by_branch: jnp.exp,
}


REFUSE_FLOAT64 = {by_a_carry_that_float64_cannot_have, by_refusal}


@pytest.mark.parametrize("fn", WIDE)
def test_every_narrow_type_is_widened(fn):
    found = jax.tree.leaves(widened(fn)(X))
    right = jax.tree.leaves(WIDE[fn](X))
    for one, other in zip(found, right, strict=True):
        assert one.dtype == np.float64
        assert np.allclose(one, other, rtol=1e-14, atol=0)
    with jax.enable_x64(fn not in REFUSE_FLOAT64):
        narrow = jax.tree.leaves(fn(jnp.asarray(X)))
    assert not all(np.allclose(n, r, rtol=1e-12) for n, r in zip(narrow, right, strict=True))


def test_its_gradient_is_that_of_float64():
    loss = lambda fn: lambda x: jnp.sum(fn(x) ** 2)  # noqa: E731
    found = jax.grad(loss(widened(by_casts)))(X)
    assert np.allclose(found, jax.grad(loss(WIDE[by_casts]))(X), rtol=1e-13)


def test_random_numbers_are_the_same():
    def dropped(x, key):
        return x.astype(jnp.float32) * jax.random.uniform(key, x.shape, jnp.float32)

    key = jax.random.key(0)
    assert np.allclose(widened(dropped)(X, key), dropped(X, key), rtol=1e-6)


def test_bits_taken_apart_are_refused():
    def bits(x):
        return lax.bitcast_convert_type(x.astype(jnp.float32), jnp.int32)

    with pytest.raises(ValueError, match="bitcast_convert_type cannot be computed in float64"):
        widened(bits)(X)


def test_the_constants_that_rounding_changes_are_known():
    found = []

    def constant(value):
        found.append(rounding(value))
        return value

    def fn(x):
        y = 0.1 * x.astype(jnp.float32) + 0.5
        scale = 1 / jnp.sqrt(jnp.float32(48))
        return jax.jit(lambda y: 0.3 * y)(y.astype(jnp.float16)), 2 * x * scale, x / 3.3

    jax.eval_shape(widened(fn, constant), X)
    narrow = [np.float32(0.1), np.float16(0.3), 1 / np.sqrt(np.float32(48))]
    assert set(found) == {
        *(Rounded(x.dtype, float(x)) for x in narrow), Rounded(np.dtype(np.float64), 3.3)
    }  # fmt: skip
    assert rounds_constants(jax.make_jaxpr(fn)(X))
    assert not rounds_constants(jax.make_jaxpr(lambda x: 3 * x + 0.25 - x / 3.3)(X))


def test_what_is_widened_stays_on_its_line():
    closed = jax.make_jaxpr(widened(by_casts))(X)
    sites = {site_of(eqn) for eqn in closed.jaxpr.eqns}
    line = by_casts.__code__.co_firstlineno + 1
    assert sites == {f"{__file__}:{line}"}


def in_a_loop(x):
    def turn(carry, row):
        half = row.astype(jnp.float32)
        return carry + jnp.sin(half).astype(x.dtype), None

    return lax.scan(turn, jnp.zeros(x.shape[1:], x.dtype), x)[0]


def test_what_is_widened_in_a_loop_stays_on_its_lines():
    tape = record(lambda leaves, _: widened(in_a_loop)(*leaves).sum(), {"x": X}, [])
    (sine,) = {e.site for e in tape.equations if e.name == "sin"}
    assert sine == f"{__file__}:{in_a_loop.__code__.co_firstlineno + 3}"
