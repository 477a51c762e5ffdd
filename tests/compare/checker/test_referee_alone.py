"""The referee as the only judge: of a loss that jax cannot differentiate, and of any function."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters import ad, mlir

from compare.checker import check_function, check_gradients

W = np.random.default_rng(11).uniform(0.5, 1.5, 6)


class Params(NamedTuple):
    """Not in the order of the alphabet."""

    w: Any
    b: Any


PARAMS = Params(np.random.default_rng(12).standard_normal((2, 3)), W[:2])
X = np.random.default_rng(13).standard_normal(3)


def repeated(step, x, times):
    """`step` so many times, in a loop without a reverse mode."""

    def body(state):
        return state[0] + 1, step(state[1])

    return jax.lax.while_loop(lambda state: state[0] < times, body, (0, x))[1]


def fifth_power(w):
    return repeated(lambda y: y * w, jnp.ones_like(w), 5).sum()


def right(w):
    return (w**5).sum(), 5 * w**4


def narrow(dtype, factor=1.0):
    """The fifth power by a gradient that computes in a narrower type."""

    def candidate(w):
        own = w.astype(dtype)
        return (w**5).sum(), (factor * 5 * own * own * own * own).astype(w.dtype)

    return candidate


def of_params(p, x):
    return repeated(lambda y: y * 1.0, (p.w @ x * p.b**2).sum(), 3)


def right_of_params(p, x):
    return {"w": p.b[:, None] ** 2 * x[None], "b": 2 * p.b * (p.w @ x)}


def changed(**changes):
    def candidate(p, x):
        gradient = right_of_params(p, x)
        for name, change in changes.items():
            if change is None:
                del gradient[name]
            else:
                gradient[name] = change(gradient[name])
        return (p.w @ x * p.b**2).sum(), gradient

    return candidate


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_loss_that_jax_cannot_differentiate(dtype):
    report = check_gradients(right, fifth_power, W, dtype=dtype)
    assert report.agree
    assert any("judged by the referee alone" in line for line in report.details)
    report = check_gradients(
        lambda w: (right(w)[0], right(w)[1].at[3].multiply(1 + 1e-4)), fifth_power, W, dtype=dtype
    )
    assert report.verdict == "manual_wrong"


def test_a_refusal_without_a_text_is_told_by_its_kind():
    def refuse(primals, tangents):
        raise AssertionError

    square = Primitive("square_without_derivative")
    square.def_abstract_eval(lambda x: x)
    mlir.register_lowering(square, mlir.lower_fun(lambda x: x * x, multiple_results=False))
    ad.primitive_jvps[square] = refuse
    report = check_gradients(lambda w: (w @ w, 2 * w), lambda w: square.bind(w).sum(), W)
    assert report.agree, report
    assert "jax.grad cannot differentiate this loss (AssertionError)" in report.details[0]


def test_the_forward_passes_differ():
    report = check_gradients(lambda w: (right(w)[0] + 1, right(w)[1]), fifth_power, W)
    assert report.verdict == "loss_differs"


def test_leaves_are_known_by_their_path():
    assert check_gradients(changed(), of_params, PARAMS, X).agree


def test_a_leaf_that_is_missing_is_missed():
    report = check_gradients(changed(b=None), of_params, PARAMS, X)
    assert report.verdict == "structure_mismatch"
    assert [leaf.path for leaf in report.leaves if not leaf.agrees] == ["b"]


@pytest.mark.parametrize(
    ("name", "change", "verdict"),
    [
        ("w", lambda g: g.T, "structure_mismatch"),
        ("b", lambda g: g.at[0].set(jnp.nan), "nonfinite"),
    ],
)
def test_a_leaf_that_cannot_be_compared_is_marked(name, change, verdict):
    report = check_gradients(changed(**{name: change}), of_params, PARAMS, X)
    assert report.verdict == verdict
    assert [leaf.path for leaf in report.leaves if not leaf.agrees] == [name]


@pytest.mark.parametrize(
    ("inside", "given"),
    [("float32", "float64"), ("bfloat16", "float64"), ("bfloat16", "float32")],
)
def test_a_right_gradient_in_a_narrower_type_agrees(inside, given):
    report = check_gradients(narrow(inside), fifth_power, W, dtype=given)
    assert report.agree
    assert any(f"computes in {inside} inside" in line for line in report.details)


def test_a_gradient_that_is_wrong_by_two_fifths_does_not_agree():
    report = check_gradients(narrow("bfloat16", 1.4), fifth_power, W, dtype="bfloat16")
    assert not report.agree


@pytest.mark.parametrize("f", [jax.nn.relu, jnp.abs, jax.nn.hard_tanh])
def test_a_kink_is_one(f):
    x = np.array([0.0, 1.0, -1.0, 0.3])
    assert check_function(f, x, modes=("rev",)).verdict == "kink"


def test_a_function_that_computes_in_bfloat16_is_judged_to_that():
    def f(x):
        return jnp.tanh(x.astype(jnp.bfloat16)).astype(x.dtype)

    report = check_function(f, W, dtype="float64", modes=("rev",))
    assert report.agree
    assert report.detectable < 0.1


def test_the_number_of_the_referee_is_called_so():
    report = check_gradients(lambda w: (right(w)[0], -right(w)[1]), fifth_power, W)
    assert report.verdict == "manual_wrong"
    assert not any("where jax.grad has" in line for line in report.details)
