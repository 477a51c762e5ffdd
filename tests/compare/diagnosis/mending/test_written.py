"""Arrays that the turns of a loop write into: what is written over should be added."""

import jax.numpy as jnp
import numpy as np

from compare.diagnosis.mending.written import written
from compare.diagnosis.watching.graph import Graph
from compare.diagnosis.watching.watch import watch
from compare.diagnosis.watching.watcher import record_python

RNG = np.random.default_rng(0)
X = RNG.standard_normal(8)
PARAMS = {"a": RNG.standard_normal(8), "b": np.array(0.3)}


def windows(p, x):
    h = jnp.tanh(x * p["a"] + p["b"])
    return jnp.sum(jnp.stack([jnp.sum(h[i : i + 3]) for i in range(6)]) ** 2)


def test_overlapping_windows_that_are_written_and_not_added(case_of):
    def candidate(p, x):
        h = np.tanh(np.asarray(x * p["a"] + p["b"]))
        dh = np.zeros_like(h)
        for i in range(6):
            dh[i : i + 3] = 2 * np.sum(h[i : i + 3])
        dz = dh * (1 - h**2)
        return windows(p, x), {"a": dz * x, "b": dz.sum()}

    found = watch(*case_of(candidate, windows, PARAMS, (X,)))
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 4}"
    assert [name and name.bug for name in found.named] == ["overwritten_not_accumulated"]


def rows_written(given):
    total = np.zeros((3, 2))
    for row in (0, 1, 1, 2, 0):
        total[row] += given[row]
        total[row] = given[row] + 1  # At row 1, what is there already.
    return {"total": total}


def test_what_the_writes_of_one_line_lose_of_what_others_write():
    given = np.arange(6.0).reshape(3, 2)
    graph = Graph(record_python(lambda: rows_written(given)))
    line = f"{__file__}:{rows_written.__code__.co_firstlineno + 4}"
    (own,) = [own for own in written(graph) if graph.equations[own.group[0]].site == line]
    assert len(own.group) == 5
    times = np.array([2, 2, 1])[:, None]
    right = times * (2 * given + 1)
    assert np.allclose(given + 1 + own.lost, right)
    assert np.allclose(own.added[-1], right)


def test_a_place_of_each_turn_of_which_the_last_is_written_alone(case_of):
    table, at = {"a": RNG.standard_normal((4, 3))}, np.array([2, 0, 3])
    rows = RNG.standard_normal((3, 2, 3))

    def looked_up(p, at, rows):
        return jnp.sum(jnp.sin(jnp.einsum("nd,nkd->nk", p["a"][at], rows)))

    def candidate(p, at, rows):
        a, at, rows = (np.asarray(x) for x in (p["a"], at, rows))
        g = np.zeros_like(a)
        for place, own in zip(at, rows, strict=True):
            d = np.zeros(3)
            for row in own:
                d += np.cos(row @ a[place]) * row
        g[place] += d  # outside of the loop  # pyright: ignore[reportPossiblyUnboundVariable]
        return 0.0, {"a": g}

    found = watch(*case_of(candidate, looked_up, table, (at, rows)))
    loop, line = (f"{__file__}:{candidate.__code__.co_firstlineno + n}" for n in (3, 7))
    assert found.suspects[0] == loop
    assert line in found.suspects[:3]
    assert [name and name.bug for name in found.named] == ["dropped_examples"]
