"""Every layer's rule and its backward pass lower for every platform, without the hardware."""

import jax
import jax.numpy as jnp
import pytest
from jax import export

from manual import rules

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
IMAGE, ROWS, VECTOR = (2, 6, 5, 4), (300, 256), (256,)


def floats(*shapes):
    return [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]


RULES = {
    "batch_norm": (rules.batch_norm, floats(IMAGE, (4,), (4,))),
    "batch_norm_inference": (rules.batch_norm_inference, floats(IMAGE, *[(4,)] * 4)),
    "layer_norm": (rules.layer_norm, floats(ROWS, VECTOR, VECTOR)),
    "rms_norm": (rules.rms_norm, floats(ROWS, VECTOR)),
    "group_norm": (
        lambda *xs: rules.group_norm(*xs, groups=2),
        floats(IMAGE, (4,), (4,)),
    ),
    "dropout": (
        lambda x: rules.dropout(jax.random.key(0), x, rate=0.5),
        floats(ROWS),
    ),
    "conv2d": (
        lambda *xs: rules.conv2d(*xs, stride=(2, 1)),
        floats(IMAGE, (3, 2, 4, 3), (3,)),
    ),
    "dense": (rules.dense, floats((5, 4), (4, 3), (3,))),
    "depthwise": (
        lambda *xs: rules.conv2d(*xs, groups=4, dilation=(1, 2)),
        floats(IMAGE, (3, 2, 1, 4), (4,)),
    ),
    "max_pool": (rules.max_pool, floats(IMAGE)),
    "overlapping max_pool": (
        lambda x: rules.max_pool(x, window=(3, 3), stride=(2, 2), padding="SAME"),
        floats(IMAGE),
    ),
    "avg_pool": (rules.avg_pool, floats(IMAGE)),
    "global_average_pool": (rules.global_average_pool, floats(IMAGE)),
    "embedding": (
        lambda table: rules.embedding(table, jnp.array([1, 0, 1])),
        floats(ROWS),
    ),
    "residual": (rules.residual, floats(ROWS, ROWS)),
    "flatten": (rules.flatten, floats(IMAGE)),
}


@pytest.mark.parametrize("name", RULES)
def test_forwards_and_backwards(name):
    rule, inputs = RULES[name]

    def step(*xs):
        y, vjp = jax.vjp(rule, *xs)
        return y, vjp(y)

    assert export.export(jax.jit(step), platforms=PLATFORMS)(*inputs).platforms == PLATFORMS
