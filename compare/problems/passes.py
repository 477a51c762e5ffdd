"""One forward and backward pass of a multilayer perceptron, with all that is between its ends.

By hand, by `jax.grad` and by the scalar engine: each is the model itself, watched from outside.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import autodiff.mlp
import manual.mlp
from autodiff import scalar_mlp
from autodiff.functions import ACTIVATIONS, LOSSES
from compare.problems.model import Batch
from compare.problems.models.scalar_mlp import plain
from manual.rules import Rule, activations
from manual.rules.losses import by_name as loss_by_name

__all__ = ["ENGINES", "Pass", "by_hand", "by_jax", "by_scalars", "slopes"]


class Pass(NamedTuple):
    """What a pass computed; a list has an entry for each layer, of shape (rows, units).

    In the last layer, which has no activation, a is z and da is dz.

    Attributes:
        loss: the mean over the rows.
        z: what goes into the activation.
        a: what comes out of it.
        da: ∂loss/∂a.
        dz: ∂loss/∂z.
        grads: ∂loss/∂parameters, a tree like the parameters.
    """

    loss: Any
    z: list[Any]
    a: list[Any]
    da: list[Any]
    dz: list[Any]
    grads: Any


def by_hand(params: Any, batch: Batch, *, activation: str, loss: str) -> Pass:
    """Runs `manual.mlp.loss_and_grad`, with rules that note what goes through them.

    Raises:
        ValueError: there is no activation or no loss of that name.
    """
    z, a, da, dz = [], [], [], []
    f, criterion = activations.by_name(activation), loss_by_name(loss)

    def hidden_fwd(x: Any) -> Any:
        y, residuals = f.fwd(x)
        z.append(x)
        a.append(y)
        return y, residuals

    def hidden_bwd(residuals: Any, dy: Any) -> Any:
        (dx,) = f.bwd(residuals, dy)
        da.insert(0, dy)
        dz.insert(0, dx)
        return (dx,)

    def last_fwd(logits: Any, targets: Any) -> Any:
        z.append(logits)
        a.append(logits)
        return criterion.fwd(logits, targets)

    def last_bwd(residuals: Any, dy: Any) -> Any:
        dlogits, *others = criterion.bwd(residuals, dy)
        da.append(dlogits)
        dz.append(dlogits)
        return dlogits, *others

    value, grads = manual.mlp.loss_and_grad(
        params, batch, activation=Rule(hidden_fwd, hidden_bwd), loss=Rule(last_fwd, last_bwd)
    )
    return Pass(value, z, a, da, dz, grads)


def by_jax(params: Any, batch: Batch, *, activation: str, loss: str) -> Pass:
    """Runs `jax.grad` of `autodiff.mlp.loss`, also by zeros that are added to each z and a.

    Raises:
        ValueError: there is no activation or no loss of that name.
    """
    hidden = autodiff.mlp.choose("activation", ACTIVATIONS, activation)
    criterion = autodiff.mlp.choose("loss", LOSSES, loss)
    rows = len(batch[0])
    zeros = [jnp.zeros((rows, *layer["b"].shape), layer["b"].dtype) for layer in params]

    def tapped(params: Any, to_z: Any, to_a: Any) -> Any:
        z, a = [], []

        def activate(x: Any) -> Any:
            z.append(x + to_z[len(z)])
            a.append(hidden(z[-1]) + to_a[len(a)])
            return a[-1]

        def end(logits: Any, targets: Any) -> Any:
            z.append(logits + to_z[-1])
            a.append(z[-1] + to_a[-1])
            return criterion(a[-1], targets)

        return autodiff.mlp.loss(params, batch, activation=activate, loss=end), (z, a)

    gradient = jax.value_and_grad(tapped, argnums=(0, 1, 2), has_aux=True)
    (value, (z, a)), (grads, dz, da) = gradient(params, zeros, zeros)
    return Pass(value, z, a, da, dz, grads)


def by_scalars(params: Any, batch: Batch, *, activation: str, loss: str) -> Pass:
    """Runs the scalar engine, in Python's own numbers, which are float64.

    Raises:
        ValueError: there is no activation or no loss of that name.
    """
    made = scalar_mlp.values(plain(params))
    total, rows = scalar_mlp.forward(made, plain(batch), activation=activation, loss=loss)
    total.backward()

    def of_each(part: str, what: str) -> list[np.ndarray]:
        return [
            np.array([[getattr(v, what) for v in getattr(row[i], part)] for row in rows])
            for i in range(len(made))
        ]

    gradient = jax.tree.map(lambda value: value.grad, made)
    return Pass(
        loss=total.data,
        z=of_each("z", "data"),
        a=of_each("a", "data"),
        da=of_each("a", "grad"),
        dz=of_each("z", "grad"),
        grads=[{name: np.array(leaf) for name, leaf in layer.items()} for layer in gradient],
    )


ENGINES = {"by hand": by_hand, "jax.grad": by_jax, "scalar engine": by_scalars}
"""Who makes a pass, by the name under which it is shown."""


def slopes(activation: str, z: Any) -> Any:
    """Computes f′(z) by the backward pass of the rule, of the shape of z.

    Raises:
        ValueError: there is no activation of that name.
    """
    rule = activations.by_name(activation)
    (slope,) = rule.bwd(rule.fwd(z)[1], jnp.ones_like(z))
    return slope
