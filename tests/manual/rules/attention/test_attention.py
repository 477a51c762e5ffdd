import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from autodiff import sequences
from compare import check_rule
from manual.rules import attention
from manual.rules.attention import _blocks

BATCH, QUERIES, KEYS, HEADS, GROUPS, K, V = 2, 5, 7, 6, 2, 4, 3


def draw(seed=0, batch=BATCH, queries=QUERIES, keys=KEYS, heads=HEADS, groups=GROUPS):
    rng = np.random.default_rng(seed)
    shapes = (batch, queries, heads, K), (batch, keys, groups, K), (batch, keys, groups, V)
    return tuple(jnp.asarray(2 * rng.standard_normal(s), jnp.float32) for s in shapes)


def judge(inputs, *, bias=None, mask=None, dtype=None, **settings):
    """The rule against `jax.grad` of a softmax over all scores at once."""
    bound = attention.bind(**settings) if settings else attention
    inputs = inputs if bias is None else (*inputs, bias)
    n = len(inputs)
    return check_rule(
        lambda *xs: bound.fwd(*xs, *[None] * (4 - n), mask),  # pyright: ignore[reportCallIssue]
        lambda residuals, do: bound.bwd(residuals, do)[:n],
        *inputs,
        reference=functools.partial(sequences.attention, mask=mask, **settings),
        dtype=dtype,
    )


@pytest.fixture(params=["one block", "blocks", "blocks of a head"])
def in_blocks(request, monkeypatch):
    """With all rows in one block, or two rows in each, the last one not full.

    A CPU goes through the heads one by one where other platforms have other blocks.
    """
    if request.param != "one block":
        monkeypatch.setattr(_blocks, "ON_CPU", 1)
        monkeypatch.setattr(_blocks, "_FEWEST_ROWS", 2)
    if request.param == "blocks":
        monkeypatch.setattr(_blocks, "ELSEWHERE", 1)


MASK = np.arange(KEYS) < np.array([[7], [4]])


# check_rule asks about float64 first, whatever dtype it is given.
@pytest.mark.table
@pytest.mark.usefixtures("in_blocks")
@pytest.mark.parametrize(
    "settings",
    [{}, {"causal": True}, {"mask": MASK, "soft_cap": 1.5}, {"causal": True, "scale": 0.7}],
    ids=["plain", "causal", "padded and capped", "causal and scaled"],
)
def test_it_is_the_vjp_of_a_softmax_over_all_scores(settings):
    report = judge(draw(), **settings)
    assert report.agree, report


@pytest.mark.table
@pytest.mark.usefixtures("in_blocks")
@pytest.mark.parametrize("shape", [(1, 1, 1, 7), (2, 1, 5, 7), (1, 6, 5, 7), (2, 6, 1, 7)])
def test_a_bias_gets_the_sum_over_what_shares_it(shape):
    bias = jnp.asarray(np.random.default_rng(3).standard_normal(shape), jnp.float32)
    report = judge(draw(1), bias=bias, causal=True, soft_cap=2.0)
    assert report.agree, report


@pytest.mark.usefixtures("in_blocks")
def test_on_a_mesh_with_explicit_axes_an_output_lies_where_its_query_does():
    mesh = AbstractMesh((2,), ("data",), axis_types=(AxisType.Explicit,))
    placed = NamedSharding(mesh, PartitionSpec("data", None, None, None))
    inputs = [jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placed) for x in draw(7)]
    with jax.sharding.use_abstract_mesh(mesh):
        out, pullback = jax.eval_shape(lambda *xs: jax.vjp(attention, *xs), *inputs)
        cotangents = jax.eval_shape(pullback, out)
    assert [x.sharding for x in (out, *cotangents)] == [placed] * 4


@pytest.mark.table
@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (3, 3), (4, 1)])
def test_ordinary_heads_and_one_head_of_keys_for_all(heads, groups):
    report = judge(draw(2, heads=heads, groups=groups), dtype="bfloat16")
    assert report.agree, report


def test_few_heads_at_a_time_the_last_ones_fewer(monkeypatch):
    inputs = draw(8, batch=5, heads=2, groups=1)
    monkeypatch.setattr(_blocks, "ON_CPU", 3 * 2 * QUERIES * KEYS)
    monkeypatch.setattr(_blocks, "_FEWEST_ROWS", 2)
    mask = jnp.arange(KEYS) < jnp.array([[7], [4], [7], [2], [5]])
    report = judge(inputs, mask=mask, causal=True)
    assert report.agree, report


@pytest.mark.table
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 7), (5, 1)])
def test_lengths_of_one(queries, keys):
    report = judge(draw(3, batch=1, queries=queries, keys=keys), causal=True)
    assert report.agree, report


@pytest.mark.usefixtures("in_blocks")
def test_a_row_that_is_masked_out_is_zero_and_has_no_gradient():
    q, k, v = draw(4)
    mask = MASK.copy()
    mask[1] = False

    def loss(*xs):
        o = attention(*xs, None, mask)  # pyright: ignore[reportCallIssue]
        return (o**2).sum(), o

    # One compilation takes less time than that of every operation by itself.
    gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))
    grads, o = jax.device_get(gradient(q, k, v))
    np.testing.assert_array_equal(o[1], np.zeros_like(o[1]))
    for grad in grads:
        assert np.isfinite(grad).all()
        np.testing.assert_array_equal(grad[1], np.zeros_like(grad[1]))
        assert grad[0].any()
    # A key that is padding has no part in anything.
    assert not grads[1][0, 7:].any()
    report = judge((q, k, v), mask=mask, causal=True)
    assert report.agree, report


def test_a_bias_of_minus_infinity_is_a_mask():
    q, k, v = draw(5)
    bias = jnp.where(MASK, 0, -jnp.inf)[:, None, None, :]

    def gradient(*masked):
        f = lambda q, k, v: (attention(q, k, v, *masked) ** 2).sum()  # noqa: E731
        return jax.grad(f, argnums=(0, 1, 2))(q, k, v)

    for a, b in zip(gradient(bias), gradient(None, MASK), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_equal_scores_share_equally():
    q, k, v = draw(6)
    o = attention(jnp.zeros_like(q), k, v)
    mean = jnp.repeat(v.mean(axis=1, keepdims=True), HEADS // GROUPS, axis=2)
    np.testing.assert_allclose(o, jnp.broadcast_to(mean, o.shape), rtol=1e-5, atol=1e-6)


def test_huge_scores_stay_finite():
    q, k, v = draw(7)
    step = jax.value_and_grad(lambda q: attention(1e4 * q, k, v).sum())
    assert all(np.isfinite(a).all() for a in step(q))


@pytest.mark.parametrize("causal", [False, True])
def test_the_scores_are_never_there_at_once(causal):
    def temporary(queries):
        inputs = draw(8, queries=queries, keys=queries, heads=2)
        loss = lambda *xs: attention(*xs, causal=causal).sum()  # noqa: E731
        step = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
        planned = step.lower(*inputs).compile().memory_analysis()
        assert planned is not None
        return planned.temp_size_in_bytes

    short, long = temporary(2048), temporary(8192)
    # All scores of the longer have 16 times the entries, 1 GiB.
    assert long < 4.5 * short
    assert long < 8192 * 8192 * 4 * 4 / 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"soft_cap": 0.0}, "soft_cap must be positive, got 0.0"),
        (
            {"bias": jnp.ones((2, 6, 5, 1))},
            r"bias must be .*\(2, 6, 5, 7\), got \(2, 6, 5, 1\)",
        ),
        ({"bias": jnp.ones((3, 6, 5, 7))}, r"bias must be .* got \(3, 6, 5, 7\)"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        attention(*draw(), **settings)


def test_what_does_not_fit_is_refused():
    q, k, v = draw()
    with pytest.raises(ValueError, match="the 2 heads of keys must divide the 5 heads of queries"):
        attention(q[:, :, :5], k, v)
    with pytest.raises(ValueError, match="at least one key"):
        attention(q, k[:, :0], v[:, :0])
    for wrong in ((q[..., :3], k, v), (q, k[:, :6], v), (q, k[:1], v), (q, k, v[:, :, :1])):
        with pytest.raises(AssertionError):
            attention(*wrong)
    with pytest.raises(AssertionError):
        attention(q, k, v, None, jnp.ones((2, 7)))
