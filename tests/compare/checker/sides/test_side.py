"""One side: traced anew, its program found again, constants right in both precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_gradients
from compare.checker.sides.side import Side, compiled, differentiated, digest, fingerprint, told
from compare.trees import Layout

W = np.asarray([1.0, 2.0, 3.0], np.float32)
WEIGHTS, LABELS = np.array([1.0, 0.0, 2.0]), np.array([0, 2, 1])


def test_a_fingerprint_tells_one_computation_from_another():
    def of(fn):
        return fingerprint(jax.jit(fn).trace(W))

    assert of(lambda x: x * 2) == of(lambda y: y * 2)
    assert of(lambda x: x * 2) != of(lambda x: x * 3)
    assert of(lambda x: x * WEIGHTS) != of(lambda x: x * (WEIGHTS + 1))


def test_a_digest_tells_every_number():
    assert digest([W, jax.random.key(0)]) == digest([W.copy(), jax.random.key(0)])
    assert digest([W]) != digest([np.nextafter(W, 9)])
    assert digest([W]) != digest([W.astype(np.float64)])
    assert digest([W]) != digest([W[None]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_constants_in_a_closure_are_right_in_both_precisions(dtype):
    def loss(z):
        return -(WEIGHTS * jax.nn.log_softmax(z)[jnp.arange(3), LABELS]).sum()

    def candidate(z):
        right = jax.nn.softmax(z) - jax.nn.one_hot(LABELS, 4, dtype=z.dtype)
        return loss(z), WEIGHTS[:, None] * right

    z = np.random.default_rng(0).standard_normal((3, 4))
    report = check_gradients(candidate, loss, z, dtype=dtype)
    assert report.agree, report
    assert check_gradients(candidate, loss, z, dtype=dtype).agree, "and the second time"


def test_a_program_that_names_objects_is_not_mistaken_for_another():
    def called_back(number):
        def fn(w):
            back = lambda w: np.asarray(w) * np.float32(number)  # noqa: E731
            return w.sum(), jax.pure_callback(back, jax.ShapeDtypeStruct(w.shape, w.dtype), w)

        return fn

    for number in (2, 3, 4):
        arrays = [jnp.asarray(W)]
        of = Side(called_back(number))
        program = of.program(arrays, Layout((W, ())), plain=False)
        assert np.array_equal(program.compile()(arrays)[1], number * W)


def test_the_same_program_of_other_containers_returns_its_own():
    for containers in (tuple, list):
        of = Side(lambda w, c=containers: (w.sum(), c([w, 2 * w])))
        arrays = [jnp.asarray(W)]
        result = of.program(arrays, Layout((W, ())), plain=False)(arrays)
        assert type(result[1]) is containers


def test_what_is_compiled_is_found_again_by_what_it_computes():
    def scaled(factor):
        return compiled(lambda x, more: factor * x + more["b"] + key)

    key, x, more = np.float32(0.5), np.ones(3, np.float32), {"b": np.float32(1)}
    compilations = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compilations.append(event) if "backend_compile" in event else None
    )
    twice, again, thrice = scaled(2.0), scaled(2.0), scaled(3.0)
    np.testing.assert_array_equal(twice(x, more), 3.5)
    before = len(compilations)
    np.testing.assert_array_equal(again(2 * x, more), 5.5)
    assert len(compilations) == before
    np.testing.assert_array_equal(thrice(x, more), 4.5)
    assert len(compilations) > before
    np.testing.assert_array_equal(twice(np.ones(2, np.float32), more), 3.5)


def test_a_loss_that_narrows_has_a_side_that_does_not():
    of = differentiated(lambda w: jnp.sum(w.astype(jnp.float32) ** 2).astype(w.dtype))
    layout = Layout((W, ()))
    assert of.in_float64([jnp.asarray(W)], layout) is of
    with jax.enable_x64(True):
        wide = of.in_float64([jnp.asarray(W, jnp.float64)], layout)
    assert wide is of.wide
    plain = differentiated(lambda w: jnp.sum(w**2))
    with jax.enable_x64(True):
        assert plain.in_float64([jnp.asarray(W, jnp.float64)], layout) is plain


@pytest.mark.parametrize(
    ("value", "words"),
    [((1, 2, 3), "3 values"), (W, "an array of shape (3,)"), ({}, "a dict"), (None, "a NoneType")],
)
def test_what_was_returned_is_told_in_words(value, words):
    assert told(value) == words
