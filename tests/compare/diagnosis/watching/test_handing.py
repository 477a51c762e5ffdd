"""Lines that compute nothing and hand on another value than they should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.watching.watch import watch
from tests.compare.diagnosis.marked import line_of

RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.normal(size=(3, 4)), "b": RNG.normal(size=4)}
X, MASK = RNG.normal(size=(5, 3)), RNG.random((5, 4)) < 0.7


def loss(p, x, mask):
    z = x @ p["w"] + p["b"]
    a = jnp.tanh(z)
    d = jnp.where(mask, a, 0.0)
    return jnp.sum((d - 1) ** 2) + 0.3 * jnp.sum(jnp.sin(z))


def forward(p, x, mask):
    p = {name: np.asarray(own) for name, own in p.items()}
    x, mask = np.asarray(x), np.asarray(mask)
    z = x @ p["w"] + p["b"]
    a = np.tanh(z)
    return x, z, a, np.where(mask, a, 0.0)


def a_step_is_left_out(p, x, mask):
    x, z, a, d = forward(p, x, mask)
    dd = 2 * (d - 1)
    da = dd  # wrong: the mask
    dz = da * (1 - a**2) + 0.3 * np.cos(z)
    return 0.0, {"w": x.T @ dz, "b": dz.sum(0)}


def a_name_that_says_nothing(p, x, mask):
    x, z, a, d = forward(p, x, mask)
    dd = 2 * (d - 1)
    g = dd
    dz = g * (1 - a**2) + 0.3 * np.cos(z)  # wrong: here the mask
    return 0.0, {"w": x.T @ dz, "b": dz.sum(0)}


def a_term_is_left_out(p, x, mask):
    x, _, a, d = forward(p, x, mask)
    da = np.where(mask, 2 * (d - 1), 0.0)
    dz1 = da * (1 - a**2)
    dz = dz1  # wrong: and the sine's
    return 0.0, {"w": x.T @ dz, "b": dz.sum(0)}


def through(x, z, a, da):
    dz1 = da * (1 - a**2)
    dz = dz1 + 0.3 * np.cos(z)  # noqa: F841
    return dz1  # wrong: not the sum


def the_wrong_one_is_returned(p, x, mask):
    x, z, a, d = forward(p, x, mask)
    dz = through(x, z, a, np.where(mask, 2 * (d - 1), 0.0))
    return 0.0, {"w": x.T @ dz, "b": dz.sum(0)}


def right_aliases_and_a_wrong_line(p, x, mask):
    x, z, _, d = forward(p, x, mask)
    dd = np.where(mask, 2 * (d - 1), 0.0)
    grad = dd
    da = grad
    dz = da * (1 - z**2) + 0.3 * np.cos(z)  # wrong: the slope
    delta = dz
    return 0.0, {"w": x.T @ delta, "b": delta.sum(0)}


def loss_at_a_temperature(p, x, mask):
    z = x @ p["w"] + p["b"]
    noisy = jax.nn.softmax(z / 0.7)
    return jnp.sum(noisy * jnp.where(mask, 1.0, 0.2) * x[:, :1])


def a_number_is_left_out(p, x, mask):
    p = {name: np.asarray(own) for name, own in p.items()}
    x, mask = np.asarray(x), np.asarray(mask)
    v = x @ p["w"] + p["b"]
    a = np.exp(v / 0.7)
    a = a / a.sum(1, keepdims=True)
    da = np.where(mask, 1.0, 0.2) * x[:, :1]
    dnoisy = a * (da - (da * a).sum(1, keepdims=True))
    dv = dnoisy  # wrong: the temperature
    return 0.0, {"w": x.T @ dv, "b": dv.sum(0)}


def test_a_name_is_known_by_what_the_candidate_calls_it_too(case_of):
    found = watch(*case_of(a_number_is_left_out, loss_at_a_temperature, PARAMS, (X, MASK)))
    assert found.suspects[0] == line_of(__file__, "wrong: the temperature")


@pytest.mark.parametrize(
    ("candidate", "line"),
    [
        (a_step_is_left_out, "wrong: the mask"),
        (a_name_that_says_nothing, "wrong: here the mask"),
        (a_term_is_left_out, "wrong: and the sine's"),
        (the_wrong_one_is_returned, "wrong: not the sum"),
        (right_aliases_and_a_wrong_line, "wrong: the slope"),
    ],
)
def test_the_line_that_hands_on_the_wrong_thing_is_marked(case_of, candidate, line):
    found = watch(*case_of(candidate, loss, PARAMS, (X, MASK)))
    assert found.suspects[0] == line_of(__file__, line)
    assert [f"{x.file}:{x.line}" for x in found.listing if x.status == "wrong"] == [
        line_of(__file__, line)
    ]


LAYERS = {name: RNG.normal(size=(3, 3)) for name in ("w1", "w2", "w3")}


def loss_of_layers(p, x):
    x = jnp.sin(jnp.maximum(x @ p["w1"], 0) @ p["w2"])
    return jnp.sum(jnp.sin(x @ p["w3"]))


def of_relu(d, z):
    return d * (z > 0)


def of_sine(d, z):
    return d * np.cos(z)


def step_back(d, z, kind):
    return of_sine(d, z)  # wrong: whatever the kind


def all_by_the_sine(p, x):
    (w1, w2, w3), x = (np.asarray(p[name]) for name in LAYERS), np.asarray(x)
    z1 = x @ w1
    a1 = np.maximum(z1, 0)
    z2 = a1 @ w2
    a2 = np.sin(z2)
    z3 = a2 @ w3
    d3 = step_back(np.ones_like(z3), z3, "sine")
    d2 = step_back(d3 @ w3.T, z2, "sine")
    d1 = step_back(d2 @ w2.T, z1, "relu")
    return 0.0, {"w1": x.T @ d1, "w2": a1.T @ d2, "w3": a2.T @ d3}


def carried(w, xs, ds):
    dw, d = np.zeros_like(w), np.zeros(3)
    for x, own in zip(xs[::-1], ds[::-1], strict=True):
        d = own + d @ w.T
        dw = dw + np.outer(x, d)
    return dw


def of_two_towers(p, x):
    (w1, w2, _), x = (np.asarray(p[name]) for name in LAYERS), np.asarray(x)

    def states(w, x):
        hs = [np.zeros(3)]
        for own in x:
            hs.append(own + hs[-1] @ w)
        return np.array(hs)

    h1, h2 = states(w1, x), states(w2, x[::-1])[:, ::1]
    d1, d2 = np.cos(h1[1:]), np.cos(h2[1:])
    dw1 = carried(w1, h1[:-1], d1)
    dw2 = carried(w2, h2[:-1], d2[::-1])  # wrong: backwards
    return 0.0, {"w1": dw1, "w2": dw2, "w3": np.zeros((3, 3))}


def loss_of_towers(p, x):
    total = 0.0
    for name, own in (("w1", x), ("w2", x[::-1])):
        h = jnp.zeros(3)
        for row in own:
            h = row + h @ p[name]
            total = total + jnp.sum(jnp.sin(h))
    return total


def turned(x, angle, sign):
    c, s = jnp.cos(angle), sign * jnp.sin(angle)
    a, b = x[:, :1], x[:, 1:2]
    return jnp.concatenate([a * c - b * s, a * s + b * c, x[:, 2:]], axis=1)


def loss_of_turned(p, x):
    r = turned(x @ p["w1"], x[:, :1], 1.0)
    return jnp.sum(jnp.sin(r @ p["w2"])) + 0.1 * jnp.sum(p["w3"] ** 2)


def turned_on(p, x):
    r = turned(x @ p["w1"], x[:, :1], 1.0)
    d = jnp.cos(r @ p["w2"])
    dx = turned(d @ p["w2"].T, x[:, :1], 1.0)  # wrong: not back
    return 0.0, {"w1": x.T @ dx, "w2": r.T @ d, "w3": 0.2 * p["w3"]}


@pytest.mark.parametrize(
    ("candidate", "loss", "line"),
    [
        (all_by_the_sine, loss_of_layers, "wrong: whatever the kind"),
        (of_two_towers, loss_of_towers, "wrong: backwards"),
        (turned_on, loss_of_turned, "wrong: not back"),
    ],
)
def test_the_call_is_marked_of_what_is_right_where_it_is_called_elsewhere(
    case_of, candidate, loss, line
):
    found = watch(*case_of(candidate, loss, LAYERS, (X,)))
    assert found.suspects[0] == line_of(__file__, line)
