import jax
import jax.numpy as jnp
import pytest

from compare.jaxprs import compiler_options


@pytest.mark.parametrize("level", [0, 1])
def test_a_program_compiles_with_them(level):
    double = jax.jit(lambda x: 2 * x, compiler_options=compiler_options(level))
    assert double(jnp.float32(3)) == 6


@pytest.mark.parametrize(
    ("platform", "options"),
    [
        ("cpu", {"xla_backend_optimization_level": 1}),
        ("gpu", {"xla_gpu_autotune_level": 0}),
        ("tpu", {}),
    ],
)
def test_each_platform_has_its_own(platform, options, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    assert compiler_options(1) == options
