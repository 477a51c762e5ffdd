"""What a value is recognised as, and what says nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.backward import Backward
from compare.diagnosis.tape import record
from compare.diagnosis.watching.references import (
    MOST_SORTED,
    Reference,
    References,
    informative,
    references_of,
)

RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((6, 4)), RNG.standard_normal((4, 3))


@pytest.fixture(scope="module")
def references():
    def loss(leaves, constants):
        z = constants[0] @ leaves[0]
        return jnp.sum(jnp.tanh(z) ** 2) / 6

    with jax.enable_x64(True):
        return References(references_of(Backward(record(loss, {"w": W}, [X]))))


H = np.tanh(X @ W)
DH = 2 * H / 6
DZ = DH * (1 - H**2)


@pytest.mark.parametrize(
    ("value", "kind", "factor"),
    [
        (X @ W, "value", 1),
        (H, "value", 1),
        (DZ, "gradient", 1),
        (-DZ, "gradient", -1),
        (6 * DZ, "gradient", 6),
        (1 - H**2, "slope", 1),
        (X.T @ DZ, "gradient", 1),
        (W, "value", 1),
    ],
)
def test_values_of_the_loss_and_its_derivative(references, value, kind, factor):
    found = references.match(value)
    assert found is not None
    assert (found.reference.kind, found.factor) == (kind, factor)
    assert found.axes is None


def test_of_very_many_entries():
    rows, others = np.random.default_rng(1).standard_normal((2, 130, 130))
    near = rows.copy()
    near[3, 4] += 1e-6
    large = References([Reference("value", 0, x, "", "", i) for i, x in enumerate((rows, others))])
    assert rows.size > MOST_SORTED
    for value, factor in ((rows, 1), (-2 * rows.T, -2), (rows.reshape(10, 1690), 1)):
        found = large.match(value)
        assert found is not None
        assert (found.reference.family, found.factor) == (0, factor)
    assert large.match(near) is None
    assert large.match(rows[::-1]) is None


@pytest.mark.parametrize("rows", [4, 40])
def test_complex_numbers_are_recognised_by_both_parts(rows):
    real, imaginary = RNG.standard_normal((2, rows, 3))
    known = real + 1j * imaginary
    references = References([Reference("value", 0, known, "", "", 0)])
    for value, factor in ((known, 1), (-2 * known.T, -2)):
        found = references.match(value)
        assert found is not None
        assert found.factor == factor
    for other in (known.conj(), 1j * known, np.abs(known), known.real):
        assert references.match(other) is None
    assert not informative(np.full(3, 1 + 2j))
    assert not informative(np.array([1 + 2j, np.nan]))


def test_transposed_and_in_another_shape(references):
    found = references.match(DZ.T)
    assert found is not None
    assert found.axes == (1, 0)
    assert not found.exact
    reshaped = references.match(DZ.reshape(2, 9))
    assert reshaped is not None
    assert reshaped.exact


@pytest.mark.parametrize(
    "value",
    [DZ * (1 + 1e-6 * X[:, :1]), np.sort(DZ.ravel()), H**3, DZ[:5], DZ + 1e-7, np.exp(H)],
    ids=["nearly", "sorted", "a cube", "some rows", "shifted", "another function"],
)
def test_anything_else_is_nothing_known(references, value):
    assert references.match(value) is None


@pytest.mark.parametrize(
    "value",
    [np.ones((6, 3)), np.zeros((6, 3)), np.full(18, 0.37), np.asarray(0.5), np.asarray(3.0),
     np.asarray(1 / 7), np.full((6, 3), np.nan), np.zeros(0), np.asarray(5), np.asarray("text")],
    ids=["ones", "zeros", "all equal", "a half", "three", "a seventh", "nan", "none", "whole",
         "text"],
)  # fmt: skip
def test_what_says_nothing_matches_nothing(references, value):
    assert references.match(value) is None


def test_a_scalar_is_no_multiple_of_another(references):
    loss = np.sum(H**2) / 6
    assert references.match(np.asarray(loss)) is not None
    assert references.match(np.asarray(2 * loss)) is None


def test_two_numbers_are_no_multiple_of_two_others():
    def loss(leaves, _):
        return jnp.sum(jnp.sin(leaves[0]))

    with jax.enable_x64(True):
        tape = record(loss, {"w": np.asarray([0.3, 0.9])}, [])
        own = References(references_of(Backward(tape)))
    assert own.match(np.cos([0.3, 0.9])) is not None
    assert own.match(3 * np.cos([0.3, 0.9])) is None


def test_a_seventh_is_told_from_a_random_number():
    assert not informative(np.asarray(1 / 7))
    assert informative(np.asarray(0.6180339887))


def test_only_the_kinds_that_are_asked_for(references):
    assert references.match(DZ, ("value", "slope")) is None


def test_a_persons_name_is_preferred():
    def loss(leaves, constants):
        z = constants[0] @ leaves[0] + 0.5
        return jnp.sum(jnp.tanh(z))

    with jax.enable_x64(True):
        backward = Backward(record(loss, {"w": W}, [X]))
        found = References(references_of(backward, lambda site: "z")).match(
            1 - np.tanh(X @ W + 0.5) ** 2
        )
    assert found is not None
    assert found.reference.about == "z"


def test_a_reshape_that_moves_entries_from_one_axis_to_another_is_not_recognised():
    array = np.random.default_rng(0).normal(size=(2, 3, 5))
    references = References([Reference("value", 0, array, "", "z", 0)])
    assert references.match(array.transpose(0, 2, 1).reshape(-1, 3)) is not None
    assert references.match(array.reshape(-1, 3)) is None
    assert references.match(array.reshape(2, 15)) is not None
    assert references.match(array.ravel()) is not None
