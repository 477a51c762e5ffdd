"""How each model of each problem is trained where nobody says otherwise."""

from typing import NamedTuple

__all__ = ["RECIPES", "Recipe"]


class Recipe(NamedTuple):
    """How a model is trained.

    Attributes:
        epochs: passes over the data.
        batch: rows of a step.
        optimizer: its name.
        learning_rate: the largest.
        schedule: its name.
        clip: the largest global norm of a gradient; None leaves it as it is.
        weight_decay: None for the optimizer's own.
    """

    epochs: int
    batch: int
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    clip: float | None = None
    weight_decay: float | None = None


RECIPES: dict[tuple[str, str], Recipe] = {
    ("xor", "mlp"): Recipe(epochs=1000, batch=4, learning_rate=1e-2),
    ("mnist", "mlp"): Recipe(
        epochs=8,
        batch=128,
        optimizer="adamw",
        learning_rate=4e-3,
        schedule="warmup-cosine",
        weight_decay=0.2,
    ),
    ("mnist", "regularised-mlp"): Recipe(epochs=8, batch=128, schedule="cosine"),
    ("mnist", "cnn"): Recipe(
        epochs=5,
        batch=64,
        optimizer="adamw",
        learning_rate=4e-3,
        schedule="warmup-cosine",
        weight_decay=0.05,
    ),
    ("classification", "mlp"): Recipe(epochs=100, batch=32, learning_rate=1e-2),
    ("classification", "regularised-mlp"): Recipe(
        epochs=100, batch=64, optimizer="adamw", schedule="cosine", clip=1.0, weight_decay=1e-4
    ),
}
"""By problem and model."""
