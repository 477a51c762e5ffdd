import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare import check_rule
from manual.rules import _conv
from manual.rules._windows import windows
from manual.rules.conv2d import conv2d, conv2d_bwd, conv2d_fwd

# x, w and the settings.
CASES = {
    "defaults": ((3, 7, 5, 2), (3, 2, 2, 4), {}),
    "one channel": ((2, 5, 6, 1), (3, 3, 1, 3), {"stride": (2, 1)}),
    "one window at a time": ((2, 5, 6, 2), (3, 3, 2, 33), {}),
    "two windows at a time": (
        (2, 7, 8, 2),
        (2, 3, 2, 3),
        {"stride": (1, 2), "dilation": (2, 2), "padding": ((0, 1), (3, 2))},
    ),
    "many channels": ((1, 4, 5, 40), (2, 3, 40, 2), {"padding": "VALID"}),
    "stride that does not divide": ((2, 8, 9, 5), (3, 3, 5, 2), {"stride": (3, 2)}),
    "stride > kernel": ((1, 9, 10, 3), (2, 1, 3, 4), {"stride": (3, 4), "padding": "VALID"}),
    "dilation and padding": (
        (2, 9, 8, 5),
        (3, 2, 5, 3),
        {"dilation": (2, 3), "padding": ((3, 0), (1, 5)), "stride": (2, 1)},
    ),
    "groups": ((2, 5, 6, 6), (3, 2, 2, 9), {"groups": 3, "stride": (2, 1)}),
    "depthwise": ((2, 6, 5, 3), (3, 3, 1, 6), {"groups": 3, "dilation": (1, 2)}),
}


def reference(x, w, b, *, stride=(1, 1), padding="SAME", dilation=(1, 1), groups=1):
    y = lax.conv_general_dilated(
        x, w, stride, padding,
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )  # fmt: skip
    return y + b


def draw(seed, x, w, dtype="float32"):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in (x, w, w[-1:])]


def check(name, dtype):
    x, w, settings = CASES[name]
    pair = (functools.partial(f, **settings) for f in (conv2d_fwd, conv2d_bwd))
    wanted = functools.partial(reference, **settings)
    report = check_rule(*pair, *draw(0, x, w), reference=wanted, dtype=dtype)
    assert report.agree, report


@pytest.mark.parametrize("name", ["one channel", "dilation and padding"])
def test_pair_is_the_vjp_by_the_checker(name):
    check(name, "float32")


def test_pair_is_the_vjp_in_bfloat16():
    check("defaults", "bfloat16")


@pytest.mark.table
@pytest.mark.parametrize("name", CASES)
def test_pair_is_the_vjp_exactly_on_integers(name):
    x, w, settings = CASES[name]
    # Small integers, whose products and sums float32 holds exactly: there is no tolerance.
    x, w, b = (jnp.round(3 * a) for a in draw(1, x, w))

    def both(x, w, b):
        y, residuals = conv2d_fwd(x, w, b, **settings)
        want, vjp = jax.vjp(functools.partial(reference, **settings), x, w, b)
        dy = jnp.round(7 * jnp.sin(jnp.arange(y.size))).reshape(y.shape)
        return (y, *conv2d_bwd(residuals, dy, **settings)), (want, *vjp(dy))

    got, want = jax.jit(both)(x, w, b)
    for g, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, expected)


# 70 examples of 6 channels are two blocks of 23 and a rest, 35 of 16 are two of 11 and a rest.
@pytest.mark.parametrize(("batch", "channels"), [(70, 6), (35, 16)])
def test_a_batch_is_taken_a_few_examples_at_a_time(batch, channels):
    x, w, b = (jnp.round(3 * a) for a in draw(2, (batch, 4, 3, channels), (3, 2, channels, 5)))
    dy = jnp.round(3 * draw(3, (batch, 4, 3, 5), (1,))[0])
    dw = jax.vjp(conv2d, x, w, b)[1](dy)[1]
    want = jax.jit(lambda *a: jax.vjp(reference, *a)[1](dy)[1])(x, w, b)
    np.testing.assert_array_equal(dw, want)


def test_every_platforms_algorithm_is_the_same_function():
    x, w, b = (jnp.round(3 * a) for a in draw(4, (2, 6, 5, 3), (3, 2, 3, 4)))
    exported = jax.export.export(jax.jit(conv2d), platforms=("cpu", "cuda", "rocm", "tpu"))(x, w, b)
    np.testing.assert_array_equal(exported.call(x, w, b), reference(x, w, b))
    module = exported.mlir_module()
    assert "stablehlo.convolution" in module  # for the accelerators
    assert "stablehlo.convolution" not in str(jax.jit(conv2d).lower(x, w, b).as_text())  # for cpu


@pytest.mark.table
@pytest.mark.parametrize("name", CASES)
def test_the_accelerators_kernel_gradient_is_the_cpus(name):
    shape, kernel, settings = CASES[name]
    x, w, b = (jnp.round(3 * a) for a in draw(6, shape, kernel))
    y, vjp = jax.vjp(functools.partial(reference, **settings), x, w, b)
    dy = jnp.round(7 * jnp.sin(jnp.arange(y.size))).reshape(y.shape)
    own = {"stride": (1, 1), "padding": "SAME", "dilation": (1, 1), "groups": 1, **settings}
    groups = own.pop("groups")
    places = windows(shape[1:3], kernel[:2], **own)
    dw = jax.jit(lambda: _conv._kernel_gradient_directly(x, dy, w=places, groups=groups))()
    np.testing.assert_array_equal(dw, vjp(dy)[1])


@pytest.mark.table
@pytest.mark.parametrize("name", CASES)
def test_a_cpu_gets_no_order_of_dimensions_that_is_slow_in_loops(name):
    x, w, settings = CASES[name]
    rule = functools.partial(conv2d, **settings)
    inputs = draw(7, x, w)

    def orders(f):
        def gradients(*inputs):
            y, vjp = jax.vjp(f, *inputs)
            return vjp(y)

        text = jax.jit(gradients).trace(*inputs).lower(lowering_platforms=("cpu",)).as_text()
        return set(re.findall(r"dim_numbers = (\[.*?\]x\[.*?\]->\[.*?\])", text))

    own = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"
    assert orders(rule) <= {own}
    assert orders(functools.partial(reference, **settings)) - {own}, "finds other orders"


def test_under_jit_grad_and_vmap():
    x, w, b = (jnp.round(3 * a) for a in draw(5, (3, 2, 6, 5, 2), (3, 2, 2, 4)))

    def own(f):
        per_example = jax.grad(lambda x, w: jnp.sum(f(x, w, b, stride=(2, 1)) ** 2), argnums=(0, 1))
        return jax.jit(jax.vmap(per_example, in_axes=(0, None)))(x, w)

    # Integers far below 2²⁴: every operation is exact.
    for got, want in zip(own(conv2d), own(reference), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_the_dtype_stays(dtype):
    with jax.enable_x64(dtype == "float64"):
        for channels in (1, 6):
            x, w, b = draw(6, (2, 4, 5, channels), (2, 2, channels, 3), dtype)
            y, residuals = conv2d_fwd(x, w, b)
            chex.assert_type([y, *conv2d_bwd(residuals, y)], jnp.dtype(dtype))


def test_other_shapes_and_dtypes_are_refused():
    x, w, b = draw(7, (2, 5, 5, 4), (3, 3, 4, 6))
    for wrong in ((x[0], w, b), (x, w[..., :3, :], b), (x, w, b[:5]), (x, w, b[None])):
        with pytest.raises(AssertionError):
            conv2d(*wrong)
    with pytest.raises(AssertionError, match="type"):
        conv2d(x, w.astype("bfloat16"), b)


def test_settings_that_mean_nothing_are_refused():
    x, w, b = draw(7, (2, 5, 5, 4), (3, 3, 4, 6))
    with pytest.raises(ValueError, match="groups must divide the channels 4 and 6, got 4"):
        conv2d(x, w, b, groups=4)
    with pytest.raises(ValueError, match="padding must be"):
        conv2d(x, w, b, padding="FULL")
    with pytest.raises(ValueError, match="dilation must be"):
        conv2d(x, w, b, dilation=(0, 1))
    with pytest.raises(ValueError, match="does not fit"):
        conv2d(x, w, b, dilation=(3, 1), padding="VALID")
