import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule
from manual.rules.batch_norm import (
    batch_norm,
    batch_norm_bwd,
    batch_norm_fwd,
    batch_norm_inference,
    batch_norm_inference_bwd,
    batch_norm_inference_fwd,
    update_running,
)


def statistics(x):
    """Mean and variance by `jnp`, in float32 where x is narrower."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    axes = tuple(range(x.ndim - 1))
    return wide, jnp.mean(wide, axes), jnp.var(wide, axes)


def reference(x, scale, bias, *, epsilon=1e-5):
    wide, mean, var = statistics(x)
    y = (wide - mean) / jnp.sqrt(var + epsilon) * scale + bias
    return y.astype(x.dtype), mean, var


def inference_reference(x, scale, bias, mean, var, *, epsilon=1e-5):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return ((wide - mean) / jnp.sqrt(var + epsilon) * scale + bias).astype(x.dtype)


def draw(seed, shape, dtype="float32"):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 1.5 + 0.3
    scale, bias = rng.standard_normal((2, shape[-1]))
    return tuple(jnp.asarray(a, dtype) for a in (x, scale, bias))


# check_rule asks about float64 first, whatever dtype it is given.
@pytest.mark.parametrize("shape", [(7, 3), (3, 5, 2, 4)])
def test_training_is_the_vjp_of_the_reference(shape):
    report = check_rule(batch_norm_fwd, batch_norm_bwd, *draw(0, shape), reference=reference)
    assert report.agree, report


def test_training_in_bfloat16():
    # Of y alone: check_rule casts every cotangent, and those of the statistics are float32.
    def fwd(x, scale, bias):
        (y, mean, var), residuals = batch_norm_fwd(x, scale, bias)
        return y, (residuals, 0 * mean, 0 * var)

    def bwd(residuals, dy):
        own, *zeros = residuals
        return batch_norm_bwd(own, (dy, *zeros))

    report = check_rule(
        fwd, bwd, *draw(0, (7, 3)), reference=lambda *a: reference(*a)[0], dtype="bfloat16"
    )
    assert report.agree, report


def test_a_wrong_rule_is_caught():
    def without_the_statistics(residuals, d_out):
        _, dscale, dbias = batch_norm_bwd(residuals, d_out)
        _, scale, _, r = residuals
        return d_out[0] * scale * r, dscale, dbias

    xs = draw(0, (7, 3))
    assert not check_rule(batch_norm_fwd, without_the_statistics, *xs, reference=reference).agree


def test_a_constant_feature_is_divided_by_the_root_of_epsilon():
    x, scale, bias = draw(1, (6, 3))
    x = x.at[:, 1].set(0.25)
    settings = {"epsilon": 1e-3}
    bound = batch_norm.bind(**settings)
    wanted = functools.partial(reference, **settings)
    report = check_rule(bound.fwd, bound.bwd, x, scale, bias, reference=wanted)
    assert report.agree, report
    (y, mean, var), _ = batch_norm_fwd(x, scale, bias, **settings)
    np.testing.assert_array_equal(y[:, 1], np.full(6, bias[1]))
    assert (mean[1], var[1]) == (0.25, 0)


def test_a_batch_of_one_has_no_gradient():
    x, scale, bias = draw(2, (1, 5))
    (y, _, var), residuals = batch_norm_fwd(x, scale, bias)
    zeros = jnp.zeros(5)
    dx, dscale, dbias = batch_norm_bwd(residuals, (2 * y + 1, zeros, zeros))
    np.testing.assert_array_equal(y[0], bias)
    np.testing.assert_array_equal(var, zeros)
    np.testing.assert_array_equal(dx, jnp.zeros((1, 5)))
    np.testing.assert_array_equal(dscale, zeros)
    np.testing.assert_array_equal(dbias, 2 * bias + 1)


def test_the_gradient_of_a_sum_is_zero(assert_rounds_to):
    x, scale, bias = draw(3, (9, 4))
    dx = jax.grad(lambda x: batch_norm(x, scale, bias)[0].sum())(x)
    # dy − Σ dy/n is exact for dy = 1; of Σ dy x̂ nothing but the rounding of nine terms is left.
    r = 1 / np.std(np.asarray(x), axis=0)
    assert_rounds_to(
        dx, jnp.zeros_like(x), roundings=9 * 9, scale=np.abs(scale) * r * (1 + np.abs(x).max())
    )


def test_a_large_mean_leaves_the_variance_exact():
    x = jnp.asarray([[4096.0 - 1], [4096.0 + 1]])
    _, mean, var = batch_norm(x, jnp.ones(1), jnp.zeros(1))
    assert (mean[0], var[0]) == (4096, 1)


def test_bfloat16_takes_its_statistics_in_float32():
    x, scale, bias = draw(4, (300, 2), "bfloat16")
    (y, mean, var), residuals = batch_norm_fwd(x, scale, bias)
    chex.assert_type([y, mean, var], [jnp.bfloat16, jnp.float32, jnp.float32])
    chex.assert_type(batch_norm_bwd(residuals, (y, mean, var)), jnp.bfloat16)
    exact = np.asarray(x, np.float64)
    # A sum of 300 terms of size |x|, divided: 301 roundings of float32 at most.
    bound = 301 * float(jnp.finfo("float32").eps) * np.abs(exact).max()
    assert np.all(np.abs(mean - exact.mean(axis=0)) <= bound)


def test_float32_scales_go_with_bfloat16_images():
    x, _, _ = draw(4, (5, 2), "bfloat16")
    _, scale, bias = draw(4, (5, 2))
    y, _, _ = batch_norm(x, scale, bias)
    dx, dscale, dbias = jax.grad(
        lambda *a: batch_norm(*a)[0].astype("float32").max(), argnums=(0, 1, 2)
    )(x, scale, bias)
    chex.assert_type([y, dx, dscale, dbias], [x.dtype, x.dtype, scale.dtype, scale.dtype])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_inference_is_the_vjp_of_the_reference(dtype):
    mean, var = jnp.asarray([0.3, -1.0, 2.0]), jnp.asarray([0.5, 2.0, 0.01])
    report = check_rule(
        batch_norm_inference_fwd,
        batch_norm_inference_bwd,
        *draw(5, (2, 5, 3)), mean, var,
        reference=inference_reference,
        dtype=dtype,
    )  # fmt: skip
    assert report.agree, report


def test_inference_with_the_batchs_own_statistics_is_training(assert_rounds_to):
    x, scale, bias = draw(6, (8, 3))
    y, mean, var = batch_norm(x, scale, bias)
    got = batch_norm_inference(x, scale, bias, mean, var)
    # The same five operations.
    size = np.abs(scale) * 2 * np.abs(x).max() / np.sqrt(np.asarray(var)) + np.abs(bias)
    assert_rounds_to(got, y, roundings=2 * 5, scale=size)


def test_running_statistics_are_a_moving_average():
    running = {"mean": jnp.zeros(2), "var": jnp.ones(2)}
    new = update_running(running, jnp.array([4.0, -8.0]), jnp.array([3.0, 5.0]), momentum=0.75)
    np.testing.assert_array_equal(new["mean"], [1, -2])
    np.testing.assert_array_equal(new["var"], [1.5, 2])
    with pytest.raises(ValueError, match=r"momentum must be between 0 and 1, got 1\.5"):
        update_running(running, jnp.ones(2), jnp.ones(2), momentum=1.5)


def test_under_jit_grad_and_vmap(assert_rounds_to):
    x, scale, bias = draw(7, (3, 6, 2))

    def own(f):
        return jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(f(x, scale, bias)[0] ** 2 * x))))(x)

    # The bound of the sums: 6 terms, three of them in a row, and 20 operations besides; x̂ and its
    # factors are below 3, so no intermediate exceeds the cube of all.
    size = (1 + np.abs(x).max()) * (1 + 3 * np.abs(scale).max() + np.abs(bias).max()) ** 2
    r = 1 + 1 / np.std(np.asarray(x), axis=1).min()
    assert_rounds_to(
        own(batch_norm), own(reference), roundings=2 * (3 * 6 + 20), scale=9 * size * r
    )


def test_nan_stays_in_its_channel():
    x, scale, bias = draw(8, (4, 3))
    (y, mean, var), residuals = batch_norm_fwd(x.at[2, 1].set(jnp.nan), scale, bias)
    dx, _, _ = batch_norm_bwd(residuals, (jnp.ones_like(y), 0 * mean, 0 * var))
    for a in (y, dx):
        assert np.isnan(a).all(axis=0).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("x", "scale", "bias"), [((3,), (3,), (3,)), ((2, 3), (2,), (3,)), ((2, 3), (3,), (1, 3))]
)
def test_other_shapes_are_refused(x, scale, bias):
    with pytest.raises(AssertionError):
        batch_norm(jnp.ones(x), jnp.ones(scale), jnp.ones(bias))
    with pytest.raises(AssertionError):
        batch_norm_inference(*(jnp.ones(s) for s in (x, scale, bias, bias, bias)))
