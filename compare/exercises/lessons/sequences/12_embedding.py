"""Embedding: a table that is read by number, often in the same place.

Each token is a number, and its row of the table stands for it; each position has a row too:

    y[i, t] = table[tokens[i, t]] + positions[t]

The table is v × c, the batch m × T tokens. A token can occur many times, so one row of the table is
in many places of y; a position is in every example:

    dtable[w]    = Σ of dy[i, t] over all places (i, t) where tokens[i, t] is w
    dpositions[t] = Σ of dy[i, t] over ...?

Your turn: write `backward`. Mind what NumPy does with `dtable[tokens] += dy`.
"""

import numpy as np


def forward(params, tokens):
    """Computes y. table (v, c), positions (T, c), tokens (m, T) -> y (m, T, c)."""
    y = params["table"][tokens] + params["positions"]
    return y, (params["table"], tokens)


def backward(dy, saved):
    """Returns {"table": dtable, "positions": dpositions}, given dy (m, T, c)."""
    table, tokens = saved
    dtable = np.zeros_like(table)
    np.add.at(dtable, tokens, dy)
    dpositions = dy.sum(axis=0)
    return {"table": dtable, "positions": dpositions}


def inputs():
    """Draws the numbers to check with: (params, tokens, dy)."""
    rng = np.random.default_rng(12)
    params = {"table": rng.normal(size=(6, 3)), "positions": rng.normal(size=(4, 3))}
    return params, rng.integers(5, size=(5, 4)), rng.normal(size=(5, 4, 3))


HINTS = (
    "dtable begins as zeros; each place adds its dy to the row of its token.",
    "Where an index repeats, `dtable[tokens] += dy` keeps one of them. np.add.at adds all.",
)
