"""Where a mistake shows, what should be there, and what it can come from."""

import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.limits import Limit
from compare.diagnosis.tape import record_results
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.locate import Locator
from compare.diagnosis.watching.references import References, references_of
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
