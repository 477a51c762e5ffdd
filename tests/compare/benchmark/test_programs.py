import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.benchmark import measure, programs, subjects
from compare.checker.check import gradients_asked
from compare.checker.sides import side


@pytest.fixture
def compilations(monkeypatch):
    """The programs that are compiled while a test runs, none of them kept from before."""
    kept = side.Remembered(size=96)
    found, put = [], kept.put
    monkeypatch.setattr(kept, "put", lambda *entry: (found.append(entry), put(*entry)))
    monkeypatch.setattr(side, "_COMPILED", kept)
    return found


# Of two and three inputs, with a random key, with integers, and a model with state.
@pytest.mark.table
@pytest.mark.parametrize("name", ["swiglu", "dropout 0.3", "embedding", "mlp 2-4-1"])
@pytest.mark.parametrize("compile_alone", [True, False])
def test_what_is_timed_is_what_is_proved(name, compile_alone, compilations):
    subject = subjects(name, smallest=True)[-1]
    engines = {name: subject.engines[name] for name in ("manual", "autodiff")}
    subject = subject._replace(engines=engines)
    rows = measure(subject, seconds=0.0, compile_alone=compile_alone)
    assert len(compilations) == 4, "both in float32, which is timed, and both in float64"
    assert all(row.compile_ms for row in rows)


def test_engines_return_the_same_leaves_whatever_holds_them():
    """What holds them takes time of its own, which is no engine's."""

    def loss(w, x):
        return jnp.sum((x @ w) ** 2)

    def manual(w, x):
        return loss(w, x), 2 * x.T @ (x @ w)

    w, x = jnp.arange(3.0), jnp.ones((4, 3))
    ask = lambda: gradients_asked(manual, loss, w, x)  # noqa: E731
    value, gradient = jax.value_and_grad(loss)(w, x)
    structures = [jax.tree.structure(prepare().run()) for prepare in programs.engines(ask).values()]
    assert len(set(structures)) == 1
    for prepare in programs.engines(ask).values():
        prepared = prepare()
        own_value, own_gradient = prepared.run()
        np.testing.assert_allclose(own_value, value)
        np.testing.assert_allclose(jax.tree.leaves(own_gradient)[0], gradient)
        assert prepared.compile_ms is not None
        assert prepared.work is not None
        assert prepared.work.bytes > 0
