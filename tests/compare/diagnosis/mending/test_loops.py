"""A loop that runs the wrong way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.watching.watch import watch
from tests.compare.diagnosis.marked import line_of

RNG = np.random.default_rng(0)
PARAMS = {"u": 0.6 * RNG.normal(size=(3, 3)), "w": RNG.normal(size=(2, 3))}
XS, YS = RNG.normal(size=(4, 2)), RNG.normal(size=(4, 3))


def loss(p, xs, ys):
    h, total = jnp.zeros(3), 0.0
    for x, y in zip(xs, ys, strict=True):
        h = jnp.tanh(x @ p["w"] + h @ p["u"])
        total = total + jnp.sum((h - y) ** 2)
    return total


def in_numpy(p, xs, ys):
    u, w = np.asarray(p["u"]), np.asarray(p["w"])
    xs, ys = np.asarray(xs), np.asarray(ys)
    hs = [np.zeros(3)]
    for x in xs:
        hs.append(np.tanh(x @ w + hs[-1] @ u))
    du, dw, d_next = np.zeros_like(u), np.zeros_like(w), np.zeros(3)
    for t in range(len(xs)):  # wrong: not from the last on
        dz = (2 * (hs[t + 1] - ys[t]) + d_next) * (1 - hs[t + 1] ** 2)
        du += np.outer(hs[t], dz)
        dw += np.outer(xs[t], dz)
        d_next = dz @ u.T
    return 0.0, {"u": du, "w": dw}


def in_jax(p, xs, ys):
    def forward(h, x):
        out = jnp.tanh(x @ p["w"] + h @ p["u"])
        return out, (h, out)

    def backward(carry, at):
        d_next, du, dw = carry
        before, h, x, y = at
        dz = (2 * (h - y) + d_next) * (1 - h**2)
        return (dz @ p["u"].T, du + jnp.outer(before, dz), dw + jnp.outer(x, dz)), None

    _, (before, hs) = jax.lax.scan(forward, jnp.zeros(3), xs)
    start = jnp.zeros(3), jnp.zeros((3, 3)), jnp.zeros((2, 3))
    (_, du, dw), _ = jax.lax.scan(backward, start, (before, hs, xs, ys))  # wrong: forwards
    return 0.0, {"u": du, "w": dw}


@pytest.mark.parametrize(
    ("candidate", "line"),
    [(in_numpy, "wrong: not from the last on"), (in_jax, "wrong: forwards")],
)
def test_a_backward_pass_that_goes_forwards_is_named_and_its_loop_is_marked(
    case_of, candidate, line
):
    found = watch(*case_of(candidate, loss, PARAMS, (XS, YS)))
    assert [name and name.bug for name in found.named] == ["time_reversed"]
    assert found.suspects[0] == line_of(__file__, line)


def test_a_loop_with_another_mistake_is_not_said_to_run_the_wrong_way(case_of):
    def candidate(p, xs, ys):
        _, grads = in_numpy(p, xs[::-1], ys)
        return 0.0, grads

    found = watch(*case_of(candidate, loss, PARAMS, (XS, YS)))
    assert "time_reversed" not in [name and name.bug for name in found.named]
