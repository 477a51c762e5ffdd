"""The sum of the cubes of a matrix product, its gradient by hand, and gradients made of that."""

import jax.numpy as jnp
import numpy as np

W = np.asarray([[0.3, -1.2], [0.7, 0.4], [-0.5, 0.9]], np.float32)
X = np.asarray([[1.1, -0.4, 0.6], [0.2, 1.3, -0.8], [-0.9, 0.5, 1.7]], np.float32)


def loss(w, x):
    return jnp.sum((x @ w) ** 3)


def right(w, x):
    z = x @ w
    return jnp.sum(z**3), x.T @ (3 * z**2)


def changed(how):
    """The right gradient, changed."""

    def candidate(w, x):
        value, grad = right(w, x)
        return value, how(grad)

    return candidate
