"""The part of a line that an equation comes from."""

import linecache

import jax
import jax.numpy as jnp
import numpy as np

from compare.diagnosis.expressions import expression_of, source_of
from compare.diagnosis.tape import record


def texts(fn, *args):
    """The expression of every equation, as source."""
    found = []
    for eqn in jax.make_jaxpr(fn)(*args).jaxpr.eqns:
        where = expression_of(eqn)
        assert where is not None
        assert where.file == __file__
        assert where.line == where.end_line
        found.append(linecache.getline(__file__, where.line)[where.column : where.end_column])
    return found


def test_each_operation_of_a_line_has_its_own_expression():
    def fn(x):
        return jnp.sin(x) * jnp.cos(x + 1)

    assert texts(fn, 1.0) == [
        "jnp.sin(x)",
        "x + 1",
        "jnp.cos(x + 1)",
        "jnp.sin(x) * jnp.cos(x + 1)",
    ]


def test_an_equation_without_a_traceback_has_none():
    (eqn,) = jax.make_jaxpr(jnp.sin)(1.0).jaxpr.eqns
    assert expression_of(eqn.replace(source_info=eqn.source_info.replace(traceback=None))) is None


def sources(fn, x):
    """The source of every equation of a tape."""
    tape = record(lambda leaves, constants: fn(leaves[0]), {"x": np.asarray(x)}, [])
    return [source_of(equation.origin) for equation in tape.equations]


def test_the_source_stands_for_the_value():
    assert sources(lambda x: jnp.sin(x) * jnp.cos(x + 1), 1.0)[-1] == "jnp.sin(x) * jnp.cos(x + 1)"


def test_what_is_long_or_on_two_lines_has_no_source():
    def long(x):
        return jnp.sin(x + 1) * jnp.cos(x + 1) * jnp.tan(x)

    def broken(x):
        return (
            jnp.sin(x)
            + x
        )  # fmt: skip

    assert sources(long, 1.0)[-1] == sources(broken, 1.0)[-1] == ""
    assert source_of(None) == ""
