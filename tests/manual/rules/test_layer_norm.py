import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule
from manual.rules.layer_norm import (
    layer_norm,
    layer_norm_bwd,
    layer_norm_fwd,
    rms_norm,
    rms_norm_bwd,
    rms_norm_fwd,
)


def layer_reference(x, scale, bias, *, epsilon=1e-5):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean, var = jnp.mean(wide, -1, keepdims=True), jnp.var(wide, -1, keepdims=True)
    return ((wide - mean) / jnp.sqrt(var + epsilon) * scale + bias).astype(x.dtype)


def rms_reference(x, scale, *, epsilon=1e-6):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    root = jnp.sqrt(jnp.mean(wide**2, -1, keepdims=True) + epsilon)
    return (wide / root * scale).astype(x.dtype)


# check_rule asks about float64 first, whatever dtype it is given.
def draw(seed, shape, dtype="float32"):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 1.5 + 0.3
    scale, bias = rng.standard_normal((2, shape[-1]))
    return tuple(jnp.asarray(a, dtype) for a in (x, scale, bias))


@pytest.mark.parametrize(("dtype", "shape"), [("float32", (5, 7)), ("bfloat16", (2, 3, 4))])
def test_layer_norm_is_the_vjp_of_the_reference(dtype, shape):
    report = check_rule(
        layer_norm_fwd, layer_norm_bwd, *draw(0, shape), reference=layer_reference, dtype=dtype
    )
    assert report.agree, report


@pytest.mark.parametrize(("dtype", "shape"), [("float32", (5, 7)), ("bfloat16", (2, 3, 4))])
def test_rms_norm_is_the_vjp_of_the_reference(dtype, shape):
    x, scale, _ = draw(1, shape)
    report = check_rule(rms_norm_fwd, rms_norm_bwd, x, scale, reference=rms_reference, dtype=dtype)
    assert report.agree, report


def test_many_rows_are_taken_block_by_block():
    # 4099 columns make blocks of 7 rows; 17 rows are two blocks and a rest.
    x, scale, bias = draw(2, (17, 4099))
    report = check_rule(layer_norm_fwd, layer_norm_bwd, x, scale, bias, reference=layer_reference)
    assert report.agree, report
    report = check_rule(rms_norm_fwd, rms_norm_bwd, x, scale, reference=rms_reference)
    assert report.agree, report


def test_a_constant_row_is_divided_by_the_root_of_epsilon():
    x, scale, bias = draw(3, (3, 6))
    x = x.at[1].set(-0.5)
    bound = layer_norm.bind(epsilon=1e-3)
    pair = bound.fwd, bound.bwd
    wanted = functools.partial(layer_reference, epsilon=1e-3)
    report = check_rule(*pair, x, scale, bias, reference=wanted)
    assert report.agree, report
    np.testing.assert_array_equal(layer_norm(x, scale, bias)[1], bias)


def test_a_zero_row_of_rms_norm_has_a_finite_gradient():
    x, scale, _ = draw(4, (3, 6))
    x = x.at[1].set(0)
    dy = jnp.full((3, 6), 2.0)
    y, residuals = rms_norm_fwd(x, scale, epsilon=2.0**-20)
    dx, _ = rms_norm_bwd(residuals, dy)
    np.testing.assert_array_equal(y[1], np.zeros(6))
    # r = 1/√ε = 2¹⁰ exactly, up to the rounding of rsqrt.
    want = 2.0**10 * dy[1] * scale
    assert np.all(np.abs(dx[1] - want) <= 4 * float(jnp.finfo("float32").eps) * np.abs(want))


def test_one_column_is_all_mean():
    x, scale, bias = draw(5, (4, 1))
    dx = jax.grad(lambda x: jnp.sum(layer_norm(x, scale, bias) * jnp.arange(4.0)[:, None]))(x)
    np.testing.assert_array_equal(dx, np.zeros((4, 1)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_cotangents_have_their_inputs_dtypes(dtype):
    x, _, _ = draw(6, (3, 4), dtype)
    _, scale, bias = draw(6, (3, 4))
    y, residuals = layer_norm_fwd(x, scale, bias)
    dx, dscale, dbias = layer_norm_bwd(residuals, y)
    chex.assert_type([y, dx, dscale, dbias], [dtype, dtype, "float32", "float32"])
    y, residuals = rms_norm_fwd(x, scale)
    dx, dscale = rms_norm_bwd(residuals, y)
    chex.assert_type([y, dx, dscale], [dtype, dtype, "float32"])


def test_under_jit_grad_and_vmap(assert_rounds_to):
    x, scale, bias = draw(7, (3, 5, 4))

    def own(f):
        return jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(f(x, scale, bias) ** 2 * x))))(x)

    # Sums of 4 terms, three of them in a row, and 20 operations besides; x̂ and its factors are
    # below 3, so no intermediate exceeds the cube of all.
    size = (1 + np.abs(x).max()) * (1 + 3 * np.abs(scale).max() + np.abs(bias).max()) ** 2
    r = 1 + 1 / np.std(np.asarray(x), axis=-1).min()
    for rule, wanted in ((layer_norm, layer_reference), (_rms, _rms_wanted)):
        assert_rounds_to(own(rule), own(wanted), roundings=2 * (3 * 4 + 20), scale=9 * size * r)


def _rms(x, scale, bias):
    return rms_norm(x, scale) + bias


def _rms_wanted(x, scale, bias):
    return rms_reference(x, scale) + bias


def test_nan_stays_in_its_row():
    x, scale, bias = draw(8, (3, 4))
    y, residuals = layer_norm_fwd(x.at[1, 2].set(jnp.nan), scale, bias)
    dx, _, _ = layer_norm_bwd(residuals, jnp.ones_like(y))
    for a in (y, dx):
        assert np.isnan(a).all(axis=1).tolist() == [False, True, False]


def test_other_shapes_are_refused():
    with pytest.raises(AssertionError):
        layer_norm(jnp.ones((2, 3)), jnp.ones(2), jnp.ones(3))
    with pytest.raises(AssertionError):
        layer_norm(jnp.ones((2, 3)), jnp.ones((1, 3)), jnp.ones(3))
    with pytest.raises(AssertionError):
        rms_norm(jnp.ones((2, 3)), jnp.ones(2))
