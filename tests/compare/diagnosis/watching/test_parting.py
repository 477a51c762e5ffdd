"""Where two forward passes part: the line of each, and the first number that differs."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.watching.parting import parting

rng = np.random.default_rng(0)
X, W, B = (rng.standard_normal(s) for s in ((5, 3), (3, 4), (4,)))


def test_first_value_that_the_other_does_not_compute():
    def ours():
        z = jnp.asarray(X) @ W - B  # PARTS here
        return {"loss": jnp.mean(jnp.tanh(z) ** 2)}

    def theirs():
        z = jnp.asarray(X) @ W + B  # in the loss
        return {"loss": jnp.mean(jnp.tanh(z) ** 2)}

    told = parting(ours, theirs, "loss")
    own, other = _line("# PARTS here"), _line("# in the loss")
    assert f"part at {own}, `z = jnp.asarray(X) @ W - B" in told.replace(str(Path.cwd()) + "/", "")
    assert f"in the loss at {other}," in told
    z = X @ W
    assert told.endswith(f": {(z - B)[0, 0]:.6g} and {(z + B)[0, 0]:.6g} at [0, 0]")


def test_numpy_is_watched():
    def ours():
        z = X @ W
        return {"loss": np.mean(np.tanh(2 * z))}  # PARTS in NumPy

    def theirs():
        return {"loss": jnp.mean(jnp.tanh(jnp.asarray(X) @ W))}

    assert f"part at {_line('# PARTS in NumPy')}," in parting(ours, theirs, "loss")


def test_what_is_computed_otherwise_and_comes_out_the_same_is_no_parting():
    def ours():
        z = jnp.asarray(X) @ W
        e = jnp.exp(-2 * z)  # not what the loss computes, but for the same end
        a = (1 - e) / (1 + e)
        return {"loss": jnp.sum(a**3)}  # PARTS in the power

    def theirs():
        return {"loss": jnp.sum(jnp.tanh(jnp.asarray(X) @ W) ** 2)}

    assert f"part at {_line('# PARTS in the power')}," in parting(ours, theirs, "loss")


def test_a_last_step_left_out():
    """The wrong value is one that the loss computes as well, on the way to its own."""

    def ours():
        return {"loss": jnp.sum(jnp.asarray(X) @ W)}  # PARTS before the mean

    def theirs():
        total = jnp.sum(jnp.asarray(X) @ W)
        return {"loss": total / 20}  # the division

    told = parting(ours, theirs, "loss")
    assert f"part at {_line('# PARTS before the mean')}," in told
    assert f"in the loss at {_line('# the division')}," in told


@pytest.mark.parametrize("failing", [0, 1])
def test_says_nothing_of_what_cannot_be_run_again(failing):
    def fine():
        return {"loss": jnp.sum(jnp.asarray(X))}

    def fails():
        raise RuntimeError

    ours, theirs = (fails, fine) if failing == 0 else (fine, fails)
    assert parting(ours, theirs, "loss") == ""


def _line(marker: str) -> str:
    """`file:line` of a comment in this file, as the report shows it."""
    lines = Path(__file__).read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if line.endswith(marker)]
    return f"tests/compare/diagnosis/watching/test_parting.py:{number}"
