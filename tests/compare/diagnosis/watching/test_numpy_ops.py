"""The operations in NumPy give what jax gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.diagnosis.tape import record_results
from compare.diagnosis.watching import numpy_ops
from compare.diagnosis.watching.graph import Graph


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))
BATCHED, OTHER = RNG.standard_normal((5, 3, 4)), RNG.standard_normal((5, 4, 2))
WHOLE = np.asarray([7, -7, 5])

PROGRAMS = {
    "arithmetic": lambda: -A + B * 2 - A / B,
    "functions": lambda: jnp.exp(A) + jnp.log(jnp.abs(A)) + jnp.sin(A) * jnp.cos(A) + jnp.tanh(A),
    "roots": lambda: jnp.sqrt(jnp.abs(A)) + lax.rsqrt(jnp.abs(A)) + A**3 + jnp.square(A),
    "logistic": lambda: lax.logistic(A) + jnp.log1p(jnp.abs(A)) + jnp.expm1(A),
    "comparisons": lambda: jnp.where((A > B) & ~(A >= 0.3) | (A != B), A, B) + jnp.sign(A),
    "extremes": lambda: jnp.maximum(A, B) + jnp.minimum(A, 0.1) + A.max(axis=0),
    "sums": lambda: (
        A.sum(0) + A.sum() + jnp.cumsum(A, axis=1) + lax.cumsum(jnp.asarray(A), 0, reverse=True)
    ),
    "shapes": lambda: jnp.concatenate([A.T.reshape(3, 4), B], 1)[:, 1:7:2],
    "padding": lambda: jnp.pad(A, ((1, 0), (2, 1))) + 1,
    "inner padding": lambda: lax.pad(A, 0.0, ((0, 0, 1), (-1, 0, 0))),
    "a product": lambda: A @ B.T,
    "products in a batch": lambda: jnp.einsum("bij,bjk->bki", BATCHED, OTHER),
    "whole numbers": lambda: jnp.asarray(WHOLE) // 2 + lax.div(jnp.asarray(WHOLE), 3),
    "reversed": lambda: jnp.flip(A, 1) + jnp.isfinite(A),
    "casts": lambda: (A > 0).astype(jnp.float32) * A.astype(np.float32),
    "stacked": lambda: jnp.stack([A, B], -1).squeeze(),
    "a loop": lambda: lax.while_loop(lambda x: x.sum() < 9, lambda x: 2 * x, jnp.abs(A)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_what_jax_computes(name):
    graph = Graph(record_results(lambda: {"out": jnp.asarray(PROGRAMS[name]())}))
    found, expected = graph.values[graph.outputs["out"]], np.asarray(PROGRAMS[name]())
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_the_common_operations_do_not_go_through_jax(monkeypatch):
    recording = record_results(lambda: {"out": jnp.tanh(A) @ B.T + 1.0})

    def fails(*_):
        raise AssertionError("jax was asked")

    equations = [e._replace(fn=fails) for e in recording.equations]
    Graph(recording._replace(equations=equations))


def test_what_numpy_does_not_have_is_left_to_jax():
    recording = record_results(lambda: {"out": jnp.sort(A, axis=0)})
    (equation,) = (e for e in recording.equations if e.name == "sort")
    (found,) = numpy_ops.computed(equation, [A])
    assert np.array_equal(found, np.sort(A, axis=0))
