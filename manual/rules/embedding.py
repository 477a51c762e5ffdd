"""The embedding: rows of a table, picked by token."""

import chex
import jax
import jax.numpy as jnp

from manual.rules.rule import Rule

__all__ = ["embedding", "embedding_bwd", "embedding_fwd"]


def embedding_fwd(
    table: jax.Array, tokens: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """y = the row of the table for each token, E_token.

    Shapes: table (vocabulary, d), tokens (...) of an integer dtype -> y (..., d).

    Tokens are indices as JAX reads them: −1 is the last row, and one beyond the table makes a row
    of NaN.

    Raises:
        AssertionError: if the table is no matrix, or the tokens are no integers.
    """
    chex.assert_rank(table, 2)
    chex.assert_type(tokens, int)
    # table[:, :0] has no bytes, but says how many rows there are.
    return jnp.take(table, tokens, axis=0, mode="fill"), (table[:, :0], tokens)


def embedding_bwd(residuals: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, None]:
    """dE_v = Σ_t 1[token(t) = v] dy_t; the tokens have no cotangent.

    As a matrix product y = O E, with O_tv = 1[token(t) = v] one-hot, so dE = Oᵀ dy: a token that
    occurs again adds to what is there. O is mostly zeros and is never made; the rows are added
    where they belong, in float32 at least, because a frequent token has many terms. A token
    beyond the table adds nothing.
    """
    empty, tokens = residuals
    wide = jnp.promote_types(dy.dtype, jnp.float32)
    zeros = jnp.zeros((empty.shape[0], dy.shape[-1]), wide)
    # The number of rows may be more than the tokens' type holds.
    rows = tokens.astype(jnp.promote_types(tokens.dtype, jnp.int32))
    dtable = zeros.at[rows].add(dy.astype(wide), mode="drop")
    return dtable.astype(dy.dtype), None


embedding = Rule(embedding_fwd, embedding_bwd)
