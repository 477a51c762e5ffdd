"""Every wrong input has one clear line: what was given, and what is allowed or to be done."""

import inspect
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import compare
from compare.checker.arguments import OPTIONS

# What is wrong on purpose is no matter for a type checker.
check_function: Any = compare.check_function
check_gradients: Any = compare.check_gradients
check_rule: Any = compare.check_rule

W, X = (np.random.default_rng(i).standard_normal(s) for i, s in enumerate(((3, 2), (4, 3))))
POINT = np.arange(1.0, 4.0)


def loss(w, x):
    return jnp.tanh(x @ w).sum()


def right(w, x):
    y = jnp.tanh(x @ w)
    return y.sum(), x.T @ (1 - y**2)


def right_in_numpy(w, x):
    y = np.tanh(x @ w)
    return y.sum(), x.T @ (1 - y**2)


def pair_fwd(x):
    return x**2, (2 * x,)


def square_fwd(x):
    return x**2, x


def square_bwd(x, d):
    return (2 * x * d,)


gradients = partial(check_gradients, right, loss)
rule = partial(check_rule, square_fwd, square_bwd)
square = jax.custom_vjp(lambda x: x**2)
square_jvp = jax.custom_jvp(lambda x: x**2)


def bare(x, d):
    return 2 * x * d


with_a_bare_cotangent = jax.custom_vjp(lambda x: x**2)
with_a_bare_cotangent.defvjp(square_fwd, bare)


def branching(f):
    """`f` behind a Python `if` on a value."""

    def called(*args):
        return f(*args) if args[0].sum() > -100 else None

    return called


def with_nan(x, index):
    changed = x.copy()
    changed[index] = np.nan
    return changed


def in_numpy(w, x):
    return np.tanh(np.asarray(x) @ np.asarray(w)).sum()


def scaled(w, x, *, scale):
    return scale * loss(w, x)


# What is called, the error, and words that its one line must have.
REFUSED: dict[str, Any] = {
    "vector loss": (
        lambda: check_gradients(lambda w: (w**2, 2 * w), lambda w: w**2, POINT),
        ValueError,
        ("scalar", "shape (3,)", ".sum() or .mean()"),
    ),
    "loss of shape (1,)": (
        lambda: check_gradients(lambda w: (w.sum(), w), lambda w: w.sum(keepdims=True), POINT),
        ValueError,
        ("scalar", "shape (1,)", ".sum() or .mean()"),
    ),
    "three values": (
        lambda: check_gradients(lambda w, x: (*right(w, x), None), loss, W, X),
        ValueError,
        ("pair (loss, grads)", "3 values"),
    ),
    "the gradient alone": (
        lambda: check_gradients(lambda w, x: right(w, x)[1], loss, W, X),
        ValueError,
        ("pair (loss, grads)", "array of shape (3, 2)"),
    ),
    "nothing returned": (
        lambda: check_gradients(lambda w, x: None, loss, W, X),
        ValueError,
        ("pair (loss, grads)", "NoneType"),
    ),
    "swapped": (lambda: check_gradients(loss, right, W, X), ValueError, ("swapped", "first")),
    "called already": (
        lambda: check_gradients(right(W, X), loss, W, X),
        TypeError,
        ("candidate must be a function", "tuple"),
    ),
    "an array for a function": (
        lambda: check_gradients(POINT, loss, W, X),
        TypeError,
        ("candidate must be a function", "shape (3,)"),
    ),
    "a number for the loss": (
        lambda: check_gradients(right, 3.0, W, X),
        TypeError,
        ("loss must be a function", "float"),
    ),
    "a number for f": (lambda: check_function(3, POINT), TypeError, ("f must be a function",)),
    "missing keyword": (
        lambda: check_gradients(right, scaled, W, X),
        TypeError,
        ("loss cannot be called", "'scale'"),
    ),
    "unknown keyword": (
        lambda: gradients(W, X, scael=2.0),
        TypeError,
        ("loss cannot be called", "unexpected keyword", "'scael'"),
    ),
    "unknown keyword of a function": (
        lambda: check_function(jnp.sin, POINT, scael=2.0),
        TypeError,
        ("f cannot be called", "'scael'"),
    ),
    "unknown keyword of a rule": (
        lambda: rule(POINT, scael=2.0),
        TypeError,
        ("neither fwd nor bwd takes", "'scael'"),
    ),
    "missing argument": (lambda: gradients(W), TypeError, ("candidate cannot be called", "'x'")),
    "NaN in the parameters": (
        lambda: check_gradients(right, loss, with_nan(W, (1, 0)), X),
        ValueError,
        ("1 of 6 entries", "(1, 0)", "finite"),
    ),
    "NaN in one leaf": (
        lambda: gradients([{"w": W, "b": with_nan(POINT, 2)}], X),
        ValueError,
        ("0/b: ", "1 of 3 entries", "(2,)"),
    ),
    "NaN in the input of a function": (
        lambda: check_function(jnp.sin, with_nan(POINT, 1)),
        ValueError,
        ("x: ", "1 of 3 entries", "(1,)"),
    ),
    "NaN in the input of a rule": (
        lambda: rule(with_nan(POINT, 1)),
        ValueError,
        ("x: ", "1 of 3 entries", "(1,)"),
    ),
    "bare cotangent": (
        lambda: check_rule(square_fwd, bare, POINT),
        TypeError,
        ("tuple", "(dx,)"),
    ),
    "bare cotangent of a decorated function": (
        lambda: check_rule(with_a_bare_cotangent, POINT),
        TypeError,
        ("tuple",),
    ),
    "branching candidate": (
        lambda: check_gradients(branching(right), loss, W, X),
        ValueError,
        ("cannot be traced", "jit=False"),
    ),
    "branching loss": (
        lambda: check_gradients(right, branching(loss), W, X),
        ValueError,
        ("cannot be traced", "jax.numpy"),
    ),
    "branching bwd": (
        lambda: check_rule(square_fwd, branching(square_bwd), POINT),
        ValueError,
        ("cannot be traced", "jit=False"),
    ),
    "branching fwd": (
        lambda: check_rule(branching(square_fwd), square_bwd, POINT),
        ValueError,
        ("cannot be traced",),
    ),
    "branching function": (
        lambda: check_function(branching(jnp.sin), POINT),
        ValueError,
        ("cannot be traced",),
    ),
    "NumPy loss": (
        lambda: check_gradients(right, in_numpy, W, X),
        ValueError,
        ("in_numpy cannot be traced", "write the loss in jax.numpy"),
    ),
    "NumPy loss, no jit": (
        lambda: check_gradients(right, in_numpy, W, X, jit=False),
        ValueError,
        ("in_numpy cannot be traced", "write the loss in jax.numpy"),
    ),
    "constant that names no input": (
        lambda: rule(POINT, constant=("y",)),
        ValueError,
        ("'y'", "choose from x"),
    ),
    "constant that names all": (
        lambda: rule(POINT, constant=("x",)),
        ValueError,
        ("constant",),
    ),
    "accuracy of no leaf": (
        lambda: gradients(W, X, accuracy={"w": 1e-3}),
        ValueError,
        ("'w'", "choose from params, loss"),
    ),
    "accuracy of no input": (
        lambda: check_function(jnp.sin, POINT, accuracy={"y": 1e-3}),
        ValueError,
        ("'y'", "choose from x"),
    ),
    **{
        f"accuracy {share!r}": (
            lambda share=share: gradients(W, X, accuracy=share),
            ValueError,
            ("between 0 and 1", repr(share)),
        )
        for share in (0, -1e-3, 1.0, 2, float("nan"), "small")
    },
    "no defvjp": (lambda: check_rule(square, POINT), TypeError, ("no rule yet", "defvjp")),
    "no defjvp": (lambda: check_rule(square_jvp, POINT), TypeError, ("no rule yet", "defjvp")),
    "no defvjp, as a function": (
        lambda: check_function(square, POINT),
        TypeError,
        ("no rule yet", "defvjp"),
    ),
    "plain function": (
        lambda: check_rule(jnp.sin, POINT),
        TypeError,
        ("custom_vjp", "fwd and bwd", "check_function"),
    ),
    "fwd without residuals": (
        lambda: check_rule(lambda x: x**2, square_bwd, POINT),
        TypeError,
        ("(out, residuals)", "array of shape (3,)"),
    ),
    "bwd of one argument": (
        lambda: check_rule(square_fwd, lambda d: (d,), POINT),
        TypeError,
        ("bwd cannot be called", "too many positional"),
    ),
    "no inputs": (lambda: rule(), TypeError, ("fwd cannot be called", "'x'")),
    "integers alone": (
        lambda: rule(np.arange(3)),
        ValueError,
        ("no input is a floating array", "x is int"),
    ),
    "unknown mode": (
        lambda: check_function(jnp.sin, POINT, modes=("reverse",)),
        ValueError,
        ("rev, fwd, vmap", "reverse"),
    ),
    "modes as one word": (
        lambda: check_function(jnp.sin, POINT, modes="reverse"),
        ValueError,
        ("rev, fwd, vmap", "got reverse"),
    ),
    "no mode": (lambda: check_function(jnp.sin, POINT, modes=()), ValueError, ("got none",)),
    **{
        f"order {order!r}": (
            lambda order=order: check_function(jnp.sin, POINT, order=order),
            ValueError,
            ("order is 1 or 2", repr(order)),
        )
        for order in (0, 3, "2")
    },
    "dtype of integers": (lambda: gradients(W, X, dtype="int32"), ValueError, ("'int32'", "float")),
    "no such dtype": (
        lambda: gradients(W, X, dtype="float31"),
        (TypeError, ValueError),
        ("float31", "bfloat16"),
    ),
    "a candidate in NumPy in the loss's place": (
        lambda: check_gradients(loss, right_in_numpy, W, X),
        ValueError,
        ("returned a pair", "are the two swapped?", "The candidate comes first"),
    ),
    "no parameters": (
        lambda: check_gradients(right, loss, None, X),
        ValueError,
        ("the parameters are None", "give the arrays"),
    ),
    "a candidate for a function": (
        lambda: check_function(right, loss, W, X),
        TypeError,
        ("check_function takes one function", "check_gradients"),
    ),
    "a bwd of the cotangent first": (
        lambda: check_rule(pair_fwd, lambda d, residuals: (residuals[0] * d, d), POINT),
        TypeError,
        ("bwd(residuals, d_out)", "is d_out its first argument?"),
    ),
    "a misspelt option of a function": (
        lambda: check_function(jnp.sin, POINT, dytpe="float32"),
        TypeError,
        ("'dytpe'", "did you mean dtype=?"),
    ),
    "a misspelt option of a rule": (
        lambda: rule(POINT, dytpe="float32"),
        TypeError,
        ("'dytpe'", "did you mean dtype=?"),
    ),
    "jit in words": (lambda: gradients(W, X, jit="no"), TypeError, ("True or False", "'no'")),
    "a seed in words": (lambda: rule(POINT, seed="a"), TypeError, ("whole number", "'a'")),
    "a negative seed": (
        lambda: check_function(jnp.sin, POINT, seed=-1),
        ValueError,
        ("seed is a whole number from 0", "-1"),
    ),
    "a loss of three values": (
        lambda: check_gradients(right, lambda w, x: (loss(w, x), 1, 2), W, X),
        ValueError,
        ("the loss must return a scalar", "3 values"),
    ),
    "a loss that returns None": (
        lambda: check_gradients(right, lambda w, x: None, W, X),
        ValueError,
        ("the loss must return a scalar", "NoneType"),
    ),
    "a complex loss": (
        lambda: check_gradients(right, lambda w, x: loss(w, x) * 1j, W, X),
        ValueError,
        ("the loss", "complex"),
    ),
    "an integer loss": (
        lambda: check_gradients(right, lambda w, x: jnp.argmax(x @ w), W, X),
        ValueError,
        ("the loss", "int"),
    ),
    "a reference that is no function": (
        lambda: check_function(jnp.sin, POINT, reference=3),
        TypeError,
        ("reference must be a function",),
    ),
    "integer outputs alone": (
        lambda: check_function(jnp.argmax, POINT),
        ValueError,
        ("no floating output",),
    ),
    "random loss": (
        lambda: check_gradients(right, partial(drawing, np.random.default_rng(0)), W, X),
        ValueError,
        ("not a function of its arguments", "random key"),
    ),
}


def drawing(rng, w, x):
    return loss(w, x * rng.random(x.shape))


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_input_has_one_clear_line(name):
    call, error, words = REFUSED[name]
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def test_the_options_that_are_known_are_those_of_the_checks():
    own = {
        p.name
        for check in (check_function, check_gradients, check_rule)
        for p in inspect.signature(check).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    assert own == set(OPTIONS)


def test_a_gradient_in_the_place_of_the_loss_is_told():
    report = check_gradients(lambda w, x: right(w, x)[::-1], loss, W, X)
    assert report.verdict == "structure_mismatch"
    assert report.details == ("manual returned (grads, loss): return (loss, grads)",)


@pytest.mark.parametrize(
    "share",
    [
        1e-3,
        np.float64(1e-3),
        np.float32(1e-3),
    ],
)
def test_any_number_is_an_accuracy(share):
    assert gradients(W, X, accuracy=share).agree


# Points at which no number can be had, or none was tested.


def products(w, x):
    return ((x @ w) ** 2).sum()


def products_right(w, x):
    return products(w, x), 2 * x.T @ (x @ w)


def of_mean(w, x):
    return jnp.tanh(x @ w).mean()


def of_mean_right(w, x):
    y = jnp.tanh(x @ w)
    return y.mean(), x.T @ (1 - y**2) / y.size


def test_overflow_of_float16_is_named():
    report = check_gradients(products_right, products, 100 * W, 100 * X, dtype="float16")
    assert report.verdict == "nonfinite"
    assert any("overflows float16" in line for line in report.details), report


def test_a_leaf_that_is_infinite_leaves_the_other_to_be_judged():
    def both(p, x):
        return (products(p["w"], x) + loss(p["v"], x)) * 1e-3

    def candidate(p, x):
        dw, dv = products_right(p["w"], x)[1], right(p["v"], x)[1]
        return both(p, x), {"w": 1e-3 * dw.at[0, 0].set(jnp.inf), "v": 1e-3 * dv}

    report = check_gradients(candidate, both, {"w": W, "v": W}, X, dtype="float32")
    assert report.verdict == "nonfinite"
    assert {leaf.path: leaf.agrees for leaf in report.leaves} == {"v": True, "w": False}


def test_inputs_that_float16_cannot_hold_are_named():
    report = check_gradients(products_right, products, 1e5 * W, X, dtype="float16")
    assert report.verdict == "nonfinite"
    assert any("overflow" in line for line in report.details), report


def test_an_empty_batch_under_a_sum_tests_nothing():
    report = gradients(W, X[:0])
    assert report.verdict == "inconclusive"
    assert report.details[0].startswith("nothing was tested")


def test_an_empty_batch_under_a_mean_is_named():
    report = check_gradients(of_mean_right, of_mean, W, X[:0])
    assert report.verdict == "nonfinite"
    assert any("empty" in line for line in report.details), report


# The dtype in the headline is that of the candidate as it was given.


def numpy_right(w, x):
    y = np.tanh(x @ w)
    assert y.dtype == np.result_type(w, x)
    return y.sum(), x.T @ (1 - y**2)


@pytest.mark.parametrize(
    ("given", "jit", "dtype", "told"),
    [
        (np.float64, False, None, "float64, no jit"),
        (np.float32, False, None, "float32, no jit"),
        (np.float64, False, "float32", "float32, no jit"),
        (np.float64, True, None, "float32, jit"),
        (np.float64, True, "float64", "float64, jit"),
    ],
)
def test_the_dtype_in_the_headline_is_the_candidates(given, jit, dtype, told):
    candidate = right if jit else numpy_right
    report = check_gradients(
        candidate, loss, W.astype(given), X.astype(given), jit=jit, dtype=dtype
    )
    assert report.agree, report
    assert f"({told}, " in str(report).splitlines()[0]
    assert {leaf.dtype for leaf in report.leaves} == {told.split(",")[0]}
