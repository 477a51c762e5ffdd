import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import sequences
from compare import check_rule
from manual.rules import gru

N = 5

LENGTHS = jnp.array([3, 0, 1, 2])
AFTER = {"reset_after": True}


def judge(inputs, settings, lengths=None, dtype=None):
    """The rule against `jax.grad` of a cell in a scan."""
    bound = gru.bind(**settings) if settings else gru
    fwd = lambda *xs: bound.fwd(*xs, lengths)  # noqa: E731  # pyright: ignore[reportCallIssue]
    bwd = lambda residuals, d_out: bound.bwd(residuals, d_out)[:-1]  # noqa: E731
    reference = functools.partial(sequences.gru, lengths=lengths, **settings)
    return check_rule(fwd, bwd, *inputs, reference=reference, dtype=dtype)


# check_rule asks about float64 first, whatever dtype it is given.
@pytest.mark.table
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all", "padded"])
@pytest.mark.parametrize("settings", [{}, AFTER, AFTER | {"reverse": True}], ids=str)
def test_it_is_the_vjp_of_a_cell_in_a_scan(draw, settings, lengths):
    report = judge(draw(3, ((N,),)), settings, lengths)
    assert report.agree, report


@pytest.mark.table
@pytest.mark.parametrize(("time", "batch"), [(1, 4), (3, 1), (1, 1)])
def test_one_step_and_one_example(draw, time, batch):
    report = judge(draw(3, ((N,),), time=time, batch=batch), {}, dtype="bfloat16")
    assert report.agree, report


def test_padding_changes_nothing_and_has_no_gradient(draw, assert_padding_is_left_out):
    assert_padding_is_left_out(gru, draw(3, ((N,),)), LENGTHS)


def test_reverse_is_the_turned_sequence(draw):
    x, *others = draw(3, ((N,),))
    forwards = gru(x[:, ::-1], *others)
    backwards = gru(x, *others, reverse=True)
    np.testing.assert_array_equal(backwards[0], forwards[0][:, ::-1])
    np.testing.assert_array_equal(backwards[1], forwards[1])


def test_no_step_at_all_is_the_first_state(draw):
    inputs = draw(3, ((N,),), time=0)
    every, last = gru(*inputs)[:2]
    assert every.shape == (4, 0, 5)
    np.testing.assert_array_equal(last, inputs[1])
    dh0 = jax.grad(lambda h0: gru(inputs[0], h0, *inputs[2:])[1].sum())(inputs[1])
    np.testing.assert_array_equal(dh0, jnp.ones((4, 5)))


def test_other_shapes_are_refused(draw):
    inputs = draw(3, ((N,),))
    for i, x in enumerate(inputs):
        wrong = [*inputs]
        wrong[i] = jnp.ones((*x.shape[:-1], 7))
        with pytest.raises(AssertionError):
            gru(*wrong)
    with pytest.raises(AssertionError):
        gru(*inputs, LENGTHS.astype(jnp.float32))  # pyright: ignore[reportCallIssue]
