"""Operands of a line: two exchanged, one factor of a square."""

import jax.numpy as jnp
import numpy as np

from compare.diagnosis.watching.watch import watch

RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.standard_normal((4, 4))}
X, A, B = RNG.standard_normal((3, 6, 4))


def turned(p, x, a, b):
    z = x @ p["w"]
    return (z * a - jnp.sin(z) * b).sum()


def test_two_values_that_have_changed_places(case_of):
    def candidate(p, x, a, b):
        z = x @ p["w"]
        dz = b - jnp.cos(z) * a  # the other way round
        return turned(p, x, a, b), {"w": x.T @ dz}

    found = watch(*case_of(candidate, turned, PARAMS, (X, A, B)))
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 2}"
    (name,) = found.named
    assert name is not None
    assert name.bug == "wrong_value"
    assert "changed places" in name.story


def softmaxed(p, x, a):
    z = x @ p["w"]
    e = jnp.exp(z)
    return (e / e.sum(1, keepdims=True) * a).sum()


def test_a_square_for_a_product(case_of):
    def candidate(p, x, a):
        e = jnp.exp(x @ p["w"])
        q = e / e.sum(1, keepdims=True)
        inner = (q * q).sum(1, keepdims=True)  # q a, that is
        return softmaxed(p, x, a), {"w": x.T @ (q * (a - inner))}

    found = watch(*case_of(candidate, softmaxed, PARAMS, (X, A)))
    assert f"{__file__}:{candidate.__code__.co_firstlineno + 3}" in found.suspects[:3]
    assert [name and name.bug for name in found.named] == ["wrong_value"]


def test_a_wrong_array_of_the_candidates_own_is_no_value_in_anothers_place(case_of):
    """That the derivative belongs there is true of any wrong one, and not said of its reader."""

    def candidate(p, x, a):
        z = x @ p["w"]
        e = jnp.exp(z)
        dz = jnp.zeros_like(z)
        for i in range(3):
            dz = dz + jnp.cos(e * a) * i  # of nothing that the loss has
        return softmaxed(p, x, a), {"w": x.T @ (dz * e)}

    found = watch(*case_of(candidate, exponential, PARAMS, (X, A)))
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 5}"
    assert found.named == (None,)


def exponential(p, x, a):
    return (jnp.exp(x @ p["w"]) ** 2 * a).sum()


def test_a_parameter_changed_before_it_is_read(case_of):
    def candidate(p, x, a):
        h1 = np.tanh(x @ p["u"])
        h2 = np.tanh(h1 @ p["v"])
        d, grads = np.asarray(a), []
        for w, h, given in ((p["w"], h2 @ p["w"], h2), (p["v"], h2, h1), (p["u"], h1, x)):
            dz = d * (1 - h**2) if grads else d
            grads.append(given.T @ dz)
            w = np.asarray(w) - 0.1 * grads[-1]  # too early
            d = dz @ w.T
        return layers(p, x, a), dict(zip("wvu", grads, strict=True))

    params = {name: RNG.standard_normal((4, 4)) for name in "uvw"}
    found = watch(*case_of(candidate, layers, params, (X, A)))
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 7}"
    (name,) = found.named
    assert name is not None
    assert name.bug == "wrong_value"
    assert "as it was before" in name.story


def layers(p, x, a):
    return (jnp.tanh(jnp.tanh(x @ p["u"]) @ p["v"]) @ p["w"] * a).sum()


def joined(p, x, a):
    h = jnp.zeros(4)
    for row in x:
        h = jnp.tanh(p["k"] @ jnp.concatenate([h, row]))
    return h @ a[0]


def test_a_slice_that_begins_elsewhere_at_every_turn_of_a_loop(case_of):
    def candidate(p, x, a):
        k, hs = np.asarray(p["k"]), [np.zeros(4)]
        for row in np.asarray(x):
            hs.append(np.tanh(k @ np.concatenate([hs[-1], row])))
        dk, dh = np.zeros_like(k), np.asarray(a[0])
        for t in reversed(range(len(x))):
            dz = dh * (1 - hs[t + 1] ** 2)
            dk += np.outer(dz, np.concatenate([hs[t], x[t]]))
            dh = (k.T @ dz)[-4:]  # that of x
        return joined(p, x, a), {"k": dk}

    params = {"k": RNG.standard_normal((4, 8))}
    found = watch(*case_of(candidate, joined, params, (X[:3], A)))
    assert f"{__file__}:{candidate.__code__.co_firstlineno + 8}" in found.suspects
    assert [name and name.bug for name in found.named] == ["wrong_places"]


def test_at_every_turn_another_row_of_a_value_of_the_loss(case_of):
    users, items = np.array([0, 2, 1, 3, 0]), np.array([1, 3, 0, 2, 2])

    def looked_up(p, users, items):
        rows = p["w"][items]
        return jnp.sum(jnp.sin(jnp.sum(jnp.asarray(X)[users] * rows, -1))) + 0.3 * jnp.sum(rows**2)

    def candidate(p, users, items):
        w, g = np.asarray(p["w"]), np.zeros((4, 4))
        for u, i in zip(np.asarray(users), np.asarray(items), strict=True):
            g[i] += np.cos(X[u] @ w[i]) * X[u] + 0.6 * w[u]  # w[i], that is
        return 0.0, {"w": g}

    found = watch(*case_of(candidate, looked_up, PARAMS, (users, items)))
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 3}"
    assert [name and name.bug for name in found.named] == ["wrong_value"]


def test_a_kernel_that_has_to_be_turned_round(case_of):
    row = X[:, 0]

    def convolved(p, row):
        k = p["w"][0, :3]
        out = jnp.tanh(jnp.stack([row[i : i + 3] @ k for i in range(4)]))
        return jnp.sum(jnp.stack([out[i : i + 3] @ k for i in range(2)]) ** 2)

    def candidate(p, row):
        k, row = np.asarray(p["w"])[0, :3], np.asarray(row)
        out = np.tanh(np.correlate(row, k, "valid"))
        d = 2 * np.correlate(out, k, "valid")
        d_out = np.correlate(d, k, "full")  # np.convolve, that is
        dk = np.correlate(out, d, "valid") + np.correlate(row, d_out * (1 - out**2), "valid")
        dw = np.zeros((4, 4))
        dw[0, :3] = dk
        return 0.0, {"w": dw}

    found = watch(*case_of(candidate, convolved, PARAMS, (row,)))
    assert found.suspects[0] == f"{__file__}:{candidate.__code__.co_firstlineno + 4}"
    assert [name and name.bug for name in found.named] == ["kernel_flipped"]


def test_a_term_for_the_whole_derivative_in_the_layers_but_the_last(case_of):
    """In the last layer both have the same numbers, so that it says nothing of the mistake."""

    def residual(p, x):
        for w in p["w"], p["v"], p["u"]:
            x = x + jnp.tanh(x @ w)
        return (x**2).sum()

    def candidate(p, x):
        layers, tape = [p["w"], p["v"], p["u"]], []
        for w in layers:
            tape.append((x, jnp.tanh(x @ w)))
            x = x + tape[-1][1]
        dx, grads = 2 * x, []
        for w, (h, a) in zip(layers[::-1], tape[::-1], strict=True):
            dz = dx * (1 - a**2)
            grads.append(h.T @ dz)
            dx = dz @ w.T  # without dx itself
        return (x**2).sum(), dict(zip("uvw", grads, strict=True))

    params = {name: RNG.standard_normal((4, 4)) for name in "uvw"}
    (name,) = watch(*case_of(candidate, residual, params, (X,))).named
    assert name is not None
    assert name.bug == "path_cut"
    assert "its other terms are left out" in name.story
