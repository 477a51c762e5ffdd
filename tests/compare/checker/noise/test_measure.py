import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients
from compare.checker.noise import measure as noises
from compare.checker.noise.measure import Noise, TwoPrecisions, larger
from compare.checker.noise.points import perturbed_points
from compare.checker.sides.evaluation import DRAWS, Evaluation
from compare.checker.sides.side import differentiated, digest, side
from compare.tolerance import student_factor
from compare.trees import Layout

RNG = np.random.default_rng(0)
UNIT = np.finfo(np.float32).eps


def measurement(loss, params, *args, seed=0):
    point = params, args
    layout = Layout(point)
    evaluation = Evaluation(layout, True, seed)
    arrays = [np.asarray(x) for x in layout.arrays(point)]
    return TwoPrecisions(evaluation, differentiated(loss), arrays, "loss", digest(arrays))


def squares(w, x):
    return jnp.sum((x @ w) ** 2)


def test_the_noise_is_what_float32_is_off_by():
    w, x = (RNG.standard_normal(shape).astype(np.float32) for shape in ((200, 3), (20, 200)))
    measured = measurement(squares, w, x)
    own = measured.in_dtype(DRAWS)
    wide = x.astype(float)
    errors = [
        np.abs(np.asarray(jax.jit(jax.grad(squares))(p, q), float)
               - 2 * q.astype(float).T @ (q.astype(float) @ p.astype(float))).max()
        for p, q in (next(points) for points in [perturbed_points([w, x], seed=7)] * 8)
    ]  # fmt: skip
    assert own.by_leaf["grad", "params"] == pytest.approx(
        np.sqrt(np.mean(np.square(errors))), rel=0.5
    )
    assert own.factor == student_factor(DRAWS)
    exact = measured.in_float64(DRAWS)
    for key, noise in own.by_leaf.items():
        assert exact.by_leaf[key] == pytest.approx(noise * 2.0**-29)
    # It says something: less than a thousandth of the gradient, and not nothing.
    assert 0 < own.by_leaf["grad", "params"] < 1e-3 * np.abs(wide.T @ wide).max()


def test_the_noise_of_a_side_that_jax_cannot_trace_is_measured_too():
    def by_numpy(w, x):
        y = np.asarray(x) @ np.asarray(w)
        return np.sum(y**2), 2 * np.asarray(x).T @ y

    w, x = (RNG.standard_normal(shape).astype(np.float32) for shape in ((9, 3), (5, 9)))
    layout = Layout((w, (x,)))
    evaluation = Evaluation(layout, False, 0)
    measured = TwoPrecisions(evaluation, side(by_numpy, False), [w, x], "loss", around=b"")
    assert all(0 < noise < 1e-4 for noise in measured.in_dtype(4).by_leaf.values())


def test_what_was_measured_at_a_point_is_measured_once(monkeypatch):
    w, x = (RNG.standard_normal(shape).astype(np.float32) for shape in ((4, 3), (5, 4)))
    first = measurement(squares, w, x).in_float64(4)
    ran = []
    monkeypatch.setattr(Evaluation, "run", lambda *_, **__: ran.append(1))
    assert measurement(lambda w, x: squares(w, x), w, x).in_float64(4) == first
    assert not ran
    monkeypatch.undo()
    assert measurement(squares, w + 1, x).in_float64(4) != first
    assert measurement(lambda w, x: squares(w, x) / 3, w, x).in_float64(4) != first


def test_the_same_gradient_by_another_name_is_measured_by_its_own():
    w, x = np.ones((4, 3), np.float32), np.ones((5, 4), np.float32)
    for name in "wv":
        measured = measurement(lambda params, x, n=name: squares(params[n], x), {name: w}, x)
        assert measured.in_float64(4).by_leaf.keys() == {("value", "loss"), ("grad", name)}


def test_exact_arithmetic_has_no_noise():
    w, x = np.array([[1], [2]], np.float32), np.array([[1, 0], [2, 4]], np.float32)
    measured = measurement(lambda w, x: (x @ w).sum() * 2, w, x)
    assert measured.in_dtype(4).by_leaf["grad", "params"] <= 4 * UNIT


def test_a_jump_over_a_kink_is_left_out_in_float64_and_kept_in_the_dtype():
    deviations = [1e-7, 2e-7, 0.5, 1.5e-7]
    measured = measurement(squares, np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))
    measured._in_float32 = measured._in_dtype = [{("grad", "params"): d} for d in deviations]
    exact = measured.in_float64(4).by_leaf["grad", "params"]
    assert exact == pytest.approx(2.0**-29 * 1.55e-7, rel=0.1)
    assert measured.in_dtype(4).by_leaf["grad", "params"] == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("limit", ["LONG_RUN", "MUCH_WORK"])
def test_a_long_run_begins_with_few_draws(limit, monkeypatch):
    w, x = np.ones((2, 1), np.float32), np.ones((3, 2), np.float32)
    assert measurement(squares, w, x).first_draws == DRAWS
    monkeypatch.setattr(noises, limit, 7)
    measured = measurement(squares, w, x)
    assert measured.first_draws == 4
    assert measured.in_float64(4).factor == student_factor(4) > student_factor(DRAWS)


def test_the_larger_noise_counts_where_it_is_finite():
    one = Noise({("grad", "a"): 1.0, ("grad", "b"): np.nan, ("grad", "c"): np.inf}, 70.0)
    other = Noise({("grad", "a"): 2.0, ("grad", "b"): 3.0, ("grad", "c"): np.nan}, 10.8)
    found = larger(one, other)
    assert found.by_leaf["grad", "a"] == 2
    assert found.by_leaf["grad", "b"] == 3
    assert not np.isfinite(found.by_leaf["grad", "c"])
    assert found.factor == 10.8


# What two precisions cannot see, and Monte Carlo arithmetic can: through the public interface.


def saturated(w):
    return jnp.sum(jnp.tanh(w))


def by_subtraction(factor):
    def candidate(w):
        y = jnp.tanh(w)
        return y.sum(), factor * (1 - y * y)

    return candidate


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_that_float32_hides_raises_no_alarm(dtype):
    """At 15 both 1 − tanh² and its error are 0 in float32, and 4e-13 and 1e-16 in float64."""
    w = np.array([15.0, 15.5, 14.0])
    assert check_gradients(by_subtraction(1), saturated, w, dtype=dtype).agree
    assert not check_gradients(by_subtraction(2), saturated, w, dtype=dtype).agree


def test_what_overflows_in_float32_alone_is_measured_in_float64():
    def loss(w):
        return jnp.sum(w * w)

    w = np.array([1e50, -2e45])
    right = check_gradients(lambda w: (loss(w), 2 * w), loss, w, dtype="float64")
    assert right.agree, right
    assert right.detectable < 1e38
    wrong = check_gradients(lambda w: (loss(w), 2.1 * w), loss, w, dtype="float64")
    assert not wrong.agree


def test_float32_inside_of_float64_is_checked_to_float32_and_says_so():
    w, x = RNG.standard_normal((5, 3)), RNG.standard_normal((7, 5))

    def candidate(w, x):
        z = (x.astype("float32") @ w.astype("float32")).astype(w.dtype)
        return squares(w, x), 2 * x.T @ z

    report = check_gradients(candidate, squares, w, x, dtype="float64")
    assert report.agree
    assert 1e-7 < report.detectable / report.leaves[0].max_abs < 1e3
    assert "computes in float32 inside (" in report.details[0]
    assert ": checked to " in report.details[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("long_run", [False, True])
def test_twice_what_an_agreement_would_have_caught_is_caught(dtype, long_run, monkeypatch):
    if long_run:
        monkeypatch.setattr(noises, "LONG_RUN", 1)
    w, x = RNG.standard_normal((5, 3)), RNG.standard_normal((7, 5))

    def planted(error):
        def candidate(w, x):
            value, grad = jax.value_and_grad(squares)(w, x)
            return value, grad.at[3, 1].add(error)

        return candidate

    right = check_gradients(planted(0.0), squares, w, x, dtype=dtype)
    assert right.agree
    # In float32 the question of the mathematics is asked in float64 as well.
    size = 2 * right.detectable
    assert size < 1e-11
    wrong = check_gradients(planted(size), squares, w, x, dtype="float64")
    assert not wrong.agree


@pytest.mark.parametrize(
    ("is_long", "dtype", "run"), [(True, "float32", 6), (False, "float32", 8), (True, "float64", 8)]
)
def test_where_a_run_is_long_the_point_itself_is_a_draw(is_long, dtype, run, monkeypatch):
    """Both its results are there: three further points, in two precisions, make four draws."""
    monkeypatch.setattr(noises, "LONG_RUN", 7 if is_long else 10**9)
    w, x = (RNG.standard_normal(shape).astype(dtype) for shape in ((3, 2), (7, 3)))
    measured = measurement(squares, w, x)
    evaluation, reference = measured._evaluation, differentiated(squares)
    narrow, wide = (
        evaluation.run(reference, [a.astype(t) for a in (w, x)], on_cpu=t is np.float64)
        for t in (np.float32, np.float64)
    )
    runs = []
    original = Evaluation.run
    monkeypatch.setattr(
        Evaluation, "run", lambda *of, **how: runs.append(1) or original(*of, **how)
    )
    measured.begin_with(narrow, wide)
    measured.begin_with(narrow, wide)  # Once is all.
    noise = measured.in_float64(4)
    assert len(runs) == run
    if run == 6:
        error = np.abs(np.asarray(narrow.grads, float) - np.asarray(wide.grads)).max()
        assert measured._in_float32[0]["grad", "params"] == error
    assert noise.by_leaf["grad", "params"] > 0
