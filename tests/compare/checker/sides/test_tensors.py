"""PyTorch tensors as parameters and data: arrays to the loss, tensors to their own side."""

import sys
import types
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker import check_gradients
from compare.checker.sides.tensors import as_given, in_numpy


class Tensor:
    """What PyTorch's tensor does of what is needed here: it comes off the tape, to NumPy."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def detach(self):
        return self

    def cpu(self):
        return self

    def __array__(self, dtype=None, copy=None):
        return self.array


@dataclass
class Model:
    w: Any
    name: str = "model"


@pytest.fixture
def torch(monkeypatch):
    """A module of that name, as far as it is needed."""
    module = types.SimpleNamespace(Tensor=Tensor, from_numpy=Tensor)
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_there_and_back(torch):
    given = {"model": Model(Tensor(np.ones(3))), "x": np.zeros(2), "n": 3}
    arrays = in_numpy(given)
    assert isinstance(arrays["model"].w, np.ndarray)
    assert (arrays["model"].name, arrays["n"]) == ("model", 3)
    back = as_given(arrays, given)
    assert isinstance(back["model"].w, Tensor)
    assert back["model"].w.array is not arrays["model"].w  # Its own: it may be written to.
    assert isinstance(back["x"], np.ndarray)


def test_arrays_of_jax_stay(torch):
    """The loss is given them, whatever the parameters were."""
    assert as_given([jnp.ones(2)], [Tensor(np.ones(2))])[0].shape == (2,)


def test_a_tree_without_tensors_is_left_as_it_is(torch):
    given = {"x": np.zeros(2)}
    assert in_numpy(given) is given
    assert as_given(given, given) is given


def squares(params, x):
    return jnp.sum((params["w"] * x) ** 2)


@pytest.mark.parametrize("factor", [2.0, 1.0])
def test_a_candidate_is_given_tensors(torch, factor):
    def candidate(params, x):
        assert isinstance(params["w"], Tensor)
        w, x = params["w"].array, x.array
        return np.sum((w * x) ** 2), {"w": Tensor(factor * w * x * x)}

    w, x = np.arange(1.0, 4.0), np.array([0.3, -1.2, 2.0])
    report = check_gradients(candidate, squares, {"w": Tensor(w)}, Tensor(x), jit=False)
    assert report.verdict == ("agree" if factor == 2 else "manual_wrong")


def test_a_compiled_candidate_that_needs_tensors_is_told_what_to_do():
    def candidate(params, x):
        raise TypeError("tanh(): argument 'input' must be Tensor, not DynamicJaxprTracer")

    with pytest.raises(
        ValueError, match=r"^pass jit=False: candidate cannot be traced by jax .*: tanh"
    ):
        check_gradients(candidate, squares, {"w": np.ones(2)}, np.ones(2))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_with_pytorch_itself(dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
    kind = getattr(torch, dtype)

    def candidate(params, x):
        w = params["w"].clone().requires_grad_()
        loss = torch.sum((w * x) ** 2)
        loss.backward()
        return loss, {"w": w.grad}

    w, x = torch.tensor([1.1, 2.3, 3.7], dtype=kind), torch.tensor([0.3, -1.2, 2.0], dtype=kind)
    report = check_gradients(candidate, squares, {"w": w}, x, jit=False)
    assert (report.verdict, report.dtype) == ("agree", dtype)
