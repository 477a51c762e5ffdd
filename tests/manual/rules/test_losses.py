import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manual.rules import losses
from manual.rules.losses import LOSSES, by_name

REFERENCES = {
    "mean_squared_error": lambda p, y: jnp.mean((p - y) ** 2),
    "sigmoid_binary_cross_entropy": lambda z, y: optax.losses.sigmoid_binary_cross_entropy(
        z, y
    ).mean(),
    "softmax_cross_entropy": lambda z, y: optax.losses.softmax_cross_entropy(z, y).mean(),
    "softmax_cross_entropy_with_integer_labels": lambda z, y: (
        optax.losses.softmax_cross_entropy_with_integer_labels(z, y).mean()
    ),
}
FLOAT_TARGETS = [name for name in sorted(LOSSES) if not name.endswith("labels")]
INTEGER_LABELS = "softmax_cross_entropy_with_integer_labels"


def apply(pair, logits, targets, d_loss):
    value, residuals = pair.fwd(logits, targets)
    return value, *pair.bwd(residuals, d_loss)


def refer(f, logits, targets, d_loss):
    value, vjp = jax.vjp(f, logits, targets)
    return value, *vjp(d_loss)


# One compilation takes less time than that of every operation by itself.
APPLY = {name: jax.jit(functools.partial(apply, pair)) for name, pair in LOSSES.items()}
REFER = {name: jax.jit(functools.partial(refer, f)) for name, f in REFERENCES.items()}

names = pytest.mark.parametrize("name", sorted(LOSSES))
float_targets = pytest.mark.parametrize("name", FLOAT_TARGETS)


def draw(name, seed, m, k, dtype):
    rng = np.random.default_rng(seed)
    logits = jnp.asarray(2 * rng.standard_normal((m, k)), dtype)
    if name == INTEGER_LABELS:
        return logits, jnp.asarray(rng.integers(0, k, m))
    # Uniform, so rows do not sum to 1: the general form of softmax's rule.
    return logits, jnp.asarray(rng.uniform(size=(m, k)), dtype)


def assert_pair_is_the_vjp(name, logits, targets, d_loss, assert_rounds_to):
    m, k = logits.shape
    value, dlogits, dtargets = APPLY[name](logits, targets, d_loss)

    # An entry of p, of log p or of the loss is a maximum, a difference, an exponential (4 units),
    # a sum of k, a logarithm (4 units) and at most 8 operations more, on both sides; the loss is a
    # sum over all m k entries besides. Intermediate values are at most 2 max|z| + log k, in the
    # cross entropies times Σ y, and in the squared error (|p| + |y|)².
    roundings = 2 * (18 + k)
    z, y = np.abs(np.asarray(logits)), np.abs(np.asarray(targets))
    largest = 1 + 2 * z.max(initial=0) + np.log(k)
    weight = 1.0 if name == INTEGER_LABELS else max(1.0, y.sum(axis=1).max(initial=0))
    scale = (largest + weight) ** 2
    per_entry = scale / (m if name.startswith("softmax") else m * k) * abs(float(d_loss))

    want, want_dlogits, want_dtargets = REFER[name](logits, targets, d_loss)
    assert_rounds_to(value, want, roundings=roundings + 2 * m * k, scale=scale)
    assert_rounds_to(dlogits, want_dlogits, roundings=roundings, scale=per_entry)
    if name == INTEGER_LABELS:
        assert dtargets is None
    else:
        assert_rounds_to(dtargets, want_dtargets, roundings=roundings, scale=per_entry)


@pytest.mark.table
@names
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "k"), [(7, 5), (1, 3)])
def test_pair_is_the_vjp_of_the_reference(name, dtype, m, k, assert_rounds_to):
    with jax.enable_x64(dtype == "float64"):
        logits, targets = draw(name, 0, m, k, dtype)
        assert_pair_is_the_vjp(name, logits, targets, jnp.asarray(-1.7, dtype), assert_rounds_to)


def test_pair_is_the_vjp_at_drawn_values(assert_rounds_to):
    @settings(max_examples=15, derandomize=True, deadline=None)
    @given(
        name=st.sampled_from(sorted(LOSSES)),
        seed=st.integers(0, 2**16),
        size=st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e4]),
        d_loss=st.floats(-4, 4, width=32),
    )
    def check(name, seed, size, d_loss):
        logits, targets = draw(name, seed, 3, 4, "float32")
        assert_pair_is_the_vjp(
            name, logits * size, targets, jnp.asarray(d_loss, "float32"), assert_rounds_to
        )

    check()


@float_targets
def test_tied_function_under_jit_grad_and_vmap(name, assert_rounds_to):
    logits, targets = zip(*(draw(name, s, 3, 5, "float32") for s in range(2)), strict=True)
    batches = jnp.stack(logits), jnp.stack(targets)

    def own(f):
        return lambda z, y: jnp.tanh(f(z, y)) + z.sum()

    got = jax.jit(jax.vmap(jax.grad(own(getattr(losses, name)), argnums=(0, 1))))(*batches)
    want = jax.vmap(jax.grad(own(REFERENCES[name]), argnums=(0, 1)))(*batches)
    # As above with k = 5, plus the loss's own rounding (m k = 15 terms) through tanh (5 units).
    for g, w in zip(got, want, strict=True):
        assert_rounds_to(g, w, roundings=2 * (18 + 5 + 15 + 5), scale=(1 + 2 * 6 + 5) ** 2)


def test_tied_function_with_integer_labels():
    logits, labels = draw(INTEGER_LABELS, 0, 3, 5, "float32")
    f = losses.softmax_cross_entropy_with_integer_labels
    d = jax.jit(jax.grad(lambda z: 3 * f(z, labels)))(logits)
    one_hot = jax.nn.one_hot(labels, 5)
    # Softmax is a difference, two exponentials or so (4 units each), a sum of 5; 4 more operations.
    np.testing.assert_array_less(
        np.abs(d - (jax.nn.softmax(logits) - one_hot)), 2 * 20 * float(jnp.finfo("float32").eps)
    )


@names
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bfloat16_and_float32_keep_their_dtype(name, dtype):
    logits, targets = draw(name, 0, 7, 5, dtype)
    run = functools.partial(apply, LOSSES[name])
    value, *cotangents = jax.eval_shape(run, logits, targets, jnp.ones((), dtype))
    assert value.dtype == dtype
    assert value.shape == ()
    assert all(d.dtype == dtype for d in cotangents if d is not None)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [1e4, None])
def test_huge_logits_have_the_exact_gradient(dtype, size):
    z = float(jnp.finfo(dtype).max) if size is None else size
    one = jnp.ones((), dtype)

    logits = jnp.array([[z, 0, -z], [-z, -z, z], [z, z, z]], dtype)
    labels = jnp.array([0, 0, 1])
    one_hot = jax.nn.one_hot(labels, 3, dtype=dtype)
    p = jnp.array([[1, 0, 0], [0, 0, 1], [1 / 3, 1 / 3, 1 / 3]])
    for name, targets in [("softmax_cross_entropy", one_hot), (INTEGER_LABELS, labels)]:
        _, dlogits, _ = APPLY[name](logits, targets, one)
        # A difference, an exponential (4 units), a sum of 3, a logarithm, 3 more; 1/3 is rounded.
        bound = 16 * float(jnp.finfo(dtype).eps)
        assert np.all(np.abs(dlogits.astype("float32") - (p - one_hot) / 3) <= bound)

    logits = jnp.array([z, -z, z, -z], dtype)
    targets = jnp.array([1, 0, 0, 1], dtype)
    value, residuals = losses.sigmoid_binary_cross_entropy_fwd(logits[:2], targets[:2])
    assert value == 0
    _, residuals = losses.sigmoid_binary_cross_entropy_fwd(logits, targets)
    dlogits, dtargets = losses.sigmoid_binary_cross_entropy_bwd(residuals, one)
    np.testing.assert_array_equal(dlogits, jnp.array([0, 0, 0.25, -0.25], dtype))
    np.testing.assert_array_equal(dtargets, -logits / 4)

    predictions = jnp.array([z, -z, z, -z], dtype)
    _, residuals = losses.mean_squared_error_fwd(predictions, jnp.zeros_like(predictions))
    np.testing.assert_array_equal(losses.mean_squared_error_bwd(residuals, one)[0], predictions / 2)


def test_a_sure_and_right_prediction_still_has_its_small_gradient():
    _, residuals = losses.sigmoid_binary_cross_entropy_fwd(jnp.array([30.0]), jnp.array([1.0]))
    dlogits, _ = losses.sigmoid_binary_cross_entropy_bwd(residuals, jnp.array(1.0))
    # −σ(−30), where σ(30) − 1 rounds to 0: an exponential (4 units) and three operations.
    eps = float(jnp.finfo("float32").eps)
    assert abs(float(dlogits[0]) / -np.exp(-30.0) - 1) <= 8 * eps


def test_zero_targets_take_no_part_even_where_the_logit_is_masked():
    logits = jnp.array([[0.0, 0.0, -jnp.inf]])
    targets = jnp.array([[1.0, 0.0, 0.0]])
    value, residuals = losses.softmax_cross_entropy_fwd(logits, targets)
    dlogits, _ = losses.softmax_cross_entropy_bwd(residuals, jnp.array(1.0))
    assert abs(float(value) - np.log(2)) <= float(jnp.finfo("float32").eps)
    np.testing.assert_array_equal(dlogits, [[-0.5, 0.5, 0.0]])


@names
def test_nan_comes_out_as_nan(name):
    logits, targets = draw(name, 0, 3, 4, "float32")
    value, residuals = LOSSES[name].fwd(logits.at[1, 2].set(jnp.nan), targets)
    dlogits, _ = LOSSES[name].bwd(residuals, jnp.ones(()))
    assert np.isnan(value)
    assert np.isnan(dlogits[1, 2])
    assert np.isfinite(dlogits[0]).all()


def test_integer_labels_equal_one_hot_targets():
    logits, labels = draw(INTEGER_LABELS, 5, 7, 5, "float32")
    one_hot = jax.nn.one_hot(labels, 5)
    f = losses.softmax_cross_entropy_with_integer_labels
    value, d = jax.value_and_grad(f)(logits, labels)
    want, want_d = jax.value_and_grad(losses.softmax_cross_entropy)(logits, one_hot)
    # The same operations but for a sum of five, four of them zeros.
    np.testing.assert_array_equal(value, want)
    np.testing.assert_allclose(d, want_d, rtol=0, atol=6 * float(jnp.finfo("float32").eps))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_labels_of_any_integer_dtype(dtype):
    logits, labels = draw(INTEGER_LABELS, 5, 7, 5, "float32")
    f = losses.softmax_cross_entropy_with_integer_labels
    np.testing.assert_array_equal(f(logits, labels.astype(dtype)), f(logits, labels))


def test_labels_out_of_range_are_read_as_optax_reads_them():
    logits, _ = draw(INTEGER_LABELS, 5, 2, 5, "float32")
    for labels in (jnp.array([-1, -5]), jnp.array([5, 0]), jnp.array([-6, 0])):
        value, d, _ = APPLY[INTEGER_LABELS](logits, labels, jnp.ones(()))
        want, want_d, _ = REFER[INTEGER_LABELS](logits, labels, jnp.ones(()))
        assert np.isnan(value) == np.isnan(want)
        assert np.all(np.abs(d - want_d) <= 2 * (18 + 5) * float(jnp.finfo("float32").eps))


@float_targets
def test_what_would_broadcast_is_refused(name):
    with pytest.raises(AssertionError):
        LOSSES[name].fwd(jnp.ones((3, 1)), jnp.ones(3))
    with pytest.raises(AssertionError):
        getattr(losses, name)(jnp.ones((3, 2)), jnp.ones((3, 1)))


@float_targets
def test_targets_of_another_dtype_are_refused(name):
    with pytest.raises(AssertionError, match="type"):
        LOSSES[name].fwd(jnp.ones((3, 2)), jnp.ones((3, 2), "bfloat16"))
    with pytest.raises(AssertionError, match="type"):
        LOSSES[name].fwd(jnp.ones((3, 2)), jnp.ones((3, 2), int))


@pytest.mark.parametrize(
    ("logits", "labels"),
    [((3, 2), (4,)), ((3, 2), (3, 1)), ((3,), (3,)), ((3, 2), ())],
)
def test_labels_of_another_shape_are_refused(logits, labels):
    with pytest.raises(AssertionError):
        losses.softmax_cross_entropy_with_integer_labels(jnp.ones(logits), jnp.ones(labels, int))


def test_labels_that_are_no_integers_are_refused():
    with pytest.raises(AssertionError, match="type"):
        losses.softmax_cross_entropy_with_integer_labels(jnp.ones((3, 2)), jnp.ones(3))


@pytest.mark.parametrize("name", ["softmax_cross_entropy", INTEGER_LABELS])
def test_every_axis_but_the_last_is_of_examples(name):
    loss = getattr(losses, name)
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.standard_normal((2, 3, 5)), jnp.float32)
    targets = jnp.asarray(rng.integers(0, 5, (2, 3)))
    if name != INTEGER_LABELS:
        targets = jax.nn.one_hot(targets, 5)
    rows = targets.reshape(-1, *targets.shape[2:])
    value, d = jax.value_and_grad(loss)(logits, targets)
    want, want_d = jax.value_and_grad(loss)(logits.reshape(6, 5), rows)
    assert value == want
    np.testing.assert_array_equal(d.reshape(6, 5), want_d)
    # One example alone is its own mean.
    np.testing.assert_allclose(
        loss(logits[0, 0], targets[0, 0]), loss(logits[:1, 0], targets[:1, 0])
    )
    with pytest.raises(AssertionError):
        loss(jnp.ones(()), targets[0, 0])


def test_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match=r"unknown loss 'mse'; choose from mean_squared_error, "):
        by_name("mse")
