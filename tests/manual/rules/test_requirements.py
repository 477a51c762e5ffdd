"""What several rules refuse, and in which words."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual import rules
from manual.rules.rule import Rule

RULES = {name: rule for name, rule in vars(rules).items() if isinstance(rule, Rule)}
NORMS = [name for name, rule in RULES.items() if "epsilon" in inspect.signature(rule).parameters]


def called(name, x, epsilon):
    """The rule at x, of whose last axis all its other inputs are."""
    parameters = inspect.signature(RULES[name]).parameters.values()
    count = sum(p.kind is not p.KEYWORD_ONLY for p in parameters)
    others = [x if name == "cosine_similarity" else jnp.ones(x.shape[-1:])] * (count - 1)
    settings = {"groups": 1} if name == "group_norm" else {}
    if epsilon is not None:
        settings["epsilon"] = epsilon
    return RULES[name].fwd(x, *others, **settings)


def test_all_normalisations_are_here():
    assert len(NORMS) == 7


@pytest.mark.parametrize("name", NORMS)
def test_epsilon_must_not_be_negative(name):
    x = jnp.ones((3, 4))
    for epsilon in (-1e-5, np.float32(-1), float("nan"), jnp.asarray(-1.0)):
        with pytest.raises(ValueError, match=f"^{name}'s epsilon must not be negative, got "):
            called(name, x, epsilon)
    called(name, x, 0)
    jax.jit(lambda epsilon: called(name, x, epsilon))(1e-5)
    jax.jit(lambda: called(name, x, jnp.asarray(1e-5)))()


@pytest.mark.parametrize(
    "name",
    ["layer_norm", "rms_norm", "group_norm", "instance_norm", "cosine_similarity", "prelu"],
)
def test_a_scalar_has_no_last_axis(name):
    with pytest.raises(ValueError, match=rf"^{name} goes along the last axis of \w, .* a scalar$"):
        called(name, jnp.ones(()), None)
