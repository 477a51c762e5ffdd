import numpy as np
import pytest

from compare import problems


@pytest.mark.parametrize(("name", "rows"), [("xor", 4), ("classification", 32), ("mnist", 32)])
def test_a_problem_has_data_parameters_and_two_sides(name, rows):
    problem = problems.load(name, batch=32, dataset="mnist5k" if name == "mnist" else None)
    x, targets = problem.batch
    assert len(x) == len(targets) == rows
    value, grads = problem.manual(problem.params, problem.batch)
    assert np.isclose(value, problem.loss(problem.params, problem.batch), rtol=1e-5)
    assert [set(layer) for layer in grads] == [{"w", "b"}] * len(problem.params)


def test_the_subset_is_never_passed_off_as_mnist():
    assert problems.load("mnist", batch=3, dataset="mnist5k").dataset == "mnist5k"


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
