"""What the tests of the hand-derived half share."""

import jax.numpy as jnp
import numpy as np
import pytest


def _assert_rounds_to(got, want, *, roundings, scale):
    """Every entry of `got` is `want` up to so many roundings of a number of size `scale`.

    One operation rounds its result to within half a unit in the last place, eps/2 times its size
    (the elementary functions of XLA to within a few units), so `roundings` counts the operations
    from the input to the result on both sides, and `scale` bounds what any of them handles.
    """
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    eps = float(jnp.finfo(got.dtype).eps)
    got, want, scale = (np.asarray(a, np.float64) for a in (got, want, scale))
    # Below the smallest normal number there are no units in the last place.
    bound = roundings * eps * scale + float(jnp.finfo(jnp.float32).tiny)
    error = np.abs(got - want)
    worst = np.max(error - bound, initial=-np.inf)
    assert np.all(error <= bound), f"beyond the bound by {worst:.3e}; error {error.max():.3e}"


@pytest.fixture
def assert_rounds_to():
    return _assert_rounds_to
