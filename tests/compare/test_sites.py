from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients, sites
from compare.diagnosis.tape import record
from compare.sites import at_own_lines, library_call, shown, site_of, source

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


def test_the_halves_of_a_rule_are_traced_at_their_own_lines():
    @jax.custom_vjp
    def double(x):
        return 2 * x

    def bwd(_, g):
        return (3 * g,)

    double.defvjp(lambda x: (double(x), None), bwd)
    gradient = jax.jit(jax.grad(lambda x: double(x)))

    def sites():
        (call,) = jax.make_jaxpr(gradient)(1.0).jaxpr.eqns
        return {site_of(eqn) for eqn in call.params["jaxpr"].eqns if eqn.primitive.name == "mul"}

    own, as_it_was = f"{__file__}:{bwd.__code__.co_firstlineno + 1}", jax.custom_vjp.__call__
    assert own not in sites()
    with at_own_lines(), at_own_lines():
        assert own in sites()
    assert jax.custom_vjp.__call__ is as_it_was
    assert own not in sites()


def test_an_error_in_the_half_of_a_rule_is_its_own():
    @jax.custom_vjp
    def double(x):
        return 2 * x

    def bwd(_, g):
        raise ZeroDivisionError("of bwd")

    double.defvjp(lambda x: (2 * x, None), bwd)
    with at_own_lines(), pytest.raises(ZeroDivisionError, match="of bwd"):
        jax.grad(double)(1.0)


def test_the_checker_is_no_library_wherever_it_is_installed(monkeypatch):
    """What calls a candidate is watched on the way to it."""
    own = sites.__file__
    monkeypatch.setattr(sites, "_LIBRARIES", (str(Path(own).parents[1]),))
    assert not sites.is_library(own)
    assert sites.is_library(str(Path(own).parents[1] / "somebody" / "else.py"))
