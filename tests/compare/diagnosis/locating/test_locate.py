"""Where a mistake shows, what should be there, and what it can come from."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.limits import Limit
from compare.diagnosis.locating.locate import Locator
from compare.diagnosis.tape import record_results
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.references import References, references_of
from compare.diagnosis.watching.sources import Sources
from tests.compare.diagnosis import marked
from tests.compare.diagnosis.watching import candidates
from tests.compare.diagnosis.watching.candidates import line_of


@pytest.fixture
def locator_of(case_of):
    def make(candidate, seconds=30.0):
        case, backward = case_of(candidate)
        graph = Graph(record_results(case.candidate))
        references = References(references_of(backward))
        return Locator(case, graph, references, Limit(seconds))

    return make


def sites(locator, group):
    return {locator.graph.equations[i].site for i in group}


def test_the_value_that_should_be_a_slope(locator_of):
    locator = locator_of(candidates.in_jax)
    (location,) = locator.locations()
    assert sites(locator, location.target.group) == {line_of("# wrong in jax")}
    assert location.target.reference is not None
    assert location.target.reference.kind == "slope"
    assert set(location.target.paths) == {"w1", "b1"}
    assert sites(locator, location.region) == {line_of("# wrong in jax")}


def test_the_expected_value_mends_the_leaves(locator_of):
    locator = locator_of(candidates.in_jax)
    (location,) = locator.locations()
    (index,) = location.target.group
    slot = locator.graph.equations[index].outputs[0]
    mended = locator.mended({slot: location.target.expected[0]}, ["w1", "b1"])
    assert mended == ("w1", "b1")
    assert locator.mended({slot: 1.001 * location.target.expected[0]}, ["w1", "b1"]) == ()


def test_what_a_right_leaf_comes_from_is_vouched_for(locator_of):
    locator = locator_of(candidates.in_jax)
    names = {locator.graph.equations[i].name for i in locator.vouched}
    assert "tanh" in names
    assert line_of("# wrong in jax") not in sites(locator, locator.vouched)


def test_the_blocks_of_a_loop(locator_of):
    def candidate(p, x, y):
        value, grads = candidates.right(p, x, y)
        a1 = jnp.tanh(x @ p["w1"] + p["b1"])
        dw1 = jnp.zeros_like(p["w1"])
        for i in (0, 2, 4):
            dz2 = 2 * (a1[i : i + 2] @ p["w2"] - y[i : i + 2]) / y.size
            dz1 = dz2 @ p["w2"].T * a1[i : i + 2]  # no slope of tanh
            dw1 = dw1 + x[i : i + 2].T @ dz1
        return value, {**grads, "w1": dw1}

    locator = locator_of(candidate)
    (location,) = locator.locations()
    line = f"{__file__}:{candidate.__code__.co_firstlineno + 6}"
    assert sites(locator, location.target.group) == {line}
    assert [e.shape for e in location.target.expected] == [(2, 5)] * 3


def test_two_mistakes_have_two_places(locator_of):
    def candidate(p, x, y):
        value, grads = candidates.in_jax(p, x, y)
        return value, {**grads, "w2": grads["w2"] * 1.5}

    locator = locator_of(candidate)
    found = [sites(locator, location.target.group) for location in locator.locations()]
    assert {line_of("# wrong in jax")} in found
    assert len(found) == 2


def test_without_time_the_leaves_are_the_places(locator_of):
    locator = locator_of(candidates.in_jax, seconds=-1.0)
    found = {path for location in locator.locations() for path in location.target.paths}
    assert found == {"w1", "b1"}


def test_zeros_are_followed_to_where_they_are_made(locator_of):
    def candidate(p, x, y):
        value, grads = candidates.right(p, x, y)
        nothing = 0 * p["b1"]
        return value, {**grads, "b1": -nothing}

    locator = locator_of(candidate)
    ((path, group),) = locator.zeros().items()
    assert path == "b1"
    assert sites(locator, group) == {f"{__file__}:{candidate.__code__.co_firstlineno + 2}"}
    assert not np.any(locator.graph.values[locator.graph.outputs["b1"]])


def test_a_leaf_that_cancels_to_zero_vouches_for_nothing(case_of):
    case, backward = case_of(candidates.in_jax)
    graph = Graph(record_results(case.candidate))
    rest = 1e-17 * np.arange(10.0).reshape(5, 2)  # rounding, where zeros should be
    right, wrong = ({**side, "w2": rest} for side in (case.right, case.wrong))
    small = dataclasses.replace(case, right=right, wrong=wrong)
    locator = Locator(small, graph, References(references_of(backward)), Limit(30.0))
    assert locator.right == []
    assert not locator.of_right_leaves


def two_uses(p, x):
    s, t = x @ p["a"], x @ p["b"]
    return jnp.sum(jnp.sin(s) * jnp.cos(t) + s**2 * t)


@pytest.fixture
def place_of(case_of):
    """`place_of(candidate, loss)`: the line where a mistake shows."""

    def make(candidate, loss=two_uses):
        params = {name: np.random.default_rng(n).standard_normal(4) for n, name in enumerate("ab")}
        case, backward = case_of(candidate, loss, params, (candidates.X,))
        graph, sources = Graph(record_results(case.candidate)), Sources()
        references = References(references_of(backward, sources.variable))
        locator = Locator(case, graph, references, Limit(30.0), assigned=sources.assigned)
        (location,) = locator.locations()
        assert location.target.reference is not None
        assert location.target.reference.kind == "gradient"
        (site,) = sites(locator, location.target.group)
        return site

    return make


def test_one_term_of_a_derivative_is_wrong_where_it_is_computed(place_of):
    def candidate(p, x):
        s, t = x @ p["a"], x @ p["b"]
        ds = jnp.cos(s) * jnp.cos(t)  # one term of it
        dt = s**2 - jnp.sin(s) * jnp.sin(t)
        return two_uses(p, x), {"a": x.T @ ds, "b": x.T @ dt}

    assert place_of(candidate) == marked.line_of(__file__, "one term of it")


def test_what_is_computed_twice_is_wrong_where_it_bears_the_wrong_name(place_of):
    def candidate(p, x):
        s, t = x @ p["a"], x @ p["b"]
        dt = s**2 - jnp.sin(s) * jnp.sin(t)
        first = s**2 - jnp.sin(s) * jnp.sin(t)  # the other's once more
        return two_uses(p, x), {"a": x.T @ first, "b": x.T @ dt}

    assert place_of(candidate) == marked.line_of(__file__, "the other's once more")


def test_what_bears_the_name_of_a_derivative_is_to_be_that(place_of):
    def loss(p, x):
        s = x @ p["a"]
        return jnp.sum(jnp.sin(s) * jnp.cos(x @ p["b"]))

    def candidate(p, x):
        u = x @ p["a"]
        t = x @ p["b"]
        du = jnp.cos(t)  # right for the sine
        db = x.T @ (-jnp.sin(u) * jnp.sin(t))
        return loss(p, x), {"a": x.T @ du, "b": db}

    assert place_of(candidate, loss) == marked.line_of(__file__, "right for the sine")
