import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import transformer as autodiff_transformer
from compare import check_gradients
from manual import transformer

HEADS = 2
BLOCKS = {"images": 1, "tokens": 2, "tied": 1}
"""How many blocks each kind has here: one needs the gradient of what is between two."""


def draw(kind):
    """A small transformer: of images, of tokens, or of tokens with a tied table."""
    rng = np.random.default_rng(0)
    if kind == "images":
        params = transformer.init(jax.random.key(0), 4, 8, BLOCKS[kind], 5)
        x = jnp.asarray(rng.standard_normal((3, 4, 6)), jnp.float32)
        return params, (x, jnp.asarray(rng.integers(0, 5, 3)))
    blocks, tied = BLOCKS[kind], kind == "tied"
    params = transformer.init(jax.random.key(0), 7, 8, blocks, 7, tokens=True, tied=tied)
    tokens = jnp.asarray(rng.integers(0, 7, (3, 6)))
    return params, (tokens[:, :-1], tokens[:, 1:])


kinds = pytest.mark.parametrize("kind", ["images", "tokens", "tied"])


@kinds
def test_the_gradient_is_that_of_jax_grad(kind):
    settings = {"heads": HEADS, "causal": kind != "images", "patch": 2}
    report = check_gradients(
        functools.partial(transformer.loss_and_grad, **settings),
        functools.partial(autodiff_transformer.loss, **settings),
        *draw(kind),
    )
    assert report.agree, report


def test_the_gradient_is_the_same_in_blocks_of_rows(monkeypatch):
    def step(params, batch):
        return transformer.loss_and_grad(params, batch, heads=HEADS, causal=True)

    point = draw("tokens")
    whole = jax.jit(lambda *args: step(*args))(*point)
    monkeypatch.setattr(transformer, "_ROWS", 4)  # 15 rows: three blocks, and what is left
    blocked = jax.jit(step)(*point)
    chex.assert_trees_all_close(blocked, whole, rtol=1e-5, atol=1e-6)


def test_it_lowers_for_every_platform():
    def step(params, batch):
        return transformer.loss_and_grad(params, batch, heads=HEADS, causal=True)

    platforms = ("cpu", "cuda", "rocm", "tpu")
    exported = jax.export.export(jax.jit(step), platforms=platforms)(*draw("tied"))
    assert exported.platforms == platforms


@kinds
def test_both_sides_begin_and_predict_alike(kind):
    params, (x, _) = draw(kind)
    n_in, n_out = (4, 5) if kind == "images" else (7, 7)
    other = autodiff_transformer.init(
        jax.random.key(0),
        n_in,
        8,
        BLOCKS[kind],
        n_out,
        tokens=kind != "images",
        tied=kind == "tied",
    )
    chex.assert_trees_all_equal(params, other, strict=True)
    got, want = (
        jax.jit(functools.partial(side.predict, heads=HEADS, patch=2))(params, x)
        for side in (transformer, autodiff_transformer)
    )
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_causal_step_sees_nothing_that_comes_later():
    params, (x, _) = draw("tokens")
    changed = x.at[:, 3].set((x[:, 3] + 1) % 7)
    predict = jax.jit(functools.partial(transformer.predict, heads=HEADS, causal=True))
    first, second = (predict(params, a) for a in (x, changed))
    np.testing.assert_array_equal(first[:, :3], second[:, :3])
    assert not np.array_equal(first[:, 3:], second[:, 3:])


def test_patches_are_cut_row_by_row():
    x = jnp.arange(24).reshape(1, 4, 6)
    np.testing.assert_array_equal(transformer.patches(x, 2)[0, :2], [[0, 1, 6, 7], [2, 3, 8, 9]])
    np.testing.assert_array_equal(transformer.patches(x, 2)[0, 3], [12, 13, 18, 19])


def test_what_means_nothing_is_refused():
    with pytest.raises(ValueError, match=r"sizes must be positive, got \(4, 8, 0, 5\)"):
        transformer.init(jax.random.key(0), 4, 8, 0, 5)
    with pytest.raises(
        ValueError, match="a tied table needs tokens, as many as logits; got 4 and 5"
    ):
        transformer.init(jax.random.key(0), 4, 8, 1, 5, tokens=True, tied=True)
