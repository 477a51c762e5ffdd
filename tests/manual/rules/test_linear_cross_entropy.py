import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import sequences
from compare import check_rule
from manual.rules import linear_cross_entropy

LABELS = jnp.array([[3, 0, 6], [6, 6, 2]])


def draw(seed=0, shape=(2, 3), d=4, classes=7):
    rng = np.random.default_rng(seed)
    shapes = (*shape, d), (d, classes), (classes,)
    return tuple(jnp.asarray(2 * rng.standard_normal(s), jnp.float32) for s in shapes)


def judge(x, w, labels, b, dtype=None, **settings):
    """The rule against `jax.grad` of optax's loss of all logits."""
    bound = linear_cross_entropy.bind(**settings) if settings else linear_cross_entropy
    inputs = (x, w) if b is None else (x, w, b)

    def bwd(residuals, d_loss):
        dx, dw, _, db = bound.bwd(residuals, d_loss)
        return (dx, dw) if b is None else (dx, dw, db)

    return check_rule(
        lambda x, w, *b: bound.fwd(x, w, labels, *b),
        bwd,
        *inputs,
        reference=lambda x, w, *b: functools.partial(sequences.linear_cross_entropy, **settings)(
            x, w, labels, *b
        ),
        dtype=dtype,
    )


@pytest.fixture(params=["at once", "in blocks", "in blocks, again"])
def in_blocks(request, monkeypatch):
    """Once with all at once, and twice four rows and three classes at a time, neither fits."""
    if request.param != "at once":
        module = importlib.import_module("manual.rules.linear_cross_entropy")
        cut = module.Cut(rows=4, classes=3, again=request.param.endswith("again"))
        monkeypatch.setattr(module, "on_cpu", lambda *_: cut)


# check_rule asks about float64 first, whatever dtype it is given.
@pytest.mark.table
@pytest.mark.usefixtures("in_blocks")
@pytest.mark.parametrize(
    "settings", [{}, {"label_smoothing": 0.2}, {"ignored": 6}], ids=["plain", "smooth", "ignored"]
)
@pytest.mark.parametrize("with_bias", [True, False])
def test_it_is_the_vjp_of_optax(settings, with_bias):
    x, w, b = draw()
    report = judge(x, w, LABELS, b if with_bias else None, **settings)
    assert report.agree, report


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_row_and_one_class(dtype):
    x, w, b = draw(1, (1,))
    report = judge(x, w, LABELS[0, :1], b, dtype)
    assert report.agree, report
    both = jax.jit(jax.value_and_grad(lambda *xs: linear_cross_entropy(*xs)))
    loss, grads = both(x, w[:, :1], np.zeros(1, int), b[:1])
    assert loss == 0
    assert not np.any(grads)


def test_ignored_rows_count_in_nothing():
    x, w, b = draw(2)
    labels = np.where(np.asarray(LABELS) == 6, -100, LABELS)
    f = jax.jit(jax.value_and_grad(functools.partial(linear_cross_entropy, ignored=-100)))
    loss, dx = f(x, w, labels, b)
    kept = labels != -100
    np.testing.assert_allclose(
        loss, linear_cross_entropy(x[kept], w, jnp.asarray(labels[kept]), b), rtol=1e-6
    )
    assert not np.asarray(dx)[~kept].any()
    nothing, none = f(x, w, np.full((2, 3), -100), b)
    assert nothing == 0
    assert not np.any(none)


@pytest.mark.usefixtures("in_blocks")
def test_each_device_has_rows_of_its_own():
    """Under `shard_map`, which asks of every loop that its state varies as it did before."""
    x, w, b = draw(5)

    def of_rows(x, labels, w, b):
        loss, (dx, *others) = jax.value_and_grad(linear_cross_entropy, argnums=(0, 1, 3))(
            x, w, labels, b
        )
        return loss[None], dx, *(a[None] for a in others)

    own, whole = jax.P("rows"), jax.P()
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    shared = jax.shard_map(
        of_rows, mesh=mesh, in_specs=(own, own, whole, whole), out_specs=(own, own, own, own)
    )
    for got, expected in zip(
        jax.jit(shared)(x, LABELS, w, b), of_rows(x, LABELS, w, b), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("in_blocks")
def test_labels_are_read_as_indices():
    x, w, b = draw(3)
    last = linear_cross_entropy(x, w, jnp.full((2, 3), 6), b)
    assert linear_cross_entropy(x, w, jnp.full((2, 3), -1), b) == last
    for beyond in (7, -8):
        assert np.isnan(linear_cross_entropy(x, w, LABELS.at[0, 0].set(beyond), b))


def test_the_logits_are_never_there_at_once():
    x, w, _ = draw(4, (1024,), 8, 4096)
    labels = jnp.zeros(1024, int)
    step = jax.jit(jax.grad(linear_cross_entropy, argnums=(0, 1)))
    planned = step.lower(x, w, labels).compile().memory_analysis()
    assert planned is not None
    assert planned.temp_size_in_bytes < 1024 * 4096 * 4 / 2


def test_what_does_not_fit_is_refused():
    x, w, b = draw()
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\], got 1.5"):
        linear_cross_entropy(x, w, LABELS, b, label_smoothing=1.5)
    for wrong in ((x, w, LABELS[0], b), (x[..., :3], w, LABELS, b), (x, w, LABELS, b[:3])):
        with pytest.raises(AssertionError):
            linear_cross_entropy(*wrong)
    with pytest.raises(AssertionError):
        linear_cross_entropy(x, w, LABELS.astype(jnp.float32), b)
