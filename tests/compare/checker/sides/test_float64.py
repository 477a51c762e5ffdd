import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.checker.sides.float64 import (
    float64_on_cpu,
    is_float64_on_cpu,
    matmul_precision,
    on_cpu,
    x64,
)


def precision_of_a_product():
    (eqn,) = jax.make_jaxpr(lambda x: x @ x)(np.ones((2, 2), np.float32)).eqns
    return eqn.params["precision"]


def test_matrix_products_are_of_the_highest_precision_where_none_is_set():
    with matmul_precision() as name:
        assert name == "highest"
        assert precision_of_a_product() == (lax.Precision.HIGHEST, lax.Precision.HIGHEST)
    assert precision_of_a_product() is None, "it is set back"


@pytest.mark.parametrize("chosen", ["default", "high", "highest", "bfloat16"])
def test_the_callers_precision_is_kept(chosen):
    with jax.default_matmul_precision(chosen):
        before = precision_of_a_product()
        with matmul_precision() as name:
            assert name == chosen
            assert precision_of_a_product() == before


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["float64", "float64"], True),
        (["float64", "int32", "bool"], True),
        (["float64", "float32"], False),
        (["float32"], False),
        (["bfloat16", "int32"], False),
        (["complex128", "float64"], True),
        (["complex64", "int32"], False),
        (["complex64", "float64"], False),
    ],
)
def test_the_reference_is_float64_on_the_cpu(dtypes, expected, monkeypatch):
    arrays = [np.ones(2, jnp.dtype(dtype)) for dtype in dtypes]
    assert is_float64_on_cpu(arrays) is expected
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not is_float64_on_cpu(arrays)


def test_float64_where_it_is_needed_and_only_there():
    def dtype():
        return jnp.asarray(np.ones(2)).dtype

    with x64(False):
        assert dtype() == np.float32
    with x64(True):
        assert dtype() == np.float64
        with x64(False):
            assert dtype() == np.float64, "what the caller has set stays"
    assert dtype() == np.float32


def test_float64_on_cpu_is_both():
    with float64_on_cpu():
        x = jnp.ones(2)
    assert x.dtype == np.float64
    assert {device.platform for device in x.devices()} == {"cpu"}
    assert jnp.ones(2).dtype == np.float32


def test_nothing_is_compiled_again_where_the_cpu_is_the_default():
    traced = []
    fn = jax.jit(lambda x: traced.append(x) or x + 1)
    fn(jnp.ones(2))
    with on_cpu():
        fn(jnp.ones(2))
    assert len(traced) == 1


def default_device():
    # JAX makes its options attributes at run time, where a type checker cannot see them.
    return jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]


def test_elsewhere_the_cpu_is_made_the_default(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    (first, *_) = jax.local_devices(backend="cpu")
    with on_cpu():
        assert default_device() == first
    assert default_device() is None
