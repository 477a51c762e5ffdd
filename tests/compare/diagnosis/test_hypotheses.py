"""Mistakes that show in the numbers alone: each is told from the gradient that it makes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.backward import Backward
from compare.diagnosis.case import Case
from compare.diagnosis.hypotheses import (
    by_leaf,
    by_ratio_of_all,
    by_ratio_of_some,
    divisors,
    dropped,
    redrawn,
    zero_leaves,
)
from compare.diagnosis.tape import record

RNG = np.random.default_rng(0)
ROWS = 7
X, T = RNG.standard_normal((ROWS, 4)), RNG.standard_normal((ROWS, 3))
LEAVES = {"b": RNG.standard_normal(3), "w": RNG.standard_normal((4, 3))}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def loss(leaves, constants):
    b, w = leaves
    x, t = constants
    return jnp.mean(jnp.sum((jnp.tanh(x @ w + b) - t) ** 2, axis=1))


@functools.cache
def differentiated(loss):
    return jax.jit(jax.grad(loss))


def gradient(loss, leaves, constants):
    grads = differentiated(loss)(list(leaves.values()), constants)
    return {path: np.asarray(g) for path, g in zip(leaves, grads, strict=True)}


def case(change, loss=loss, leaves=LEAVES, constants=(X, T)):
    """The case of a candidate whose gradient is `change(the right one)`."""
    right = gradient(loss, leaves, list(constants))
    wrong = {**right, **change(right)}
    tolerances = {p: 1e-12 * max(1.0, np.abs(g).max()) for p, g in right.items()}
    return Case(loss, leaves, list(constants), wrong, right, tolerances)


def times(factor, *paths):
    return lambda right: {path: factor * right[path] for path in paths or right}


def test_a_factor_of_complex_leaves_is_fitted_with_both_parts():
    def power(leaves, constants):
        return jnp.sum(jnp.abs(leaves[0] ** 2 * constants[0]) ** 2)

    leaf = np.arange(1, 4) + 1j * RNG.standard_normal(3)
    (found,) = by_ratio_of_all(case(times(3), power, {"z": leaf}, (leaf[::-1],)), set())
    assert found.suspect.story == "a factor of 3"
    turned = case(times(1j), power, {"z": leaf}, (leaf[::-1],))
    assert not any(
        h.gradient and turned.explains(h.gradient) for h in by_ratio_of_all(turned, set())
    )


FACTORS = [
    (ROWS, "missing_batch_mean", "the division by the batch size 7 left out"),
    (1 / ROWS, "extra_batch_mean", "one more division by the batch size 7"),
    (-1, "sign_flipped", "the sign flipped"),
    (0.3, "constant_factor", "a factor of 0.3"),
    (2, "constant_factor", "a factor of 2"),
    (-ROWS, "constant_factor", "a factor of -7"),
]


@pytest.mark.parametrize(("factor", "name", "story"), FACTORS)
def test_a_factor_of_the_whole_gradient(factor, name, story):
    given = case(times(factor))
    (found,) = by_ratio_of_all(given, {ROWS})
    assert (found.suspect.slug, found.suspect.story) == (name, story)
    assert found.suspect.rules == {}
    assert found.gradient is not None
    assert given.explains(found.gradient)


@pytest.mark.parametrize(("factor", "name", "story"), FACTORS)
def test_a_factor_of_some_leaves(factor, name, story):
    given = case(times(factor, "w"))
    assert list(by_ratio_of_all(given, {ROWS})) == []
    (found,) = by_ratio_of_some(given, {ROWS})
    assert (found.suspect.slug, found.suspect.story) == (name, story)
    assert found.gradient is not None
    assert given.explains(found.gradient)
    assert np.array_equal(found.gradient["b"], given.right["b"])


def test_no_factor_explains_what_is_none():
    given = case(lambda right: {"w": right["w"] ** 2, "b": 2 * right["b"]})
    (found,) = by_ratio_of_all(given, {ROWS})
    assert found.gradient is not None
    assert not given.explains(found.gradient)


def test_a_factor_that_is_nearly_the_batch_size_is_a_constant():
    (found,) = by_ratio_of_all(case(times(ROWS * (1 + 1e-6))), {ROWS})
    assert found.suspect.slug == "constant_factor"


def test_leaves_without_a_gradient_do_not_hide_a_factor():
    """A bias in front of a batch-norm: its gradient is zero whatever the factor."""

    def centred(leaves, constants):
        b, w = leaves
        z = constants[0] @ w + b
        return jnp.sum((z - z.mean(axis=0)) ** 3)

    given = case(times(-1), loss=centred)
    assert given.paths() == ["w"]
    (found,) = by_ratio_of_all(given, {ROWS})
    assert found.suspect.slug == "sign_flipped"


def test_without_a_batch_no_factor_is_its_size():
    def of_one(leaves, constants):
        return jnp.sum(jnp.sin(leaves[0]) * constants[0])

    leaves, numbers = {"w": RNG.standard_normal(3)}, (np.asarray(2.0), np.asarray([2.0]))
    for constants in ((numbers[0],), (numbers[1],), (np.asarray(2),)):
        (found,) = by_ratio_of_all(case(times(2), of_one, leaves, constants), {2})
        assert found.suspect.slug == "constant_factor"


@pytest.mark.parametrize("made", [times(0), lambda right: {"w": 0 * right["w"]}])
def test_a_gradient_of_zero_is_no_factor(made):
    given = case(made)
    assert [*by_ratio_of_all(given, {ROWS}), *by_ratio_of_some(given, {ROWS})] == []


def test_there_is_no_factor_of_a_right_gradient_of_zero():
    given = case(lambda right: {"w": np.ones((4, 3))}, loss=lambda ws, c: 0.0 * jnp.sum(ws[1]))
    assert [*by_ratio_of_all(given, {ROWS}), *by_ratio_of_some(given, {ROWS})] == []


def bilinear(leaves, constants):
    """A square weight, one that is not, and a kernel."""
    wide, square, kernel = leaves
    return jnp.sum(jnp.sin(wide)) * jnp.sum(jnp.sin(square)) + jnp.sum(jnp.sin(kernel))


SHAPED = {
    "k": RNG.standard_normal((2, 3)),
    "square": RNG.standard_normal((3, 3)),
    "kernel": RNG.standard_normal((3, 2, 1, 4)),
}


def test_a_transposed_gradient():
    given = case(lambda right: {"square": right["square"].T}, bilinear, SHAPED, ())
    (found,) = by_leaf(given)
    assert found.suspect.slug == "transposed"
    assert found.gradient is not None
    assert given.explains(found.gradient)


def test_a_kernel_turned_by_180_degrees():
    given = case(lambda right: {"kernel": right["kernel"][::-1, ::-1]}, bilinear, SHAPED, ())
    (found,) = by_leaf(given)
    assert found.suspect.slug == "kernel_flipped"
    assert found.gradient is not None
    assert given.explains(found.gradient)


def test_a_complex_gradient_that_is_conjugated():
    def of_complex(leaves, constants):
        return jnp.sum(jnp.abs(constants[0] @ leaves[0]) ** 4)

    leaves = {"z": RNG.standard_normal(4) + 1j * RNG.standard_normal(4)}
    given = case(lambda right: {"z": right["z"].conj()}, of_complex, leaves, (X,))
    (found,) = by_leaf(given)
    assert found.suspect.slug == "sign_flipped"
    assert "PyTorch's is the conjugate" in found.suspect.story
    assert found.gradient is not None
    assert given.explains(found.gradient)


@pytest.mark.parametrize("paths", [("k",), ("k", "square"), ("kernel", "square")])
def test_leaves_of_other_shapes_cannot_be_turned(paths):
    assert list(by_leaf(case(times(2, *paths), bilinear, SHAPED, ()))) == []


def without(rows, leaves=LEAVES, constants=(X, T), weight=1.0):
    """The gradient as a sum over some of the examples, still divided by all of them."""
    x, t = constants
    kept = [i for i in range(len(x)) if i not in rows]

    def change(right):
        part = gradient(loss, leaves, [x[kept], t[kept]])
        return {path: weight * g * len(kept) / len(x) for path, g in part.items()}

    return change


@pytest.mark.parametrize(("rows", "weight"), [([6], 1.0), ([0, 4], -3.0)])
def test_examples_that_are_left_out_are_listed(rows, weight):
    given = case(without(rows, weight=weight))
    (found,) = dropped(given)
    assert found.suspect.slug == "dropped_examples"
    listed = ", ".join(map(str, rows))
    assert found.suspect.story == f"{len(rows)} of 7 examples left out: row {listed}"
    assert found.gradient is not None
    assert given.explains(found.gradient)


def test_of_many_examples_the_first_eight_are_listed():
    constants = RNG.standard_normal((12, 4)), RNG.standard_normal((12, 3))
    rows = range(1, 11)
    given = case(without(rows, constants=constants), constants=constants)
    (found,) = dropped(given)
    assert found.suspect.story == ("10 of 12 examples left out: row 1, 2, 3, 4, 5, 6, 7, 8 ...")


def test_no_example_is_left_out_of_a_gradient_with_a_factor():
    assert list(dropped(case(times(2)))) == []


def test_a_loss_that_takes_no_single_example_has_none_left_out():
    def whole_batch(leaves, constants):
        b, w = leaves
        return jnp.sum((constants[0].reshape(ROWS, 4) @ w + b) ** 2)

    assert list(dropped(case(times(2), loss=whole_batch))) == []


KEY = jax.random.key(0, impl="rbg")
"""Of the generator that compiles fastest."""


def is_kept(key):
    return jax.random.bits(key, (ROWS, 3)) % 2 == 0


def with_dropout(leaves, constants):
    (w,), (x, key) = leaves, constants
    return jnp.sum(jnp.where(is_kept(key), 2 * (x @ w), 0.0) ** 3)


def test_a_mask_that_is_drawn_anew_is_told_from_its_key():
    def from_another_key(right):
        z = np.where(is_kept(KEY), 2 * X @ LEAVES["w"], 0)
        another = is_kept(jax.random.split(KEY)[1])
        return {"w": X.T @ np.where(another, 2 * 3 * z**2, 0)}

    given = case(from_another_key, with_dropout, {"w": LEAVES["w"]}, (X, KEY))
    backward = Backward(record(given.loss, given.leaves, given.constants))
    suspects = (hypothesis.suspect for hypothesis in redrawn(given, backward))
    first, second = next(suspects), next(suspects)
    assert first.story == "a mask from the first half of jax.random.split(key)"
    assert not given.explains(backward.gradient(first.rules))
    assert (second.slug, second.story) == (
        "mask_redrawn",
        "a mask from the second half of jax.random.split(key)",
    )
    assert given.explains(backward.gradient(second.rules))


def test_without_a_key_no_mask_is_drawn():
    given = case(times(2))
    backward = Backward(record(given.loss, given.leaves, given.constants))
    assert list(redrawn(given, backward)) == []


def test_leaves_at_zero():
    given = case(times(0, "b"))
    (found,) = zero_leaves(given)
    assert (found.suspect.slug, found.suspect.story) == ("path_cut", "b left at zero")
    assert found.gradient is not None
    assert given.explains(found.gradient)


@pytest.mark.parametrize("change", [times(2, "b"), lambda right: {"b": right["b"] * [1, 0, 0]}])
def test_a_leaf_with_other_numbers_is_not_at_zero(change):
    assert list(zero_leaves(case(change))) == []


def scaled(leaves, constants):
    return jnp.sum(leaves[0] * constants[0]) + jnp.sin(leaves[1]).sum()


@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        ([0.3], []),
        ([0.3, -0.3], []),
        ([0.3, 0.0], []),
        ([0.3, 0.31], ["constant_factor"]),
    ],
    ids=["one", "one and its negative", "one and a zero", "two"],
)
def test_a_factor_is_fitted_to_more_than_one_number(numbers, names):
    """A factor of one number explains any other."""
    leaves = {"a": np.ones(len(numbers)), "rest": np.ones(2)}
    given = case(times(0.7, "a"), scaled, leaves, (np.asarray(numbers),))
    found = [h.suspect.slug for h in by_ratio_of_some(given, set())]
    assert found == names


def test_a_sign_is_not_fitted():
    leaves = {"a": np.ones(1), "rest": np.ones(2)}
    given = case(times(-1, "a"), scaled, leaves, (np.asarray([0.3]),))
    assert [h.suspect.slug for h in by_ratio_of_some(given, set())] == ["sign_flipped"]


@pytest.mark.parametrize("error", [6e-8, -1e-6])
def test_the_error_of_a_solver_is_no_factor(error):
    given = case(times(1 + error))
    assert given.paths() == ["b", "w"]
    assert [*by_ratio_of_all(given, {ROWS}), *by_ratio_of_some(given, {ROWS})] == []


@pytest.mark.parametrize("factor", [ROWS, 1 / ROWS])
def test_without_a_mean_in_the_loss_no_factor_is_one(factor):
    (found,) = by_ratio_of_all(case(times(factor)), set())
    assert found.suspect.slug == "constant_factor"


@pytest.mark.parametrize(("factor", "name"), [(2, "missing"), (0.5, "extra")])
def test_a_batch_of_two_is_not_told_from_the_two_of_a_square(factor, name):
    given = case(times(factor), constants=(X[:2], T[:2]))
    found = [h.suspect.slug for h in by_ratio_of_all(given, {2})]
    assert found == [f"{name}_batch_mean", "constant_factor"]


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (lambda w, x: jnp.mean((x @ w) ** 2), {7, 21}),
        (lambda w, x: jnp.sum((x @ w) ** 2) / len(x), {7}),
        (lambda w, x: jnp.sum((x @ w) ** 2 * (1 / len(x))), {7}),
        (lambda w, x: 3 * jnp.sum((x @ w) ** 2 / 2) / len(x) + jnp.sum(w**2), {2, 7}),
        (lambda w, x: jnp.sum(jnp.tanh(x @ w / 7)), set()),
        (lambda w, x: jnp.sum((x @ w) ** 2), set()),
        (lambda w, x: 7 / jnp.sum(w**2), set()),
    ],
    ids=["mean", "sum / 7", "times 1/7", "and a penalty", "inside", "none", "7 is divided"],
)
def test_what_the_loss_divides_by(loss, found):
    tape = record(lambda leaves, c: loss(leaves[0], c[0]), {"w": LEAVES["w"]}, [X])
    assert divisors(tape) >= found
    assert (7 in divisors(tape)) == (7 in found)


def test_what_is_no_batch_has_no_examples():
    """A constant with seven rows that the loss does not add up row by row."""

    def mixed(leaves, constants):
        b, w = leaves
        return jnp.sum(jnp.tanh(constants[0] @ w + b)) ** 2

    given = case(without([0]), loss=mixed)
    assert list(dropped(given)) == []
