import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare import check_rule
from manual.rules.pooling import (
    avg_pool,
    avg_pool_bwd,
    avg_pool_fwd,
    global_average_pool,
    global_average_pool_bwd,
    global_average_pool_fwd,
    max_pool,
    max_pool_bwd,
    max_pool_fwd,
)

GEOMETRIES = {
    "side by side": ((2, 7, 5, 3), (2, 2), None, "VALID"),
    "side by side, padded": ((1, 7, 6, 2), (3, 2), (3, 2), ((1, 2), (0, 1))),
    "overlapping": ((2, 7, 6, 3), (3, 2), (2, 1), "SAME"),
    "gaps": ((1, 9, 8, 2), (2, 3), (4, 5), "VALID"),
}
geometries = pytest.mark.parametrize("name", GEOMETRIES)


def reduce_window(x, start, operation, window, stride, padding):
    pads = padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))
    strides = window if stride is None else stride
    return lax.reduce_window(x, start, operation, (1, *window, 1), (1, *strides, 1), pads)


def max_reference(x, *, window, stride, padding):
    return reduce_window(x, -jnp.inf, lax.max, window, stride, padding)


def avg_reference(x, *, window, stride, padding, count_include_pad=True):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    of = jnp.full_like(wide, 1 / (window[0] * window[1]))
    if not count_include_pad:
        of = jnp.ones_like(wide)
    total = reduce_window(wide * of, 0.0, lax.add, window, stride, padding)
    if not count_include_pad:
        total /= reduce_window(of, 0.0, lax.add, window, stride, padding)
    return total.astype(x.dtype)


def settings_of(name):
    shape, window, stride, padding = GEOMETRIES[name]
    return shape, {"window": window, "stride": stride, "padding": padding}


def draw(shape, dtype="float32"):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), dtype)


def check(fwd, bwd, reference, name, dtype="float32", **more):
    shape, settings = settings_of(name)
    settings |= more
    fwd, bwd, reference = (functools.partial(f, **settings) for f in (fwd, bwd, reference))
    report = check_rule(fwd, bwd, draw(shape), reference=reference, dtype=dtype)
    assert report.agree, report


# The other geometries are held against reduce_window below, exactly and with ties.
@pytest.mark.parametrize(
    ("name", "dtype"), [("side by side", "float32"), ("overlapping", "bfloat16")]
)
def test_max_pool_is_the_vjp_of_reduce_window(name, dtype):
    check(max_pool_fwd, max_pool_bwd, max_reference, name, dtype)


@geometries
def test_ties_go_to_the_first_maximum_as_in_reduce_window(name):
    shape, settings = settings_of(name)
    rng = np.random.default_rng(1)
    # Three values only, and cotangents whose sums are exact: every window has ties.
    x = jnp.asarray(rng.integers(0, 3, shape), jnp.float32)

    def both(x):
        want, vjp = jax.vjp(functools.partial(max_reference, **settings), x)
        dy = jnp.asarray(rng.integers(-9, 9, want.shape), jnp.float32)
        y, residuals = max_pool_fwd(x, **settings)
        return (y, *max_pool_bwd(residuals, dy, **settings)), (want, *vjp(dy))

    got, want = jax.jit(both)(x)
    for g, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, expected)


def test_the_average_of_a_window_that_ends_in_the_padding():
    x = jnp.asarray([[4.0, 8.0]])[None, :, :, None]
    settings = {"window": (1, 2), "stride": (1, 1), "padding": ((0, 0), (1, 0))}
    np.testing.assert_array_equal(avg_pool(x, **settings).ravel(), [2, 6])
    y = avg_pool(x, count_include_pad=False, **settings)
    np.testing.assert_array_equal(y.ravel(), [4, 6])


def test_a_constant_window_gives_everything_to_its_first_entry():
    dx = jax.grad(lambda x: 3 * max_pool(x).sum())(jnp.zeros((1, 2, 4, 1)))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[3, 0, 3, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("stride", [(2, 2), (1, 1)])
def test_nan_comes_out_and_the_first_takes_the_gradient(stride):
    x = jnp.asarray([[5.0, jnp.nan], [jnp.nan, 7.0]])[None, :, :, None]
    y, residuals = max_pool_fwd(x, stride=stride)
    assert np.isnan(y).all()
    (dx,) = max_pool_bwd(residuals, jnp.full_like(y, 2), stride=stride)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0, 2], [0, 0]])


def test_padding_never_wins_over_a_number():
    x = jnp.full((1, 2, 2, 1), jnp.finfo("float32").min)
    y = max_pool(x, window=(3, 3), padding="SAME", stride=(1, 1))
    np.testing.assert_array_equal(y, x)


def test_max_pool_keeps_a_byte_for_each_output():
    y, residuals = max_pool_fwd(draw((2, 7, 6, 3)))
    assert sum(r.nbytes for r in residuals) == y.size
    pair = functools.partial(max_pool_fwd, window=(17, 16))
    _, (where, _) = jax.eval_shape(pair, jax.ShapeDtypeStruct((1, 20, 20, 1), jnp.float32))
    assert where.dtype == jnp.uint16


@pytest.mark.parametrize(
    ("name", "dtype", "count_include_pad"),
    [
        ("side by side, padded", "float32", True),
        ("overlapping", "bfloat16", False),
        ("gaps", "float32", False),
    ],
)
def test_avg_pool_is_the_vjp_of_reduce_window(name, dtype, count_include_pad):
    more = {"count_include_pad": count_include_pad}
    check(avg_pool_fwd, avg_pool_bwd, avg_reference, name, dtype, **more)


def test_global_average_pool_is_the_vjp_of_the_mean():
    report = check_rule(
        global_average_pool_fwd,
        global_average_pool_bwd,
        draw((2, 5, 3, 4)),
        reference=lambda x: jnp.einsum("bhwc->bc", x) / 15,
    )
    assert report.agree, report


@pytest.mark.parametrize("name", ["side by side, padded", "overlapping"])
def test_under_jit_grad_and_vmap(name):
    shape, settings = settings_of(name)
    xs = jnp.asarray(np.random.default_rng(2).integers(-4, 4, (3, *shape)), jnp.float32)

    def own(f):
        return jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(f(x, **settings) ** 2))))(xs)

    # Integers: every operation is exact.
    np.testing.assert_array_equal(own(max_pool), own(max_reference))


def test_bfloat16_stays_bfloat16():
    x = draw((2, 4, 4, 3), "bfloat16")
    for rule in (max_pool, avg_pool, global_average_pool):
        y, vjp = jax.vjp(rule, x)
        assert vjp(y)[0].dtype == y.dtype == x.dtype


@pytest.mark.parametrize("rule", [max_pool, avg_pool, global_average_pool])
def test_what_is_no_floating_image_is_refused(rule):
    with pytest.raises(AssertionError):
        rule(jnp.ones((4, 4, 3)))
    with pytest.raises(AssertionError):
        rule(jnp.ones((1, 4, 4, 3), int))


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        max_pool(jnp.ones((1, 2, 2, 1)), window=(3, 3))
