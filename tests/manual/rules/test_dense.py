import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compare import check_rule
from manual.rules.dense import dense, dense_bwd, dense_fwd


def reference(x, w, b):
    return jnp.einsum("ik,kj->ij", x, w) + b


def draw(seed, batch, n_in, n_out, dtype):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((batch, n_in)), rng.standard_normal((n_in, n_out))
    b, dy = rng.standard_normal(n_out), rng.standard_normal((batch, n_out))
    return tuple(jnp.asarray(a, dtype) for a in (x, w, b, dy))


def assert_pair_is_the_vjp(arrays, assert_rounds_to):
    x, w, b, dy = arrays

    @jax.jit
    def by_hand(x, w, b, dy):
        y, residuals = dense_fwd(x, w, b)
        return y, dense_bwd(residuals, dy)

    @jax.jit
    def by_jax(x, w, b, dy):
        y, vjp = jax.vjp(reference, x, w, b)
        return y, vjp(dy)

    y, cotangents = by_hand(*arrays)
    with jax.default_matmul_precision("highest"):
        want, wanted = by_jax(*arrays)
    # A sum of n products, in whatever order, is off by at most n roundings of the sum of the
    # products' absolute values (Higham 2002, §3.1); the same holds for the reference.
    ax, aw, ab, ady = (np.abs(np.asarray(a)) for a in (x, w, b, dy))
    scales = [ady @ aw.T, ax.T @ ady, ady.sum(axis=0)]
    lengths = [w.shape[1], x.shape[0], x.shape[0]]
    assert_rounds_to(y, want, roundings=2 * (w.shape[0] + 1), scale=ax @ aw + ab)
    for got, expected, n, scale in zip(cotangents, wanted, lengths, scales, strict=True):
        assert_rounds_to(got, expected, roundings=2 * n, scale=scale)


@pytest.mark.table
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("batch", "n_in", "n_out"), [(7, 5, 3), (1, 2, 9), (3, 1, 1), (2, 3, 65), (66, 3, 65)]
)
def test_pair_is_the_vjp_of_the_reference(dtype, batch, n_in, n_out, assert_rounds_to):
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        assert_pair_is_the_vjp(draw(0, batch, n_in, n_out, dtype), assert_rounds_to)


def test_pair_is_the_vjp_at_drawn_shapes(assert_rounds_to):
    dim = st.integers(1, 6)

    @settings(max_examples=4, derandomize=True, deadline=None)
    @given(seed=st.integers(0, 2**16), batch=dim, n_in=dim, n_out=dim)
    def check(seed, batch, n_in, n_out):
        with jax.default_matmul_precision("highest"):
            assert_pair_is_the_vjp(draw(seed, batch, n_in, n_out, "float32"), assert_rounds_to)

    check()


def test_each_example_and_the_second_derivative(assert_rounds_to):
    x, w, b, _ = draw(0, 7, 5, 3, "float32")

    def squared_slope(layer, w, row, b):
        slope = jax.grad(lambda w: (layer(row[None], w, b) ** 2).sum())(w)
        return (slope**2).sum()

    def of_each(layer, *inputs):
        one = jax.grad(squared_slope, argnums=1)
        each = jax.vmap(lambda row, w, b: one(layer, w, row, b), in_axes=(0, None, None))
        return jax.jit(each)(*inputs)

    with jax.default_matmul_precision("highest"):
        got, want = of_each(dense, x, w, b), of_each(reference, x, w, b)
        # A polynomial with positive coefficients, so this is the sum of absolute values.
        scale = of_each(reference, *map(jnp.abs, (x, w, b)))
    # Four products in a row, of at most 6 terms.
    assert_rounds_to(got, want, roundings=2 * 4 * 6, scale=scale)


def test_bfloat16_stays_bfloat16():
    x, w, b, dy = draw(0, 7, 5, 3, "bfloat16")
    y, residuals = dense_fwd(x, w, b)
    chex.assert_type([y, *dense_bwd(residuals, dy)], jnp.bfloat16)


def test_nan_comes_out_as_nan():
    x, w, b, dy = draw(0, 3, 2, 4, "float32")
    y, residuals = dense_fwd(x.at[1, 0].set(jnp.nan), w, b)
    _, dw, _ = dense_bwd(residuals, dy)
    assert np.isnan(y).all(axis=1).tolist() == [False, True, False]
    assert np.isnan(dw).all(axis=1).tolist() == [True, False]


def test_tied_function_under_jit_grad_and_vmap(assert_rounds_to):
    x, w, b, _ = draw(1, 7, 5, 3, "float32")

    def own(f):
        return lambda x, w, b: jnp.sum(f(x[None], w, b) ** 2)

    with jax.default_matmul_precision("highest"):
        per_example = (0, None, None)
        got = jax.jit(jax.vmap(jax.grad(own(dense), argnums=(0, 1, 2)), per_example))(x, w, b)
        want = jax.vmap(jax.grad(own(reference), argnums=(0, 1, 2)), per_example)(x, w, b)
    # 5 products and a sum to y, doubled, then at most 3 products more, on both sides; with
    # |y| ≤ |x||w| + |b|, every intermediate is at most 2 |y| times the other factor.
    y = np.abs(x) @ np.abs(w) + np.abs(b)
    scales = [2 * y @ np.abs(w).T, 2 * np.abs(x)[:, :, None] * y[:, None, :], 2 * y]
    for g, expected, scale in zip(got, want, scales, strict=True):
        assert_rounds_to(g, expected, roundings=2 * (5 + 1 + 1 + 3), scale=scale)


@pytest.mark.parametrize("shape", [(), (5,), (2, 4), (2, 0), (3, 1, 2)])
def test_every_axis_but_the_last_is_an_example(shape):
    x, w, b, dy = (a.astype(jnp.float32) for a in draw(2, 24, 6, 5, "float32"))
    n = int(np.prod(shape))
    x, dy = x[:n].reshape(*shape, 6), dy[:n].reshape(*shape, 5)
    y, residuals = dense_fwd(x, w, b)
    dx, dw, db = dense_bwd(residuals, dy)
    rows, kept = dense_fwd(x.reshape(-1, 6), w, b)
    want = dense_bwd(kept, dy.reshape(-1, 5))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    close(y, rows.reshape(y.shape))
    close(dx, want[0].reshape(x.shape))
    close(dw, want[1])
    close(db, want[2])


def test_without_a_bias():
    x, w, _, _ = draw(3, 7, 5, 3, "float32")
    report = check_rule(
        lambda x, w: dense_fwd(x, w),
        lambda residuals, dy: dense_bwd(residuals, dy)[:2],
        x, w,
        reference=lambda x, w: jnp.einsum("ik,kj->ij", x, w),
    )  # fmt: skip
    assert report.agree, report
    np.testing.assert_array_equal(dense(x, w), dense(x, w, None))
    dw, db = jax.grad(lambda w, b: dense(x, w, b).sum(), argnums=(0, 1))(w, None)
    np.testing.assert_allclose(dw, jnp.repeat(x.sum(axis=0)[:, None], 3, axis=1), rtol=1e-5)
    assert db is None


@pytest.mark.parametrize(
    ("x", "w", "b"),
    [((), (3, 2), (2,)), ((1, 3), (3, 2), (1, 2)), ((1, 3), (3,), (2,)), ((1, 4), (3, 2), (2,))],
)
def test_other_shapes_are_refused(x, w, b):
    with pytest.raises(AssertionError):
        dense(jnp.ones(x), jnp.ones(w), jnp.ones(b))


def test_what_is_no_array_is_named():
    with pytest.raises(TypeError, match=r"w of dense must be an array, got list; make one with"):
        dense(jnp.ones((1, 2)), [[1.0], [2.0]], jnp.ones(1))  # pyright: ignore[reportArgumentType]
