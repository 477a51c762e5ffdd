import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker.sides.evaluation import Evaluation, Result
from compare.checker.sides.side import LossAndAux, Side, differentiated, side
from compare.trees import Layout

W = np.asarray([1.0, 2.0, 3.0], np.float32)


def loss(w, scale):
    return jnp.sum(scale * w**2)


def by_hand(w, scale):
    return loss(w, scale), 2 * scale * w


def run(of, *point, jit=True):
    """What a side returns at params, *args."""
    point = (point[0], point[1:])
    layout = Layout(point)
    return Evaluation(layout, jit, seed=0).run(of, layout.arrays(point))


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("of", [Side(by_hand), differentiated(loss)], ids=["manual", "autodiff"])
def test_a_run_returns_the_value_and_the_gradient(of, jit):
    found = run(of, W, np.float32(3), jit=jit)
    assert found.value == 42
    assert np.array_equal(found.grads, 6 * W)


def test_what_is_no_array_reaches_the_function_as_it_is():
    seen = []

    def candidate(params, name, options):
        seen.append((name, options["power"]))
        return params["w"].sum() ** options["power"], {"w": params["w"]}

    run(Side(candidate), {"w": W}, "a name", {"power": 2})
    assert seen == [("a name", 2)]


def test_a_side_is_traced_once_for_each_shape_dtype_and_setting():
    traced = []

    def candidate(w, power):
        traced.append((w.shape, w.dtype, power))
        return w.sum() ** power, w

    of = Side(candidate)
    for w in (W, 2 * W):
        run(of, w, 2)
    assert len(traced) == 1
    run(of, W, 3)
    run(of, W.astype(np.float16), 2)
    run(of, W[:2], 2)
    run(of, W, 2)
    assert len(traced) == 4
    run(of, W, 2, jit=False)
    run(of, W, 2, jit=False)
    assert len(traced) == 6


def test_without_jit_the_candidate_may_compute_in_numpy():
    def in_numpy(w):
        w = np.asarray(w)
        return float(np.sum(w**2)), 2 * w

    found = run(Side(in_numpy), W, jit=False)
    assert found.value == 14
    assert np.array_equal(found.grads, 2 * W)


def stopping(w):
    if w.sum() > 0:
        return w.sum(), w
    return -w.sum(), -w


def test_a_candidate_that_cannot_be_traced_is_told_of_jit_false():
    site = rf"\(.*test_evaluation.py:{stopping.__code__.co_firstlineno + 1}\)"
    message = f"^pass jit=False: stopping cannot be traced by jax {site}: Attempted boolean"
    with pytest.raises(ValueError, match=message):
        run(Side(stopping), W)
    assert run(Side(stopping), W, jit=False).value == 6


def test_a_loss_in_numpy_is_told_what_to_do():
    def in_numpy(w):
        return jnp.asarray(np.sum(np.asarray(w)))

    with pytest.raises(
        ValueError, match=r"^write the loss in jax.numpy: in_numpy cannot be traced by jax .*: "
    ):
        run(differentiated(in_numpy), W, jit=False)


@pytest.mark.parametrize(
    "untraceable",
    [
        lambda w: (float(w[0]), w),
        lambda w: (np.asarray(w).sum(), w),
        lambda w: (w[w > 1].sum(), w),
        lambda w: (range(3)[w.astype(int)[0]], w),
    ],
    ids=["a number", "NumPy", "a mask as an index", "an index of a list"],
)
def test_every_way_not_to_be_traceable_is_told(untraceable):
    with pytest.raises(ValueError, match=r"^pass jit=False: <lambda> cannot be traced by jax"):
        run(Side(untraceable), W)


def test_a_candidate_without_a_name_is_called_the_function():
    with pytest.raises(ValueError, match=r"^pass jit=False: the function cannot be traced by jax"):
        run(Side(functools.partial(stopping)), W)


def test_an_error_of_the_candidates_own_is_passed_on():
    def broken(w):
        return w.sum(), w @ jnp.ones((2, 2))

    with pytest.raises(TypeError, match="dot_general"):
        run(Side(broken), W)


@pytest.mark.parametrize("pair", [tuple, list])
def test_the_pair_may_be_a_tuple_or_a_list(pair):
    assert run(Side(lambda w: pair((w.sum(), w))), W).value == 6


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        (lambda w: w, r"an array of shape \(3,\)"),
        (lambda w: {"loss": w.sum(), "grads": w}, "a dict"),
        (lambda w: (w.sum(), w, w), "3 values"),
        (lambda w: None, "a NoneType"),
    ],
)
def test_anything_but_a_pair_is_refused(returned, kind):
    message = rf"must return the pair \(loss, grads\); it returned {kind}(\n|$)"
    with pytest.raises(ValueError, match=message):
        run(Side(returned), W)


def test_nothing_is_remembered_by_a_function_s_identity():
    settings = {"factor": 2.0}

    def candidate(w):
        return w.sum(), settings["factor"] * w

    assert np.array_equal(run(side(candidate), W).grads, 2 * W)
    settings["factor"] = 5.0
    assert np.array_equal(run(side(candidate), W).grads, 5 * W)


def test_the_same_program_is_compiled_once(monkeypatch):
    compiled = []
    original = jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered, "compile", lambda *a, **k: (compiled.append(1), original(*a, **k))[1]
    )
    for _ in range(3):
        run(side(lambda w: (w.sum(), 1.25 * w)), W)
    assert len(compiled) == 1
    run(side(lambda w: (w.sum(), 1.5 * w)), W)
    assert len(compiled) == 2


def test_only_the_side_that_differentiates_knows_the_loss():
    assert side(by_hand).loss is None
    of = differentiated(loss)
    assert of.loss is not None
    assert of.loss(W, 1.0) == loss(W, 1.0)


def with_state(w, steps):
    return jnp.sum(w**2), {"mean": w.mean(), "steps": steps + 1}


def test_what_the_loss_returns_beside_is_kept_where_it_is_floating():
    found = run(differentiated(with_state, has_aux=True), W, np.int32(4))
    assert isinstance(found.value, LossAndAux)
    assert found.value.loss == 14
    assert found.value.aux == {"mean": 2, "steps": None}
    assert np.array_equal(found.grads, 2 * W)


def test_with_aux_the_loss_alone_is_the_loss():
    of = differentiated(with_state, has_aux=True)
    assert of.loss is not None
    assert of.loss(W, 0) == 14


def test_with_aux_both_sides_return_the_same():
    def candidate(w, steps):
        return with_state(w, steps), 2 * w

    manual = run(side(candidate, has_aux=True), W, np.int32(4))
    autodiff = run(differentiated(with_state, has_aux=True), W, np.int32(4))
    assert jax.tree.structure(manual) == jax.tree.structure(autodiff)
    assert jax.tree.leaves(manual)[:2] == jax.tree.leaves(autodiff)[:2]


@pytest.mark.parametrize("wrong", [lambda w: (w.sum(), w), lambda w: ((w.sum(), 1, 2), w)])
def test_with_aux_the_candidate_must_return_it(wrong):
    message = r"with has_aux=True the hand-derived side must return \(\(loss, aux\), grads\)"
    with pytest.raises(ValueError, match=message):
        run(side(wrong, has_aux=True), W)


def test_the_leaves_of_a_result_the_values_first():
    result = Result(np.float32(2), [{"b": np.ones(2), "w": np.ones((3, 2))}])
    leaves = result.leaves("loss")
    assert list(leaves) == [("value", "loss"), ("grad", "0/b"), ("grad", "0/w")]
    assert leaves[("grad", "0/w")].shape == (3, 2)


def test_a_value_of_several_arrays_has_several_leaves():
    result = Result(LossAndAux(np.float32(2), {"mean": np.ones(2), "steps": None}), np.ones(3))
    assert list(result.leaves("")) == [
        ("value", "loss"), ("value", "aux/mean"), ("grad", "params")
    ]  # fmt: skip
    outputs = Result((np.ones(2), np.ones(3)), {})
    assert list(outputs.leaves("out")) == [("value", "out/0"), ("value", "out/1")]


@pytest.mark.parametrize(
    ("value", "total"),
    [
        (np.float32(2), 2.0),
        (LossAndAux(np.float32(2), {"mean": np.float32(100)}), 2.0),
        ((np.ones(2), {"y": np.full((2, 2), 3)}), 14.0),
        (np.asarray([0.1] * 10, np.float32), math.fsum([float(np.float32(0.1))] * 10)),
        (np.asarray([1.0, np.nan]), math.nan),
    ],
    ids=["a loss", "a loss with state", "a rule's outputs", "in float64", "NaN"],
)
def test_the_value_as_one_number(value, total):
    assert Result(value, None).total == pytest.approx(total, rel=1e-15, nan_ok=True)
