import chex
import jax
import numpy as np
import pytest

from compare import problems

MODELS = [(name, m) for name, problem in problems.PROBLEMS.items() for m in problem.models]


@pytest.mark.table
@pytest.mark.parametrize(("name", "model"), MODELS, ids=[f"{n}-{m.name}" for n, m in MODELS])
def test_a_problem_has_data_parameters_and_two_sides(name, model):
    problem = problems.load(
        name, model=model.name, batch=32, dataset="mnist5k" if "mnist" in name else None
    )
    x, targets = problem.batch
    assert len(x) == len(targets) == (4 if name == "xor" else 32)
    point = problem.params, problem.state, problem.batch, problem.key
    (value, state), grads = jax.jit(model.manual)(*point)
    expected, expected_state = jax.jit(model.loss)(*point)
    assert np.isclose(value, expected, rtol=1e-5)
    chex.assert_trees_all_equal_shapes_and_dtypes(problem.params, grads)
    chex.assert_trees_all_equal_shapes_and_dtypes(problem.state, state, expected_state)
    logits = jax.jit(model.predict)(problem.params, problem.state, x)
    assert logits.shape == (len(x), 10 if "mnist" in name else 1)


def test_the_subset_is_never_passed_off_as_mnist():
    assert problems.load("mnist", batch=3, dataset="mnist5k").data.name == "mnist5k"


def test_the_seed_chooses_rows_and_parameters():
    first, again, other = (problems.load("classification", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.batch[0], again.batch[0])
    assert not np.array_equal(first.batch[0], other.batch[0])
    assert np.array_equal(first.params[0]["w"], again.params[0]["w"])
    assert not np.array_equal(first.params[0]["w"], other.params[0]["w"])


def test_unknown_problems_are_refused():
    with pytest.raises(ValueError, match="unknown problem 'mnits'; choose from xor, mnist"):
        problems.load("mnits")
    with pytest.raises(ValueError, match="batch must be a positive number of rows, got -1"):
        problems.load("xor", batch=-1)
