"""Lines that compute nothing and hand on another value than they should."""

import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.watching.watch import watch

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


def line_of(text):
    with open(__file__, encoding="utf-8") as file:
        (number,) = (i for i, line in enumerate(file, 1) if f"# {text}" in line)
    return f"{__file__}:{number}"


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
    assert found.suspects[0] == line_of(line)
    assert [f"{x.file}:{x.line}" for x in found.listing if x.status == "wrong"] == [line_of(line)]
