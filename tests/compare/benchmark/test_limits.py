import jax
import jax.numpy as jnp
import pytest
from jax import lax

from compare import problems
from compare.benchmark.limits import Limits, Work, least_work, measured_limits


def work(fn, *args):
    return least_work(jax.make_jaxpr(fn)(*args))


def test_inputs_and_outputs_are_moved_once():
    x, rows = jnp.ones((8, 4)), jnp.arange(8)
    assert work(lambda x, rows: (x[rows] + 1, x.sum()), x, rows) == Work(128 + 32 + 128 + 4, 0)
    assert work(lambda x: x * 2, x.astype(jnp.bfloat16)).bytes == 2 * 64
    assert work(lambda key: key, jax.random.key(0)).bytes == 2 * 8


def test_products_count_wherever_they_are():
    a, b = jnp.ones((3, 4)), jnp.ones((4, 4))
    one = 2 * 3 * 4 * 4
    assert work(jnp.matmul, a, b).operations == one
    assert work(jax.jit(jnp.matmul), a, b).operations == one
    assert work(lambda a, b: lax.fori_loop(0, 5, lambda _, a: a @ b, a), a, b).operations == 5 * one
    either = lambda a, b: lax.cond(a[0, 0] > 0, lambda: a, lambda: a @ b)  # noqa: E731
    assert work(either, a, b).operations == 0, "one of the branches has no product"
    batch = work(jax.vmap(jnp.matmul), jnp.ones((7, 3, 4)), jnp.ones((7, 4, 4)))
    assert batch.operations == 7 * one


def test_a_step_of_the_cnn_has_the_operations_of_its_layers():
    cnn = problems.cnn((8, 8, 1), (4, 6), 10, "softmax_cross_entropy_with_integer_labels")
    point = cnn.draw_point(0, 5)
    first, second, last = 8 * 8 * 9 * 4, 4 * 4 * 9 * 4 * 6, 2 * 2 * 6 * 10
    # Each layer forward, and its two gradients; the images have none.
    expected = 2 * 5 * (2 * first + 3 * second + 3 * last)
    assert work(jax.value_and_grad(cnn.loss, has_aux=True), *point).operations == expected


def test_zeros_between_the_rows_of_a_spread_input_are_no_work():
    x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((2, 2, 3, 5))

    def loss(x):
        dims = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=dims).sum()

    forward = 2 * (2 * 4 * 4 * 5) * 2 * 2 * 3
    assert work(jax.value_and_grad(loss), x).operations == pytest.approx(2 * forward, rel=0.5)


def test_the_slower_of_moving_and_computing_is_the_limit():
    limits = Limits(bytes=1e9, operations={"float32": 1e10})
    assert limits.least_ms(Work(2_000_000, 1e6), "float32") == pytest.approx(2.0)
    assert limits.least_ms(Work(2_000_000, 1e8), "float32") == pytest.approx(10.0)
    with pytest.raises(KeyError):
        limits.least_ms(Work(1, 1), "float16")


def test_this_machine_has_limits():
    limits = measured_limits(("float32",))
    # Between a slow core and ten of the fastest memories and processors there are.
    assert 1e7 < limits.bytes < 1e14
    assert 1e8 < limits.operations["float32"] < 1e17
