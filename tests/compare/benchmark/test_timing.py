import time
from itertools import groupby, pairwise

import jax.numpy as jnp
import numpy as np
import pytest

from compare.benchmark.limits import Limits
from compare.benchmark.timing import (
    Subject,
    changes,
    compiled,
    eager,
    interleaved,
    measure,
)
from compare.checker.rules import check_rule


def square_fwd(x):
    return x**2, (x,)


def square_bwd(residuals, dy):
    (x,) = residuals
    return (2 * x * dy,)


def doubled_bwd(residuals, dy):
    (x,) = residuals
    return (4 * x * dy,)


def subject(bwd, **engines):
    return Subject(
        "square", "3", lambda: check_rule(square_fwd, bwd, jnp.linspace(1, 2, 3)), engines
    )


def sleeping(seconds):
    return lambda: eager(lambda: time.sleep(seconds))


def test_the_ratio_is_manual_over_the_other():
    rows = measure(subject(square_bwd, manual=sleeping(0.002), slow=sleeping(0.008)), seconds=0.05)
    manual, slow = rows
    assert (manual.engine, slow.engine) == ("manual", "slow")
    assert manual.ratio == manual.ratio_low == manual.ratio_high == 1
    assert slow.ratio == pytest.approx(manual.median_ms / slow.median_ms)
    # A sleep takes at least its time, and on a busy machine longer, but both sleep alike.
    assert slow.min_ms >= 8
    assert slow.ratio_low <= slow.ratio_high < 1
    assert manual.compile_ms is None
    assert manual.temp_bytes is manual.temp_ratio is None
    assert manual.rounds == slow.rounds >= 5
    assert manual.limit_ms is None
    assert manual.proof_ms == slow.proof_ms > 0


def test_the_limit_is_that_of_the_engine_that_has_least_to_do():
    x, w = jnp.ones((8, 64)), jnp.ones((64, 64))
    engines = {
        "manual": lambda: compiled(lambda x, w: (x @ w) @ w, x, w),
        "once": lambda: compiled(jnp.matmul, x, w),
    }
    limits = Limits(bytes=1e12, operations={"float32": 1e9})
    rows = measure(subject(square_bwd, **engines), seconds=0.0, limits=limits)
    assert [row.limit_ms for row in rows] == pytest.approx([1e3 * 2 * 8 * 64 * 64 / 1e9] * 2)


def test_nothing_wrong_is_timed():
    def never():
        raise AssertionError("was run")

    engines = {"manual": lambda: eager(never), "slow": never}
    with pytest.raises(ValueError, match=r"nothing is timed that is wrong(.|\n)*MANUAL WRONG"):
        measure(subject(doubled_bwd, **engines), seconds=1)


def test_every_engine_has_as_many_turns_and_their_order_changes():
    order = []
    engines = {
        name: eager(lambda name=name: (order.append(name), time.sleep(0.003))) for name in "abc"
    }
    times = interleaved(engines, seconds=0.0)
    assert {name: len(own) for name, own in times.items()} == {"a": 5, "b": 5, "c": 5}
    rounds = ["".join(dict.fromkeys(order[i:])) for i in range(len(order) - 2)]
    assert len(set(rounds)) > 1
    assert {len(own) for own in interleaved(engines, seconds=0.0, least_rounds=3).values()} == {3}


def test_after_an_engine_that_spins_the_next_one_warms_up_until_it_sleeps():
    began = []

    def turns(name):
        return lambda: (began.append((name, time.perf_counter())), time.sleep(0.005))

    interleaved(
        {"quiet": eager(turns("quiet")), "spins": eager(turns("spins"), spin_seconds=0.06)},
        seconds=0.0,
    )
    turns_taken = [
        (name, [at for _, at in own]) for name, own in groupby(began, lambda run: run[0])
    ]
    # The last run of a turn is the counted one.
    warm_ups = [
        own[-1] - own[0]
        for (before, _), (name, own) in pairwise(turns_taken)
        if (before, name) == ("spins", "quiet")
    ]
    assert len(warm_ups) > 0
    assert min(warm_ups) >= 0.055


def test_while_one_would_spin_the_others_have_rounds_of_their_own():
    engines = {
        "manual": sleeping(0.001),
        "quiet": sleeping(0.001),
        "spins": lambda: eager(lambda: time.sleep(0.001), spin_seconds=0.03),
    }
    times = interleaved({name: prepare() for name, prepare in engines.items()}, seconds=0.0)
    assert np.isnan(times["spins"]).sum() == 15
    assert {len(own) for own in times.values()} == {20}
    assert not np.isnan([times["manual"], times["quiet"]]).any()
    manual, quiet, spins = measure(subject(square_bwd, **engines), seconds=0.0)
    assert (manual.rounds, quiet.rounds, spins.rounds) == (20, 20, 5)
    assert np.isfinite([spins.ratio, spins.ratio_low, spins.median_ms, spins.min_ms]).all()


def test_compiled_reports_what_the_compiler_planned():
    def two_products(x):
        return (x @ x) @ x

    x = jnp.asarray(np.random.default_rng(0).standard_normal((64, 64)), jnp.float32)
    prepared = compiled(two_products, x)
    np.testing.assert_allclose(prepared.run(), two_products(x), rtol=1e-4, atol=1e-4)
    assert prepared.compile_ms is not None
    assert prepared.temp_bytes is not None
    assert prepared.compile_ms > 0
    assert prepared.temp_bytes >= 64 * 64 * 4, "the first product has to be somewhere"


def measurement(engine, ratio, half):
    limits = {"ratio": ratio, "ratio_low": ratio - half, "ratio_high": ratio + half}
    return {"model": "m", "batch": "8", "engine": engine, **limits}


@pytest.mark.parametrize(
    ("now", "change"), [(0.5, ""), (0.59, ""), (0.8, "slower"), (0.3, "faster")]
)
def test_a_change_is_more_than_the_spread_of_both(now, change):
    then = [measurement("autodiff", 0.5, 0.05)]
    (row,) = changes([then], [measurement("manual", 1, 0), measurement("autodiff", now, 0.05)])
    assert (row["then"], row["now"], row["change"]) == (0.5, now, change)


def test_what_was_not_measured_then_has_not_changed():
    assert changes([], [measurement("autodiff", 0.5, 0.05)]) == []
    assert changes([[]], [measurement("autodiff", 0.5, 0.05)]) == []


def test_several_runs_have_a_spread_that_a_change_must_leave():
    then = [[measurement("autodiff", ratio, 0.02)] for ratio in (0.5, 0.7, 0.6)]
    (row,) = changes(then, [measurement("autodiff", 0.75, 0.04)])
    assert (row["then"], row["low"], row["high"], row["change"]) == (0.6, 0.5, 0.7, "")
    (row,) = changes(then, [measurement("autodiff", 0.8, 0.04)])
    assert row["change"] == "slower"
