"""Which line is marked where the numbers are right and what is done with them is not."""

import jax
import jax.numpy as jnp
import numpy as np

from compare.diagnosis.watching.watch import watch
from tests.compare.diagnosis.marked import line_of

RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.normal(size=(3, 4)), "log_s": np.asarray(0.3)}
X, MASK = RNG.normal(size=(5, 3)), np.arange(5) % 3 > 0


def loss(p, x, mask):
    s = jnp.exp(p["log_s"])
    a = jax.nn.sigmoid(x @ p["w"])
    b = mask[:, None] * a
    return jnp.sum(jnp.sin(b * s)) + jnp.sum(b**3)


def forward(p, x, mask):
    p = {name: np.asarray(own) for name, own in p.items()}
    x, mask = np.asarray(x), np.asarray(mask)
    s = np.exp(p["log_s"])
    a = 1 / (1 + np.exp(-x @ p["w"]))
    b = mask[:, None] * a
    return x, mask, s, a, b


def handed_on(p, x, mask):
    x, mask, s, a, b = forward(p, x, mask)
    ds = 0.0
    ds += (np.cos(b * s) * b).sum()
    db = np.cos(b * s) * s + 3 * b**2
    dw = x.T @ (mask[:, None] * db * a * (1 - a))
    return 0.0, {
        "w": dw,
        "log_s": ds,  # wrong: by s, as it is
    }


def test_what_is_right_is_not_marked_but_where_it_is_handed_on(case_of):
    found = watch(*case_of(handed_on, loss, PARAMS, (X, MASK)))
    assert found.suspects[0] == line_of(__file__, "wrong: by s, as it is")
    assert [f"{x.file}:{x.line}" for x in found.listing if x.status == "wrong"] == [
        found.suspects[0]
    ]


def test_what_gives_back_what_it_is_given_lacks_the_step(case_of):
    def of_clip(d, inside):
        return d, inside  # wrong: the slope is left out

    def clipped(p, x):
        q, r = jnp.clip(p["w"], -0.5, 0.5), jnp.clip(p["v"], -0.5, 0.5)
        return jnp.sum(jnp.sin(jnp.tanh(x @ q) @ r))

    def candidate(p, x):
        (v, w), x = (np.asarray(p[name]) for name in "vw"), np.asarray(x)
        q, r = np.clip(w, -0.5, 0.5), np.clip(v, -0.5, 0.5)
        h = np.tanh(x @ q)
        d = np.cos(h @ r)
        dv, _ = of_clip(h.T @ d, np.abs(v) < 0.5)
        dw, _ = of_clip(x.T @ (d @ r.T * (1 - h**2)), np.abs(w) < 0.5)
        return 0.0, {"v": dv, "w": dw}

    params = {"v": RNG.normal(size=(4, 2)), "w": RNG.normal(size=(3, 4))}
    found = watch(*case_of(candidate, clipped, params, (X,)))
    assert found.suspects[0] == line_of(__file__, "wrong: the slope is left out")


def test_a_right_value_of_the_forward_pass_is_not_marked_but_what_reads_it(case_of):
    def gated(p, x, mask):
        gate, own = jax.nn.sigmoid(x @ p["g"]), x @ p["w"]
        return jnp.sum(jnp.sin(mask[:, None] * gate * own))

    def candidate(p, x, mask):
        gate, own = jax.nn.sigmoid(x @ p["g"]), x @ p["w"]
        b = mask[:, None] * gate * own
        d = jnp.cos(b)
        dg = x.T @ (d * own * gate * (1 - gate))
        dw = x.T @ (d * gate)
        return jnp.sum(jnp.sin(b)), {"g": dg, "w": dw}

    params = {name: RNG.normal(size=(3, 4)) for name in "gw"}
    found = watch(*case_of(candidate, gated, params, (X, MASK)))
    first = candidate.__code__.co_firstlineno
    assert int(found.suspects[0].rpartition(":")[2]) - first in (3, 4, 5)
    forward = [x for x in found.listing if x.line == first + 1]
    assert [x.status for x in forward] == ["right"]


def test_what_is_written_over_is_marked_and_not_what_is_added_later(case_of):
    rows, others = np.asarray([0, 2, 1, 0, 2]), np.asarray([1, 0, 3, 3, 1])

    def table(p, x):
        return sum(jnp.sin(x[i] @ p["w"][r]) + jnp.cos(x[i] @ p["w"][o])
                   for i, (r, o) in enumerate(zip(rows, others, strict=True)))  # fmt: skip

    def candidate(p, x):
        w, x = np.asarray(p["w"]), np.asarray(x)
        dw = np.zeros_like(w)
        for i in range(len(x)):
            r, o = rows[i], others[i]
            dw[r] = np.cos(x[i] @ w[r]) * x[i]  # wrong: over what is there
            dw[o] -= np.sin(x[i] @ w[o]) * x[i]
        return 0.0, {"w": dw}

    case = case_of(candidate, table, {"w": RNG.normal(size=(4, 3))}, (RNG.normal(size=(5, 3)),))
    found = watch(*case)
    assert found.suspects[0] == line_of(__file__, "wrong: over what is there")
    assert [name and name.bug for name in found.named] == ["overwritten_not_accumulated"]


def test_of_several_places_what_all_of_them_come_from_is_marked(case_of):
    def loss_of_two(p, x):
        h = jnp.tanh(x @ p["w"])
        return jnp.sum(jnp.sin(h @ p["u"]) ** 2) + jnp.sum(h**3)

    def candidate(p, x):
        h = jnp.tanh(x @ p["w"])
        s = h @ p["u"]
        e = jnp.cos(s) + 0.3 * jnp.sin(2.1 * s)  # wrong: nothing that is known
        du = h.T @ (jnp.exp(0.3 * s) * jnp.sin(s) * e / jnp.exp(0.3 * s) * 2)
        da = (2 * jnp.sin(s) * e)[:, None] * p["u"] + 3 * h**2
        dz = jnp.exp(0.7 * h) * (da * (1 - h**2)) / jnp.exp(0.7 * h)
        return 0.0, {"u": du, "w": x.T @ dz}

    params = {"w": RNG.normal(size=(3, 4)), "u": RNG.normal(size=4)}
    found = watch(*case_of(candidate, loss_of_two, params, (X,)))
    assert found.suspects[0] == line_of(__file__, "wrong: nothing that is known")


def test_what_masks_is_marked_and_not_the_zeros_that_it_leaves(case_of):
    lengths = jnp.asarray([3, 1, 4, 2, 2])

    def padded(p, x):
        h = jnp.tanh(x @ p["w"])
        return jnp.sum(jnp.where(jnp.arange(4) < lengths[:, None], h, 0.0) ** 2)

    def candidate(p, x):
        h = jnp.tanh(x @ p["w"])
        last = lengths - 1  # wrong: one less
        dh = 2 * jnp.where(jnp.arange(4) < last[:, None], h, 0.0)
        return 0.0, {"w": x.T @ (dh * (1 - h**2))}

    found = watch(*case_of(candidate, padded, {"w": PARAMS["w"]}, (X,)))
    assert found.suspects[0] == line_of(__file__, "wrong: one less")
    assert [(name and name.bug) for name in found.named] == ["wrong_value"]
    assert "what is compared is 1 too small" in str(found.named[0])
