"""In which precision a candidate computes: by its jaxpr, by its numbers, by what it can run in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare import check_function, check_gradients, check_rule

X = np.random.default_rng(0).standard_normal((5, 7))


def softmax_rule(dtype, error=0.0):
    """The rule of a softmax, computed in `dtype`."""

    def fwd(x):
        return jax.nn.softmax(x.astype(dtype)).astype(x.dtype), x

    def bwd(x, d):
        p, d = jax.nn.softmax(x.astype(dtype)), d.astype(dtype)
        dx = p * (d - (p * d).sum(-1, keepdims=True))
        return ((dx + error * p[::-1] * d).astype(x.dtype),)

    return fwd, bwd


@pytest.mark.table
@pytest.mark.parametrize("asked", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(("inside", "least"), [("float32", 1e-5), ("bfloat16", 0.2)])
def test_right_in_a_narrower_type_agrees_and_wrong_does_not(asked, inside, least):
    right = check_rule(*softmax_rule(inside), X, reference=jax.nn.softmax, dtype=asked)
    assert right.agree, right
    told = [line for line in right.details if line.startswith(f"manual computes in {inside}")]
    assert len(told) == 1
    assert "test_precision.py:" in told[0]
    wrong = check_rule(*softmax_rule(inside, least), X, reference=jax.nn.softmax, dtype=asked)
    assert wrong.verdict == "manual_wrong", wrong


def test_what_would_have_been_caught_is_caught():
    report = check_rule(*softmax_rule("float32"), X, reference=jax.nn.softmax)
    fwd, bwd = softmax_rule("float32")

    def off(x, d):
        (dx,) = bwd(x, d)
        return (dx.at[2, 3].add(2 * report.detectable),)

    assert not check_rule(fwd, off, X, reference=jax.nn.softmax).agree


def test_a_carry_of_float32_is_judged_in_float32():
    def bwd(_, d):
        zero = jnp.zeros((), jnp.float32)
        return (lax.scan(lambda c, t: (c + t, c + t), zero, d[::-1])[1][::-1],)

    def fwd(x):
        return jnp.cumsum(x), None

    report = check_rule(fwd, bwd, X[0].astype(np.float32))
    assert report.agree
    assert "cannot run in float64" in report.details[0]
    doubled = check_rule(fwd, lambda r, d: (2 * bwd(r, d)[0],), X[0].astype(np.float32))
    assert doubled.verdict == "manual_wrong"
    assert "cannot run in float64" in str(doubled)


def decayed(a, u):
    def step(h, x):
        h = 0.1 * a * h + x
        return h, h

    return lax.scan(step, jnp.zeros(a.shape, jnp.float32), u)[1]


def decayed_bwd(res, d, forgotten=0.0):
    a, h = res
    step = lambda c, t: (0.1 * a * c + t,) * 2  # noqa: E731
    du = lax.scan(step, jnp.zeros_like(a), d, reverse=True)[1]
    return (0.1 * du[1:] * h[:-1]).sum(0) * (1 - forgotten), du


@pytest.mark.parametrize(("forgotten", "wrong"), [(0.0, []), (1e-4, ["a"])])
def test_a_loss_that_float64_cannot_run_is_judged_in_the_type_it_names(forgotten, wrong):
    def fwd(a, u):
        h = decayed(a, u)
        return h, (a, h)

    a, u = abs(X[0, :3]).astype(np.float32), X[:, :3].astype(np.float32)
    report = check_rule(fwd, lambda res, d: decayed_bwd(res, d, forgotten), a, u)
    assert [leaf.path for leaf in report.leaves if not leaf.agrees] == wrong, report
    told = "\n".join(report.details)
    assert "is run in float32: the loss cannot be traced in float64 (" in told
    assert "test_precision.py:" in told
    assert "name an input's own type there, as in x.dtype" in told


def test_who_asks_for_float64_is_told_what_cannot_run_in_it():
    def loss(a, u):
        return decayed(a, u).sum()

    def right(a, u):
        return jax.value_and_grad(loss)(a, u)

    def wide(a, u):
        return jnp.sum(a * u)

    def told(candidate, loss):
        with pytest.raises(ValueError, match=r"^pass dtype='float32': the ") as refused:
            check_gradients(candidate, loss, abs(X[0, :3]), X[:, :3], dtype="float64")
        (line,) = str(refused.value).splitlines()
        assert "cannot be run in float64 (" in line
        assert "test_precision.py:" in line
        assert "must have equal types" in line
        return line

    assert "the loss cannot" in told(lambda a, u: (wide(a, u), u.sum(0)), loss)
    assert "the candidate cannot" in told(right, wide)
    assert check_gradients(right, loss, abs(X[0, :3]), X[:, :3], dtype="float32").agree


def test_what_fails_in_every_precision_is_an_error_of_its_own():
    def broken(x):
        raise TypeError("broken")

    with pytest.raises(TypeError, match="broken"):
        check_gradients(broken, lambda x: jnp.sum(x), X, dtype="float64")
    with pytest.raises(TypeError, match="broken"):
        check_gradients(lambda x: (jnp.sum(x), x), broken, X, dtype="float64")


def test_a_function_that_float64_cannot_run_is_held_against_numbers():
    a, u = abs(X[0, :3]).astype(np.float32), X[:, :3].astype(np.float32)
    report = check_function(decayed, a, u)
    assert report.agree, report
    assert 1e-9 < report.detectable < 1e-4


def test_a_candidate_that_refuses_float64_without_a_word_is_judged_in_float32():
    def candidate(x):
        if x.dtype != np.float32:
            raise AssertionError
        return jnp.sum(jnp.sin(x)), jnp.cos(x)

    report = check_gradients(candidate, lambda x: jnp.sum(jnp.sin(x)), X.astype(np.float32))
    assert report.agree, report
    assert "manual cannot run in float64 (AssertionError)" in report.details[0]


def test_numpy_in_float32_is_known_by_its_numbers():
    def loss(w):
        return jnp.sum(jnp.tanh(w))

    def candidate(w, factor=1.0):
        y = np.tanh(w.astype(np.float32))
        return np.sum(np.tanh(w)), (factor * (1 - y**2)).astype(np.float32).astype(w.dtype)

    report = check_gradients(candidate, loss, X, jit=False)
    assert report.dtype == "float64"
    assert report.agree, report
    assert "manual computes in float32 inside: checked to" in report.details[0]
    wrong = check_gradients(lambda w: candidate(w, 1.0001), loss, X, jit=False)
    assert wrong.verdict == "manual_wrong"


def test_a_loss_that_narrows_is_widened():
    def loss(x):
        return jnp.sum(jnp.sin(x.astype(jnp.float32)).astype(x.dtype) ** 2)

    def candidate(x):
        return jnp.sum(jnp.sin(x) ** 2), 2 * jnp.sin(x) * jnp.cos(x)

    report = check_gradients(candidate, loss, X, dtype="float64")
    assert report.verdict == "agree", report
    assert report.detectable < 1e-12


def test_a_forward_pass_in_complex64_is_widened():
    def fwd(w, x):
        z = jnp.fft.fft(x).astype(jnp.complex64)
        return jnp.real(jnp.fft.ifft(z * w)).astype(x.dtype), (w, x)

    def bwd(res, d, factor=1.0):
        w, x = res
        dz, z = jnp.fft.fft(d), jnp.fft.fft(x)
        dw = jnp.real(jnp.conj(z) * dz).sum(0) / x.shape[-1]
        return dw, factor * jnp.real(jnp.fft.ifft(dz * w))

    w = (X[0] + X[0][-np.arange(7)]).astype(np.float32)  # Symmetric, as for real numbers.
    report = check_rule(fwd, bwd, w, X.astype(np.float32))
    assert report.agree, report
    wrong = check_rule(fwd, lambda r, d: bwd(r, d, 1.0001), w, X.astype(np.float32))
    assert [leaf.path for leaf in wrong.leaves if not leaf.agrees] == ["x"]


def test_an_unstable_formula_in_float32_inside_is_inaccurate_not_wrong():
    x = 1e2 + X.ravel()

    def loss(x):
        return jnp.sum((x - x.mean()) ** 2) ** 2

    def candidate(x, factor=4.0):
        y = x.astype(jnp.float32)
        variance = jnp.sum(y * y) - jnp.sum(y) ** 2 / y.size
        return loss(x), (factor * variance * (y - y.mean())).astype(x.dtype)

    report = check_gradients(candidate, loss, x, dtype="float64")
    assert report.verdict == "manual_inaccurate", report
    assert report.details[-1].endswith("an unstable formula, not a wrong one")
    assert check_gradients(lambda x: candidate(x, -4.0), loss, x).verdict == "manual_wrong"


def forgotten_two(w, x):
    """The gradient of a mean of squares, in float16 but for a line, and without its 2."""
    z = (0.1 * (x.astype("float16") @ w.astype("float16"))).astype(x.dtype)
    dz = z / z.size
    dw = (0.1 * (x.T.astype("float16") @ dz.astype("float16"))).astype(x.dtype)
    return jnp.mean(z**2), dw


@pytest.mark.parametrize(("dtype", "marked"), [("float16", ["dz = z / z.size"]), ("float32", [])])
def test_a_line_is_recognised_in_a_narrow_type_or_none_is_marked(dtype, marked):
    """Where the loss has its constant in another type, no value is one of it to all digits."""

    def loss(w, x):
        return jnp.mean((0.1 * (x.astype(dtype) @ w.astype(dtype))).astype(x.dtype) ** 2)

    w, x = X[:, :3].T.astype(np.float32), X[:4, :3].astype(np.float32)
    report = check_gradients(forgotten_two, loss, w, x)
    assert report.verdict == "manual_wrong", report
    assert report.diagnosis is not None
    assert report.diagnosis.bug == "constant_factor"
    assert [line.source for line in report.listing if line.status == "wrong"] == marked
    assert len(report.diagnosis.suspects) == len(marked)


def test_a_rule_in_a_narrow_type_is_watched_beside_what_its_forward_pass_saves():
    def fwd(w, x):
        z = (x.astype("float16") @ w.astype("float16")).astype(x.dtype)
        return jnp.tanh(z), (w, x)

    def bwd(res, d):
        w, x = (r.astype("float16") for r in res)
        dz = d.astype("float16")
        return (x.T @ dz).astype(d.dtype), (dz @ w.T).astype(d.dtype)

    w, x = X[:, :3].T.astype(np.float32), X[:4, :3].astype(np.float32)
    report = check_rule(fwd, bwd, w, x)
    assert report.diagnosis is not None
    assert report.diagnosis.bug == "missing_activation_derivative"
    assert report.listing, report
