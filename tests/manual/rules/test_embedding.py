import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare import check_rule
from manual.rules.embedding import embedding, embedding_bwd, embedding_fwd


def reference(table, tokens):
    one_hot = tokens[..., None] == jnp.arange(table.shape[0])
    return jnp.einsum("...v,vd->...d", one_hot.astype(table.dtype), table)


def draw(vocabulary, d, *tokens):
    rng = np.random.default_rng(0)
    table = jnp.asarray(rng.standard_normal((vocabulary, d)), jnp.float32)
    return table, jnp.asarray(rng.integers(0, vocabulary, tokens))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pair_is_the_vjp_of_the_one_hot_product(dtype):
    # 14 tokens of 5: some occur again.
    xs = draw(5, 3, 2, 7)
    report = check_rule(embedding_fwd, embedding_bwd, *xs, reference=reference, dtype=dtype)
    assert report.agree, report


def test_repeated_tokens_accumulate():
    table, _ = draw(4, 2)
    _, residuals = embedding_fwd(table, jnp.array([1, 1, 3, 1]))
    dtable, dtokens = embedding_bwd(residuals, jnp.array([[1.0, 2], [10, 20], [5, 6], [100, 200]]))
    np.testing.assert_array_equal(dtable, [[0, 0], [111, 222], [0, 0], [5, 6]])
    assert dtokens is None


def test_a_frequent_token_is_summed_in_float32():
    table = jnp.ones((2, 1), jnp.bfloat16)
    _, residuals = embedding_fwd(table, jnp.zeros(1024, int))
    dtable, _ = embedding_bwd(residuals, jnp.ones((1024, 1), jnp.bfloat16))
    # bfloat16 stops counting at 256.
    np.testing.assert_array_equal(dtable.astype("float32"), [[1024], [0]])
    chex.assert_type(dtable, jnp.bfloat16)


def test_tokens_out_of_range_are_read_as_by_take():
    table, _ = draw(3, 2)
    tokens = jnp.array([-1, 3, -3, -4])
    y, vjp = jax.vjp(lambda table: embedding(table, tokens), table)
    np.testing.assert_array_equal(y, jnp.take(table, tokens, axis=0))
    assert np.isnan(y).all(axis=1).tolist() == [False, True, False, True]
    np.testing.assert_array_equal(vjp(jnp.ones_like(y))[0], [[1, 1], [0, 0], [1, 1]])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_tokens_of_any_integer_dtype(dtype):
    table, tokens = draw(5, 3, 7)
    dtable = jax.grad(lambda table: embedding(table, tokens.astype(dtype)).sum())(table)
    want = np.bincount(tokens, minlength=5)[:, None] * np.ones((5, 3))
    np.testing.assert_array_equal(dtable, want)


def test_the_table_is_not_kept():
    table, tokens = draw(50, 30, 3)
    _, residuals = embedding_fwd(table, tokens)
    assert sum(r.nbytes for r in residuals) == tokens.nbytes


def test_under_jit_grad_and_vmap():
    table, tokens = draw(5, 3, 4, 6)
    table = jnp.round(3 * table)

    def own(f):
        per_example = jax.grad(lambda table, tokens: jnp.sum(f(table, tokens) ** 2))
        return jax.jit(jax.vmap(per_example, in_axes=(None, 0)))(table, tokens)

    # Integers: every operation is exact.
    np.testing.assert_array_equal(own(embedding), own(reference))


def test_other_inputs_are_refused():
    table, tokens = draw(5, 3, 4)
    with pytest.raises(AssertionError):
        embedding(table[0], tokens)
    with pytest.raises(AssertionError):
        embedding(table, tokens.astype("float32"))


def test_a_table_may_have_more_rows_than_the_tokens_type_holds():
    table, tokens = jnp.ones((200, 3)), jnp.array([5, -1, 5], jnp.int8)
    dtable = jax.grad(lambda table: embedding(table, tokens).sum())(table)
    expected = np.zeros((200, 3))
    expected[5], expected[-1] = 2, 1
    np.testing.assert_array_equal(dtable, expected)
