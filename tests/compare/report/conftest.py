import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from compare.checker.gradient_report import Diagnosis, GradientReport, Leaf, Loss
from compare.report import json_file
from compare.report.html import page as html_report

ENVIRONMENT = {
    "platform": "cpu", "device_kind": "cpu", "device_count": 1, "jax": "0.10.2",
    "jaxlib": "0.10.2", "numpy": "2.4.6", "python": "3.11.7", "matmul_precision": "highest",
}  # fmt: skip

DERIVATIONS = [
    {
        "rule": "dense",
        "about": "The dense layer.",
        "fwd": "y = x w + b.\n\nShapes: x (m, n) -> y (m, k).\n\nRaises:\n    ValueError: never.",
        "bwd": "dx = dy wᵀ,  dw = xᵀ dy.\n\nFrom `y`, by the chain rule:\n    ∂L/∂x = Σ dy w.",
    }
]


def _document(command: str, results: Any) -> dict[str, Any]:
    return json_file.document(
        command, ENVIRONMENT, results, reproduce=f"handgrad {command}",
        derivations=DERIVATIONS,
    )  # fmt: skip


def _report(names: tuple[str, str], factor: float) -> GradientReport:
    """A bias that is right, and a matrix a part of which is wrong by `factor`."""
    right = np.linspace(-1.0, 1.0, 100 * 40).reshape(100, 40)
    wrong = right.copy()
    wrong[20:40, 10:20] *= factor
    limits = {"dtype": "float64", "noise": 1e-16, "tolerance": 1.08e-15}
    leaves = (
        Leaf.compare(names[0], right[0] + 1e-16, right[0], **limits),
        Leaf.compare(names[1], wrong, right, **limits),
    )
    agree = all(leaf.agrees for leaf in leaves)
    found = Diagnosis(
        "constant_factor", names[1], "loss.py:7", "twice <b>the</b> gradient", confirmed=True
    )
    return GradientReport(
        verdict="agree" if agree else "manual_wrong", loss=Loss(1.0, 1.0, 1.0), leaves=leaves,
        details=() if agree else (f"{names[1]}: manual has 2 where jax.grad has 1",),
        diagnosis=None if agree else found, dtype="float32", jit=True, platform="cpu",
        device_kind="cpu", precision="highest", detectable=1.08e-15,
    )  # fmt: skip


def _gradients(names: tuple[str, str] = ("0/b", "0/w"), *, factor: float = 1.0) -> dict[str, Any]:
    where = {"problem": "mnist", "model": "mlp", "settings": "784-10", "dataset": "mnist"}
    return _document("gradients", [{**where, "batch": 64, **_report(names, factor).to_dict()}])


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


def _training() -> list[dict[str, Any]]:
    manual, autodiff = _side("manual", 5, 0.0), _side("autodiff", 5, 1e-6)
    steps = list(range(0, 2000, 20))
    manual["parting"] = {
        "verdict": "chaos", "identical_steps": 3, "step": 400, "leaf": "0/w", "excess": 0.4,
        "steps": steps, "distance": [None, *(1e-8 * step**0.7 for step in steps[1:])],
        "spread": [0.0, *(3e-8 * step**0.7 for step in steps[1:])],
    }  # fmt: skip
    return [manual, autodiff]


def _xor_training() -> list[dict[str, Any]]:
    axis = [-0.5 + 2 * i / 40 for i in range(41)]
    bent = [[1 / (1 + math.exp(12 * (x - 0.5) * (y - 0.5) * 4)) for x in axis] for y in axis]
    plane = {"x": axis, "y": axis, "probability": bent}
    changed = {
        "problem": "xor", "settings": "2-4-1 leaky_relu", "dataset": "xor", "parting": None,
        "confusion": [[2, 0], [0, 2]], "confused_pairs": [], "decision_boundary": plane,
        "precision": [1.0, 1.0], "recall": [1.0, 1.0],
    }  # fmt: skip
    return [{**_side("manual", 5, 0.0), **changed}]


def _everything() -> list[dict[str, Any]]:
    bench = [
        {
            "model": "layer_norm", "batch": size, "dtype": "float32", "engine": engine,
            "median_ms": 1.5, "min_ms": 1.2, "compile_ms": 80.0, "temp_bytes": 4096,
            "temp_ratio": 0.5, "ratio": 0.33, "ratio_low": 0.3, "ratio_high": 0.4, "rounds": 9,
        }
        for size in ("64×128", "4096×512")
        for engine in ("manual", "autodiff", "autodiff_same_forward")
    ]  # fmt: skip
    article = {
        "article": "A book", "claim": "95 % in 30 epochs", "method": "a full run",
        "claimed": "95.42 %", "measured": "95.1 %", "holds": True, "note": "", "values": None,
    }  # fmt: skip
    mutant = {
        "mutant": "mlp-bias-summed", "expected": "bias_summed", "detected": True,
        "verdict": "manual_wrong", "named": "bias_summed", "confirmed": True, "right": True,
        "site": "", "seconds": 1.0,
    }  # fmt: skip
    return [
        _gradients(),
        _document("train", [*_training(), *_xor_training()]),
        _document("bench", bench),
        _document("articles", [article, {**article, "holds": False, "claim": "100 %"}]),
        _document("mutants", [mutant]),
    ]


@pytest.fixture
def document() -> Callable[..., dict[str, Any]]:
    """Makes the document of a command from its results."""
    return _document


@pytest.fixture
def gradients() -> Callable[..., dict[str, Any]]:
    """Makes a document of `gradients` with two leaves, the second wrong by a factor."""
    return _gradients


@pytest.fixture
def training() -> list[dict[str, Any]]:
    """Results of `train`: both sides, with everything that a picture shows."""
    return _training()


@pytest.fixture
def xor_training() -> list[dict[str, Any]]:
    """A result of `train xor`: a plane, two classes and no images."""
    return _xor_training()


@pytest.fixture
def everything() -> list[dict[str, Any]]:
    """A document of each command."""
    return _everything()


@pytest.fixture(scope="session")
def whole_page() -> str:
    """The page of a document of each command."""
    return html_report.render(_everything())
