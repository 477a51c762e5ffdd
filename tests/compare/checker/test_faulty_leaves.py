"""A leaf that cannot be compared is marked, and no other; the others are judged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients, check_rule

SHAPES = {"bias": (5,), "scalar": (), "weights": (4, 5), "kernel": (2, 4, 3)}
PARAMS = {
    name: np.random.default_rng(i).standard_normal(shape)
    for i, (name, shape) in enumerate(SHAPES.items())
}
ROWS = np.random.default_rng(9).standard_normal((7, 4))


def network(p, x):
    y = jnp.tanh(x @ p["weights"] + p["bias"]) * p["scalar"]
    return (y**2).sum() + (jnp.tanh(p["kernel"]) ** 2).sum()


def changed(**changes):
    """The right gradient with some leaves changed."""

    def candidate(p, x):
        value, gradient = jax.value_and_grad(network)(p, x)
        for name, change in changes.items():
            if change is None:
                del gradient[name]
            else:
                gradient[name] = change(gradient[name])
        return value, gradient

    return candidate


MISSHAPEN = {
    "transposed": ("weights", lambda g: g.T, "is it transposed?"),
    "other axes": ("kernel", lambda g: g.transpose(1, 0, 2), "are its axes in another order?"),
    "summed over all": ("weights", lambda g: g.sum(), "is it summed over all axes?"),
    "a bias summed over all": ("bias", lambda g: g.sum(), "is it summed over all axes?"),
    "keeps the batch": ("bias", lambda g: jnp.stack([g] * 7), "sum over the examples missing?"),
    "a scalar keeps the batch": (
        "scalar",
        lambda g: jnp.stack([g] * 7),
        "sum over the examples missing?",
    ),
    "keeps a batch of weights": (
        "weights",
        lambda g: jnp.stack([g] * 7),
        "sum over the examples missing?",
    ),
    "an axis of one": ("bias", lambda g: g[None], "has shape (1, 5)"),
    "dtype": ("bias", lambda g: g.astype(jnp.float16), "has dtype float16"),
    "missing": ("bias", None, "is missing"),
    "None": ("bias", lambda g: None, "is missing"),
}


def marked(report):
    return {leaf.path for leaf in report.leaves if not leaf.agrees}


@pytest.mark.parametrize("name", MISSHAPEN)
def test_a_structure_mismatch_marks_its_leaf_and_the_others_are_judged(name):
    """Beside it one leaf is twice as large, and two are right."""
    leaf, change, words = MISSHAPEN[name]
    other = "kernel" if leaf != "kernel" else "bias"
    candidate = changed(**{leaf: change, other: lambda g: 2 * g})
    report = check_gradients(candidate, network, PARAMS, ROWS)
    assert report.verdict == "structure_mismatch"
    assert marked(report) == {leaf, other}
    assert {row.path for row in report.leaves} == set(PARAMS)
    assert [line for line in report.details if line.startswith(f"{leaf}: ") and words in line]
    assert any(line.startswith(f"{other}: manual has") for line in report.details)
    right = tuple(f"{p}: " for p in PARAMS if p not in (leaf, other))
    assert not any(line.startswith(right) for line in report.details)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_leaf_that_is_not_finite_is_marked_and_the_others_judged(number):
    candidate = changed(weights=lambda g: g.at[1, 2].set(number))
    report = check_gradients(candidate, network, PARAMS, ROWS)
    assert report.verdict == "nonfinite"
    assert marked(report) == {"weights"}
    assert "weights: manual has 1 of 20 entries not finite" in report.details[0]
    candidate = changed(weights=lambda g: g.at[1, 2].set(number), bias=lambda g: 2 * g)
    report = check_gradients(candidate, network, PARAMS, ROWS)
    assert report.verdict == "nonfinite"
    assert marked(report) == {"weights", "bias"}
    assert any(line.startswith("bias: manual has") for line in report.details)


def test_a_cotangent_of_the_wrong_shape_is_marked_and_no_other():
    def fwd(x, w):
        return x @ w, (x, w)

    def bwd(residuals, d):
        x, w = residuals
        return d @ w.T, d.T @ x

    report = check_rule(fwd, bwd, ROWS, PARAMS["weights"])
    assert report.verdict == "structure_mismatch"
    assert marked(report) == {"w"}
    assert "is it transposed?" in report.details[0]
