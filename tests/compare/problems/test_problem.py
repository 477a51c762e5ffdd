import pytest

from compare import problems
from compare.training import optimizers

TRAINED = [(name, *own) for name, problem in problems.PROBLEMS.items() for own in problem.trained]


@pytest.mark.parametrize(
    ("name", "model", "recipe"), TRAINED, ids=[f"{n}-{m.name}" for n, m, _ in TRAINED]
)
def test_every_recipe_can_be_made(name, model, recipe):
    assert problems.PROBLEMS[name].recipes[model.name] == recipe
    assert recipe.epochs > 0
    assert recipe.batch > 0
    optimizers.optimizer(
        recipe.optimizer, recipe.learning_rate, recipe.schedule, epochs=recipe.epochs,
        steps_per_epoch=1, clip=recipe.clip, weight_decay=recipe.weight_decay,
    )  # fmt: skip


def test_the_names_of_a_problems_models_differ():
    for problem in problems.PROBLEMS.values():
        assert len(problem.recipes) == len(problem.trained)
