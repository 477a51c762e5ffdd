import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import recurrent as autodiff_recurrent
from compare import check_gradients
from manual import recurrent

cells = pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])


def draw(cell, n_out=4):
    params = recurrent.init(jax.random.key(0), 3, 5, n_out, cell=cell)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((7, 6, 3)), jnp.float32)
    return params, (x, jnp.asarray(rng.integers(0, n_out, 7)))


@cells
def test_the_gradient_is_that_of_jax_grad(cell):
    report = check_gradients(
        functools.partial(recurrent.loss_and_grad, cell=cell),
        functools.partial(autodiff_recurrent.loss, cell=cell),
        *draw(cell),
    )
    assert report.agree, report


@cells
def test_the_rules_put_together_by_jax_give_the_same(cell):
    params, batch = draw(cell)
    got = jax.jit(functools.partial(recurrent.loss_and_grad, cell=cell))(params, batch)
    loss = functools.partial(recurrent.loss, cell=cell)
    want = jax.jit(jax.value_and_grad(loss))(params, batch)
    chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-6)


@cells
def test_it_lowers_for_every_platform(cell):
    step = jax.jit(functools.partial(recurrent.loss_and_grad, cell=cell))
    platforms = ("cpu", "cuda", "rocm", "tpu")
    assert jax.export.export(step, platforms=platforms)(*draw(cell)).platforms == platforms


@cells
def test_both_sides_begin_alike(cell):
    own, other = (
        side.init(jax.random.key(3), 3, 5, 2, cell=cell) for side in (recurrent, autodiff_recurrent)
    )
    chex.assert_trees_all_equal(own, other, strict=True)


def test_a_cell_remembers_to_begin_with():
    b = recurrent.init(jax.random.key(0), 2, 3, 1, cell="lstm")["cell"]["b"]
    np.testing.assert_array_equal(b, [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0])


def test_what_means_nothing_is_refused():
    with pytest.raises(ValueError, match="unknown cell 'ltsm'; choose from gru, lstm, rnn"):
        recurrent.init(jax.random.key(0), 2, 3, 1, cell="ltsm")
    with pytest.raises(ValueError, match=r"sizes must be positive, got \(2, 0, 1\)"):
        recurrent.init(jax.random.key(0), 2, 0, 1)
