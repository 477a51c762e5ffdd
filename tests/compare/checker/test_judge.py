"""The judge of two sides: each verdict, what is run and how often, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.checker.judge import judge
from compare.checker.sides.side import Side, differentiated
from tests.compare.checker import cubes
from tests.compare.checker.cubes import W, X, loss, right


def changed(how):
    """The right gradient, changed, as a side."""
    return Side(cubes.changed(how))


RIGHT, BY_JAX = Side(right), differentiated(loss)


def judged(manual, *, autodiff=BY_JAX, point=(W, X), **settings):
    params, *args = point
    return judge(manual, autodiff, params, args, **settings)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_agree(dtype):
    report = judged(RIGHT, dtype=dtype)
    assert report.verdict == "agree"
    assert report.details == ()
    assert report.diagnosis is None
    assert report.dtype == dtype
    (leaf,) = report.leaves
    assert (leaf.path, leaf.shape, leaf.dtype) == ("params", (3, 2), dtype)
    assert 0 < report.detectable < 1e-12


def test_manual_wrong_is_found_named_and_located():
    report = judged(changed(lambda g: 2 * g))
    assert report.verdict == "manual_wrong"
    assert report.details[0].startswith("params: manual has ")
    assert "the referee (complex step" in report.details[1]
    assert report.diagnosis is not None
    assert report.diagnosis.bug == "constant_factor"
    (leaf,) = report.leaves
    assert not leaf.agrees
    assert leaf.cosine == pytest.approx(1)


def test_an_error_above_what_is_detectable_is_found_and_one_below_is_not():
    detectable = judged(RIGHT, dtype="float64").detectable
    large, small = (
        changed(lambda g, s=size: g.at[1, 1].add(s)) for size in (2 * detectable, detectable / 4)
    )
    assert not judged(large, dtype="float64").agree
    assert judged(small, dtype="float64").agree


@jax.custom_vjp
def cube(z):
    return z**3


cube.defvjp(lambda z: (z**3, z), lambda z, d: (2 * z**2 * d,))  # The 3 became a 2.


def test_autodiff_wrong():
    wrong = differentiated(lambda w, x: jnp.sum(cube(x @ w)))
    report = judged(RIGHT, autodiff=wrong)
    assert report.verdict == "autodiff_wrong"
    assert report.diagnosis is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_manual_inaccurate_is_for_the_dtype_where_it_is(dtype):
    coarse = changed(lambda g: jax.lax.reduce_precision(g, 11, 52 if g.dtype == "float64" else 12))
    report = judged(coarse, dtype=dtype)
    assert report.verdict == ("manual_inaccurate" if dtype == "float32" else "agree")
    assert all(leaf.dtype == dtype for leaf in report.leaves)


def test_kink():
    def rectified(b):
        return jnp.sum(jax.nn.relu(b))

    manual = Side(lambda b: (rectified(b), (b >= 0).astype(b.dtype)))
    report = judged(
        manual, autodiff=differentiated(rectified), point=(np.asarray([0, 1], "float32"),)
    )
    assert report.verdict == "kink"
    assert report.details[1].startswith("1 entry sits on the kink of relu (")


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_nonfinite(bad):
    report = judged(changed(lambda g: g.at[2, 1].set(bad)))
    assert report.verdict == "nonfinite"
    assert report.details == (
        f"params: manual has 1 of 6 entries not finite, the first at (2, 1): {bad}",
    )
    assert not any(leaf.agrees for leaf in report.leaves)


def test_nan_on_both_sides_is_nonfinite():
    report = judged(RIGHT, point=(W * np.float32(np.nan), X))
    assert report.verdict == "nonfinite"
    assert {line.split()[1] for line in report.details} == {"manual", "autodiff"}


def test_what_is_infinite_in_float64_alone_is_nonfinite():
    narrow = changed(lambda g: g / 0 if g.dtype == jnp.float64 else g)
    report = judged(narrow)
    assert report.verdict == "nonfinite"
    assert all(line.endswith("(in float64)") for line in report.details)


def test_a_nan_of_jax_alone_is_its_own_fault():
    def root(w, x):
        return jnp.where(x > 0, jnp.sqrt(w * x), 0.0).sum()

    def by_hand(w, x):
        inner = jnp.sqrt(jnp.where(x > 0, w * x, 1.0))
        return root(w, x), jnp.where(x > 0, 0.5 * x / inner, 0.0)

    point = np.asarray([1.0, 2.0], np.float32), np.asarray([0.0, 1.0], np.float32)
    autodiff = differentiated(root)
    assert judged(Side(by_hand), autodiff=autodiff, point=point).verdict == "autodiff_wrong"
    doubled = Side(lambda w, x: (root(w, x), 2 * by_hand(w, x)[1]))
    assert judged(doubled, autodiff=autodiff, point=point).verdict == "nonfinite"


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        (
            jnp.sum,
            "params: manual's gradient has shape (), the parameter has (3, 2): is it summed over "
            "all axes?",
        ),
        (
            lambda g: g.T,
            "params: manual's gradient has shape (2, 3), the parameter has (3, 2): is it "
            "transposed?",
        ),
        (
            lambda g: g.astype(jnp.float16),
            "params: manual's gradient has dtype float16, the parameter has float32",
        ),
    ],
    ids=["a scalar", "transposed", "another dtype"],
)
def test_structure_mismatch(how, fault):
    report = judged(changed(how))
    assert report.verdict == "structure_mismatch"
    assert report.details == (fault,)
    assert np.isnan(report.loss.reference), "nothing is computed in float64"


def test_values_of_another_shape_are_a_mismatch():
    listed = Side(lambda w, x: (right(w, x)[0][None], right(w, x)[1]))
    report = judged(listed, value_name="out")
    assert report.verdict == "structure_mismatch"
    assert report.details == ("out: manual has shape (1,), autodiff has ()",)


def test_structure_is_judged_before_what_is_not_finite():
    report = judged(changed(lambda g: g.T * jnp.nan))
    assert report.verdict == "structure_mismatch"


def test_noise_that_cannot_be_measured_is_inconclusive():
    def large(w):
        return jnp.sum(jnp.exp(w) * 1e-300)

    autodiff = differentiated(large)
    point = (np.asarray([np.log(np.finfo(np.float64).max)]),)
    report = judged(Side(autodiff.fn), autodiff=autodiff, point=point, dtype="float64")
    assert report.verdict == "inconclusive"
    assert "rounding noise in float64 cannot be measured" in report.details[0]


def test_too_small_to_decide_is_inconclusive():
    def kinked(w, x):
        return jnp.sum(jax.nn.relu(x @ w) ** 2)

    def candidate(w, x):
        z = jax.nn.relu(x @ w)
        return jnp.sum(z**2), (2 * x.T @ z).at[1, 1].add(2e-13)

    report = judged(Side(candidate), autodiff=differentiated(kinked), dtype="float64")
    assert report.verdict == "inconclusive"
    assert "too small a difference to decide" in report.details[-1]


class Counted:
    """A candidate in NumPy that remembers in which dtype it was asked for the point itself."""

    def __init__(self, factor=1):
        self.factor = factor
        self.dtypes = []

    def __call__(self, w, x):
        w, x = np.asarray(w), np.asarray(x)
        if np.array_equal(w, W):
            self.dtypes.append(str(w.dtype))
        z = x @ w
        return np.sum(z**3), self.factor * x.T @ (3 * z**2)


@pytest.mark.parametrize(
    ("dtype", "runs"),
    [("float64", ["float64"] * 2), ("float32", ["float32", "float32", "float64"])],
)
def test_the_point_is_computed_twice_and_once_more_in_float64(dtype, runs):
    candidate = Counted()
    report = judged(Side(candidate), dtype=dtype, jit=False)
    assert report.verdict == "agree"
    assert candidate.dtypes == runs


def test_a_mismatch_is_not_computed_in_float64():
    candidate = Counted()
    cut = Side(lambda w, x: (candidate(w, x)[0], candidate(w, x)[1][:1]))
    assert judged(cut, jit=False).verdict == "structure_mismatch"
    assert set(candidate.dtypes) == {"float32"}


def test_the_reference_loss_is_that_of_float64():
    report = judged(RIGHT, dtype="bfloat16")
    with jax.enable_x64(True):
        narrow = [x.astype(jnp.bfloat16).astype(np.float64) for x in (W, X)]
        exact = float(loss(*narrow))
    assert report.loss.reference == pytest.approx(exact, rel=1e-14)
    assert report.loss.autodiff != report.loss.reference


def test_only_the_gradients_leaves_are_listed_and_all_of_them():
    def of_dict(params, x):
        return loss(params["w"], x) + jnp.sum(params["b"] ** 2)

    def candidate(params, x):
        value, grad = right(params["w"], x)
        b, mantissa = params["b"], 52 if x.dtype == jnp.float64 else 12
        coarse = jax.lax.reduce_precision(2 * b, 11, mantissa)
        return value + jnp.sum(b**2), {"w": grad, "b": coarse}

    params = {"w": W, "b": np.asarray([0.3, 0.7], np.float32)}
    report = judged(Side(candidate), autodiff=differentiated(of_dict), point=(params, X))
    assert {leaf.path: leaf.agrees for leaf in report.leaves} == {"b": False, "w": True}
    assert report.worst is not None
    assert report.worst.path == "b"


def test_the_report_says_how_it_was_compared():
    report = judged(RIGHT, jit=False)
    assert (report.jit, report.precision, report.platform) == (False, "highest", "cpu")
    with jax.default_matmul_precision("high"):
        assert judged(RIGHT).precision == "high"


def test_arrays_of_several_dtypes_are_mixed_where_none_is_asked_for():
    point = (W, X.astype(np.float16))
    assert judged(RIGHT, point=point).dtype == "mixed"
    assert judged(RIGHT, point=point, dtype="float32").dtype == "float32"


@pytest.mark.parametrize("dtype", ["int32", "complex64", bool])
def test_a_dtype_that_is_not_floating_is_refused(dtype):
    with pytest.raises(ValueError, match=r"dtype must be a floating type .*; got "):
        judged(RIGHT, dtype=dtype)
