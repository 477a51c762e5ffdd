"""Is a difference in float64 that the noise does not explain a mistake?"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker.comparison import mathematics
from compare.checker.noise.measure import two_precisions
from compare.checker.noise.persistence import is_mathematics
from compare.checker.sides.evaluation import DRAWS, Evaluation, Sides
from compare.checker.sides.side import Side, differentiated
from compare.trees import Layout, cast

RNG = np.random.default_rng(0)
W, X = RNG.standard_normal((5, 3)), RNG.standard_normal((7, 5))


def asked(candidate, loss, params, *args, dtype=np.float64, jit=True):
    """What `is_mathematics` says of a difference that the noise of two precisions leaves open."""
    point = params, args
    layout = Layout(point)
    sides = Sides(Side(candidate), differentiated(loss), Evaluation(layout, jit, 0), "loss")
    arrays = [cast(x, dtype) for x in layout.arrays(point)]
    with jax.enable_x64(dtype == np.float64):
        own = sides.at(arrays, on_cpu=dtype == np.float64)
    exact = sides.at([cast(x, np.float64) for x in arrays], on_cpu=True)
    found = mathematics(exact, two_precisions(sides, arrays).in_float64(DRAWS))
    assert not all(one.agrees for one in found.values()), "there is nothing to ask about"
    return is_mathematics(sides, own, exact, found)


def squares(w, x):
    return jnp.sum((x @ w) ** 2)


def off_by(change):
    def candidate(w, x):
        value, grad = jax.value_and_grad(squares)(w, x)
        return value, change(grad, w)

    return candidate


@pytest.mark.table
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-3])
@pytest.mark.parametrize(
    "change",
    [
        lambda size: lambda grad, w: grad.at[3, 1].add(size),
        lambda size: lambda grad, w: grad * (1 + size),
        lambda size: lambda grad, w: grad + size * jnp.sin(w),
    ],
    ids=["one entry", "a factor", "a smooth function"],
)
def test_a_mistake_of_any_size_is_one(change, size, dtype):
    assert asked(off_by(change(size)), squares, W, X, dtype=dtype)


def test_a_candidate_in_numpy_may_be_asked():
    def candidate(w, x):
        w, x = np.asarray(w), np.asarray(x)
        return np.sum((x @ w) ** 2), 2 * x.T @ (x @ w) + 1e-9

    assert asked(candidate, squares, W, X, jit=False)


def saturated(w):
    """Σ (1 − p)² for p = 1/(1 + e⁻ʷ): in float32 p is 1 here, and 1 − p is 0."""
    p = 1 / (1 + jnp.exp(-w))
    return jnp.sum((1 - p) ** 2)


def test_what_float32_has_lost_is_left_open():
    """jax.grad's own 1 − p is off by 1e-16 of 2e-9 in float64."""

    def without_cancellation(w):
        q = 1 / (1 + jnp.exp(w))
        return (q**2).sum(), -2 * q**2 * (1 - q)

    assert not asked(without_cancellation, saturated, np.array([20.0, 20.5, 19.0]))


def test_manuals_own_rounding_is_left_open():
    def variance(w, x):
        return jnp.var(x * w)

    def in_one_pass(w, x):
        z, n = x * w, len(x)
        return jnp.var(z), (2 * x * z / n).sum() - 2 * z.mean() * x.mean()

    x = 1e4 + RNG.standard_normal(50)
    assert not asked(in_one_pass, variance, np.array(1.5), x)


def test_what_falls_anew_at_every_point_is_no_mistake():
    def candidate(w, x):
        value, grad = jax.value_and_grad(squares)(w, x)
        bits = jax.lax.bitcast_convert_type(w.astype(jnp.float32), jnp.int32)
        sign = (1 - 2 * (bits % 2)).astype(grad.dtype)
        return value, grad + 1e-11 * sign

    assert not asked(candidate, squares, W, X)
