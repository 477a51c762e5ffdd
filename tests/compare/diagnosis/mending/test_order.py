"""A transpose that is forgotten before an array is given another shape."""

import jax.numpy as jnp
import numpy as np

from compare.diagnosis.watching.watch import watch


def test_a_reshape_without_its_transpose_is_marked_and_not_called_right(case_of):
    rng = np.random.default_rng(0)
    params, x = {"w": rng.normal(size=(3, 4))}, rng.normal(size=(2, 4, 5))

    def loss(p, x):
        z = jnp.einsum("fk,nkh->nfh", p["w"], x)
        return jnp.sum(jnp.sin(z))

    def candidate(p, x):
        w, x = np.asarray(p["w"]), np.asarray(x)
        z = np.einsum("fk,nkh->nfh", w, x)
        dz = np.cos(z)
        flat = dz.reshape(-1, 3)  # the place
        columns = x.transpose(0, 2, 1).reshape(-1, 4)
        return np.sum(np.sin(z)), {"w": flat.T @ columns}

    found = watch(*case_of(candidate, loss, params, (x,)))
    line = candidate.__code__.co_firstlineno + 4
    assert found.suspects[0] == f"{__file__}:{line}"
    assert [name and name.bug for name in found.named] == ["wrong_places"]
    assert {own.line: own.status for own in found.listing}[line - 1] == "right"
