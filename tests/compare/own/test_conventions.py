import textwrap
from types import ModuleType

import pytest

from compare import own


def module(text):
    made = ModuleType("mine")
    exec(textwrap.dedent(text), made.__dict__)
    return made


PAIRS = module(
    """
    import functools, jax
    from math import sqrt

    def loss_and_grad(params): ...
    def loss(params): ...
    def mlp_loss(params): ...
    def mlp_loss_and_grad(params): ...
    def lost_loss_and_grad(params): ...
    def square_fwd(x): ...
    def square_bwd(residuals, dy): ...
    def half_bwd(residuals, dy): ...
    published = functools.wraps(loss)(lambda params: ...)

    @jax.custom_vjp
    def cube(x): ...
    """
)


def test_names_tell_what_belongs_together():
    pairs = own.found(PAIRS, "mine.py")
    assert [(pair.kind, pair.name) for pair in pairs] == [
        ("gradients", ""), ("gradients", "mlp"), ("rule", "square"),
    ]  # fmt: skip
    assert pairs[1].functions == (PAIRS.mlp_loss_and_grad, PAIRS.mlp_loss)
    assert pairs[2].functions == (PAIRS.square_fwd, PAIRS.square_bwd)
    assert pairs[1].title == "mlp_loss_and_grad against jax.grad of mlp_loss"


@pytest.mark.parametrize(
    ("name", "kind", "functions"),
    [
        ("mlp_loss_and_grad", "gradients", ["mlp_loss_and_grad", "mlp_loss"]),
        ("lost_loss_and_grad", "gradients", ["lost_loss_and_grad", "loss"]),
        ("published", "gradients", ["published", "loss"]),
        ("square_fwd", "rule", ["square_fwd", "square_bwd"]),
        ("square_bwd", "rule", ["square_fwd", "square_bwd"]),
        ("cube", "rule", ["cube"]),
    ],
)
def test_a_name_is_enough(name, kind, functions):
    pair = own.named(PAIRS, "mine.py", name)
    assert (pair.kind, pair.functions) == (kind, tuple(getattr(PAIRS, n) for n in functions))


def test_the_loss_that_was_named_is_taken():
    pair = own.named(PAIRS, "mine.py", "published", PAIRS.mlp_loss)
    assert pair.functions == (PAIRS.published, PAIRS.mlp_loss)


def test_what_is_missing_is_named():
    with pytest.raises(own.OwnFileError, match="did you mean mlp_loss_and_grad\\?"):
        own.named(PAIRS, "mine.py", "mlp_loss_and_gard")
    lonely = module("def alone_loss_and_grad(p): ...\ndef zz(p): ...")
    with pytest.raises(own.OwnFileError, match="has no function x; it has alone_loss_and_grad, zz"):
        own.named(lonely, "mine.py", "x")
    with pytest.raises(own.OwnFileError, match="define alone_loss, or name it"):
        own.named(lonely, "mine.py", "alone_loss_and_grad")
    with pytest.raises(own.OwnFileError, match="NAME_bwd with NAME_fwd; the functions there are "):
        own.found(lonely, "mine.py")
    with pytest.raises(own.OwnFileError, match="no function is there"):
        own.found(module("from math import sqrt"), "mine.py")


RULES = module(
    """
    from functools import partial
    import jax

    @partial(jax.custom_vjp, nondiff_argnums=(1,))
    def power(x, n): ...
    def power_fwd(x, n): ...
    def power_bwd(n, x, dy): ...
    power.defvjp(power_fwd, power_bwd)
    def power_inputs(): ...

    def other(x): ...
    @jax.custom_vjp
    def mish(x): ...
    def first(x): ...
    def second(x, dy): ...
    mish.defvjp(first, second)
    def mish_inputs(): ...

    @jax.custom_vjp
    def cube(x): ...
    def cube_fwd(x): ...
    def cube_bwd(x, dy): ...
    cube.defvjp(cube_fwd, cube_bwd)
    def cube_inputs(): ...
    """
)


def test_a_decorated_function_stands_for_halves_that_are_not_told_by_their_names():
    """One whose bwd is given more than residuals and a cotangent, and one with other names."""
    pairs = own.found(RULES, "mine.py")
    assert [(pair.name, pair.functions) for pair in pairs] == [
        ("power", (RULES.power,)),
        ("mish", (RULES.mish,)),
        ("cube", (RULES.cube_fwd, RULES.cube_bwd)),
    ]
    assert own.named(RULES, "mine.py", "power_bwd") == pairs[0]


def test_a_rule_without_a_point_is_offered():
    alone = module("import jax\n@jax.custom_vjp\ndef mish(x): ...")
    with pytest.raises(own.OwnFileError, match=r"or name one that has a rule: mine\.py:mish"):
        own.found(alone, "mine.py")
