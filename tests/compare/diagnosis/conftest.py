"""The case of a wrong candidate, as the checker hands it to the diagnosis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compare.diagnosis.backward import Backward
from compare.diagnosis.case import Case
from compare.diagnosis.tape import record
from tests.compare.diagnosis.watching import candidates


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def case_of():
    """`case_of(candidate, loss, params, *args)`: the case, and the backward pass of the loss."""

    def make(candidate, loss=candidates.loss, params=candidates.PARAMS,
             args=(candidates.X, candidates.Y)):  # fmt: skip
        names = sorted(params)
        leaves = {name: np.asarray(params[name], float) for name in names}

        def of_leaves(own, constants):
            return loss(dict(zip(names, own, strict=True)), *constants)

        def again():
            arrays = [jnp.asarray(x) for x in args]
            return candidate({n: jnp.asarray(x) for n, x in leaves.items()}, *arrays)[1]

        wrong = {name: np.asarray(x, float) for name, x in again().items()}
        grads = jax.grad(of_leaves)(list(leaves.values()), list(args))
        right = {name: np.asarray(g) for name, g in zip(names, grads, strict=True)}
        tolerances = {name: 1e-12 * float(np.max(np.abs(g))) for name, g in right.items()}
        case = Case(of_leaves, leaves, list(args), wrong, right, tolerances, again)
        return case, Backward(record(of_leaves, leaves, list(args)))

    return make
