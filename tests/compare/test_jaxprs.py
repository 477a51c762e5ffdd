import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.jaxprs import _plainer, compiler_options, is_arithmetic


def sliding(x):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2,), (1,), "VALID")


@pytest.mark.parametrize("fn", [lambda x: 2 * x, sliding])
def test_a_program_compiles_with_them(fn):
    x = jnp.arange(3.0)
    traced = jax.jit(fn).trace(x)
    program = traced.lower().compile(compiler_options=compiler_options(traced.jaxpr.jaxpr))
    assert (program(x) == fn(x)).all()


@pytest.mark.parametrize(("fn", "level"), [(lambda x: 2 * x, 0), (sliding, 1)])
def test_sliding_windows_are_optimised(fn, level):
    """They are loops, which run 15 times as long otherwise."""
    inside = jax.jit(lambda x: jax.lax.scan(lambda c, _: (c, fn(x)), 0, length=2)[1])
    jaxpr = jax.make_jaxpr(inside)(jnp.arange(3.0)).jaxpr
    assert compiler_options(jaxpr)["xla_backend_optimization_level"] == level


@pytest.mark.parametrize(("turns", "level"), [(127, 0), (128, 1)])
def test_a_loop_of_many_turns_is_optimised(turns, level):
    fn = jax.jit(lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, length=turns)[0])
    jaxpr = jax.make_jaxpr(fn)(1.0).jaxpr
    assert compiler_options(jaxpr)["xla_backend_optimization_level"] == level


def called_back(x):
    return jax.pure_callback(np.sin, x, x)


def told(x):
    jax.debug.print("{}", x)
    return x


@pytest.mark.parametrize(
    ("fn", "is_so"),
    [
        (jax.grad(lambda x: jax.nn.gelu(jnp.sin(x)) ** 2), True),
        (jax.checkpoint(lambda x: jax.lax.cond(x > 0, jnp.tanh, jnp.sin, x)), True),
        (lambda x: jax.lax.while_loop(lambda y: y < 9, lambda y: 2 * y, x), True),
        (lambda x: x * jax.random.normal(jax.random.split(jax.random.key(0))[0]), True),
        (called_back, False),
        (lambda x: jax.lax.scan(lambda c, _: (called_back(c), None), x, length=2)[0], False),
        (told, False),
        (lambda x: jax.lax.rng_uniform(x, 2 * x, (3,)), False),
        (lambda x: jax.ffi.ffi_call("foreign", jax.typeof(x))(x), False),
    ],
)
def test_arithmetic_depends_on_its_inputs_alone(fn, is_so):
    assert is_arithmetic(jax.make_jaxpr(fn)(1.0)) == is_so


@pytest.mark.parametrize(
    ("platform", "options"), [("gpu", {"xla_gpu_autotune_level": 0}), ("tpu", {})]
)
def test_each_platform_has_its_own(platform, options, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    assert compiler_options() == options


def test_an_xla_that_does_not_know_them_does_without(monkeypatch):
    def unknown(*args, **kwargs):
        raise jax.errors.JaxRuntimeError("INVALID_ARGUMENT: No such compile option")

    monkeypatch.setattr(jax.stages.Lowered, "compile", unknown)
    _plainer.cache_clear()
    try:
        assert compiler_options() == {"xla_backend_optimization_level": 0}
    finally:
        _plainer.cache_clear()
