"""Each mistake fits the operands that it should, and makes the derivative that a person would."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.diagnosis.backward import Backward
from compare.diagnosis.catalogue import CATALOGUE
from compare.diagnosis.mistakes import (
    LAST_MISTAKES,
    MISTAKES,
    display_name,
    is_broadcast,
    is_factor,
    other_input,
    sum_broadcast,
    without_factor,
)
from compare.diagnosis.tape import record

EVERY = (*MISTAKES, *LAST_MISTAKES)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def edges_of(loss, **leaves):
    """Every edge of a loss(**leaves), in the order of its equations."""
    with jax.enable_x64(True):
        backward = Backward(
            record(lambda own, _: loss(**dict(zip(leaves, own, strict=True))), leaves, [])
        )
        return [backward.edge(place) for place in backward.places()]


def edge_at(loss, name, operand=0, **leaves):
    """The only edge of that operand of an equation of this name."""
    found = [e for e in edges_of(loss, **leaves) if (e.equation.name, e.operand) == (name, operand)]
    (edge,) = found
    return edge


def made(slug, edge, *, story=""):
    """The derivatives that the mistakes of this name, which fit there, make of an edge."""
    return [
        m.rule(edge) for m in EVERY
        if m.slug(edge) == slug and m.fits(edge) and story in m.story(edge)
    ]  # fmt: skip


A, D = normal(3, 4), normal(3, 4, seed=1)
"""The input of an elementwise function, and the derivative with respect to its output."""

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "elu": jax.nn.elu,
    "softplus": jax.nn.softplus,
    "max": lambda x: lax.max(x, jnp.full_like(x, 0.1)),
    "clamp": lambda x: lax.clamp(-0.5, x, 0.5),
}
SOFTMAXES = {"softmax": jax.nn.softmax, "log_softmax": jax.nn.log_softmax}
MIXING = {"cumsum": lambda x: jnp.cumsum(x, axis=0), "sort": lambda x: jnp.sort(x, axis=0)}
POWERS = {"square": jnp.square, "integer_pow": lambda x: x**3}
OTHERS = {"sin": jnp.sin, "exp": jnp.exp, "neg": lambda x: -x}
ELEMENTWISE = {**ACTIVATIONS, **SOFTMAXES, **MIXING, **POWERS, **OTHERS}


@functools.cache
def elementwise():
    """The edge of each of these functions of A under the derivative D, by name."""

    def loss(**leaves):
        return sum(jnp.sum(ELEMENTWISE[name](a) * D) for name, a in leaves.items())

    edges = edges_of(loss, **dict.fromkeys(ELEMENTWISE, A))
    return {edge.equation.name: edge for edge in edges if edge.equation.name in ELEMENTWISE}


@functools.cache
def softmaxes():
    """The edges of both softmaxes of A under D, by name and axis."""
    keys = [(name, axis) for name in SOFTMAXES for axis in (0, 1)]

    def loss(**leaves):
        each = zip(keys, leaves.values(), strict=True)
        return sum(jnp.sum(SOFTMAXES[name](a, axis) * D) for (name, axis), a in each)

    edges = edges_of(loss, **{f"{name} over {axis}": A for name, axis in keys})
    return dict(zip(keys, (e for e in edges if e.equation.name in SOFTMAXES), strict=True))


def of_images(x, k):
    """A convolution and the largest of each window."""
    y = lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jnp.sum(
        jnp.sin(lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1,) * 4, "VALID"))
    )


def of_rows(w, u, b):
    """A dense layer of any shape, and a square one after it."""
    return jnp.sum(((normal(5, 3) @ w + b) @ u) * normal(5, 4, seed=1))


@pytest.fixture(scope="module")
def edges():
    table = edges_of(lambda t: jnp.sum(jnp.sin(t[jnp.asarray([0, 2, 0])])), t=A)
    square = edges_of(lambda w: jnp.sum((A @ w) * normal(3, 3)), w=normal(4, 3))
    images = edges_of(of_images, x=normal(1, 4, 5, 2), k=normal(3, 2, 2, 2))
    rows = edges_of(of_rows, w=normal(3, 4), u=normal(4, 4), b=normal(4))
    return [*elementwise().values(), *table[:1], *square, *images[:3], *rows]


PLACES = {
    "missing_activation_derivative": {*ACTIVATIONS, *SOFTMAXES},
    "activation_derivative_at_output": {*ACTIVATIONS},
    "activation_derivative_twice": {*ACTIVATIONS},
    "wrong_activation": {*ACTIVATIONS},
    "wrong_derivative": {*ACTIVATIONS},
    "bias_summed_over_features": {"add"},
    "bias_averaged": {"add"},
    "transposed": {"dot_general"},
    "kernel_flipped": {"conv_general_dilated"},
    "diagonal_softmax_jacobian": {*SOFTMAXES},
    "path_cut": {"softmax"},
    "softmax_wrong_axis": {*SOFTMAXES},
    "overwritten_not_accumulated": {"gather", "conv_general_dilated", "reduce_window_max"},
    "missing_factor": {"sin", "exp", *POWERS},
    "constant_factor": {*POWERS},
}


def test_each_mistake_fits_its_equations_and_no_other(edges):
    found = {}
    for mistake in EVERY:
        for edge in filter(mistake.fits, edges):
            found.setdefault(mistake.slug(edge), set()).add(edge.equation.name)
    assert found == PLACES


def test_a_mask_is_no_activation():
    def loss(z):
        return jnp.sum(lax.select(jnp.asarray(A[0] > 0), z, jnp.zeros_like(z)) * D[0])

    edges = [e for e in edges_of(loss, z=D[0]) if e.equation.name == "select_n"]
    (edge,) = edges[:1]
    assert next(m.slug(edge) for m in EVERY if m.fits(edge)) == "mask_missing"


@pytest.mark.parametrize("mistake", EVERY)
def test_each_mistake_changes_a_derivative_and_keeps_its_shape(mistake, edges):
    fitting = [edge for edge in edges if mistake.fits(edge)]
    wrong = [mistake.rule(edge) for edge in fitting]
    assert all(d.shape == e.value.shape for d, e in zip(wrong, fitting, strict=True))
    assert any(not np.allclose(d, e.d_input) for d, e in zip(wrong, fitting, strict=True))


@pytest.mark.parametrize("mistake", EVERY)
def test_each_mistake_has_a_name_and_a_story(mistake, edges):
    for edge in filter(mistake.fits, edges):
        assert mistake.slug(edge) in CATALOGUE
        story = mistake.story(edge)
        assert story
        assert not story.endswith(".")
        assert "{" not in story


def test_an_activation_is_called_by_its_name(edges):
    stories = {
        edge.equation.name: mistake.story(edge)
        for mistake in MISTAKES
        for edge in edges
        if mistake.fits(edge) and mistake.slug(edge) == "missing_activation_derivative"
    }
    assert stories["logistic"] == "the derivative of sigmoid left out"
    assert stories["gelu"] == "the derivative of gelu left out"


def test_the_derivative_of_an_activation():
    edge, y = elementwise()["tanh"], np.tanh(A)
    (left_out,) = made("missing_activation_derivative", edge)
    (at_output,) = made("activation_derivative_at_output", edge)
    (twice,) = made("activation_derivative_twice", edge)
    assert np.array_equal(left_out, D)
    assert at_output == pytest.approx(D * (1 - np.tanh(y) ** 2), rel=1e-14)
    assert twice == pytest.approx(D * (1 - y**2) ** 2, rel=1e-13)


@pytest.mark.parametrize(
    ("name", "story", "slope"),
    [
        ("wrong_activation", "sigmoid's y (1 − y) in", np.tanh(A) * (1 - np.tanh(A))),
        ("wrong_activation", "relu's [x > 0] in", (A > 0) * 1.0),
        ("wrong_activation", "leaky relu's (0.2 below zero) in", np.where(A > 0, 1, 0.2)),
        ("wrong_derivative", "the input in", A),
        ("wrong_derivative", "the output in", np.tanh(A)),
    ],
)
def test_the_derivative_of_another_activation(name, story, slope):
    (wrong,) = made(name, elementwise()["tanh"], story=story)
    assert wrong == pytest.approx(D * slope, rel=1e-14)


def test_the_output_of_a_sigmoid_is_not_called_the_derivative_of_softplus():
    assert made("wrong_activation", elementwise()["logistic"], story="softplus") == []


@pytest.mark.parametrize(
    ("name", "story"),
    [
        ("tanh", "tanh's 1 − y²"),
        ("tanh", "tanh's 1 − tanh² x"),
        ("logistic", "sigmoid's y (1 − y)"),
        ("logistic", "sigmoid's σ(x) (1 − σ(x))"),
        ("relu", "relu's [x > 0]"),
        ("relu", "relu's [y > 0]"),
        ("leaky_relu", "leaky relu's (0.01 below zero)"),
        ("elu", "elu's (eˣ below zero)"),
        ("softplus", "softplus's σ(x)"),
        ("silu", "silu's"),
    ],
)
def test_a_derivative_in_its_own_place_is_right(name, story):
    """The formulas by which wrong activations are known are those of the activations."""
    edge = elementwise()[name]
    (found,) = made("wrong_activation", edge, story=f"{story} in place of")
    assert found == pytest.approx(edge.d_input, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", [*MIXING, *SOFTMAXES])
def test_a_function_that_mixes_entries_is_no_activation(name):
    edge = elementwise()[name]
    assert made("wrong_activation", edge) == []
    assert made("activation_derivative_twice", edge) == []


def test_a_scalar_has_no_activation():
    edge = edge_at(lambda a: jnp.tanh(a), "tanh", a=np.float64(0.3))
    assert made("missing_activation_derivative", edge) == []


def test_the_gradient_of_a_bias():
    d = normal(5, 4)
    edge = edge_at(lambda b: jnp.sum((d + b) * d), "add", 1, b=normal(4))
    (summed,) = made("bias_summed_over_features", edge)
    (averaged,) = made("bias_averaged", edge)
    assert np.ravel(summed) == pytest.approx(np.full(4, d.sum()), rel=1e-14)
    assert np.ravel(averaged) == pytest.approx(d.mean(axis=0), rel=1e-13)


def test_the_other_factor_of_a_matrix_product_transposed():
    x, u, d = normal(5, 3), normal(3, 3), normal(5, 3, seed=1)
    edge = edge_at(lambda x: jnp.sum((x @ u) * d), "dot_general", x=x)
    (wrong,) = made("transposed", edge)
    assert wrong == pytest.approx(d @ u, rel=1e-13)


def test_the_derivative_of_a_square_product_transposed():
    x, w, d = normal(3, 4), normal(4, 3), normal(3, 3, seed=1)
    edge = edge_at(lambda w: jnp.sum((x @ w) * d), "dot_general", 1, w=w)
    (wrong,) = made("transposed", edge)
    assert wrong == pytest.approx(x.T @ d.T, rel=1e-13)


def test_a_kernel_turned_by_180_degrees():
    def loss(x, k):
        y = lax.conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.sum(jnp.sin(y))

    k = normal(3, 2, 2, 3)
    of_image, of_kernel, *_ = edges_of(loss, x=normal(1, 4, 5, 2), k=k)
    (wrong,) = made("kernel_flipped", of_kernel)
    assert np.array_equal(wrong, of_kernel.d_input[::-1, ::-1])
    (wrong,) = made("kernel_flipped", of_image)
    assert wrong == pytest.approx(of_image.with_input(k[::-1, ::-1], operand=1), rel=1e-13)
    assert not np.allclose(wrong, of_image.d_input)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_derivative_of_a_softmax(axis):
    p, other = np.asarray(jax.nn.softmax(A, axis)), np.asarray(jax.nn.softmax(A, 1 - axis))
    edge = softmaxes()["softmax", axis]
    (diagonal,) = made("diagonal_softmax_jacobian", edge)
    normalised, summed = made("softmax_wrong_axis", edge)
    assert diagonal == pytest.approx(p * (1 - p) * D, rel=1e-13)
    along = {"axis": 1 - axis, "keepdims": True}
    assert normalised == pytest.approx(other * (D - np.sum(other * D, **along)), rel=1e-12)
    assert summed == pytest.approx(p * (D - np.sum(p * D, **along)), rel=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_derivative_of_a_log_softmax(axis):
    p, other = np.asarray(jax.nn.softmax(A, axis)), np.asarray(jax.nn.softmax(A, 1 - axis))
    edge = softmaxes()["log_softmax", axis]
    (diagonal,) = made("diagonal_softmax_jacobian", edge)
    normalised, summed = made("softmax_wrong_axis", edge)
    assert diagonal == pytest.approx((1 - p) * D, rel=1e-13)
    assert normalised == pytest.approx(D - other * D.sum(axis, keepdims=True), rel=1e-12)
    assert summed == pytest.approx(D - p * D.sum(1 - axis, keepdims=True), rel=1e-12)


def test_a_softmax_of_a_vector_has_no_other_axis():
    edge = edge_at(lambda z: jnp.sum(jax.nn.softmax(z) * D[0]), "softmax", z=A[0])
    assert made("softmax_wrong_axis", edge) == []
    assert made("diagonal_softmax_jacobian", edge) == []


def test_repeated_rows_of_a_table_overwritten():
    d = normal(2, 2, 4)
    tokens = jnp.asarray([[0, 2], [0, 1]])
    edge = edge_at(lambda t: jnp.sum(t[tokens] * d), "gather", t=normal(4, 4))
    last, first = made("overwritten_not_accumulated", edge)
    assert np.array_equal(last, [d[1, 0], d[1, 1], d[0, 1], np.zeros(4)])
    assert np.array_equal(first, [d[0, 0], d[1, 1], d[0, 1], np.zeros(4)])


def test_a_look_up_along_another_axis_is_no_table():
    edge = edge_at(lambda t: jnp.sum(t[:, jnp.asarray([0, 2, 0])]), "gather", t=A)
    assert made("overwritten_not_accumulated", edge) == []


def test_overlapping_windows_overwritten():
    d, x = np.asarray([2.0, 3.0, 5.0]), np.asarray([1.0, 9.0, 4.0, 6.0])

    def largest(x):
        return jnp.sum(d * lax.reduce_window(x, -jnp.inf, lax.max, (2,), (1,), "VALID"))

    def total(x):
        return jnp.sum(d * lax.reduce_window(x, 0.0, lax.add, (2,), (1,), "VALID"))

    last, first = made("overwritten_not_accumulated", edge_at(largest, "reduce_window_max", x=x))
    assert np.array_equal(last, [0, 3, 0, 5])
    assert np.array_equal(first, [0, 2, 0, 5])
    last, first = made("overwritten_not_accumulated", edge_at(total, "reduce_window_sum", x=x))
    assert np.array_equal(last, [2, 3, 5, 5])
    assert np.array_equal(first, [2, 2, 3, 5])


def test_overlapping_windows_of_a_convolution_overwritten():
    """A kernel (7, 10) under the derivatives 2, 3, 5; both channels of a window at once."""
    kernel = jnp.asarray([[7.0, 70.0], [10.0, 100.0]]).reshape(2, 1, 2)
    d = np.asarray([[2.0, 0], [3, 1], [5, 0]])[None]

    def loss(x):
        y = lax.conv_general_dilated(
            x, kernel, (1,), "VALID", dimension_numbers=("NHC", "HIO", "NHC")
        )
        return jnp.sum(y * d)

    edge = edge_at(loss, "conv_general_dilated", x=normal(1, 4, 1))
    last, first = made("overwritten_not_accumulated", edge)
    assert np.array_equal(np.ravel(last), [14, 91, 35, 50])
    assert np.array_equal(np.ravel(first), [14, 20, 130, 50])


def test_a_derivative_or_its_constant_left_out():
    edges = elementwise()
    (left_out,) = made("missing_factor", edges["sin"])
    assert np.array_equal(left_out, D)
    (constant,) = made("constant_factor", edges["integer_pow"])
    assert constant == pytest.approx(A**2 * D, rel=1e-14)
    (constant,) = made("constant_factor", edges["square"])
    assert constant == pytest.approx(A * D, rel=1e-14)
    assert made("constant_factor", edges["sin"]) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [("logistic", "sigmoid"), ("max", "maximum"), ("tanh", "tanh"), ("gelu", "gelu")],
)
def test_the_name_that_people_use(name, shown):
    assert display_name(elementwise()[name].equation) == shown


@pytest.mark.parametrize(
    ("fn", "operand", "expected"),
    [
        (lambda a, b: a * b, 0, True),
        (lambda a, b: a * b, 1, True),
        (lambda a, b: a / b, 0, True),
        (lambda a, b: a / b, 1, False),
        (lambda a, b: a + b, 0, False),
    ],
)
def test_a_factor_is_multiplied_or_divided(fn, operand, expected):
    first = [e for e in edges_of(lambda a, b: jnp.sum(fn(a, b)), a=A, b=D) if e.operand == operand]
    assert is_factor(first[0]) is expected
    assert np.array_equal(other_input(first[0]), D if operand == 0 else A)


def test_what_reaches_several_entries_is_broadcast():
    row = edges_of(lambda b: jnp.sum((D + b) * D), b=normal(1, 4))
    assert [(e.equation.name, is_broadcast(e)) for e in row] == [
        ("add", True), ("mul", False), ("reduce_sum", False)
    ]  # fmt: skip


def test_a_sum_over_what_was_broadcast():
    assert np.array_equal(sum_broadcast(D, (1, 4)), D.sum(axis=0, keepdims=True))
    assert sum_broadcast(D, (1, 1)) == pytest.approx(np.full((1, 1), D.sum()), rel=1e-14)
    assert np.array_equal(sum_broadcast(D, (3, 4)), D)
    assert np.array_equal(sum_broadcast(np.ones((1, 4)), (1, 4)), np.ones((1, 4)))


@pytest.mark.parametrize("a", [A, normal(1, 4), np.float64(2)], ids=["whole", "row", "number"])
def test_a_product_without_its_other_factor(a):
    d = normal(3, 4, seed=2)
    first = edges_of(lambda a: jnp.sum((a * D) * d), a=a)[0]
    axes = {(3, 4): (), (1, 4): 0, (): None}[a.shape]
    assert first.equation.name == "mul"
    assert without_factor(first) == pytest.approx(d.sum(axis=axes, keepdims=a.ndim > 0), rel=1e-13)
