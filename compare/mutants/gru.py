"""The gated recurrent unit (Cho et al. 2014), and cuDNN's, which resets behind the matrix.

T time, B batch, H hidden; r is the reset gate, z the update gate, n the candidate. dname is the
derivative of the loss with respect to name; da_ is that before a gate's activation.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compare.mutants.mutant import Original, normal

__all__ = ["ORIGINALS"]

Arrays = tuple[jax.Array, ...]


def make(seed: int) -> tuple[Any, ...]:
    """Draws a unit, a read-out and a batch of 5 with 3 steps: (params, h0, xs, y)."""
    rng = np.random.default_rng(seed)
    params = {
        name: {"w": normal(rng, 2, 4), "u": normal(rng, 4, 4, scale=0.7), "b": normal(rng, 4)}
        for name in ("reset", "update", "new")
    }
    return params | {"out": normal(rng, 4, 3)}, normal(rng, 5, 4), *batch(rng)


def batch(rng: np.random.Generator) -> Arrays:
    """Draws the steps and a target."""
    return normal(rng, 3, 5, 2), normal(rng, 5, 3)


def loss(params: Any, h0: jax.Array, xs: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of h ← z h + (1 − z) n, where n reads r h, after the last step."""
    reset, update, new = params["reset"], params["update"], params["new"]

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, None]:
        r = jax.nn.sigmoid(x @ reset["w"] + h @ reset["u"] + reset["b"])
        z = jax.nn.sigmoid(x @ update["w"] + h @ update["u"] + update["b"])
        n = jnp.tanh(x @ new["w"] + (r * h) @ new["u"] + new["b"])
        return z * h + (1 - z) * n, None

    h, _ = jax.lax.scan(step, h0, xs)
    return jnp.mean((h @ params["out"] - y) ** 2)


def sigmoid(z: jax.Array) -> jax.Array:
    """Computes 1 / (1 + e⁻ᶻ)."""
    return 1 / (1 + jnp.exp(-z))


def mix_bwd(dh: jax.Array, h: jax.Array, z: jax.Array, n: jax.Array) -> Arrays:
    """dh ⊙ z for h, dh ⊙ (h − n) for z, dh ⊙ (1 − z) for n."""
    return dh * z, dh * (h - n), dh * (1 - z)


def new_bwd(dn: jax.Array, n: jax.Array) -> jax.Array:
    """da_n = dn ⊙ (1 − n²)."""
    return dn * (1 - n**2)


def reset_bwd(da_n: jax.Array, u: jax.Array, r: jax.Array, h: jax.Array) -> Arrays:
    """dr = (da_n uᵀ) ⊙ h, dh = (da_n uᵀ) ⊙ r, where the candidate reads (r h) u."""
    drh = da_n @ u.T
    return drh * h, drh * r


def uses_of_h(dkept: Any, dreset: Any, dupdate: Any, dnew: Any) -> jax.Array:
    """dh is a sum of four: kept, through both gates, through the candidate."""
    return dkept + dreset + dupdate + dnew


def new_weight_bwd(da_n: jax.Array, r: jax.Array, h: jax.Array) -> jax.Array:
    """du = (r h)ᵀ da_n, for the candidate."""
    return (r * h).T @ da_n


def correct(
    params: Any,
    h0: jax.Array,
    xs: jax.Array,
    y: jax.Array,
    *,
    mix_bwd: Any = mix_bwd,
    new_bwd: Any = new_bwd,
    reset_bwd: Any = reset_bwd,
    uses_of_h: Any = uses_of_h,
    new_weight_bwd: Any = new_weight_bwd,
) -> tuple[Any, Any]:
    """Goes back from the last step to the first."""
    reset, update, new = params["reset"], params["update"], params["new"]
    h, steps = h0, []
    for x in xs:
        r = sigmoid(x @ reset["w"] + h @ reset["u"] + reset["b"])
        z = sigmoid(x @ update["w"] + h @ update["u"] + update["b"])
        n = jnp.tanh(x @ new["w"] + (r * h) @ new["u"] + new["b"])
        steps.append((x, h, r, z, n))
        h = z * h + (1 - z) * n
    error = h @ params["out"] - y

    dout = 2 * error / error.size
    dh = dout @ params["out"].T
    grads = jax.tree.map(jnp.zeros_like, {"reset": reset, "update": update, "new": new})
    for x, before, r, z, n in reversed(steps):
        dkept, dz, dn = mix_bwd(dh, before, z, n)
        da_n = new_bwd(dn, n)
        dr, dnew = reset_bwd(da_n, new["u"], r, before)
        da_r, da_z = dr * r * (1 - r), dz * z * (1 - z)
        dus = before.T @ da_r, before.T @ da_z, new_weight_bwd(da_n, r, before)
        for name, da, du in zip(("reset", "update", "new"), (da_r, da_z, da_n), dus, strict=True):
            step = {"w": x.T @ da, "u": du, "b": da.sum(axis=0)}
            grads[name] = {leaf: grads[name][leaf] + step[leaf] for leaf in step}
        dh = uses_of_h(dkept, da_r @ reset["u"].T, da_z @ update["u"].T, dnew)
    return (error**2).mean(), grads | {"out": h.T @ dout}


GRU = Original("gru", loss, correct, make)
RESET = ("reset/w", "reset/u", "reset/b")
UPDATE = ("update/w", "update/u", "update/b")
NEW = ("new/w", "new/u", "new/b")


@GRU.mutant("missing_factor", *RESET, *UPDATE, *NEW)
def reset_gate_left_out_of_the_state(*inputs: Any) -> tuple[Any, Any]:
    """The candidate reads r h; the state gets da_n uᵀ without the gate."""

    def ungated(da_n: jax.Array, u: jax.Array, r: jax.Array, h: jax.Array) -> Arrays:
        drh = da_n @ u.T
        return drh * h, drh  # bug

    return correct(*inputs, reset_bwd=ungated)


@GRU.mutant(None, *RESET, *UPDATE, *NEW)
def reset_on_the_other_side_of_the_matrix(*inputs: Any) -> tuple[Any, Any]:
    """The gradients of r (h u), cuDNN's unit, in one that has (r h) u."""

    def behind(da_n: jax.Array, u: jax.Array, r: jax.Array, h: jax.Array) -> Arrays:
        return da_n * (h @ u), (da_n * r) @ u.T  # bug

    return correct(*inputs, reset_bwd=behind)


@GRU.mutant("wrong_value", "new/u", aliases=("missing_factor",))
def candidate_weight_reads_the_whole_state(*inputs: Any) -> tuple[Any, Any]:
    """du = hᵀ da_n for the candidate as for the gates; the candidate read r h."""
    return correct(*inputs, new_weight_bwd=lambda da_n, r, h: h.T @ da_n)  # bug


@GRU.mutant(None, *RESET, *UPDATE, *NEW, aliases=("wrong_value",))
def update_gate_and_its_rest_swapped(*inputs: Any) -> tuple[Any, Any]:
    """z and 1 − z change places: other papers write the unit so."""
    return correct(*inputs, mix_bwd=lambda dh, h, z, n: (dh * (1 - z), dh * (h - n), dh * z))  # bug


@GRU.mutant("sign_flipped", *RESET, *UPDATE, *NEW)
def update_gate_learns_backwards(*inputs: Any) -> tuple[Any, Any]:
    """dz = dh ⊙ (n − h), the sign of the other convention."""
    return correct(*inputs, mix_bwd=lambda dh, h, z, n: (dh * z, dh * (n - h), dh * (1 - z)))  # bug


@GRU.mutant("path_cut", *RESET, *UPDATE, *NEW, aliases=("time_steps_truncated",))
def kept_state_forgotten(*inputs: Any) -> tuple[Any, Any]:
    """dh is the sum over the three gates; the share that z keeps is not in it."""
    return correct(*inputs, uses_of_h=lambda kept, reset, update, new: reset + update + new)  # bug


@GRU.mutant("path_cut", *RESET, *UPDATE, *NEW, aliases=("overwritten_not_accumulated",))
def reset_path_cut(*inputs: Any) -> tuple[Any, Any]:
    """The reset gate reads h as well, and its share of dh is forgotten."""
    return correct(*inputs, uses_of_h=lambda kept, reset, update, new: kept + update + new)  # bug


@GRU.mutant("wrong_activation", *RESET, *UPDATE, *NEW, aliases=("wrong_derivative",))
def candidate_differentiated_as_a_gate(*inputs: Any) -> tuple[Any, Any]:
    """n (1 − n), copied from the gates; the candidate is a tanh."""
    return correct(*inputs, new_bwd=lambda dn, n: dn * n * (1 - n))  # bug


@GRU.mutant(None, *RESET, *UPDATE, *NEW, aliases=("wrong_value",))
def reset_and_state_swapped(*inputs: Any) -> tuple[Any, Any]:
    """dr gets the factor r and dh the factor h: in a product each has the other's."""

    def swapped(da_n: jax.Array, u: jax.Array, r: jax.Array, h: jax.Array) -> Arrays:
        drh = da_n @ u.T
        return drh * r, drh * h  # bug

    return correct(*inputs, reset_bwd=swapped)


def make_after(seed: int) -> tuple[Any, ...]:
    """Draws cuDNN's unit, whose candidate has a second bias, inside: (params, h0, xs, y)."""
    params, *rest = make(seed)
    inside = normal(np.random.default_rng(seed + 1), 4)
    return params | {"inside": inside}, *rest


def after_loss(params: Any, h0: jax.Array, xs: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared error of the unit whose candidate reads r (h u + c)."""
    reset, update, new = params["reset"], params["update"], params["new"]

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, None]:
        r = jax.nn.sigmoid(x @ reset["w"] + h @ reset["u"] + reset["b"])
        z = jax.nn.sigmoid(x @ update["w"] + h @ update["u"] + update["b"])
        n = jnp.tanh(x @ new["w"] + new["b"] + r * (h @ new["u"] + params["inside"]))
        return z * h + (1 - z) * n, None

    h, _ = jax.lax.scan(step, h0, xs)
    return jnp.mean((h @ params["out"] - y) ** 2)


def inner_bwd(da_n: jax.Array, r: jax.Array, m: jax.Array) -> Arrays:
    """dr = da_n ⊙ m, dm = da_n ⊙ r, where the candidate reads r m and m = h u + c."""
    return da_n * m, da_n * r


def after(
    params: Any,
    h0: jax.Array,
    xs: jax.Array,
    y: jax.Array,
    *,
    inner_bwd: Any = inner_bwd,
    inner_bias_bwd: Any = lambda dm, da_n: dm.sum(axis=0),
) -> tuple[Any, Any]:
    """Goes back from the last step to the first; the gate comes behind the matrix."""
    reset, update, new = params["reset"], params["update"], params["new"]
    h, steps = h0, []
    for x in xs:
        r = sigmoid(x @ reset["w"] + h @ reset["u"] + reset["b"])
        z = sigmoid(x @ update["w"] + h @ update["u"] + update["b"])
        m = h @ new["u"] + params["inside"]
        n = jnp.tanh(x @ new["w"] + new["b"] + r * m)
        steps.append((x, h, r, z, m, n))
        h = z * h + (1 - z) * n
    error = h @ params["out"] - y

    dout = 2 * error / error.size
    dh = dout @ params["out"].T
    grads = jax.tree.map(jnp.zeros_like, {"reset": reset, "update": update, "new": new})
    dinside = jnp.zeros_like(params["inside"])
    for x, before, r, z, m, n in reversed(steps):
        dkept, dz, dn = mix_bwd(dh, before, z, n)
        da_n = new_bwd(dn, n)
        dr, dm = inner_bwd(da_n, r, m)
        da_r, da_z = dr * r * (1 - r), dz * z * (1 - z)
        for name, da, du in (("reset", da_r, da_r), ("update", da_z, da_z), ("new", da_n, dm)):
            step = {"w": x.T @ da, "u": before.T @ du, "b": da.sum(axis=0)}
            grads[name] = {leaf: grads[name][leaf] + step[leaf] for leaf in step}
        dinside = dinside + inner_bias_bwd(dm, da_n)
        dh = dkept + da_r @ reset["u"].T + da_z @ update["u"].T + dm @ new["u"].T
    return (error**2).mean(), grads | {"out": h.T @ dout, "inside": dinside}


AFTER = Original("gru", after_loss, after, make_after)


@AFTER.mutant("missing_factor", "inside", aliases=("wrong_value",))
def inner_bias_outside_of_the_gate(*inputs: Any) -> tuple[Any, Any]:
    """Both biases of the candidate get the same gradient; the inner one is behind the gate r."""
    return after(*inputs, inner_bias_bwd=lambda dm, da_n: da_n.sum(axis=0))  # bug


@AFTER.mutant("wrong_value", *RESET, *UPDATE, *NEW, "inside", aliases=("constant_omitted",))
def reset_gate_without_the_inner_bias(*inputs: Any) -> tuple[Any, Any]:
    """dr = da_n ⊙ h u: the gate also multiplies the bias."""
    bias = inputs[0]["inside"]
    return after(*inputs, inner_bwd=lambda da_n, r, m: (da_n * (m - bias), da_n * r))  # bug


ORIGINALS = (GRU, AFTER)
