"""Operands of a line: two exchanged, one factor of a square."""

import jax.numpy as jnp
import numpy as np

from compare.diagnosis.watching.watch import watch

RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.standard_normal((4, 4))}
X, A, B = RNG.standard_normal((3, 6, 4))


def turned(p, x, a, b):
    z = x @ p["w"]
    return (z * a - jnp.sin(z) * b).sum()


def test_two_values_that_have_changed_places(case_of):
    def candidate(p, x, a, b):
        z = x @ p["w"]
        dz = b - jnp.cos(z) * a  # the other way round
        return turned(p, x, a, b), {"w": x.T @ dz}

    found = watch(*case_of(candidate, turned, PARAMS, (X, A, B)))
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 2}"
    (name,) = found.named
    assert name is not None
    assert name.bug == "wrong_value"
    assert "changed places" in name.story


def softmaxed(p, x, a):
    z = x @ p["w"]
    e = jnp.exp(z)
    return (e / e.sum(1, keepdims=True) * a).sum()


def test_a_square_for_a_product(case_of):
    def candidate(p, x, a):
        e = jnp.exp(x @ p["w"])
        q = e / e.sum(1, keepdims=True)
        inner = (q * q).sum(1, keepdims=True)  # q a, that is
        return softmaxed(p, x, a), {"w": x.T @ (q * (a - inner))}

    found = watch(*case_of(candidate, softmaxed, PARAMS, (X, A)))
    assert f"{__file__}:{candidate.__code__.co_firstlineno + 3}" in found.suspects[:3]
    assert [name and name.bug for name in found.named] == ["wrong_value"]
