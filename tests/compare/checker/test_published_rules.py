"""Rules that others have published, each with its verdict: of optax, of jax and of its kernels."""

import inspect
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from jax.scipy import special

from compare.checker import check_function, check_rule


def normal(*shape, seed=11, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal(shape)


def positive(*shape, seed=12):
    return np.random.default_rng(seed).uniform(0.3, 2.5, shape)


def inside(*shape, seed=13):
    """Numbers between 0 and 1."""
    return np.random.default_rng(seed).uniform(0.1, 0.9, shape)


Z, T = normal(4, 3), inside(4, 3)
LABELS = np.array([0, 2, 1, 1])
SIGNS = np.array([1.0, -1, 1, 1, -1])
MATRIX = normal(3, 3) + 3 * np.eye(3)
DEFINITE = MATRIX @ MATRIX.T


def symmetric(f):
    return lambda a: f((a + a.T) / 2)


# The derivatives of these, in reverse and forward mode, against their values alone.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "optax.sigmoid_binary_cross_entropy": (optax.losses.sigmoid_binary_cross_entropy, Z, T),
    "optax.softmax_cross_entropy": (optax.losses.softmax_cross_entropy, Z, T),
    "optax.softmax_cross_entropy_with_integer_labels": (
        optax.losses.softmax_cross_entropy_with_integer_labels, Z, LABELS),
    "optax.poly_loss_cross_entropy": (optax.losses.poly_loss_cross_entropy, Z, T),
    "optax.sigmoid_focal_loss": (optax.losses.sigmoid_focal_loss, Z, T),
    "optax.hinge_loss": (optax.losses.hinge_loss, normal(5), SIGNS),
    "optax.huber_loss": (optax.losses.huber_loss, normal(5, scale=2), normal(5, seed=1)),
    "optax.log_cosh": (optax.losses.log_cosh, normal(5), normal(5, seed=1)),
    "optax.cosine_distance": (optax.losses.cosine_distance, Z, T),
    "optax.kl_divergence_with_log_targets": (
        optax.losses.kl_divergence_with_log_targets, Z, np.log(T)),
    "optax.sparsemax_loss": (optax.losses.sparsemax_loss, normal(5), np.array([0, 1, 1, 0, 1])),
    "optax.triplet_margin_loss": (optax.losses.triplet_margin_loss, Z, T, normal(4, 3, seed=2)),
    "optax.projection_simplex": (optax.projections.projection_simplex, normal(6)),
    "optax.projection_l2_ball": (optax.projections.projection_l2_ball, normal(6, scale=2)),
    "jax.nn.relu": (jax.nn.relu, Z),
    "jax.nn.relu6": (jax.nn.relu6, 5 * Z),
    "jax.nn.silu": (jax.nn.silu, Z),
    "jax.nn.gelu": (jax.nn.gelu, Z),
    "jax.nn.log_sigmoid": (jax.nn.log_sigmoid, 9 * Z),
    "jax.nn.softmax": (jax.nn.softmax, Z),
    "jax.nn.log_softmax": (jax.nn.log_softmax, Z),
    "jax.nn.celu": (jax.nn.celu, Z),
    "jax.nn.squareplus": (jax.nn.squareplus, Z, 3.0),
    "jax.nn.sparse_plus": (jax.nn.sparse_plus, Z),
    "jax.nn.log1mexp": (jax.nn.log1mexp, positive(5)),
    "jax.nn.glu": (jax.nn.glu, normal(3, 4)),
    "special.logit": (special.logit, inside(5)),
    "special.xlogy": (special.xlogy, positive(5), inside(5)),
    "special.xlog1py": (special.xlog1py, positive(5), inside(5)),
    "special.entr": (special.entr, positive(5)),
    "special.erfcx": (special.erfcx, normal(5)),
    "special.log_ndtr": (special.log_ndtr, normal(5, scale=3)),
    "special.digamma": (special.digamma, positive(5)),
    "special.i0e": (special.i0e, normal(5)),
    "jnp.logaddexp": (jnp.logaddexp, normal(5), normal(5, seed=1)),
    "jnp.logaddexp2": (jnp.logaddexp2, normal(5), normal(5, seed=1)),
    "jnp.i0": (jnp.i0, normal(5)),
    "jnp.sinc": (jnp.sinc, np.array([0.0, 0.3, -1.2])),
    "jnp.linalg.det": (jnp.linalg.det, MATRIX),
    "jnp.linalg.slogdet": (lambda a: jnp.linalg.slogdet(a)[1], MATRIX),
    "lax.linalg.cholesky": (symmetric(lambda a: jnp.tril(lax.linalg.cholesky(a))), DEFINITE),
    "lax.linalg.triangular_solve": (
        partial(lax.linalg.triangular_solve, left_side=True, lower=True), MATRIX, normal(3, 2)),
    "lax.linalg.lu": (lambda a: lax.linalg.lu(a)[0], MATRIX),
    "lax.linalg.qr": (partial(lax.linalg.qr, full_matrices=False), normal(4, 3)),
    "lax.linalg.eigh": (symmetric(lambda a: lax.linalg.eigh(a)[1]), DEFINITE),
    "lax.linalg.svd": (lambda a: lax.linalg.svd(a, compute_uv=False), normal(4, 3)),
    "lax.cumlogsumexp": (lax.cumlogsumexp, normal(5)),
    "lax.custom_linear_solve": (
        lambda a, b: lax.custom_linear_solve(
            lambda x: a @ x, b, lambda _, b: jnp.linalg.solve(a, b),
            lambda _, b: jnp.linalg.solve(a.T, b)), MATRIX, normal(3)),
}  # fmt: skip


@pytest.mark.table
@pytest.mark.parametrize("name", FUNCTIONS)
def test_published_derivatives_agree(name):
    f, *inputs = FUNCTIONS[name]
    report = check_function(f, *inputs, modes=("rev", "fwd"))
    assert report.agree, report
    assert {leaf.path.split("/")[0] for leaf in report.leaves} == {"rev", "fwd"}


# The decorated functions themselves, whose rules are opened.
DECORATED: dict[str, tuple[Any, ...]] = {
    "jax.nn.relu": (jax.nn.relu, Z),
    "jax.nn.relu6": (jax.nn.relu6, 5 * Z),
    "jax.nn.log1mexp": (jax.nn.log1mexp, positive(5)),
    "special.logit": (special.logit, inside(5)),
    "special.xlogy": (special.xlogy, positive(5), inside(5)),
    "special.xlog1py": (special.xlog1py, positive(5), inside(5)),
}


@pytest.mark.table
@pytest.mark.parametrize("name", DECORATED)
def test_published_rules_agree(name):
    report = check_rule(*DECORATED[name])
    assert report.agree, report


def test_a_kink_is_one():
    x = np.array([0.0, 1.0, -1.0])
    assert check_rule(jax.nn.relu, x).verdict == "kink"


def test_a_kink_is_one_for_the_referee_alone():
    x = np.array([0.0, 1.0, -1.0])
    assert check_function(jax.nn.relu, x, modes=("rev",)).verdict == "kink"


@pytest.mark.parametrize("name", ["optax.softmax_cross_entropy", "optax.triplet_margin_loss"])
def test_a_batch_agrees_whatever_the_names_of_the_inputs(name):
    f, *inputs = FUNCTIONS[name]
    assert check_function(f, *inputs, modes=("vmap",)).agree


def test_a_gradient_that_is_scaled_on_purpose_is_not_the_derivative():
    """optax.scale_gradient is an identity whose rule is none of it."""
    report = check_function(lambda x: optax.scale_gradient(x, 0.5), normal(4), modes=("rev",))
    assert report.verdict == "manual_wrong"
    assert report.diagnosis is not None
    assert report.diagnosis.bug == "constant_factor"
    assert check_function(lambda x: optax.scale_gradient(x, 1.0), normal(4)).agree


# Kernels of jax.experimental.pallas, interpreted, which compute in float32 alone.


def single(*shape, seed=11):
    return normal(*shape, seed=seed).astype(np.float32)


def rms_norm_kernel():
    from jax.experimental.pallas.ops.gpu.rms_norm import rms_norm, rms_norm_reference

    def plain(x, weight, bias, *settings):
        return rms_norm_reference(x, weight, bias)

    inputs = single(1, 2, 8), single(8, seed=1), single(8, seed=2)
    settings = 4, 1, 1e-5, "triton", True
    return check_rule(rms_norm, *inputs, *settings, reference=plain)


def attention_kernel():
    from jax.experimental.pallas.ops.gpu.attention import BlockSizes, mha, mha_reference

    blocks = BlockSizes(**dict.fromkeys(inspect.signature(BlockSizes).parameters, 16))
    kernel = partial(mha, segment_ids=None, sm_scale=0.25, block_sizes=blocks, interpret=True)
    plain = partial(mha_reference, segment_ids=None, sm_scale=0.25)
    inputs = [single(1, 16, 1, 16, seed=seed) for seed in range(3)]
    return check_function(
        lambda q, k, v: kernel(q, k, v), *inputs,
        reference=lambda q, k, v: plain(q, k, v), modes=("rev",),
    )  # fmt: skip


def grouped_product_kernel():
    from jax.experimental.pallas.ops.tpu.megablox import ops

    sizes = np.array([3, 5], np.int32)
    kernel = lambda x, w: ops.gmm(x, w, sizes, jnp.float32, (8, 8, 8), interpret=True)  # noqa: E731
    plain = lambda x, w: jnp.concatenate([x[:3] @ w[0], x[3:] @ w[1]])  # noqa: E731
    inputs = single(8, 8), single(2, 8, 8)
    return check_function(kernel, *inputs, reference=plain, modes=("rev",))


KERNELS = [rms_norm_kernel, attention_kernel, grouped_product_kernel]


@pytest.mark.parametrize("kernel", KERNELS)
def test_published_kernels_agree(kernel):
    report = kernel()
    assert report.agree, report
    assert any("float32" in line or "float64" in line for line in report.details)


@pytest.mark.parametrize("how", ["keyword", "default"])
def test_constant_inputs_may_be_given_by_keyword_or_left_out(how):
    if how == "default":
        assert check_rule(special.log_ndtr, normal(5, scale=3)).agree
        return
    from jax.experimental.pallas.ops.gpu.rms_norm import rms_norm, rms_norm_reference

    inputs = single(1, 2, 8), single(8, seed=1), single(8, seed=2)
    with pytest.raises(
        ValueError, match=r"the loss computes in float32 inside, .*give a reference"
    ):
        check_rule(rms_norm, *inputs, interpret=True)
    assert check_rule(rms_norm, *inputs, interpret=True, reference=rms_norm_reference).agree


def test_what_cannot_be_batched_is_listed():
    sizes = jnp.array([3, 5], jnp.int32)
    f = lambda x, w: lax.ragged_dot(x, w, sizes)  # noqa: E731
    report = check_function(f, normal(8, 4), normal(2, 4, 3))
    assert report.agree
    assert any(line.startswith("vmap") for line in report.not_compared)
