"""What is right in what a candidate computed, as far as that is known."""

import math

import jax.numpy as jnp
import pytest

from compare.diagnosis.locating.trust import Trust
from compare.diagnosis.tape import record_results
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.references import References, references_of
from tests.compare.diagnosis.watching import candidates


@pytest.fixture
def trust_of(case_of):
    def make(candidate, loss=math.nan):
        case, backward = case_of(candidate)
        graph = Graph(record_results(case.candidate))
        references = References(references_of(backward))
        return Trust(case, graph, references, lambda: loss, lambda expression: "")

    return make


def test_the_leaves_are_right_or_wrong(trust_of):
    trust = trust_of(candidates.in_jax)
    assert set(trust.wrong) == {"w1", "b1"}
    assert trust.right == ["w2"]
    assert trust.of_right_leaves == trust.vouched


def test_a_leaf_is_known_where_it_has_the_right_numbers(trust_of):
    trust = trust_of(candidates.in_jax)
    outputs = trust.graph.outputs
    assert trust.is_known(outputs["w2"])
    assert not trust.is_known(outputs["w1"])


def test_what_a_right_loss_comes_from_is_vouched_for(trust_of):
    def candidate(p, x, y):
        error = jnp.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] - y
        value = (error**2).mean()
        return value, {name: jnp.full_like(leaf, value) for name, leaf in p.items()}

    value = float(candidate(candidates.PARAMS, candidates.X, candidates.Y)[0])
    assert not trust_of(candidate).vouched
    assert trust_of(candidate, value).vouched
