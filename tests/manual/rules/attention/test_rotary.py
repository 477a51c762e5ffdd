import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import sequences
from compare import check_rule
from manual.rules import rotary


def draw(*shape):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "positions", [jnp.arange(5), jnp.array([[0, 3, 4, 9, 70], [5, 1, 2, 3, 4]])]
)
def test_it_is_the_vjp_of_complex_numbers(dtype, positions):
    positions = jnp.asarray(positions)
    report = check_rule(
        lambda x: rotary.fwd(x, positions),
        lambda residuals, dy: rotary.bwd(residuals, dy)[:1],
        draw(2, 5, 3, 4),
        reference=lambda x: sequences.rotary(x, positions),
        dtype=dtype,
    )
    assert report.agree, report


def test_the_product_of_two_depends_on_the_distance_alone():
    q, k = draw(1, 1, 1, 6), 2 * draw(1, 1, 1, 6)[..., ::-1]
    near, far = (
        jnp.sum(rotary(q, jnp.array([a])) * rotary(k, jnp.array([b])))
        for a, b in [(3, 5), (40, 42)]
    )
    np.testing.assert_allclose(near, far, rtol=1e-4)
    np.testing.assert_array_equal(rotary(q, jnp.array([0])), q)


def test_a_gradient_is_turned_back():
    x, positions = draw(2, 3, 2, 4), jnp.array([1, 5, 2])
    _, vjp = jax.vjp(lambda x: rotary(x, positions), x)
    np.testing.assert_allclose(vjp(rotary(x, positions))[0], x, rtol=1e-5, atol=1e-6)


def test_an_odd_number_of_features_is_refused():
    with pytest.raises(ValueError, match="must be even; got 5"):
        rotary(draw(1, 2, 3, 5), jnp.arange(2))
