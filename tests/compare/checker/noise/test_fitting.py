"""A gradient that has its constants in full, where the loss has them rounded, is right."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients, check_rule


@pytest.fixture
def u() -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), jnp.float32)


def sine_of(constant: float, dtype: Any) -> Any:
    return lambda u: (jnp.sin(constant * u.astype(dtype)).astype(u.dtype), u)


def its_gradient(constant: float) -> Any:
    return lambda u, g: (constant * g * jnp.cos(constant * u),)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_constants_in_full_are_no_mistake(u: jax.Array, dtype: Any):
    report = check_rule(sine_of(0.1, dtype), its_gradient(0.1), u)
    assert report.verdict == "agree"
    assert "differ by constants alone" in str(report)


TENTH = jnp.float32(0.1)
WRITTEN = {
    "an array of before": lambda x: TENTH,
    "a number of NumPy": lambda x: np.float32(0.1),
    "an array": lambda x: jnp.asarray(0.1, jnp.float32),
    "an array of NumPy": lambda x: np.array([0.1], np.float32),
    "what is computed of constants": lambda x: jnp.float32(1) / jnp.asarray(10, jnp.float32),
    "an array as large": lambda x: jnp.full_like(x, 0.1, jnp.float32),
}


@pytest.mark.parametrize("tenth", WRITTEN.values(), ids=WRITTEN)
def test_a_constant_of_float32_on_one_side_is_no_mistake(u: jax.Array, tenth: Any):
    def by_hand(p: Any, x: Any) -> Any:
        h = jnp.tanh(tenth(x @ p) * (x @ p))
        return jnp.mean(h), x.T @ (tenth(h) * (1 - h**2) / h.size)

    def loss(p: Any, x: Any) -> Any:
        return jnp.mean(jnp.tanh(0.1 * (x @ p)))

    x = u[:, :3]
    assert check_gradients(by_hand, loss, u[:3], x).verdict == "agree"
    assert check_gradients(jax.value_and_grad(loss), lambda *a: by_hand(*a)[0], u[:3], x).agree


def test_numpy_has_them_in_full_too():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, 3)), np.eye(3)[[0, 2, 1, 1, 0]]

    def loss(logits: Any, labels: Any) -> Any:
        smooth = 0.9 * labels.astype(jnp.float32) + 0.1 / 3
        return -jnp.mean(jnp.sum(smooth * jax.nn.log_softmax(logits.astype(jnp.float32)), axis=1))

    def by_hand(logits: Any, labels: Any) -> Any:
        smooth = 0.9 * labels + 0.1 / 3
        shifted = logits - logits.max(axis=1, keepdims=True)
        total = np.exp(shifted).sum(axis=1, keepdims=True)
        value = -np.mean(np.sum(smooth * (shifted - np.log(total)), axis=1))
        return value, (np.exp(shifted) / total * smooth.sum(axis=1, keepdims=True) - smooth) / 5

    report = check_gradients(by_hand, loss, logits, labels, jit=False)
    assert report.verdict == "agree", str(report)


def test_a_constant_more_than_two_units_away_is_wrong(u: jax.Array):
    unit = float(np.spacing(np.float32(0.1)))
    within, without = (float(np.float32(0.1)) + times * unit for times in (1.9, 2.1))
    forward = sine_of(0.1, jnp.float32)
    assert check_rule(forward, its_gradient(within), u).verdict == "agree"
    assert check_rule(forward, its_gradient(without), u).verdict == "manual_wrong"


def test_twice_what_would_be_caught_is_caught(u: jax.Array):
    right = its_gradient(0.1)
    detectable = check_rule(sine_of(0.1, jnp.float32), right, u).detectable

    def wrong(u: jax.Array, g: jax.Array) -> Any:
        return (right(u, g)[0].at[2, 1].add(2 * detectable),)

    report = check_rule(sine_of(0.1, jnp.float32), wrong, u)
    assert report.verdict == "manual_wrong"


def test_a_constant_of_few_bits_says_nothing_of_a_single_entry():
    report = check_rule(sine_of(0.1, jnp.bfloat16), its_gradient(0.1), jnp.asarray(0.7))
    assert report.verdict == "inconclusive"


def test_what_constants_hide_of_a_single_entry_is_said():
    x = jnp.asarray(0.7)
    report = check_rule(sine_of(0.1, jnp.float32), its_gradient(0.1), x)
    assert report.verdict == "agree"
    assert report.detectable > 1e-9


ROOT = float(np.sqrt(2 / np.pi))


def gelu(xp: Any, root: Any, *, scale: float = 1.0) -> Any:
    def by_hand(w: Any, x: Any) -> Any:
        z = x @ w
        t = xp.tanh(root * (z + 0.044715 * z**3))
        slope = 0.5 * (1 + t) + 0.5 * z * (1 - t**2) * root * (1 + 3 * 0.044715 * z**2)
        return xp.mean(0.5 * z * (1 + t)), x.T @ (scale * slope / z.size)

    return by_hand


@pytest.mark.parametrize(
    ("by_hand", "verdict"),
    [
        (gelu(jnp, 0.79788456), "agree"),
        (gelu(jnp, 0.7978845), "agree"),
        (gelu(np, 0.79788456), "agree"),
        (gelu(np, np.float32(ROOT)), "agree"),
        (gelu(jnp, 0.79788), "loss_differs"),
        (gelu(np, 0.79788), "loss_differs"),
        (gelu(jnp, ROOT, scale=1.00000001), "manual_wrong"),
        (gelu(np, ROOT, scale=1.00000001), "manual_wrong"),
    ],
)
def test_the_first_digits_of_a_constant_are_enough_if_they_are_many(by_hand: Any, verdict: str):
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(5, 3)), rng.normal(size=(8, 5))
    jit = by_hand.__closure__[-1].cell_contents is jnp
    report = check_gradients(by_hand, lambda w, x: jnp.mean(jax.nn.gelu(x @ w)), w, x, jit=jit)
    assert report.verdict == verdict, str(report)
