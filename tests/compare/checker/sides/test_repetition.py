"""Whether a side is a function of its arguments."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients
from compare.checker.sides.evaluation import Evaluation
from compare.checker.sides.repetition import unrepeated
from compare.checker.sides.side import Program, Side
from compare.trees import Layout

W = jnp.linspace(-1, 1, 6).reshape(3, 2)
RANDOM = np.random.default_rng(0)
AGAIN = r"is not a function of its arguments: two calls gave .* and .*\(pass a random key"


def loss(w):
    return jnp.sum(jnp.tanh(w))


def by_hand(w):
    return loss(w), 1 - jnp.tanh(w) ** 2


def weighted(w):
    """Weights drawn by NumPy: others at each call, the same for all calls where it is compiled."""
    return jnp.sum(jnp.tanh(w) * RANDOM.random(w.shape))


def called_back(w):
    draw = lambda: RANDOM.random(w.shape).astype(np.float32)  # noqa: E731
    shape = jax.ShapeDtypeStruct(w.shape, np.float32)
    return loss(w), jax.pure_callback(draw, shape).astype(w.dtype)


@pytest.mark.parametrize("jit", [True, False])
def test_a_random_loss_is_refused(jit):
    with pytest.raises(ValueError, match=f"^the loss {AGAIN}"):
        check_gradients(by_hand, weighted, W, jit=jit)


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize(
    "candidate", [lambda w: (weighted(w), w), lambda w: (loss(w), w * RANDOM.random())]
)
def test_a_random_candidate_is_refused(candidate, jit):
    with pytest.raises(ValueError, match=f"^the candidate {AGAIN}"):
        check_gradients(candidate, loss, W, jit=jit)


def test_randomness_that_no_trace_shows_is_refused():
    with pytest.raises(ValueError, match=f"^the candidate {AGAIN}"):
        check_gradients(called_back, loss, W)


def test_a_counter_is_state():
    counter = itertools.count(1)
    with pytest.raises(ValueError, match=AGAIN):
        check_gradients(lambda w: (loss(w), next(counter) * by_hand(w)[1]), loss, W)


def test_gradients_that_are_never_set_to_zero_are_state():
    kept = np.zeros(W.shape, np.float32)

    def candidate(w):
        value, grad = by_hand(w)
        kept[:] += grad
        return value, {"w": kept.copy()}

    with pytest.raises(ValueError, match=r"as the gradient by w;.* never set to zero") as error:
        check_gradients(lambda p: candidate(p["w"]), lambda p: loss(p["w"]), {"w": W}, jit=False)
    assert "order of a set" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_random_loss_has_no_gradients_that_are_left_over():
    with pytest.raises(ValueError, match=r"state left over from the last call$"):
        check_gradients(by_hand, weighted, W)


def test_a_key_is_an_argument():
    def with_key(w, key):
        return jnp.sum(w * jax.random.bernoulli(key, 0.5, w.shape))

    def candidate(w, key):
        return with_key(w, key), jax.random.bernoulli(key, 0.5, w.shape).astype(w.dtype)

    assert check_gradients(candidate, with_key, W, jax.random.key(0)).agree


def test_a_few_units_between_two_calls_are_told_and_no_error():
    turn = itertools.cycle([1.0, 1 + 2.0**-21])

    def candidate(w):
        value, grad = by_hand(np.asarray(w))
        return value, np.asarray(grad) * np.asarray(next(turn), w.dtype)

    report = check_gradients(candidate, loss, np.asarray(W), jit=False)
    assert any(
        line == "the candidate: two calls differ by 4 units in the last place of the largest entry"
        for line in report.details
    ), report


@pytest.mark.parametrize(
    ("candidate", "runs"),
    [
        (by_hand, 0),  # Arithmetic: the same program can return nothing else.
        (lambda w: (loss(w), jax.pure_callback(np.array, w, 1 - jnp.tanh(w) ** 2)), 1),
    ],
)
def test_what_cannot_differ_is_not_run_again(candidate, runs, monkeypatch):
    layout = Layout((W, ()))
    evaluation, arrays = Evaluation(layout, True, 0), [W]
    side = Side(candidate)
    first = evaluation.run(side, arrays)
    ran = []
    original = Program.__call__
    monkeypatch.setattr(Program, "__call__", lambda *of: ran.append(1) or original(*of))
    assert unrepeated(side, first, arrays, evaluation, on_cpu=False) == ""
    assert len(ran) == runs
