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


def turned(p, x):
    u = x @ p["w"]
    one, two = u[:, :2], u[:, 2:]
    return (one * jnp.sin(two) - two * jnp.sin(one)).sum()


def test_the_signs_of_a_line(case_of):
    def candidate(p, x):
        u = x @ p["w"]
        one, two = u[:, :2], u[:, 2:]
        sines = jnp.sin(two), jnp.sin(one)
        of_one, of_two = two * jnp.cos(one), one * jnp.cos(two)
        du = jnp.concatenate([sines[0] + of_one, of_two + sines[1]], 1)  # both are differences
        return turned(p, x), {"w": x.T @ du}

    found = watch(*case_of(candidate, turned, PARAMS, (X,)))
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 5}"
    assert [name and name.bug for name in found.named] == ["sign_flipped"]


def recurrent(p, x):
    h = x
    for _ in range(3):
        h = jnp.tanh(h @ p["w"]) + x
    return (h**2).sum()


def test_another_value_at_every_turn_of_a_loop(case_of):
    def candidate(p, x):
        hs = [x]
        for _ in range(3):
            hs.append(jnp.tanh(hs[-1] @ p["w"]) + x)
        dh, dw = 2 * hs[-1], jnp.zeros((4, 4))
        for after in hs[:0:-1]:
            dz = dh * (1 - (after - x) ** 2)
            dw = dw + (after - x).T @ dz  # the state after the step
            dh = dz @ p["w"].T
        return recurrent(p, x), {"w": dw}

    found = watch(*case_of(candidate, recurrent, PARAMS, (X,)))
    assert f"{__file__}:{candidate.__code__.co_firstlineno + 7}" in found.suspects[:3]


def test_the_right_candidate_agrees_with_itself(case_of):
    case, _ = case_of(backward, loss, PARAMS, (X,))
    assert case.paths() == []
