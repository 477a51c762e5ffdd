from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodiff import mlp as autodiff_mlp
from compare import assert_gradients_agree, check_gradients
from manual import mlp as manual_mlp
from manual.rules import activations
from manual.rules.dense import dense_bwd, dense_fwd
from manual.rules.losses import softmax_cross_entropy_with_integer_labels_bwd as cross_entropy_bwd
from manual.rules.losses import softmax_cross_entropy_with_integer_labels_fwd as cross_entropy_fwd

SIZES = (5, 4, 4, 3)
PATHS = ["0/b", "0/w", "1/b", "1/w", "2/b", "2/w"]


def network(seed=0, sizes=SIZES, rows=7):
    """Parameters with non-zero biases, and a batch of inputs and labels."""
    rng = np.random.default_rng(seed)
    params = [
        {
            "w": rng.normal(size=(n, m)).astype(np.float32),
            "b": rng.normal(size=m).astype(np.float32),
        }
        for n, m in pairwise(sizes)
    ]
    x = rng.normal(size=(rows, sizes[0])).astype(np.float32)
    return params, (x, rng.integers(0, sizes[-1], rows).astype(np.int32))


def loss(params, batch):
    return autodiff_mlp.loss(params, batch, activation="tanh")


def right(params, batch):
    return manual_mlp.loss_and_grad(params, batch, activation="tanh")


def backward(params, batch, *, tanh_bwd=activations.tanh_bwd, loss_bwd=cross_entropy_bwd):
    """The same network, with the two derivatives that a person gets wrong as arguments."""
    a, labels = batch
    saved = []
    for i, layer in enumerate(params):
        z, residuals = dense_fwd(a, layer["w"], layer["b"])
        a = jnp.tanh(z) if i < len(params) - 1 else z
        saved.append((residuals, z, a))
    value, residuals = cross_entropy_fwd(a, labels)
    da, _ = loss_bwd(residuals, jnp.ones_like(value))
    grads = []
    for i, (dense_residuals, z, a) in reversed(list(enumerate(saved))):
        dz = da if i == len(params) - 1 else tanh_bwd(z, a, da)
        da, dw, db = dense_bwd(dense_residuals, dz)
        grads.append({"w": dw, "b": db})
    return value, grads[::-1]


def by_tanh(z, a, da):
    return da * (1 - a**2)


def changed(change):
    """The right gradient with one leaf changed: (layer, name, how)."""
    layer, name, how = change

    def candidate(params, batch):
        value, grads = right(params, batch)
        grads[layer][name] = how(grads[layer][name])
        return value, grads

    return candidate


def everywhere(factor):
    def candidate(params, batch):
        value, grads = right(params, batch)
        return value, jax.tree.map(lambda g: factor(len(batch[0])) * g, grads)

    return candidate


def wrong_axis_bwd(residuals, d_loss):
    logits, _, labels = residuals
    one_hot = jnp.eye(logits.shape[1])[labels]
    p = jax.nn.softmax(logits, axis=0)
    return (p - one_hot) * d_loss / len(labels), None


def with_biases(bias_gradient):
    """Every bias gradient from the layer's δ, which a bias of 0 rows would sum."""

    def candidate(params, batch):
        def per_example(x, y):
            return jax.grad(loss)(params, (x[None], y[None]))

        deltas = jax.vmap(per_example)(*batch)
        value, grads = right(params, batch)
        for own, delta in zip(grads, deltas, strict=True):
            own["b"] = bias_gradient(delta["b"] / len(batch[0]))
        return value, grads

    return candidate


BELOW = ["0/b", "0/w", "1/b", "1/w"]
BIASES = ["0/b", "1/b", "2/b"]
PLANTED = {
    "missing 1/m": (everywhere(lambda m: m), PATHS),
    "sign": (everywhere(lambda m: -1), PATHS),
    "factor 2": (changed((1, "w", lambda g: 2 * g)), ["1/w"]),
    "bias summed over everything": (
        with_biases(lambda d: jnp.full(d.shape[1:], d.sum())),
        BIASES,
    ),
    "bias averaged": (with_biases(lambda d: d.mean(axis=0)), BIASES),
    "missing activation derivative": (
        lambda p, b: backward(p, b, tanh_bwd=lambda z, a, da: da),
        BELOW,
    ),
    "derivative at the output": (
        lambda p, b: backward(p, b, tanh_bwd=lambda z, a, da: da * (1 - jnp.tanh(a) ** 2)),
        BELOW,
    ),
    "transposed square weight": (changed((1, "w", lambda g: g.T)), ["1/w"]),
    "softmax over the wrong axis": (
        lambda p, b: backward(p, b, tanh_bwd=by_tanh, loss_bwd=wrong_axis_bwd),
        PATHS,
    ),
    "one bias off by 0.1%": (changed((1, "b", lambda g: g.at[2].multiply(1.001))), ["1/b"]),
    "one weight off by 1e-9": (changed((0, "w", lambda g: g.at[1, 2].add(1e-9))), ["0/w"]),
    "a row left out": (
        lambda p, b: right(p, (b[0][:-1], b[1][:-1])),
        ["loss", *PATHS],
    ),
}


def wrong_leaves(report):
    return [leaf.path for leaf in report.leaves if not leaf.agrees]


@pytest.mark.parametrize(
    ("dtype", "jit"),
    [("float32", True), ("float64", True), ("bfloat16", True), ("float32", False)],
)
def test_right_gradients_agree(dtype, jit):
    report = check_gradients(right, loss, *network(), dtype=dtype, jit=jit)
    assert report.agree, report
    assert [leaf.path for leaf in report.leaves] == PATHS
    assert {leaf.dtype for leaf in report.leaves} == {dtype}
    assert report.jit is jit
    assert report.worst in report.leaves
    assert report.loss.manual == pytest.approx(report.loss.reference, rel=0.02)


def test_the_test_network_is_right_before_it_is_made_wrong():
    params, batch = network()
    assert check_gradients(lambda p, b: backward(p, b, tanh_bwd=by_tanh), loss, params, batch).agree


@pytest.mark.table
@pytest.mark.parametrize("name", PLANTED)
def test_planted_errors_are_detected_and_located(name):
    candidate, paths = PLANTED[name]
    report = check_gradients(candidate, loss, *network())
    differs = "loss" in paths  # Forwards and backwards alike: the gradient of its own loss.
    assert report.verdict == ("loss_differs" if differs else "manual_wrong")
    assert wrong_leaves(report) == [path for path in paths if path != "loss"]
    assert report.worst is not None
    assert report.worst.path in paths
    assert all(any(line.startswith(f"{path}: ") for line in report.details) for path in paths)


def test_nan_on_both_sides_is_not_agreement():
    params, (x, y) = network()
    x[:, 2] = np.nan
    report = check_gradients(right, loss, params, (x, y))
    assert report.verdict == "nonfinite"
    assert "1/w: manual has 16 of 16 entries not finite, the first at (0, 0): nan" in report.details
    assert "1/w: autodiff has 16 of 16 entries not finite, the first at (0, 0): nan" in (
        report.details
    )


def test_one_infinite_entry_is_found():
    candidate = changed((2, "w", lambda g: g.at[3, 1].set(jnp.inf)))
    report = check_gradients(candidate, loss, *network())
    assert report.verdict == "nonfinite"
    assert report.details == (
        "2/w: manual has 1 of 12 entries not finite, the first at (3, 1): inf",
    )


def missing(params, batch):
    value, grads = right(params, batch)
    del grads[1]["b"]
    grads[2]["c"] = grads[2]["b"]
    return value, grads


STRUCTURE = {
    "missing and extra": (
        missing,
        [
            "1/b: is missing from manual's gradient",
            "2/c: is in manual's gradient and not in the parameters",
        ],
    ),
    "broadcastable scalar": (
        changed((1, "b", lambda g: g.sum())),
        [
            "1/b: manual's gradient has shape (), the parameter has (4,): is it summed over all "
            "axes?"
        ],
    ),
    "transposed": (
        changed((0, "w", lambda g: g.T)),
        ["0/w: manual's gradient has shape (4, 5), the parameter has (5, 4): is it transposed?"],
    ),
    "dtype": (
        changed((0, "w", lambda g: g.astype(jnp.float16))),
        ["0/w: manual's gradient has dtype float16, the parameter has float32"],
    ),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure_comes_first(name):
    candidate, details = STRUCTURE[name]
    report = check_gradients(candidate, loss, *network())
    assert report.verdict == "structure_mismatch"
    assert list(report.details) == details
    assert "STRUCTURE MISMATCH" in str(report)


def test_another_container_is_told_and_no_mismatch():
    def candidate(params, batch):
        value, grads = right(params, batch)
        return value, tuple(grads)

    report = check_gradients(candidate, loss, *network())
    assert report.verdict == "agree"
    assert report.details == (
        "the containers of the gradient are of another kind than those of the parameters",
    )


def test_a_loss_that_is_not_a_scalar_on_one_side():
    report = check_gradients(lambda p, b: (right(p, b)[0][None], right(p, b)[1]), loss, *network())
    assert report.verdict == "structure_mismatch"
    assert report.details == ("loss: manual has shape (1,), autodiff has ()",)


def test_a_wrong_loss_with_a_right_gradient_is_no_wrong_gradient():
    report = check_gradients(lambda p, b: (right(p, b)[0] + 1, right(p, b)[1]), loss, *network())
    assert report.verdict == "loss_differs"
    assert wrong_leaves(report) == []
    assert report.details[0].startswith("loss: manual has")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_smallest_detectable_error_is_detected(dtype):
    point = network()
    detectable = check_gradients(right, loss, *point, dtype=dtype).detectable
    assert 0 < detectable < 1e-12
    for sign in (1, -1):
        candidate = changed((2, "b", lambda g, s=sign: g.at[1].add(s * 2 * detectable)))
        assert not check_gradients(candidate, loss, *point, dtype=dtype).agree


def inaccurate(params, batch):
    """Right mathematics; in float32 half the digits of the gradient are lost."""
    value, grads = right(params, batch)
    mantissa = 12 if grads[0]["w"].dtype == jnp.float32 else 52
    return value, jax.tree.map(lambda g: jax.lax.reduce_precision(g, 11, mantissa), grads)


def test_bad_arithmetic_is_found_in_the_dtype_asked_for():
    assert check_gradients(inaccurate, loss, *network(), dtype="float64").agree
    report = check_gradients(inaccurate, loss, *network(), dtype="float32")
    assert report.verdict == "manual_inaccurate"
    assert {leaf.dtype for leaf in report.leaves} == {"float32"}


def test_a_broken_baseline_does_not_loosen_the_check():
    """Autodiff loses half its digits too, at other places: manual still has to be right."""

    @jax.custom_vjp
    def broken(params, batch):
        return loss(params, batch)

    broken.defvjp(
        lambda p, b: (loss(p, b), (p, b)),
        lambda res, g: (jax.tree.map(lambda x: -x * g, inaccurate(*res)[1]), None),
    )
    assert not check_gradients(inaccurate, lambda p, b: -broken(p, b), *network()).agree


def test_exact_zeros_agree():
    params, batch = network()
    params = jax.tree.map(np.zeros_like, params)
    assert check_gradients(right, loss, params, batch).agree


def test_any_pytree_and_any_argument():
    def loss(params, x, options, tokens):
        h = options["f"](x @ params["in"]["w"]) * options["scale"]
        return (h[tokens] ** options["power"]).mean() if options["name"] == "a" else h.sum()

    params = {"in": {"w": np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)}}
    x = np.random.default_rng(1).normal(size=(4, 3))
    options = {"f": jnp.tanh, "scale": 2.0, "power": 2, "name": "a", "none": None}
    tokens = np.asarray([0, 3, 3])
    report = check_gradients(jax.value_and_grad(loss), loss, params, x, options, tokens)
    assert report.agree
    assert [leaf.path for leaf in report.leaves] == ["in/w"]


def test_keys_are_arguments():
    def loss(w, key):
        return (jax.random.bernoulli(key, 0.5, w.shape) * w**2).sum()

    assert check_gradients(jax.value_and_grad(loss), loss, jnp.arange(5.0), jax.random.key(0)).agree


def numpy_candidate(w, x):
    w, x = np.asarray(w), np.asarray(x)
    return ((x @ w) ** 2).sum(), 2 * x.T @ (x @ w)


def test_a_numpy_backward_pass_runs_without_jit():
    w, x = np.ones((3, 2), np.float32), np.ones((4, 3), np.float32)

    def loss(w, x):
        return ((x @ w) ** 2).sum()

    assert check_gradients(numpy_candidate, loss, w, x, jit=False).agree
    with pytest.raises(
        ValueError, match=r"^pass jit=False: numpy_candidate cannot be traced by jax "
    ):
        check_gradients(numpy_candidate, loss, w, x)


def test_assertion_carries_the_report():
    assert_gradients_agree(right, loss, *network())
    with pytest.raises(AssertionError, match=r"MANUAL WRONG(.|\n)*1/b: manual has"):
        assert_gradients_agree(PLANTED["one bias off by 0.1%"][0], loss, *network())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], ()), "parameters: there are no leaves, and so there is no gradient"),
        (({"w": np.arange(3)}, ()), "no parameter is a floating array .*: w is int64"),
        (({"w": 1, "f": "relu"}, ()), "so there is no gradient: f is str, w is int"),
        (
            ({"w": np.array([1.0, np.nan])}, ()),
            r"w: the parameter has 1 of 2 .* at \(1,\): nan; give",
        ),
    ],
)
def test_parameters_without_a_gradient_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_gradients(right, loss, *arguments)


def test_other_wrong_input_is_refused():
    params, batch = network()
    with pytest.raises(ValueError, match="dtype must be a floating type"):
        check_gradients(right, loss, params, batch, dtype="int32")
    with pytest.raises(
        ValueError, match=r"must return the pair \(loss, grads\); it returned a dict"
    ):
        check_gradients(lambda p, b: {}, loss, params, batch)


def test_report_in_words_and_in_json():
    report = check_gradients(PLANTED["factor 2"][0], loss, *network())
    text = str(report)
    assert text.startswith("MANUAL WRONG  (float32, jit, cpu, matmul precision highest)")
    assert "1/w" in text
    assert "WRONG ← worst" in text
    assert max(map(len, text.splitlines()[:10])) <= 100
    data = report.to_dict()
    assert data["verdict"] == "manual_wrong"
    assert data["agree"] is False
    assert data["worst"] == "1/w"
    assert data["leaves"][3]["path"] == "1/w"
    assert data["leaves"][3]["cosine"] == pytest.approx(1)
    assert not any("nonfinite" in key for key in data["leaves"][3])


def test_nan_is_null_with_a_flag():
    report = check_gradients(STRUCTURE["transposed"][0], loss, *network())
    leaf = next(leaf for leaf in report.to_dict()["leaves"] if leaf["path"] == "0/w")
    assert leaf["max_abs"] is None
    assert leaf["max_abs_nonfinite"] == "nan"
