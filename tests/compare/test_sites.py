import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients
from compare.diagnosis.tape import record
from compare.sites import library_call, shown, site_of, source

Z = jnp.linspace(-1.3, 1.1, 6).reshape(3, 2)


def equations(fn, *args):
    return jax.make_jaxpr(fn)(*args).eqns


def several_on_one_line(z):
    return jnp.tanh(0.5 * jax.nn.gelu(z + 1)) * jax.nn.softmax(jnp.sin(z))


def test_an_operator_is_no_library_function_and_a_call_is():
    found = {(e.primitive.name, library_call(e)[1]) for e in equations(several_on_one_line, Z)}
    assert ("add", "") in found
    assert ("tanh", "gelu") in found
    assert ("exp", "softmax") in found
    assert not {called for _, called in found} & {"bind", "bind_with_trace"}


def test_the_site_is_the_persons_line():
    sites = {site_of(e) for e in equations(several_on_one_line, Z)}
    assert len(sites) == 1
    [site] = sites
    assert shown(site).endswith("test_sites.py:" + site.rsplit(":", 1)[1])
    assert source(site).startswith("return jnp.tanh(0.5")
    assert source("") == ""


def test_operations_on_one_line_stay_apart_on_the_tape():
    tape = record(lambda leaves, _: jnp.sum(jnp.tanh(0.5 * leaves[0])), {"z": np.asarray(Z)}, [])
    assert [e.name for e in tape.equations][:2] == ["mul", "tanh"]


@pytest.mark.parametrize("scale", [0.5, 0.1])
def test_a_mistake_in_one_of_two_operations_on_a_line_is_named(scale):
    def loss(w, x):
        return jnp.sum(jnp.tanh(scale * (x @ w)) ** 2)

    def without_derivative_of_tanh(w, x):
        h = jnp.tanh(scale * (x @ w))
        return (h**2).sum(), x.T @ (2 * h * scale)

    w, x = jnp.linspace(-1, 1, 6).reshape(2, 3), Z
    report = check_gradients(without_derivative_of_tanh, loss, w, x)
    assert report.diagnosis is not None
    assert report.diagnosis.bug == "missing_activation_derivative"
    assert "tanh" in report.diagnosis.evidence
