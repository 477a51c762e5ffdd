import chex
import jax.numpy as jnp
import numpy as np
import pytest

from compare.experiments import params_file
from compare.experiments.params_file import ParamsFileError

PARAMS = [{"w": jnp.asarray(np.ones((2, 3))), "b": jnp.asarray(np.arange(3.0))}]
STATE = [{"mean": jnp.asarray(np.full(3, 0.5))}]


def test_what_is_saved_is_loaded(tmp_path):
    params_file.save(tmp_path / "p.npz", PARAMS, STATE)
    with np.load(tmp_path / "p.npz") as arrays:
        assert set(arrays) == {"params/0/w", "params/0/b", "model_state/0/mean"}
    loaded = params_file.load(tmp_path / "p.npz", PARAMS, STATE)
    chex.assert_trees_all_equal(loaded, (PARAMS, STATE), strict=True)


def test_bfloat16_is_kept_exactly(tmp_path):
    params = {"w": jnp.array([1.5, 3.140625], jnp.bfloat16)}
    params_file.save(tmp_path / "p.npz", params, ())
    loaded, state = params_file.load(tmp_path / "p.npz", params, ())
    assert state == ()
    assert loaded["w"].dtype == np.float32
    assert (loaded["w"] == [1.5, 3.140625]).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([{"w": jnp.ones((2, 4)), "b": jnp.arange(3.0)}], r"params/0/w is \(2, 3\), and the model"),
        ([{"w": jnp.ones((2, 3))}], "params/0/b .* the model's is missing"),
        ([{**PARAMS[0], "c": jnp.ones(1)}], "params/0/c is missing, and the model's is"),
    ],
)
def test_parameters_of_another_model_are_refused(params, message, tmp_path):
    params_file.save(tmp_path / "p.npz", PARAMS, STATE)
    with pytest.raises(ParamsFileError, match=message):
        params_file.load(tmp_path / "p.npz", params, STATE)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is not there; train --out"), (b"PK\3\4", "is no intact NumPy"), (b"", "is no intact")],
)
def test_a_file_that_is_none_is_refused(content, message, tmp_path):
    path = tmp_path / "p.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParamsFileError, match=message) as error:
        params_file.load(path, PARAMS, STATE)
    assert "\n" not in str(error.value)
