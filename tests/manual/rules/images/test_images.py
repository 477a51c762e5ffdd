import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import further
from compare import check_rule
from manual.rules import conv1d, conv2d, conv_transpose, resize


def draw(*shapes):
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)


def judge(rule, reference, inputs, dtype=None, **settings):
    bound = rule.bind(**settings) if settings else rule
    reference = functools.partial(reference, **settings)
    return check_rule(bound.fwd, bound.bwd, *inputs, reference=reference, dtype=dtype)


# check_rule asks about float64 first, whatever dtype it is given.
@pytest.mark.table
@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        ({}, "bfloat16"),
        ({"stride": 2, "padding": "VALID"}, "float32"),
        ({"padding": (2, 0)}, "float32"),
        ({"dilation": 2, "groups": 2}, "float32"),
    ],
    ids=str,
)
def test_conv1d_is_the_vjp_of_jax_lax(settings, dtype):
    n_in = 4 // settings.get("groups", 1)
    inputs = draw((2, 7, 4), (3, n_in, 6), (6,))
    report = judge(conv1d, further.conv1d, inputs, dtype, **settings)
    assert report.agree, report


def test_a_causal_convolution_sees_nothing_that_comes_later():
    x, w, b = draw((1, 7, 2), (3, 2, 4), (4,))
    dx = jax.grad(lambda x: conv1d(x, w, b, padding=(2, 0))[0, 3].sum())(x)
    assert not dx[0, 4:].any()
    assert dx[0, 1:4].any()


@pytest.mark.table
@pytest.mark.parametrize("stride", [1, 2, (3, 2)])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_conv_transpose_is_the_vjp_of_jax_lax(stride, padding):
    inputs = draw((2, 3, 4, 5), (3, 2, 5, 6), (6,))
    report = judge(conv_transpose, further.conv_transpose, inputs, stride=stride, padding=padding)
    assert report.agree, report


def test_conv_transpose_of_one_pixel_is_the_kernel():
    (w,) = draw((3, 2, 1, 4))
    y = conv_transpose(jnp.ones((1, 1, 1, 1)), w, jnp.zeros(4), stride=2, padding="VALID")
    np.testing.assert_array_equal(y, w[None, :, :, 0])
    cut = conv_transpose(
        jnp.ones((1, 1, 1, 1)), w, jnp.zeros(4), stride=2, padding=((1, 0), (0, 1))
    )
    np.testing.assert_array_equal(cut, w[None, 1:, :1, 0])


@pytest.mark.table
@pytest.mark.parametrize("method", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [(7, 3), (5, 4), 1, (2, 9), 24])
def test_resize_is_the_vjp_of_jax_image(method, size):
    dtype = "bfloat16" if size == (7, 3) else "float32"
    report = judge(resize, further.resize, draw((2, 5, 4, 3)), dtype, method=method, size=size)
    assert report.agree, report


def test_settings_that_mean_nothing_are_refused():
    (x,) = draw((1, 2, 2, 1))
    with pytest.raises(ValueError, match="unknown method of resize 'cubic'; choose from bilinear"):
        resize(x, size=3, method="cubic")
    with pytest.raises(ValueError, match="size must be a positive integer or two of them, got 0"):
        resize(x, size=0)
    with pytest.raises(ValueError, match="stride must be a positive integer"):
        conv_transpose(x, jnp.ones((2, 2, 1, 1)), jnp.ones(1), stride=0)
    wrong: list[Any] = [((1,),), 3]
    for padding in wrong:
        with pytest.raises(ValueError, match="padding must be 'SAME', 'VALID' or"):
            conv_transpose(x, jnp.ones((2, 2, 1, 1)), padding=padding)


@pytest.mark.parametrize("padding", [((4, 4), (0, 0)), ((0, 0), (0, 9))])
def test_padding_cuts_off_no_more_than_there_is(padding):
    x, w = draw((1, 3, 3, 2), (3, 3, 2, 4))
    with pytest.raises(ValueError, match=r"^padding of conv_transpose cuts off .* \(7, 7\) that"):
        conv_transpose(x, w, stride=2, padding=padding)


def test_a_sequence_has_one_stride_of_any_librarys_integers():
    x, w = draw((1, 5, 2), (3, 2, 4))
    two: Any = np.int64(2)
    assert conv1d(x, w, stride=two).shape == (1, 3, 4)
    wrong: list[Any] = [0, True, (1, 2), 1.0]
    for name in ("stride", "dilation"):
        for value in wrong:
            with pytest.raises(ValueError, match=f"^{name} of conv1d must be a positive integer, "):
                conv1d(x, w, **{name: value})


@pytest.mark.parametrize(
    ("rule", "x", "w"),
    [
        (conv1d, (2, 5, 3), (3, 3, 4)),
        (conv2d, (2, 5, 4, 3), (3, 2, 3, 4)),
        (conv_transpose, (2, 3, 4, 3), (3, 2, 3, 4)),
    ],
)
def test_a_convolution_may_have_no_bias(rule, x, w):
    x, w = draw(x, w)
    np.testing.assert_array_equal(rule(x, w), rule(x, w, jnp.zeros(4)))
    assert check_rule(rule.fwd, rule.bwd, x, w, None).agree
    assert jax.grad(lambda b: rule(x, w, b).sum())(None) is None
