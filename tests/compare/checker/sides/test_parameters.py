"""What of a tree is differentiated, what is not, and that the tree comes back whole."""

import dataclasses
from collections import OrderedDict
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients
from compare.checker.sides.parameters import Inputs, Parameters


@dataclasses.dataclass
class Layer:
    w: Any
    b: Any
    name: str = "dense"


class Pair(NamedTuple):
    first: Any
    second: Any


@jax.tree_util.register_pytree_with_keys_class
class Module:
    """Like a module of a library: arrays, a function and a number among its leaves."""

    def __init__(self, w, activation, count):
        self.w, self.activation, self.count = w, activation, count

    def tree_flatten_with_keys(self):
        key = jax.tree_util.GetAttrKey
        leaves = [(key(n), getattr(self, n)) for n in ("w", "activation", "count")]
        return leaves, None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        return cls(*leaves)


W = np.asarray([[0.3, -1.2], [0.7, 0.4]], np.float32)


def test_floating_leaves_are_differentiated_and_the_rest_is_told():
    tree = {"w": W, "steps": np.arange(3), "rate": 0.5, "name": "relu", "none": None,
            "z": np.ones(2, np.complex64), "key": jax.random.key(0)}  # fmt: skip
    found = Parameters(tree)
    assert list(found.floating) == ["rate", "w", "z"]
    assert found.not_compared == {"key": "key<fry>", "name": "str", "steps": "int64"}
    assert found.floating["rate"].dtype == np.float32
    again = found.rebuild({**found.floating, "w": 2 * W})
    assert again["name"] == "relu"
    assert np.array_equal(again["w"], 2 * W)


def test_ten_leaves_stay_in_their_order():
    found = Parameters([W] * 12)
    assert list(found.floating) == [str(i) for i in range(12)]


@pytest.mark.parametrize(
    "tree",
    [
        Layer(W, W[0]),
        [Layer(W, W[0]), {"inner": Layer(W, None)}],
        Pair(W, [W]),
        Module(W, jax.nn.relu, 3),
        OrderedDict(b=W, a=W),
        W,
        2.0,
    ],
)
def test_the_tree_comes_back_as_it_was(tree):
    found = Parameters(tree)
    again = found.rebuild(found.floating)
    assert type(again) is type(tree) or not isinstance(tree, Layer | Module)
    one, two = Parameters(again), found
    assert list(one.floating) == list(two.floating)
    assert one.not_compared == two.not_compared


def test_a_dataclass_that_jax_does_not_know_is_a_tree():
    def loss(layer, x):
        return jnp.sum(jnp.tanh(x @ layer.w + layer.b))

    def candidate(layer, x):
        dz = 1 - jnp.tanh(x @ layer.w + layer.b) ** 2
        return loss(layer, x), Layer(x.T @ dz, dz.sum(axis=0))

    report = check_gradients(candidate, loss, Layer(W, W[0]), W)
    assert report.verdict == "agree"
    assert [leaf.path for leaf in report.leaves] == ["w", "b"]
    assert report.not_compared == ("name (str)",)
    assert "not compared: name (str)" in str(report)


@pytest.mark.parametrize(
    "containers",
    [lambda g: OrderedDict(g), lambda g: Pair(g["first"], g["second"])],
)
def test_other_containers_of_the_same_leaves_are_told(containers):
    def loss(p):
        return jnp.sum(p["first"] ** 2) + jnp.sum(p["second"])

    def candidate(p):
        return loss(p), containers({"first": 2 * p["first"], "second": jnp.ones_like(W)})

    report = check_gradients(candidate, loss, {"first": W, "second": W})
    assert report.verdict == "agree"
    assert "containers of the gradient are of another kind" in report.details[0]


def test_a_module_s_function_and_number_are_left_as_they_are():
    def loss(module, x):
        return jnp.sum(module.activation(x @ module.w) * module.count)

    def candidate(module, x):
        dz = (x @ module.w > 0) * float(module.count)
        return loss(module, x), Module(x.T @ dz, None, None)

    report = check_gradients(candidate, loss, Module(W, jax.nn.relu, 3), W)
    assert report.verdict == "agree", report
    assert set(report.not_compared) == {"activation (custom_jvp)", "count (int)"}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, "parameters: there are no leaves, and so there is no gradient"),
        ({"n": 3}, "no parameter is a floating array or a Python float.*: n is int"),
    ],
)
def test_a_tree_without_a_gradient_is_refused(tree, message):
    with pytest.raises(ValueError, match=message):
        Parameters(tree).require_floating()


def test_an_entry_that_is_not_finite_is_refused_by_its_place():
    with pytest.raises(ValueError, match=r"^0/w: .* 1 of 4 entries not finite, .* \(1, 0\): inf; "):
        Parameters([{"w": np.asarray([[1, 2], [np.inf, 4]])}]).require_finite()


def look_up(x, tokens, gain=2.0):
    return gain * x[tokens]


def test_inputs_have_the_names_of_the_signature():
    x, tokens = np.ones(3), np.array([0, 2])
    point = Inputs(look_up, (x, tokens))
    assert point.names == ["x", "tokens"]
    assert list(point.parameters.floating) == ["x"]
    assert point.not_compared == {"tokens": "int64"}
    assert Inputs(lambda *xs: xs, (x, x)).names == ["input 0", "input 1"]
    point = Inputs(look_up, (x, tokens, 3.0), {"gain"}, ["gain"])
    rebuilt = point.rebuild({"x": 2 * x}, {"gain": 5.0})
    assert [np.sum(part) for part in rebuilt] == [6, 2, 5]
