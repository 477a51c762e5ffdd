import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual.rules._windows import fold, unfold, windows

GEOMETRIES = [
    ((5, 4), (2, 3), (1, 1), "SAME", (1, 1)),
    ((7, 5), (3, 2), (2, 3), "SAME", (1, 1)),
    ((6, 8), (2, 2), (3, 4), "VALID", (1, 1)),
    ((7, 6), (2, 3), (2, 1), ((2, 0), (1, 3)), (3, 2)),
]


def total(a, b):
    return float(np.sum(np.asarray(a, np.float64) * np.asarray(b, np.float64)))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_fold_is_the_adjoint_of_unfold(geometry):
    w = windows(*geometry)
    rng = np.random.default_rng(0)
    # Small integers, whose products and sums are exact.
    x = rng.integers(-9, 9, (2, *w.image, 3)).astype("float32")
    parts = rng.integers(-9, 9, (w.window[0] * w.window[1], 2, *w.out, 3)).astype("float32")
    seen = jnp.stack(unfold(jnp.asarray(x), w))
    folded = fold(lambda k: jnp.asarray(parts[k]), w)
    assert folded.shape == x.shape
    assert total(seen, parts) == total(x, folded)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_geometry_is_that_of_lax(geometry):
    image, window, stride, padding, dilation = geometry
    w = windows(*geometry)
    pads = padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))
    want = jax.lax.reduce_window(
        jnp.ones((1, *image, 1)), 0.0, jax.lax.add, (1, *window, 1), (1, *stride, 1), pads,
        window_dilation=(1, *dilation, 1),
    )  # fmt: skip
    np.testing.assert_array_equal(sum(unfold(jnp.ones((1, *image, 1)), w)), want)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ((5, 4), (0, 2), (1, 1), "SAME"),
            r"window must be a positive integer or two of them, got \(0, 2\)",
        ),
        (((5, 4), (2, 2), (1, -1), "SAME"), r"stride must be a positive integer"),
        (((5, 4), (2, 2), (1,), "SAME"), r"stride must be .* two of them, got \(1,\)"),
        (((5, 4), (2, 2), (1, 1), "same"), r"padding must be 'SAME', 'VALID' or .* got 'same'"),
        (((5, 4), (2, 2), (1, 1), ((1, -1), (0, 0))), r"padding must be .* none negative"),
        (((5, 4), (2, 2), (1, 1), ((1, 1),)), r"padding must be"),
        (((5, 4), 2, 1.5, "SAME"), r"stride must be a positive integer or two of them, got 1.5"),
        (((5, 4), 2, True, "SAME"), r"stride must be a positive integer or two of them, got True"),
        (((5, 4), 0, 1, "SAME"), r"window must be a positive integer or two of them, got 0"),
        (((5, 4), 2, 1, 1), r"padding must be 'SAME', 'VALID' or .* got 1"),
        (((5, 4), (6, 2), (1, 1), "VALID"), r"spans \(6, 2\) does not fit into .* \(5, 4\)"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        windows(*settings)


def test_one_number_stands_for_both():
    assert windows((7, 9), 3, 2, "SAME", 2) == windows((7, 9), (3, 3), (2, 2), "SAME", (2, 2))
