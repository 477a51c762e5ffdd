"""Changes of one line that give the right numbers."""

import jax.numpy as jnp
import numpy as np

from compare.diagnosis.watching.watch import watch

RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.standard_normal((4, 4))}
X = RNG.standard_normal((6, 4))


def loss(p, x):
    z = x @ p["w"]
    q = jnp.exp(z) + 1.5
    return (z / q).sum()


def backward(p, x, numerator=lambda q, z: q - z * (q - 1.5)):
    z = x @ p["w"]
    q = jnp.exp(z) + 1.5
    return loss(p, x), {"w": x.T @ (numerator(q, z) / (q * q))}


def test_a_constant_that_is_taken_away_again(case_of):
    def numerator(q, z):
        return q - z * (q - 1.5 + 1.5)

    case = case_of(lambda p, x: backward(p, x, numerator), loss, PARAMS, (X,))
    found = watch(*case)
    line = f"{__file__}:{numerator.__code__.co_firstlineno + 1}"
    assert line in found.suspects[:3]
    assert found.named


def test_an_operand_that_has_to_be_transposed(case_of):
    def through(p, x):
        return jnp.sum(jnp.sin(x @ p["w"] @ p["w"]))

    def candidate(p, x):
        d = jnp.cos(x @ p["w"] @ p["w"])
        first = x.T @ (d @ p["w"])  # w is not transposed
        return through(p, x), {"w": first + (x @ p["w"]).T @ d}

    found = watch(*case_of(candidate, through, PARAMS, (X,)))
    line = candidate.__code__.co_firstlineno + 2
    assert f"{__file__}:{line}" in found.suspects[:2]
    assert [name and name.bug for name in found.named] == ["transposed"]


def test_the_right_candidate_agrees_with_itself(case_of):
    case, _ = case_of(backward, loss, PARAMS, (X,))
    assert case.paths() == []
