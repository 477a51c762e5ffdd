"""A simple number too much in one term, and a sum over other axes."""

import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.watching.watch import watch

RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.standard_normal((4, 4))}
X, A = RNG.standard_normal((2, 6, 4))


def centred(p, x, a):
    z = x @ p["w"]
    return ((z - z.mean(0)) ** 2 * a).sum()


def of(mean):
    def candidate(p, x, a):
        z = x @ p["w"]
        d = 2 * (z - z.mean(0)) * a
        return centred(p, x, a), {"w": x.T @ (d - mean(d))}

    return candidate


def one_less(d):
    return d.sum(0, keepdims=True) / (len(d) - 1)


def other_axis(d):
    return d.mean(1, keepdims=True)


@pytest.mark.parametrize(
    ("mean", "bug"), [(one_less, "constant_factor"), (other_axis, "summed_wrongly")]
)
def test_the_mean_of_a_term(case_of, mean, bug):
    found = watch(*case_of(of(mean), centred, PARAMS, (X, A)))
    assert f"{__file__}:{mean.__code__.co_firstlineno + 1}" in found.suspects[:3]
    assert [name and name.bug for name in found.named] == [bug]


def normed(p, x, a):
    z = x @ p["w"]
    return (z / jnp.sqrt((z**2).sum(1, keepdims=True)) * a).sum()


def test_a_sum_whose_axis_is_not_kept_is_spread_along_another(case_of):
    x, a = X[:4], A[:4]  # Square: NumPy spreads either way.

    def candidate(p, x, a):
        z = np.asarray(x @ p["w"])
        n = np.sqrt((z**2).sum(1, keepdims=True))
        u, du = z / n, np.asarray(a)
        dz = (du - u * np.sum(du * u, axis=1)) / n
        return normed(p, x, a), {"w": x.T @ dz}

    found = watch(*case_of(candidate, normed, PARAMS, (x, a)))
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 4}"
    assert [name and name.bug for name in found.named] == ["summed_wrongly"]


def of_columns(p, x, a):
    return (jnp.tanh(p["w"] @ x + p["b"]) * a).sum()


def test_a_bias_summed_over_the_other_axis_of_a_square(case_of):
    x, a = X[:4], A[:4]  # An example is a column.

    def candidate(p, x, a):
        dz = np.asarray(a * (1 - jnp.tanh(p["w"] @ x + p["b"]) ** 2))
        db = dz.sum(0, keepdims=True).T
        return of_columns(p, x, a), {"w": dz @ x.T, "b": db}

    params = PARAMS | {"b": RNG.standard_normal((4, 1))}
    found = watch(*case_of(candidate, of_columns, params, (x, a)))
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 2}"
    assert [name and name.bug for name in found.named] == ["summed_wrongly"]
