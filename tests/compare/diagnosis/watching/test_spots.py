"""What is known of a place: how a reference is told, and when numbers are a multiple."""

import numpy as np
import pytest

from compare.diagnosis.watching.references import Reference
from compare.diagnosis.watching.spots import close, told

A = np.random.default_rng(0).standard_normal((3, 4))


@pytest.mark.parametrize(
    ("kind", "about", "sentence"),
    [
        ("gradient", "z", "the derivative by z (loss.py:3)"),
        ("term", "z", "a term of the derivative by z (loss.py:3)"),
        ("slope", "tanh", "the slope of tanh (loss.py:3)"),
        ("value", "", "a value (loss.py:3)"),
    ],
)
def test_a_reference_is_told_with_its_line(kind, about, sentence):
    assert told(Reference(kind, 0, A, "loss.py:3", about, 0)) == sentence


def test_a_multiple_is_so_in_every_entry():
    assert close(3 * A, A, 3.0)
    assert not close(3 * A, A)
    assert not close(A.T, A)
    off = A.copy()
    off[1, 2] *= 1 + 1e-6
    assert not close(off, A)
