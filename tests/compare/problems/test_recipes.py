from compare import problems
from compare.problems import recipes
from compare.training import optimizers


def test_every_model_of_every_problem_has_a_recipe_that_can_be_made():
    pairs = {(name, m.name) for name, models in problems.PROBLEMS.items() for m in models}
    assert set(recipes.RECIPES) == pairs
    for recipe in recipes.RECIPES.values():
        assert recipe.epochs > 0
        assert recipe.batch > 0
        optimizers.optimizer(
            recipe.optimizer, recipe.learning_rate, recipe.schedule, epochs=recipe.epochs,
            steps_per_epoch=1, clip=recipe.clip, weight_decay=recipe.weight_decay,
        )  # fmt: skip
