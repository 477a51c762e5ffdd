import jax
import numpy as np
import pytest

from compare.benchmark.check_subjects import SUBJECTS, case, subjects


def draw(name):
    (subject,) = (subject for subject in SUBJECTS if subject.name == name)
    return subject.draw(np.random.default_rng(0))


@pytest.mark.table
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_the_loss_is_a_scalar_of_a_batch(subject):
    loss, params, args = subject.draw(np.random.default_rng(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}
    assert {len(leaf) for leaf in args} == {subject.batch}
    out = jax.eval_shape(loss, params, *args)
    assert (out.shape, out.dtype) == ((), np.float32)


@pytest.mark.table
@pytest.mark.parametrize("name", [s.name for s in SUBJECTS if "2048" not in s.name])
def test_every_leaf_has_a_gradient(name):
    loss, params, args = draw(name)
    grads = jax.jit(jax.grad(loss))(params, *args)
    sizes = [float(np.abs(g).max()) for g in jax.tree.leaves(grads)]
    assert all(1e-7 < size < 1e3 for size in sizes), sizes


def test_the_gradient_reaches_the_first_of_512_layers():
    loss, params, args = draw("512 dense layers, a scan")
    assert np.abs(jax.jit(jax.grad(loss))(params, *args)["w"][0]).max() > 1e-7


def test_the_stack_is_the_same_unrolled_and_in_a_scan():
    losses = []
    for name in ("32 dense layers, unrolled", "32 dense layers, a scan"):
        loss, params, args = draw(name)
        losses.append(jax.jit(loss)(params, *args))
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_the_largest_transformer_has_over_a_million_parameters():
    _, params, _ = draw("transformer of 6 layers, D 128")
    assert 1.1e6 < sum(leaf.size for leaf in jax.tree.leaves(params)) < 1.4e6


@pytest.mark.parametrize("factor", ["1.0", "1.5"])
def test_a_case_is_off_by_its_factor(factor):
    (found,) = case("MLP 2-4-2", factor, "0")
    assert found.right == (factor == "1.0")
    value, grads = found.candidate(found.params, *found.args)
    np.testing.assert_allclose(value, found.loss(found.params, *found.args), rtol=1e-6)
    right = jax.grad(found.loss)(found.params, *found.args)
    jax.tree.map(
        lambda g, r: np.testing.assert_allclose(g, float(factor) * r, rtol=1e-5, atol=1e-8),
        grads,
        right,
    )


def test_quick_takes_the_first_three():
    assert subjects(quick=True) == SUBJECTS[:3]
    assert subjects() == SUBJECTS
    assert len({subject.name for subject in SUBJECTS}) == len(SUBJECTS) == 9
