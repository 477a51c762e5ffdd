"""Any function: both modes, under vmap, once and twice, against an independent source."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import assert_function_agrees, check_function

X = np.random.default_rng(0).standard_normal((4, 3))
Z = X + 1j * X[::-1]


def ruled(slope, decorate: Any = jax.custom_vjp):
    """x³ whose rule says that its derivative is `slope(x)`."""
    fn = decorate(lambda x: x**3)
    if decorate is jax.custom_vjp:
        fn.defvjp(lambda x: (x**3, x), lambda x, d: (slope(x) * d,))
    else:
        fn.defjvp(lambda primals, tangents: (primals[0] ** 3, slope(primals[0]) * tangents[0]))
    return fn


def right(x):
    return 3 * x**2


def mixed(params, index, scale, name):
    return {"chosen": params["w"][index] * scale, "count": index + len(name)}


AGREE = {
    "elementwise": (jnp.tanh, (X,)),
    "of two": (lambda x, y: x @ y.T, (X, X + 1)),
    "with a kink": (jax.nn.relu, (X,)),
    "pytrees, integers, numbers, strings": (mixed, ({"w": X}, np.array([2, 0, 2]), 1.5, "name")),
    "several outputs": (lambda x: (jnp.sin(x), [jnp.sum(x), jnp.argmax(x)]), (X,)),
    "complex to complex": (lambda z: jnp.exp(z) * jnp.conj(z), (Z,)),
    "complex to real": (lambda z: jnp.abs(z), (Z,)),
    "real to complex": (lambda x: jnp.fft.fft(x), (X,)),
    "linear algebra": (lambda x: jnp.linalg.inv(x[:3] + 3 * jnp.eye(3)), (X,)),
    "a right custom_vjp": (ruled(right), (X,)),
    "a right custom_jvp": (ruled(right, jax.custom_jvp), (X,)),
}


@pytest.mark.table
@pytest.mark.parametrize("name", AGREE)
def test_right_functions_agree(name):
    f, inputs = AGREE[name]
    report = check_function(f, *inputs)
    assert report.agree, report
    modes = {leaf.path.split("/")[0] for leaf in report.leaves}
    assert modes == ({"rev", "vmap"} if name == "a right custom_vjp" else {"rev", "fwd", "vmap"})


WRONG = {
    "another slope": lambda x: 2 * x**2,
    "a small error": lambda x: 3 * x**2 + 1e-7,
    "another precision, and wrong in it": lambda x: 3.01 * (x.astype("float32") ** 2),
}


@pytest.mark.table
@pytest.mark.parametrize("decorate", [jax.custom_vjp, jax.custom_jvp])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_found(name, decorate):
    report = check_function(ruled(WRONG[name], decorate), X, modes=("rev",))
    assert report.verdict == "manual_wrong", report
    assert not report.leaves[0].agrees


def test_second_derivatives_are_found_wrong_where_only_they_are():
    """A rule that is right once, and hides from the second derivative how it depends on x."""
    hidden = ruled(lambda x: 3 * jax.lax.stop_gradient(x) ** 2)
    assert check_function(hidden, X).agree
    report = check_function(hidden, X, order=2)
    assert report.verdict == "manual_wrong"
    wrong = {leaf.path for leaf in report.leaves if not leaf.agrees}
    assert wrong == {"rev over rev/x", "fwd over rev/x"}
    assert check_function(ruled(right), X, order=2).agree
    assert check_function(jnp.tanh, X, order=2).agree


def test_a_rule_that_forgets_its_batch_is_found_under_vmap():
    slope = jax.custom_batching.custom_vmap(lambda x: 3 * x**2)

    @slope.def_vmap
    def batched(size, in_batched, x):
        return jnp.broadcast_to(3 * x[:1] ** 2, x.shape), True

    report = check_function(ruled(slope), X, modes=("rev", "vmap"))
    assert not report.agree
    assert {leaf.path: leaf.agrees for leaf in report.leaves} == {"rev/x": True, "vmap/x": False}


def test_a_reference_is_another_way_to_compute_it():
    report = check_function(jnp.sin, X, reference=lambda x: jnp.cos(x - jnp.pi / 2), accuracy=1e-6)
    assert report.agree, report
    assert check_function(jnp.sin, X, reference=jnp.cos).verdict in ("manual_wrong", "loss_differs")


@pytest.mark.parametrize("order", [1, 2])
def test_a_rule_is_not_held_against_itself(order):
    """The same wrong rule on both sides: what the reference computes counts, not what it says."""
    same = ruled(WRONG["another slope"])
    report = check_function(same, X, reference=same, modes=("rev", "vmap"), order=order)
    assert report.verdict == "manual_wrong"
    assert not any(leaf.agrees for leaf in report.leaves)


def test_a_wrong_rule_of_the_reference_is_no_fault_of_the_function():
    reference = ruled(WRONG["another slope"])
    report = check_function(lambda x: x**3, X, reference=reference, modes=("rev",), order=2)
    assert report.verdict == "autodiff_wrong"
    assert all(leaf.agrees for leaf in report.leaves)
    assert any("jax.grad goes by the custom rules" in line for line in report.details)


def test_without_a_reference_the_report_says_who_judged():
    report = check_function(jnp.sin, X)
    assert report.details == (
        "rev, fwd, vmap: f has no other source of its derivative: judged by the referee alone",
    )
    assert report.detectable < 1e-9


def test_what_cannot_be_asked_is_not_passed_over():
    report = check_function(ruled(right), X)
    assert report.not_compared == ("fwd (jax has no forward mode through custom_vjp)",)
    with pytest.raises(ValueError, match="no forward mode through custom_vjp: ask for mode rev"):
        check_function(ruled(right), X, modes="fwd")
    declared = check_function(mixed, {"w": X}, np.array([1]), 2.0, "n", constant=("scale",))
    assert declared.not_compared == ("index (int64)", "name (str)", "scale (declared constant)")


def test_static_arguments_are_keywords():
    def power(x, *, n):
        return x**n

    assert check_function(power, X, n=3).agree
    assert [leaf.path for leaf in check_function(power, X, n=2, modes="rev").leaves] == ["rev/x"]


def test_without_jit_python_may_branch():
    def branching(x):
        return jnp.sin(x) if float(x.sum()) > -100 else x

    with pytest.raises(ValueError, match="cannot be traced"):
        check_function(branching, X)


def test_assertion_carries_the_report():
    assert_function_agrees(jnp.tanh, X)
    with pytest.raises(AssertionError, match=r"MANUAL WRONG(.|\n)*rev/x"):
        assert_function_agrees(ruled(WRONG["another slope"]), X)


def test_what_a_rule_does_not_differentiate_is_passed_on():
    @functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
    def leaky(x, slope):
        return jnp.where(x > 0, x, slope * x)

    leaky.defvjp(
        lambda x, slope: (leaky(x, slope), x),
        lambda slope, x, d: (jnp.where(x > 0, d, slope * d),),
    )
    report = check_function(leaky, X, 0.2)
    assert report.agree, report
    assert [leaf.path for leaf in report.leaves] == ["rev/x", "vmap/x"]
