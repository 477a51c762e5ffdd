"""Where a function computes in a narrower type than its inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.checker.sides.narrowing import Narrowing, is_representable, narrowing
from compare.sites import source

X = np.linspace(0.1, 0.9, 12)


def found(fn, *args):
    with jax.enable_x64(True):
        return narrowing(jax.make_jaxpr(fn)(*args))


def test_a_conversion_is_found_with_its_line():
    def fn(x):
        y = x.astype(jnp.float32)  # here
        return jnp.sin(y)

    of = found(fn, X)
    assert of is not None
    assert (of.dtype, source(of.site)) == (np.float32, "y = x.astype(jnp.float32)  # here")
    assert str(of).startswith("computes in float32 inside (")
    assert str(of).endswith(")")


@pytest.mark.parametrize(
    ("fn", "dtype"),
    [
        (lambda x: lax.scan(lambda c, t: (c, t.astype(jnp.bfloat16)), 0, x)[1], jnp.bfloat16),
        (lambda x: jax.jit(lambda x: x.astype(jnp.float16))(x), jnp.float16),
        (lambda x: x.astype(jnp.float32).astype(jnp.bfloat16), jnp.bfloat16),
        (lambda x: lax.dot(x, x, preferred_element_type=jnp.float32), jnp.float32),
        (lambda x: lax.cond(True, lambda x: x.astype("float32").astype("float64"), lambda x: x, x),
         jnp.float32),
    ],
)  # fmt: skip
def test_the_narrowest_is_found_wherever_it_is(fn, dtype):
    of = found(fn, X)
    assert of is not None
    assert of.dtype == dtype


@pytest.mark.parametrize(
    "fn",
    [
        jnp.sin,
        lambda x: x * jnp.zeros(12, jnp.float32),
        lambda x: x + jax.random.normal(jax.random.key(0), (12,), jnp.float32),
        lambda x: x[jnp.argsort(x)],
        lambda x: jnp.round(x).astype(int),
    ],
)
def test_what_depends_on_no_input_or_is_no_number_is_not_counted(fn):
    assert found(fn, X) is None


def test_a_wider_type_inside_is_no_narrowing():
    assert found(lambda x: x.astype(jnp.float32).sum(), X.astype(jnp.bfloat16)) is None


def test_numbers_tell_the_type_they_were_computed_in():
    narrow = X.astype(np.float32).astype(np.float64)
    assert is_representable([narrow], np.float32)
    assert not is_representable([X], np.float32)
    assert not is_representable([narrow[:4]], np.float32), "too few to tell"
    assert not is_representable([np.arange(20.0)], np.float32), "whole numbers tell nothing"
    assert is_representable([narrow + 1j * narrow], np.float32)
    assert not is_representable([narrow + 1j * X], np.float32)


def test_a_reason_is_told_in_place_of_a_line():
    assert str(Narrowing(np.dtype("float32"), "", "cannot run")) == "cannot run"
    assert Narrowing(np.dtype("float32"), "").unit == 2.0**-23
