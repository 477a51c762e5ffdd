import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import further
from compare import check_rule
from manual.rules import cosine_similarity, group_norm, instance_norm, weight_norm


def draw(*shapes):
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.standard_normal(shape) + 0.3, jnp.float32) for shape in shapes)


# check_rule asks about float64 first, whatever dtype it is given.
@pytest.mark.table
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("rule", "reference", "shapes"),
    [
        (cosine_similarity, further.cosine_similarity, [(3, 2, 5), (3, 2, 5)]),
        (instance_norm, further.instance_norm, [(2, 3, 4, 5), (5,), (5,)]),
        (weight_norm, further.weight_norm, [(3, 2, 4, 5), (5,)]),
        (weight_norm, further.weight_norm, [(1, 5), (5,)]),
    ],
)
def test_it_is_the_vjp_of_its_idiom(rule, reference, shapes, dtype):
    if rule is instance_norm and dtype == "bfloat16":
        pytest.skip("its idiom takes the mean of bfloat16 numbers; group_norm has this check")
    report = check_rule(rule.fwd, rule.bwd, *draw(*shapes), reference=reference, dtype=dtype)
    assert report.agree, report


def test_instance_norm_is_group_norm_with_a_group_for_each_channel():
    inputs = draw((2, 3, 4, 5), (5,), (5,))
    np.testing.assert_array_equal(instance_norm(*inputs), group_norm(*inputs, groups=5))


def test_a_short_vector_has_the_length_epsilon():
    a, b = jnp.zeros((1, 3)), jnp.ones((1, 3))
    y, (da, db) = jax.value_and_grad(lambda a, b: cosine_similarity(a, b).sum(), (0, 1))(a, b)
    assert y == 0
    np.testing.assert_allclose(da, jnp.full((1, 3), 1e8 / np.sqrt(3)), rtol=1e-6)
    np.testing.assert_array_equal(db, jnp.zeros((1, 3)))


def test_weight_norm_gives_each_output_its_length():
    v, g = draw((4, 5), (5,))
    np.testing.assert_allclose(jnp.linalg.norm(weight_norm(v, g), axis=0), jnp.abs(g), rtol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(AssertionError):
        cosine_similarity(jnp.ones((2, 3)), jnp.ones(3))
    with pytest.raises(AssertionError):
        weight_norm(jnp.ones((2, 3)), jnp.ones(2))
    with pytest.raises(AssertionError):
        instance_norm(jnp.ones((2, 3, 3, 4)), jnp.ones(3), jnp.ones(4))
