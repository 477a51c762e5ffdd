import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule
from manual.rules.group_norm import group_norm, group_norm_bwd, group_norm_fwd


def reference(x, scale, bias, *, groups, epsilon=1e-6):
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    grouped = wide.reshape(*x.shape[:-1], groups, -1)
    axes = (*range(1, x.ndim - 1), x.ndim)
    mean = jnp.mean(grouped, axes, keepdims=True)
    var = jnp.var(grouped, axes, keepdims=True)
    normal = ((grouped - mean) / jnp.sqrt(var + epsilon)).reshape(x.shape)
    return (normal * scale + bias).astype(x.dtype)


def draw(seed, shape, dtype="float32"):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 1.5 + 0.3
    scale, bias = rng.standard_normal((2, shape[-1]))
    return tuple(jnp.asarray(a, dtype) for a in (x, scale, bias))


@pytest.mark.parametrize(
    ("dtype", "shape", "groups"),
    [
        ("float32", (2, 3, 5, 6), 3),
        ("bfloat16", (1, 4, 3, 4), 1),
        ("float32", (1, 4, 3, 4), 4),
        ("float32", (5, 8), 2),
    ],
)
def test_pair_is_the_vjp_of_the_reference(dtype, shape, groups):
    report = check_rule(
        functools.partial(group_norm_fwd, groups=groups),
        functools.partial(group_norm_bwd, groups=groups),
        *draw(0, shape),
        reference=functools.partial(reference, groups=groups),
        dtype=dtype,
    )
    assert report.agree, report


def test_a_constant_group_is_divided_by_the_root_of_epsilon():
    x, scale, bias = draw(1, (2, 3, 2, 4))
    x = x.at[..., 2:].set(0.5)
    bound = group_norm.bind(groups=2, epsilon=1e-3)
    pair = bound.fwd, bound.bwd
    wanted = functools.partial(reference, groups=2, epsilon=1e-3)
    report = check_rule(*pair, x, scale, bias, reference=wanted)
    assert report.agree, report
    y = group_norm(x, scale, bias, groups=2)
    np.testing.assert_array_equal(y[..., 2:], np.broadcast_to(bias[2:], (2, 3, 2, 2)))


def test_under_jit_grad_and_vmap():
    xs, scale, bias = draw(2, (3, 2, 2, 3, 4))

    def own(f):
        return jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(f(x, scale, bias, groups=2) ** 2))))(xs)

    got, want = own(group_norm), own(reference)
    # Sums of 12 terms, four in a row, and 20 operations more, on numbers below 9 (1 + |γ|)² · 4.
    bound = 2 * (4 * 12 + 20) * float(jnp.finfo("float32").eps)
    assert np.all(np.abs(got - want) <= bound * 9 * (1 + np.abs(scale).max()) ** 2 * 4)


def test_bfloat16_stays_bfloat16():
    x, scale, bias = draw(3, (2, 3, 2, 4), "bfloat16")
    y, residuals = group_norm_fwd(x, scale, bias, groups=2)
    chex.assert_type([y, *group_norm_bwd(residuals, y, groups=2)], jnp.bfloat16)


def test_groups_that_do_not_divide_are_refused():
    x, scale, bias = draw(4, (2, 3, 2, 4))
    for groups in (3, 0, 8):
        with pytest.raises(ValueError, match=rf"groups must divide the 4 channels, got {groups}"):
            group_norm(x, scale, bias, groups=groups)


def test_other_shapes_are_refused():
    with pytest.raises(AssertionError):
        group_norm(jnp.ones((2, 3, 4)), jnp.ones(3), jnp.ones(4), groups=2)
