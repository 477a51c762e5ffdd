"""Every rule works where `jax.grad` of the plain function works."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from compare.problems.rules import RULES

CASES = {problem.name: problem for problem in reversed(RULES)}
every_rule = pytest.mark.parametrize("name", CASES)

# Where jax.grad itself asks for the sharding of a gather or of a reshape.
REFUSED_BY_JAX = {"embedding", "group_norm 8 groups"}


def is_floating(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


def with_gradient(f):
    """f and the gradient of what it returns, weighted: `step(*inputs) -> (out, cotangents)`."""

    def step(*inputs):
        floating = [i for i, x in enumerate(inputs) if is_floating(x)]

        def total(*chosen):
            own = list(inputs)
            for i, x in zip(floating, chosen, strict=True):
                own[i] = x
            out = f(*own)
            return sum(map(weighted, jax.tree.leaves(out))), out

        grads, out = jax.grad(total, argnums=tuple(range(len(floating))), has_aux=True)(
            *(inputs[i] for i in floating)
        )
        return out, grads

    return step


def weighted(y):
    """A sum with weights that differ, so that no cotangent is the same everywhere."""
    y = y.astype(jnp.float32)
    return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))


def rows_of(problem, inputs):
    """How many examples there are: the length of the axis that is split, or cut."""
    return inputs[problem.examples[0]].shape[0]


def cut(problem, inputs, rows):
    """The inputs with so many examples."""
    return tuple(x[:rows] if i in problem.examples else x for i, x in enumerate(inputs))


@functools.cache
def prepared(name):
    """The inputs, few of them, the compiled step, and what it returns."""
    problem = CASES[name]
    inputs = cut(problem, problem.draw(0), 4)
    step = jax.jit(with_gradient(problem.rule))
    return inputs, step, step(*inputs)


def assert_close(got, want, roundings=64):
    """Equal to rounding: so many roundings of the largest number of each array."""
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        a, b, eps = (*(np.asarray(c, np.float64) for c in (a, b)), float(jnp.finfo(a.dtype).eps))
        np.testing.assert_allclose(a, b, rtol=0, atol=roundings * eps * np.abs(b).max(initial=0))


@pytest.mark.table
@every_rule
def test_on_a_mesh_with_explicit_axes(name):
    problem, inputs = CASES[name], CASES[name].draw(0)
    mesh = AbstractMesh((2,), ("data",), axis_types=(AxisType.Explicit,))

    def placed(i, x):
        spec = PartitionSpec("data" if i in problem.examples else None, *[None] * (x.ndim - 1))
        spec = spec if x.ndim else PartitionSpec()
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, spec))

    def types(f):
        return jax.eval_shape(with_gradient(f), *(placed(i, x) for i, x in enumerate(inputs)))

    with jax.sharding.use_abstract_mesh(mesh):
        if name in REFUSED_BY_JAX:
            with pytest.raises(Exception, match="out_sharding"):
                types(problem.reference)
            return
        got, want = types(problem.rule), types(problem.reference)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (a.shape, a.dtype, a.sharding) == (b.shape, b.dtype, b.sharding)


@pytest.mark.table
@every_rule
@pytest.mark.parametrize("check_vma", [True, False])
def test_inside_shard_map(name, check_vma):
    problem, inputs = CASES[name], CASES[name].draw(0)
    split, shared = PartitionSpec("data"), PartitionSpec()
    specs = tuple(split if i in problem.examples else shared for i in range(len(inputs)))
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))

    def total(*own):
        return jax.lax.psum(sum(map(weighted, jax.tree.leaves(problem.rule(*own)))), "data")

    whole = jax.shard_map(total, mesh=mesh, in_specs=specs, out_specs=shared, check_vma=check_vma)
    _, grads = jax.eval_shape(with_gradient(whole), *inputs)
    assert [g.shape for g in grads] == [x.shape for x in inputs if is_floating(x)]


@pytest.mark.table
@every_rule
def test_under_vmap_of_any_axis(name):
    inputs, step, _ = prepared(name)
    copies = [tuple(x * k if is_floating(x) else x for x in inputs) for k in (1, 2)]
    # The new axis is the last of the first input, the first of the second, and so on.
    axes = tuple(x.ndim if i % 2 == 0 else 0 for i, x in enumerate(inputs))
    stacked = [
        jnp.stack(xs, axis) for xs, axis in zip(zip(*copies, strict=True), axes, strict=True)
    ]
    got = jax.jit(jax.vmap(step, axes))(*stacked)
    want = jax.tree.map(lambda *a: jnp.stack(a), *(step(*copy) for copy in copies))
    assert_close(got, want)


@pytest.mark.table
@every_rule
def test_inside_scan_and_checkpoint(name):
    inputs, _, want = prepared(name)
    again = with_gradient(jax.checkpoint(CASES[name].rule))

    def both(*inputs):
        return jax.lax.scan(lambda c, _: (c, again(*inputs)), 0, length=1)[1]

    got = jax.tree.map(lambda a: a[0], jax.jit(both)(*inputs))
    assert_close(got, want)


@pytest.mark.table
@every_rule
def test_with_donated_arguments(name):
    inputs, _, want = prepared(name)
    donated = tuple(i for i, x in enumerate(inputs) if is_floating(x))
    step = jax.jit(with_gradient(CASES[name].rule), donate_argnums=donated, keep_unused=True)
    copies = [jnp.copy(x) if i in donated else x for i, x in enumerate(inputs)]
    assert_close(step(*copies), want)


@pytest.mark.table
@every_rule
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_sixteen_bits(name, dtype):
    problem = CASES[name]
    inputs, step, _ = prepared(name)
    narrow = tuple(x.astype(dtype) if is_floating(x) else x for x in inputs)
    wide = tuple(x.astype("float32") if is_floating(x) else x for x in narrow)
    got, theirs, exact = (
        step(*narrow),
        jax.jit(with_gradient(problem.reference))(*narrow),
        step(*wide),
    )
    eps = float(jnp.finfo(dtype).eps)
    for a, b, c in zip(*map(jax.tree.leaves, (got, theirs, exact)), strict=True):
        assert a.shape == c.shape
        a, b, c = (np.asarray(d, np.float64) for d in (a, b, c))
        # What jax.grad of the idiom is off by, twice, and a few roundings of the largest number.
        allowed = 2 * np.abs(b - c).max(initial=0) + 4 * eps * np.abs(c).max(initial=0)
        assert np.abs(a - c).max(initial=0) <= allowed
    chosen = [x for x in narrow if is_floating(x)]
    assert [g.dtype for g in got[1]] == [x.dtype for x in chosen]


@pytest.mark.table
@every_rule
@pytest.mark.parametrize("rows", [0, 1])
def test_with_no_example_or_one(name, rows):
    problem = CASES[name]
    inputs = cut(problem, problem.draw(0), rows)
    step = jax.jit(with_gradient(problem.rule))
    got, want = step(*inputs), jax.jit(with_gradient(problem.reference))(*inputs)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
