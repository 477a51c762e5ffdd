"""Which bug: named, located and confirmed, for functions of a user's own; never guessed."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from compare import check_gradients


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def line_of(function, text):
    """`file:line` of the line of a function that contains `text`."""
    lines, first = inspect.getsourcelines(function)
    (offset,) = (i for i, line in enumerate(lines) if text in line)
    return f"{inspect.getsourcefile(function)}:{first + offset}"


def diagnose(candidate, loss, params, *args):
    report = check_gradients(candidate, loss, params, *args)
    assert report.verdict == "manual_wrong", report
    assert report.diagnosis is not None
    return report.diagnosis


def wrong_in(loss, change):
    """The gradient of a loss like `loss`, in which `change` has been made by hand."""
    return lambda params, *args: (loss(params, *args), jax.grad(change)(params, *args))


PARAMS = {"in": {"w": normal(5, 4), "b": normal(4, seed=1)}, "out": normal(4, 3, seed=2)}
X, LABELS = normal(7, 5, seed=3), jnp.asarray([0, 1, 2, 2, 1, 0, 0])


def classifier(params, x, labels):
    h = jax.jit(jnp.tanh)(x @ params["in"]["w"] + params["in"]["b"])
    logits = h @ params["out"]
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@jax.custom_vjp
def straight_through(x):
    return jnp.tanh(x)


straight_through.defvjp(lambda x: (jnp.tanh(x), None), lambda _, dy: (dy,))


def without_tanh_derivative(params, x, labels):
    h = straight_through(x @ params["in"]["w"] + params["in"]["b"])
    return optax.losses.softmax_cross_entropy_with_integer_labels(h @ params["out"], labels).mean()


def test_nested_parameters_integers_and_jit_inside():
    candidate = wrong_in(classifier, without_tanh_derivative)
    found = diagnose(candidate, classifier, PARAMS, X, LABELS)
    assert found.bug == "missing_activation_derivative"
    assert found.confirmed
    assert found.path == "in/b"
    assert found.site == line_of(classifier, "jax.jit(jnp.tanh)")


def convolution(params, x, scale):
    y = lax.conv_general_dilated(
        x, params["k"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.sum(jax.nn.gelu(y) * scale["by"])


def test_a_convolution_a_whole_activation_and_an_argument_that_is_no_array():
    def candidate(params, x, scale):
        grads = jax.grad(convolution)(params, x, scale)
        return convolution(params, x, scale), {"k": grads["k"][::-1, ::-1]}

    params = {"k": normal(3, 3, 2, 4)}
    found = diagnose(candidate, convolution, params, normal(2, 5, 6, 2), {"by": 0.1, "n": "x"})
    assert found.bug == "kernel_flipped"


def test_a_gather_of_repeated_rows():
    tokens = jnp.asarray([[1, 2, 1], [0, 2, 2]])

    def loss(table, tokens):
        return jnp.sum(jnp.sin(table[tokens]))

    def candidate(table, tokens):
        d = jnp.cos(table[tokens]).reshape(-1, 3)
        return loss(table, tokens), jnp.zeros_like(table).at[tokens.reshape(-1)].set(d)

    found = diagnose(candidate, loss, normal(4, 3), tokens)
    assert found.bug == "overwritten_not_accumulated"


def test_the_factor_is_measured():
    def candidate(params, x, labels):
        grads = jax.grad(classifier)(params, x, labels)
        return classifier(params, x, labels), jax.tree.map(lambda g: 0.3 * g, grads)

    found = diagnose(candidate, classifier, PARAMS, X, LABELS)
    assert found.bug == "constant_factor"
    assert "a factor of 0.3 gives" in found.evidence


def test_what_no_mistake_explains_is_unknown():
    def candidate(params, x, labels):
        value, grads = jax.value_and_grad(classifier)(params, x, labels)
        grads["in"]["w"] = grads["in"]["w"] + 0.01 * jnp.sin(params["in"]["w"])
        return value, grads

    found = diagnose(candidate, classifier, PARAMS, X, LABELS)
    assert found.bug == "unknown"
    assert not found.confirmed
    assert found.path == "in/w"
    assert 'wrong: in["w"]; right: in["b"], out; the error enters between' in found.evidence
    assert "matrix product" in found.evidence


def test_two_mistakes_at_once_are_not_called_one():
    def candidate(params, x, labels):
        value, grads = wrong_in(classifier, without_tanh_derivative)(params, x, labels)
        grads["out"] = -grads["out"]
        return value, grads

    assert diagnose(candidate, classifier, PARAMS, X, LABELS).bug == "unknown"


@pytest.mark.parametrize("factor", [1 + 1e-10, 1.5])
def test_a_name_needs_every_leaf_to_rounding(factor):
    """The right mistake in all leaves but one entry, which is a little off, is not that mistake."""

    def candidate(params, x, labels):
        value, grads = wrong_in(classifier, without_tanh_derivative)(params, x, labels)
        grads["in"]["w"] = grads["in"]["w"].at[2, 1].multiply(factor)
        return value, grads

    assert diagnose(candidate, classifier, PARAMS, X, LABELS).bug == "unknown"


def test_names_of_the_same_numbers_are_all_told():
    """The path through tanh cut, and the penalty's use of w kept alone, are the same."""

    def loss(w, x):
        return jnp.sum(jnp.tanh(x @ w)) + jnp.sum(jnp.sin(w))

    found = diagnose(lambda w, x: (loss(w, x), jnp.cos(w)), loss, normal(5, 3), X)
    assert {found.bug, *found.also} >= {"path_cut", "overwritten_not_accumulated"}
    assert found.bug not in found.also


@pytest.mark.parametrize(
    ("lost", "bug"), [(False, "path_cut"), (True, "overwritten_not_accumulated")]
)
def test_what_was_never_computed_is_not_overwritten(lost, bug):
    def loss(w, x):
        return jnp.sum(jnp.tanh(x @ w)) + jnp.sum(jnp.sin(w))

    def candidate(w, x):
        dw = x.T @ (1 - jnp.tanh(x @ w) ** 2) if lost else None
        dw = jnp.cos(w)
        return loss(w, x), dw

    found = diagnose(candidate, loss, normal(5, 3), X)
    assert found.bug == bug
    assert ("left out" in found.evidence) is not lost


def test_a_kind_of_mistake_that_fails_does_not_end_the_search(monkeypatch):
    def fails(*_):
        raise RuntimeError("no")
        yield

    monkeypatch.setattr("compare.diagnosis.hypotheses.by_leaf", fails)
    found = diagnose(wrong_in(classifier, without_tanh_derivative), classifier, PARAMS, X, LABELS)
    assert found.bug == "missing_activation_derivative"


def test_of_a_leaf_at_zero_no_name_stands_whose_zeros_are_chance():
    """The path through a norm: one operand of its square negated would give zeros as well."""

    def loss(params, x):
        d = params["w"] - x
        return jnp.sum(jnp.sqrt(jnp.sum(d * d, axis=1))) + params["b"]

    def candidate(params, x):
        return loss(params, x), {"w": 0 * params["w"], "b": jnp.ones(())}

    params = {"w": normal(4, 3), "b": jnp.ones(())}
    found = diagnose(candidate, loss, params, normal(4, 3, seed=1))
    assert (found.bug, found.also) == ("path_cut", ())
    assert "gives these numbers in the leaf that is wrong, and leaves the other right" in (
        found.evidence
    )


def test_what_cancels_to_zero_has_no_name_by_its_numbers():
    """A softmax's derivative sums to zero: with the factor left out the whole of it does."""
    distance = normal(4, 5)

    def loss(params, x, t):
        return jnp.sum(jax.nn.softmax(x + params["slope"][:, None] * distance) * t)

    def candidate(params, x, t):
        p = jax.nn.softmax(x + params["slope"][:, None] * distance)
        d = p * (t - jnp.sum(p * t, axis=1, keepdims=True))
        return jnp.sum(p * t), {"slope": jnp.sum(d, axis=1)}

    arguments = {"slope": normal(4, seed=1)}, normal(4, 5, seed=2), normal(4, 5, seed=3)
    found = diagnose(candidate, loss, *arguments)
    assert (found.bug, found.also) == ("unknown", ())
    assert found.suspects[0] == line_of(candidate, "return")


def test_what_the_right_loss_comes_from_is_not_to_blame():
    """jax.nn.log_softmax never has the probabilities that a person's backward pass begins with."""
    labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 1, 0, 2]]

    def loss(params, x):
        z = x @ params["w"]
        return -jnp.mean(jnp.sum(labels * jax.nn.log_softmax(z), axis=1))

    def candidate(params, x):
        z = x @ params["w"]
        e = jnp.exp(z - z.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        dz = (labels - p) / len(x)  # wrong sign
        return -jnp.sum(labels * jnp.log(p)) / len(x), {"w": x.T @ dz}

    found = diagnose(candidate, loss, {"w": normal(5, 3)}, normal(6, 5, seed=1))
    assert found.bug == "sign_flipped"
    assert found.suspects == (line_of(candidate, "# wrong sign"),)


def test_a_path_that_is_cut_is_none_that_another_derivative_cancels():
    """σ = exp(z − log(1 + eᶻ)): without the logarithm's derivative its two paths cancel."""

    def loss(w, x):
        z = x @ w
        return jnp.sum(jnp.exp(z - jax.nn.softplus(z))) + jnp.sum(w**3)

    found = diagnose(lambda w, x: (loss(w, x), 3 * w**2), loss, normal(5, 3), X)
    assert found.bug in ("path_cut", "overwritten_not_accumulated")
    assert "missing_activation_derivative" in found.also
