import functools
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from manual import mlp, rules
from manual.rules.activations import Kept, leaky_relu, leaky_relu_bwd, leaky_relu_fwd, softplus
from manual.rules.dense import dense
from manual.rules.pooling import max_pool
from manual.rules.rule import Rule


def scale_fwd(x, by, *, power=1):
    """y = x by^power."""
    return x * by**power, (x, by)


def scale_bwd(residuals, dy, *, power=1):
    """A wrong rule on purpose: it returns what no derivative would."""
    _, by = residuals
    return 100 * power * dy, jnp.zeros_like(by)


def test_the_gradient_is_that_of_bwd_and_of_nothing_else():
    f = Rule(scale_fwd, scale_bwd)
    assert f(3.0, 2.0) == 6
    assert jax.grad(f)(3.0, 2.0) == 100
    assert jax.grad(f, argnums=1)(3.0, 2.0) == 0


def test_inputs_may_be_given_by_keyword():
    x, w, b = jnp.ones((3, 2)), jnp.full((2, 4), 2.0), jnp.zeros(4)
    dw = jax.grad(lambda w: dense(x, w=w, b=b).sum())(w)
    db = jax.grad(lambda b: dense(b=b, w=w, x=x).sum())(b)
    np.testing.assert_array_equal(dw, np.full((2, 4), 3))
    np.testing.assert_array_equal(db, np.full(4, 3))


def test_settings_reach_both_halves():
    f = Rule(scale_fwd, scale_bwd)
    assert f(3.0, 2.0, power=3) == 24
    assert jax.grad(f)(3.0, 2.0, power=3) == 300


def test_settings_are_static_under_jit_and_vmap():
    x = jnp.array([-2.0, 3.0])
    slope = jax.jit(jax.vmap(jax.grad(lambda x: leaky_relu(x, negative_slope=0.25))))
    np.testing.assert_array_equal(slope(x), [0.25, 1])


def test_two_settings_do_not_mix():
    first, second = (jax.grad(lambda x, a=a: leaky_relu(x, negative_slope=a)) for a in (0.5, 0.125))
    assert first(-1.0) == 0.5
    assert second(-1.0) == 0.125
    assert first(-1.0) == 0.5


def test_a_rule_reads_like_a_function_that_was_written():
    f = Rule(leaky_relu_fwd, leaky_relu_bwd)
    assert f.__name__ == "leaky_relu"
    assert list(inspect.signature(f).parameters) == ["x", "negative_slope"]
    assert "Backward pass:" in (f.__doc__ or "")
    assert repr(Rule(scale_fwd, scale_bwd)) == "<rule scale(x, by, *, power=1)>"


def test_the_signature_has_out_alone_as_its_result():
    assert inspect.signature(leaky_relu_fwd).return_annotation == tuple[jax.Array, Kept]
    assert inspect.signature(leaky_relu).return_annotation is jax.Array
    assert inspect.signature(leaky_relu.bind(negative_slope=0.5)).return_annotation is jax.Array
    assert (
        inspect.signature(Rule(scale_fwd, scale_bwd)).return_annotation is inspect.Signature.empty
    )


def test_inputs_that_do_not_fit_raise_as_fwd_would():
    with pytest.raises(TypeError, match="missing a required argument: 'w'"):
        dense(jnp.ones((1, 2)))  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="unexpected keyword argument 'slope'"):
        leaky_relu(jnp.ones(2), slope=1.0)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match=r"; it is leaky_relu\(x, \*, negative_slope=0.01\)$"):
        leaky_relu(jnp.ones(2), 0.2)  # pyright: ignore[reportCallIssue]


def test_inputs_that_fwd_refuses_are_told_by_name():
    w, b = jnp.ones((2, 3)), jnp.ones(2)
    with pytest.raises(
        AssertionError, match=r"^dense: .* given x float32\[2\], w float32\[2,3\], b"
    ):
        dense(jnp.ones(2), w, b)
    with pytest.raises(
        AssertionError, match=r"given predictions float32\[2\], targets float32\[\]"
    ):
        rules.mean_squared_error(jnp.ones(2), 0.0)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "call",
    [
        rules.softmax,
        rules.logsumexp,
        rules.sigmoid,
        lambda x: rules.rms_norm(x, jnp.ones(2)),
        lambda x: rules.batch_norm(x, jnp.ones(2), jnp.ones(2)),
        lambda x: rules.instance_norm(x, jnp.ones(2), jnp.ones(2)),
        lambda x: rules.weight_norm(x, jnp.ones(2, int)),
        lambda x: rules.cosine_similarity(x, x),
        lambda x: rules.rotary(x[:, :, None, None], jnp.arange(2)),
    ],
)
def test_integers_are_refused_where_the_result_would_be_cut(call):
    with pytest.raises((AssertionError, TypeError, ValueError)):
        call(jnp.arange(4).reshape(2, 2))


def test_a_number_of_numpy_is_a_setting_like_one_of_python():
    x = jnp.ones(3, jnp.bfloat16)
    dx = jax.grad(lambda x: rules.huber(x, 0 * x, delta=np.float32(0.5)))(x)  # pyright: ignore[reportArgumentType]
    assert dx.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "transformed",
    [
        jax.jit(lambda a: leaky_relu(1.0, negative_slope=a)),  # pyright: ignore[reportArgumentType]
        jax.grad(lambda a: leaky_relu(1.0, negative_slope=a)),  # pyright: ignore[reportArgumentType]
        jax.jit(lambda a: leaky_relu.bind(negative_slope=a)(1.0)),
        lambda a: jax.vmap(lambda a: leaky_relu(1.0, negative_slope=a))(jnp.full(2, a)),  # pyright: ignore[reportArgumentType]
    ],
    ids=["jit", "grad", "bind", "vmap"],
)
def test_a_traced_setting_is_named(transformed):
    with pytest.raises(TypeError, match=r"negative_slope of leaky_relu .* settings are static: .*"):
        transformed(0.5)


def test_a_setting_that_holds_a_traced_value_is_named():
    images = jnp.ones((1, 4, 4, 1))
    with pytest.raises(TypeError, match="window of max_pool is a setting"):
        jax.jit(lambda n: max_pool(images, window=(2, n)))(2)


def root_fwd(x, *, epsilon=1.0):
    return jnp.sqrt(x + epsilon), jnp.sqrt(x + epsilon)


def root_bwd(root, dy):
    return (dy / (2 * root),)


def test_bwd_gets_only_the_settings_that_it_asks_for():
    root = Rule(root_fwd, root_bwd)
    assert jax.grad(root)(3.0, epsilon=1.0) == 0.25
    assert jax.grad(root.bind(epsilon=13.0))(3.0) == 0.125


def test_bound_settings_are_part_of_the_rule():
    f = Rule(scale_fwd, scale_bwd).bind(power=2)
    assert f.__name__ == "scale"
    assert f(3.0, 2.0) == 12
    assert f(3.0, 2.0, power=3) == 24
    assert f.fwd(3.0, 2.0)[0] == 12
    assert f.bwd((3.0, 2.0), 1.0)[0] == 200
    with pytest.raises(TypeError, match="scale has no setting 'exponent'"):
        f.bind(exponent=2)


def test_a_rule_is_tied_once_and_goes_through_every_transformation():
    f = Rule(root_fwd, root_bwd)
    x = jnp.array([0.0, 3.0, 8.0])
    want = [0.5, 0.25, 1 / 6]
    for gradient in (
        jax.jit(jax.vmap(jax.grad(f))),
        jax.vmap(jax.grad(jax.checkpoint(f))),
        lambda x: jax.lax.map(jax.grad(f), x),
        jax.vmap(jax.grad(lambda x: jax.lax.scan(lambda c, _: (c, f(x)), 0.0, length=1)[1][0])),
    ):
        np.testing.assert_allclose(gradient(x), want, rtol=1e-6)


def test_a_second_gradient_differentiates_both_halves():
    second = jax.grad(jax.grad(Rule(root_fwd, root_bwd)))
    assert second(3.0) == -1 / 32


def test_a_hessian_is_forward_mode_over_reverse_mode():
    x, w, b = jnp.array([[1.0, -2.0]]), jnp.array([[0.5, 0.25], [-1.0, 0.75]]), jnp.zeros(2)
    for f in (lambda w: dense(x, w, b), lambda w: x @ w + b):
        hessian = jax.jit(jax.hessian(lambda w, f=f: (f(w) ** 2).sum()))
        assert np.asarray(hessian(w))[0, 0, 1, 0] == -4
    second = jax.jit(jax.hessian(lambda x: softplus(x).sum()))(jnp.zeros(2))
    np.testing.assert_array_equal(second, 0.25 * np.eye(2))


def test_forward_mode_is_refused():
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(Rule(root_fwd, root_bwd), (3.0,), (1.0,))


def test_an_exported_gradient_is_that_of_the_rule():
    gradient = jax.jit(jax.vmap(jax.grad(Rule(root_fwd, root_bwd).bind(epsilon=13.0))))
    x = jnp.array([3.0, 12.0])
    exported = export.export(gradient)(x)
    np.testing.assert_allclose(exported.call(x), [0.125, 0.1], rtol=1e-6)


def test_a_rule_of_ones_own_may_stand_for_a_name():
    x, targets = jnp.ones((2, 3)), jnp.zeros((2, 4))
    params = mlp.init(jax.random.key(0), (3, 5, 4))

    def error_fwd(logits, targets):
        return ((logits - targets) ** 2).sum(), (logits - targets,)

    def error_bwd(residuals, d_loss):
        return 2 * residuals[0] * d_loss, -2 * residuals[0] * d_loss

    squared = Rule(error_fwd, error_bwd)
    by_hand = functools.partial(mlp.loss_and_grad, activation="tanh", loss=squared)
    loss, grads = jax.jit(by_hand)(params, (x, targets))

    def plain(params):
        return ((mlp.predict(params, x, activation="tanh") - targets) ** 2).sum()

    want = jax.jit(jax.grad(plain))(params)
    assert loss > 0
    chex.assert_trees_all_close(grads, want, rtol=1e-5)
