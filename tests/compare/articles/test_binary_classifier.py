import jax
import jax.numpy as jnp
import pytest

from compare.articles import binary_classifier
from compare.articles.claim import Options
from compare.articles.descent import METHODS
from compare.articles.signals import drawn


def test_units_are_alike_only_if_every_weight_is():
    zeros = jax.tree.map(jnp.zeros_like, drawn(0, (3, 4, 1), 1.0))
    assert binary_classifier.unit_difference(zeros) == 0
    for leaf in ("w", "b"):
        apart = [dict(layer) for layer in zeros]
        apart[0][leaf] = apart[0][leaf].at[..., 2].set(1e-6)
        assert binary_classifier.unit_difference(apart) == pytest.approx(1e-6)
    outgoing = [zeros[0], {**zeros[1], "w": zeros[1]["w"].at[2].set(1e-6)}]
    assert binary_classifier.unit_difference(outgoing) == pytest.approx(1e-6)


def test_lr_one_does_what_the_published_rate_does_not():
    setup = binary_classifier.prepare(Options())
    claims = list(binary_classifier.claims(setup, METHODS["manual"]))
    first, second = [c for c in claims if c.claim == "loss below 0.15"]
    assert first.published
    assert not first.holds
    assert not second.published
    assert second.holds
    assert second.values["rate"] == 1
    assert all(c.holds for c in claims[-2:]), "symmetry and vanishing"
