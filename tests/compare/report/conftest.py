import math
from typing import Any

import pytest


def _history(epochs: int, shift: float) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch, "step": 469 * epoch,
            "train_loss": 2.3 * math.exp(-0.7 * epoch) + 0.03 + shift,
            "train_accuracy": 1 - 0.9 * math.exp(-0.9 * epoch),
            "test_loss": 2.2 * math.exp(-0.6 * epoch) + 0.07 + shift,
            "test_accuracy": 0.985 - 0.9 * math.exp(-0.8 * epoch),
            "learning_rate": 1e-3, "seconds": 1.5 * epoch, "samples_per_second": 41000.0,
        }
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


def _side(method: str, epochs: int, shift: float) -> dict[str, Any]:
    confusion = [[960 + i if i == j else (7 * i + 3 * j) % 9 for j in range(10)] for i in range(10)]
    image = [[(9 * row * column) % 256 for column in range(28)] for row in range(28)]
    leaves = [f"{layer}/{name}" for layer in range(3) for name in "bw"]
    return {
        "problem": "mnist", "model": "mlp", "settings": "784-128-64-10 relu", "dataset": "mnist",
        "dtype": "float32", "method": method, "seed": 0, "batch": 128, "optimizer": "adam",
        "learning_rate": 1e-3, "schedule": "constant", "epochs": epochs, "devices": 1,
        "history": _history(epochs, shift),
        "compile_seconds": 1.2, "seconds": 7.5, "samples_per_second": 40000.0,
        "seconds_to_98": None,
        "confusion": confusion, "precision": [0.97] * 10, "recall": [0.98] * 10,
        "confused_pairs": [
            {"truth": 4, "predicted": 9, "count": 12, "images": [image] * 6},
            {"truth": 7, "predicted": 2, "count": 8, "images": [image] * 4},
        ],
        "gradient_norms": [
            {"leaf": leaf, "first": 10.0**-i, "last": 10.0 ** -(i + 2)}
            for i, leaf in enumerate(leaves)
        ],
        "decision_boundary": None, "parting": None,
    }  # fmt: skip


@pytest.fixture
def training() -> list[dict[str, Any]]:
    """Results of `train`: both sides, with everything that a picture shows."""
    manual, autodiff = _side("manual", 5, 0.0), _side("autodiff", 5, 1e-6)
    steps = list(range(0, 2000, 20))
    manual["parting"] = {
        "verdict": "chaos", "identical_steps": 3, "step": 400, "leaf": "0/w", "excess": 0.4,
        "steps": steps, "distance": [None, *(1e-8 * step**0.7 for step in steps[1:])],
        "spread": [0.0, *(3e-8 * step**0.7 for step in steps[1:])],
    }  # fmt: skip
    return [manual, autodiff]


@pytest.fixture
def xor_training(training) -> list[dict[str, Any]]:
    """A result of `train xor`: a plane, two classes and no images."""
    axis = [-0.5 + 2 * i / 40 for i in range(41)]
    bent = [[1 / (1 + math.exp(12 * (x - 0.5) * (y - 0.5) * 4)) for x in axis] for y in axis]
    plane = {"x": axis, "y": axis, "probability": bent}
    changed = {
        "problem": "xor", "settings": "2-4-1 leaky_relu", "dataset": "xor", "parting": None,
        "confusion": [[2, 0], [0, 2]], "confused_pairs": [], "decision_boundary": plane,
    }  # fmt: skip
    return [{**training[0], **changed}]
