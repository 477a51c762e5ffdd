"""The multilayer perceptron in plain NumPy, as in a first course on backpropagation."""

from typing import Any

import numpy as np

__all__ = ["SPIN_SECONDS", "mlp_loss_and_grad"]

SPIN_SECONDS = 0.15
"""OpenBLAS's threads spin while they wait for more work. Measured: for 0.1 s, and JAX takes 1.5
times as long meanwhile on 2 cores."""


def mlp_loss_and_grad(params: Any, batch: Any) -> tuple[Any, Any]:
    """Computes the softmax cross-entropy of a network with ReLU, and its gradient.

    Shapes: params `[{"w": (n_in, n_out), "b": (n_out,)}, ...]`, batch x (batch, n_in) and labels
    (batch,), all NumPy.
    """
    x, labels = batch
    activations = [x]
    for layer in params[:-1]:
        activations.append(np.maximum(activations[-1] @ layer["w"] + layer["b"], 0))
    logits = activations[-1] @ params[-1]["w"] + params[-1]["b"]
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    loss = (log_sum - shifted[rows, labels]).mean()

    dz = np.exp(shifted - log_sum[:, None])
    dz[rows, labels] -= 1
    dz /= len(labels)
    grads = []
    for layer, a in zip(reversed(params), reversed(activations), strict=True):
        grads.append({"w": a.T @ dz, "b": dz.sum(axis=0)})
        if a is not x:
            dz = (dz @ layer["w"].T) * (a > 0)
    return loss, grads[::-1]
