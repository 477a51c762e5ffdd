"""Where each mistake may be made: the suspects of small losses, and which explains what first."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from compare.diagnosis.backward import Backward
from compare.diagnosis.catalogue import CATALOGUE
from compare.diagnosis.suspecting.suspects import first_met, pairs, suspects
from compare.diagnosis.tape import record


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


X, T = normal(5, 3), normal(5, 2, seed=1)
PARAMS = {"w": normal(3, 4), "b": normal(4, seed=2), "v": normal(4, 2, seed=3)}
MATRIX = {"a": normal(5, 3, seed=4)}


@functools.cache
def backward_of(loss, names=tuple(PARAMS)):
    leaves = {name: {**PARAMS, **MATRIX}[name] for name in names}
    with jax.enable_x64(True):
        tape = record(lambda own, _: loss(**dict(zip(leaves, own, strict=True))), leaves, [])
        return Backward(tape)


def places_of(backward, suspect):
    """The places of a suspect as `tanh` or, of an operand that is not the first, `add 1`."""
    equations = backward.tape.equations
    names = [(equations[index].name, operand) for index, operand in suspect.rules]
    return sorted(name if operand == 0 else f"{name} {operand}" for name, operand in names)


def told(backward, found=suspects):
    """Every suspect as (name of the mistake, its places)."""
    return [(s.slug, places_of(backward, s)) for s in found(backward)]


def explaining(loss, wrong, names=("a",), found=suspects):
    """Yields the suspects whose gradient is that of `wrong`, the loss with a mistake in it."""
    backward = backward_of(loss, names)
    leaves = {name: {**PARAMS, **MATRIX}[name] for name in names}
    expected = jax.jit(jax.grad(lambda own: wrong(**own)))(leaves)
    for suspect in found(backward):
        gradient = backward.gradient(suspect.rules)
        if all(np.allclose(g, expected[p], rtol=1e-10, atol=1e-12) for p, g in gradient.items()):
            yield suspect


@jax.custom_vjp
def straight_through(x):
    return jnp.tanh(x)


straight_through.defvjp(lambda x: (jnp.tanh(x), None), lambda _, d: (d,))


def cut(x):
    return lax.stop_gradient(x)


def network(w, b, v, activation=jnp.tanh):
    error = activation(X @ w + b) @ v - T
    return jnp.sum(error**2) / 7 + 0.01 * jnp.sum(w**2)


def test_every_suspect_has_a_name_a_story_and_places():
    backward = backward_of(network)
    known = set(backward.places())
    for suspect in suspects(backward):
        assert suspect.slug in CATALOGUE
        assert suspect.story
        assert not suspect.story.endswith(".")
        assert suspect.rules
        assert set(suspect.rules) <= known


@pytest.mark.parametrize(
    ("slug", "places"),
    [
        ("missing_activation_derivative", ["tanh"]),
        ("activation_derivative_at_output", ["tanh"]),
        ("activation_derivative_twice", ["tanh"]),
        ("wrong_activation", ["tanh"]),
        ("bias_summed_over_features", ["add 1"]),
        ("bias_averaged", ["add 1"]),
        ("missing_weight_decay", ["integer_pow"]),
        ("sign_flipped", ["sub"]),
        ("sign_flipped", ["dot_general 1"]),
        ("path_cut", ["tanh"]),
        ("scale_omitted", ["mul 1"]),
        ("constant_factor", ["integer_pow"]),
        ("constant_factor", ["div"]),
    ],
)
def test_the_suspects_of_a_network(slug, places):
    assert (slug, places) in told(backward_of(network))


def test_what_a_network_does_not_have_is_not_suspected():
    slugs = {slug for slug, _ in told(backward_of(network))}
    assert not slugs & {
        "time_steps_truncated", "dropout_scale_missing", "kernel_flipped", "softmax_wrong_axis",
        "diagonal_softmax_jacobian", "transposed", "mask_redrawn", "dropped_examples",
    }  # fmt: skip


@pytest.mark.parametrize("slug", ["path_cut", "sign_flipped"])
def test_every_place_may_be_cut_or_have_the_wrong_sign(slug):
    backward = backward_of(network)
    single = [s.rules for s in suspects(backward) if s.slug == slug and len(s.rules) == 1]
    assert [next(iter(rules)) for rules in single] == list(backward.places())


def test_specific_names_come_before_paths_that_are_cut_and_signs():
    slugs = [slug for slug, places in told(backward_of(network)) if len(places) == 1]
    first = {slug: slugs.index(slug) for slug in slugs}
    assert first["missing_activation_derivative"] == 0
    assert first["missing_weight_decay"] < first["path_cut"] < first["sign_flipped"]


def test_a_mistake_may_be_made_at_all_lines_of_a_kind_and_that_is_tried_last():
    def deep(w, b, v):
        return jnp.sum(jnp.tanh(jnp.tanh(X @ w + b) @ v))

    found = told(backward_of(deep))
    missing = [places for slug, places in found if slug == "missing_activation_derivative"]
    assert missing == [["tanh"], ["tanh"], ["tanh", "tanh"]]
    single = max(i for i, (_, places) in enumerate(found) if len(places) == 1)
    assert single < found.index(("missing_activation_derivative", ["tanh", "tanh"]))


def test_the_first_to_explain_a_missing_derivative_is_called_that():
    def wrong(**params):
        return network(**params, activation=straight_through)

    first = next(explaining(network, wrong, tuple(PARAMS)))
    assert first.slug == "missing_activation_derivative"
    assert first.story == "the derivative of tanh left out"


def test_the_first_to_explain_a_forgotten_penalty_is_called_that():
    def wrong(w, b, v):
        return network(w, b, v) - 0.01 * jnp.sum(w**2)

    found = explaining(network, wrong, tuple(PARAMS))
    assert next(found).slug == "missing_weight_decay"
    assert "path_cut" in {other.slug for other in found}


def test_no_suspect_explains_a_gradient_that_has_another_mistake():
    def wrong(w, b, v):
        return network(w, b, v) + 1e-3 * jnp.sum(jnp.sin(w))

    assert list(explaining(network, wrong, tuple(PARAMS))) == []


MASK = normal(5, 3, seed=5)
GAMMA = normal(1, 3, seed=6)

# For each: the loss, the same with a mistake made by hand, the name, and a part of the story.
EXPLAINED = {
    "a constant": (
        lambda a: jnp.sum(jnp.sin(0.1 * a) * MASK),
        lambda a: jnp.sum(jnp.sin(cut(0.1 * a - a) + a) * MASK),
        "scale_omitted",
        "the factor the constant 0.1 left out",
    ),
    "a divisor": (
        lambda a: jnp.sum(jnp.sin(a / 8) * MASK),
        lambda a: jnp.sum(jnp.sin(cut(a / 8 - a) + a) * MASK),
        "scale_omitted",
        "the divisor the constant 8 left out",
    ),
    "a mean over features": (
        lambda a: jnp.sum(jnp.sin(a.mean(axis=1))),
        lambda a: jnp.sum(jnp.sin(cut(a.mean(axis=1) - a.sum(axis=1)) + a.sum(axis=1))),
        "constant_factor",
        "a mean's division by 3 left out",
    ),
    "a scale of each feature": (
        lambda a: jnp.sum(jnp.sin(GAMMA * a)),
        lambda a: jnp.sum(jnp.sin(cut(GAMMA * a - a) + a)),
        "scale_omitted",
        "the scale that multiplies each feature left out",
    ),
    "the other factor": (
        lambda a: jnp.sum(jnp.sin(MASK * a)),
        lambda a: jnp.sum(jnp.sin(cut(MASK * a - a) + a)),
        "missing_factor",
        "the other factor of a product left out",
    ),
    "a skip connection": (
        lambda a: jnp.sum(jnp.sin(jnp.exp(a) + a) * MASK),
        lambda a: jnp.sum(jnp.sin(jnp.exp(a) + cut(a)) * MASK),
        "overwritten_not_accumulated",
        "only the last of 2 uses of a value kept, that by exp",
    ),
    "a path through a statistic": (
        lambda a: jnp.sum(jnp.sin(a - a.sum(axis=0)) * MASK),
        lambda a: jnp.sum(jnp.sin(a - cut(a.sum(axis=0))) * MASK),
        "path_cut",
        "the path through ",
    ),
    "the sign of a subtraction": (
        lambda a: jnp.sum((T[:, :1] - a) ** 3),
        lambda a: -jnp.sum((T[:, :1] - a) ** 3),
        "sign_flipped",
        "the sign flipped at ",
    ),
    "the 2 of a square": (
        lambda a: jnp.sum(jnp.sin(a) ** 2 * MASK),
        lambda a: jnp.sum(jnp.sin(a) ** 2 * MASK) / 2,
        "constant_factor",
        "the factor 2 of a power's derivative left out",
    ),
    "the cosine of a sine": (
        lambda a: jnp.sum(jnp.sin(a) * MASK),
        lambda a: jnp.sum(a * MASK),
        "missing_factor",
        "the derivative of sin left out",
    ),
    "all but one factor": (
        lambda a: jnp.sum(MASK * GAMMA * a / 2),
        lambda a: jnp.sum(a),
        "missing_factor",
        "the other factors of a product left out",
    ),
}


@pytest.mark.parametrize("mistake", EXPLAINED)
def test_the_first_to_explain(mistake):
    loss, wrong, slug, story = EXPLAINED[mistake]
    first = next(explaining(loss, wrong))
    assert first.slug == slug
    assert first.story.startswith(story)


def dropped_out(a, scale=2.0):
    mask = jax.random.bits(jax.random.key(0), a.shape) % 2 == 0
    return jnp.sum(jnp.sin(jnp.where(mask, scale * a, 0.0)))


def test_a_constant_beside_a_random_mask_is_dropouts_scale():
    found = [s for s in suspects(backward_of(dropped_out, ("a",))) if "constant 2 " in s.story]
    assert {s.slug for s in found} == {"dropout_scale_missing"}
    elsewhere = backward_of(EXPLAINED["a constant"][0], ("a",))
    assert "dropout_scale_missing" not in {s.slug for s in suspects(elsewhere)}


def recurrent(w, v, carried=lambda h: h):
    """Three steps of which each gets `carried(h)`, the state that the one before left."""
    v = v[:, :1] * jnp.ones((1, 4))

    def step(h, x):
        h = jnp.tanh(x[None] @ w + carried(h) @ v)
        return h, h

    _, hs = lax.scan(step, jnp.zeros((1, 4)), X[:3])
    return jnp.sum(hs**2)


STEPS = ("w", "v")


def test_the_steps_of_a_loop_are_one_place():
    found = told(backward_of(recurrent, STEPS))
    assert ("missing_activation_derivative", ["tanh"] * 3) in found
    assert ("missing_activation_derivative", ["tanh"]) not in found


def test_a_gradient_that_stops_at_each_step():
    def wrong(w, v):
        return recurrent(w, v, carried=cut)

    first = next(explaining(recurrent, wrong, STEPS))
    assert first.slug == "time_steps_truncated"
    assert first.story == "nothing carried back from one time step to the one before"


@pytest.mark.parametrize("kept", [1, 2])
def test_a_gradient_of_the_last_steps_only(kept):
    """Of the state's path alone, or with the outputs of the earlier steps."""
    stories = [
        suspect
        for suspect in suspects(backward_of(recurrent, STEPS))
        if suspect.story == f"the gradient stopped after the last {kept} of 3 time steps"
    ]
    assert [suspect.slug for suspect in stories] == ["time_steps_truncated"] * 2
    backward = backward_of(recurrent, STEPS)
    path, outputs_too = (places_of(backward, suspect) for suspect in stories)
    assert path == ["copy"]
    assert len(outputs_too) == 1 + 3 - kept


def test_parameters_of_one_step_only():
    """The gradient of w from one step's use of it, by cutting its uses at the others."""
    backward = backward_of(recurrent, STEPS)
    stories = [s for s in suspects(backward) if s.story.startswith("only time step ")]
    assert {s.slug for s in stories} == {"overwritten_not_accumulated"}
    assert {s.story.split(" kept")[0] for s in stories} == {"only time step 0", "only time step 2"}
    assert all(len(s.rules) % 2 == 0 for s in stories), "two steps of three are cut"

    def last_step(w, v):
        h = jnp.zeros((1, 4))
        hidden = v[:, :1] * jnp.ones((1, 4))
        total = 0.0
        for t in range(3):
            h = jnp.tanh(X[t : t + 1] @ (w if t == 2 else cut(w)) + h @ hidden)
            total += jnp.sum(h**2)
        return total

    stories = (suspect.story for suspect in explaining(recurrent, last_step, STEPS))
    assert "only time step 2 kept in the sum over time steps" in stories


def normalised(a, constant=lambda x: x):
    mean = constant(a.mean(axis=0))
    variance = constant(((a - mean) ** 2).mean(axis=0))
    return jnp.sum(jnp.sin((a - mean) / jnp.sqrt(variance + 1e-3)) * MASK)


def test_the_mean_and_the_variance_of_a_normalisation_are_a_pair():
    def wrong(a):
        return normalised(a, constant=cut)

    assert list(explaining(normalised, wrong)) == [], "no single mistake"
    first = next(explaining(normalised, wrong, found=pairs))
    assert first.slug == "normalisation_terms_missing"
    assert first.story == "the mean and the variance of a normalisation taken as constants"


def test_without_statistics_there_are_no_pairs():
    assert list(pairs(backward_of(EXPLAINED["the cosine of a sine"][0], ("a",)))) == []


@pytest.mark.parametrize(
    ("loss", "penalties"),
    [
        (lambda w, v: jnp.sum(jnp.sin(w)) + 0.1 * jnp.sum(v**2), 2),
        (lambda w, v: jnp.sum(jnp.sin(w)) + jnp.sum(v * v) / 3, 2),
        (lambda w, v: jnp.sum(w**2) + jnp.sum(jnp.abs(v)), 3),
        (lambda w, v: jnp.sum(jnp.sin(w * w)) + jnp.sum(v), 0),
        (lambda w, v: jnp.sum(w**2) * jnp.sum(v), 0),
        (lambda w, v: jnp.sum(w[:2] * v.T), 0),
    ],
    ids=["w", "v * v", "both", "inside a sine", "times another", "a product of two"],
)
def test_a_penalty_is_a_square_of_one_leaf_that_is_added_to_the_loss(loss, penalties):
    names = [s.slug for s in suspects(backward_of(loss, ("w", "v")))]
    assert names.count("missing_weight_decay") == penalties


def test_a_mistake_of_another_shape_cannot_be_made():
    """A scalar between vectors: the other factors of its product have another shape."""
    backward = backward_of(lambda a: jnp.sum(X[0] * jnp.cos(a).sum() * X[1]), ("a",))
    shapes, impossible = set(), 0
    for suspect in suspects(backward):
        with contextlib.suppress(ValueError):
            shapes.add(backward.gradient(suspect.rules)["a"].shape)
            continue
        impossible += 1
    assert shapes == {(5, 3)}
    assert impossible


def two_layers(w, b, v):
    return jnp.sum(jnp.tanh(jnp.tanh(X @ w + b) @ v) ** 2)


def test_what_spoils_every_leaf_is_met_first_where_the_last_one_is_used():
    tape = backward_of(two_layers).tape
    names = [equation.name for equation in tape.equations]
    (_, last) = [i for i, name in enumerate(names) if name == "dot_general"]
    assert first_met(tape, ["w", "b", "v"]) == last
    assert first_met(tape, ["w"]) == names.index("dot_general")


def test_what_spoils_a_leaf_at_every_turn_is_met_first_in_the_last_turn():
    def loss(w):
        return jnp.sum(lax.scan(lambda h, x: (jnp.tanh(h + x * w[0]), None), w[1], X[:, :1])[0])

    tape = backward_of(loss, ("w",)).tape
    first = tape.equations[first_met(tape, ["w"])]
    assert first.step is None or first.step[1] == len(X) - 1


def test_suspects_from_an_equation_on_are_those_whose_places_are_there():
    backward = backward_of(two_layers)
    first = first_met(backward.tape, ["w", "b", "v"])
    near = [*suspects(backward, first, cuts=False)]
    assert near
    assert all(min(suspect.rules)[0] >= first for suspect in near)
    assert "path_cut" not in {suspect.slug for suspect in near}


def test_a_factor_of_zeros_and_ones_left_out_is_a_mask():
    mask = jnp.asarray([[1.0, 0.0, 1.0]])

    def loss(a):
        return jnp.sum(jnp.sin(a * mask) + a)

    def wrong(a):
        kept = jax.lax.stop_gradient(a * mask)
        return jnp.sum(jnp.cos(kept) * a + a)

    first = next(explaining(loss, wrong))
    assert first.slug == "mask_missing"


def test_a_mask_that_was_computed_from_the_parameters_is_one():
    def loss(a):
        mask = (jnp.cumsum(a, axis=1) > 0).astype(a.dtype)
        return jnp.sum(jnp.sin(a[:, :1]) * mask)

    def wrong(a):
        mask = (jnp.cumsum(a, axis=1) > 0).astype(a.dtype)
        return jnp.sum(jnp.sin(a[:, :1]) * jnp.ones_like(mask))

    assert next(explaining(loss, wrong)).slug == "mask_missing"


def test_one_of_two_equal_terms_with_the_other_sign_is_both_left_out():
    def loss(a):
        return jnp.sum(jnp.sin(a) * jnp.cos(X) + a * a * X)

    def without_its_square(a):
        return jnp.sum(jnp.sin(a) * jnp.cos(X) + cut(a) * cut(a) * X)

    found = [*explaining(loss, without_its_square)]
    assert "sign_flipped" not in {suspect.slug for suspect in found}
    assert any("two equal paths" in suspect.story for suspect in found)


def test_the_sum_over_every_entry_is_no_scale_s():
    backward = backward_of(lambda b: jnp.sum(b[:1] * jnp.sin(X)), ("b",))
    assert "bias_summed_over_features" not in {slug for slug, _ in told(backward)}
