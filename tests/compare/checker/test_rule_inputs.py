"""What a rule is held against: the point as people draw it, and cotangents of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker import check_rule
from compare.checker.rules import cotangents, inner_product
from compare.checker.sides.parameters import Inputs


def unit_fwd(x, scale):
    """scale · x / |x|."""
    norm = jnp.sqrt((x**2).sum())
    return scale * x / norm, (x, norm, scale)


def unit_bwd(residuals, d, factor=1.0):
    x, norm, scale = residuals
    u = x / norm
    return factor * scale * (d - u * (u @ d)) / norm, u @ d


@pytest.mark.parametrize("seed", [0, 1])
def test_a_point_that_is_drawn_as_people_draw_it(seed):
    """The gradient of a direction is 0 along the direction itself."""
    x = np.random.default_rng(seed).standard_normal(6)
    assert check_rule(unit_fwd, unit_bwd, x, 1.3).agree
    report = check_rule(unit_fwd, lambda res, d: unit_bwd(res, d, 3.0), x, 1.3)
    assert report.verdict == "manual_wrong"
    assert [leaf.path for leaf in report.leaves if not leaf.agrees] == ["x"]


def two(x, tokens, gain=2.0, *, power=1):
    return {"y": gain * x**power, "z": x[tokens].sum(), "n": tokens}


def test_every_floating_output_has_a_cotangent_that_is_not_uniform():
    point = Inputs(two, (np.ones(3), np.array([0, 2])))
    drawn = cotangents(two, point, seed=0)
    shapes = [d.shape for d in drawn.values()]
    assert sorted(shapes) == [(), (3,)]
    assert all(len(np.unique(d)) == d.size for d in drawn.values())
    other = cotangents(two, point, seed=1)
    assert all(not np.array_equal(drawn[number], other[number]) for number in drawn)


def test_the_inner_product_is_real_and_holomorphic_in_the_output():
    d, out = {"000": jnp.array([1 + 2j, 3j])}, jnp.array([2 - 1j, 1 + 1j])
    assert inner_product(d, out) == pytest.approx(float(jnp.real((d["000"] * out).sum())))


@jax.custom_vjp
def scaled(x, count):
    return x * count


scaled.defvjp(lambda x, count: (x * count, count), lambda count, d: (d * count, None))


def test_an_integer_input_of_a_decorated_function_is_listed():
    report = check_rule(scaled, np.arange(3.0), np.array(4))
    assert report.agree
    assert report.not_compared == ("count (int64)",)
