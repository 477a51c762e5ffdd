"""The command `predict`: says which digit is on a picture, by a trained network."""

import json as json_module
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from compare import problems, terminal
from compare.commands import outputs
from compare.commands.options import AGREE, UsageError
from compare.datasets import digit_image
from compare.experiments import ParamsFileError, params_file
from compare.report import json_file

__all__ = ["predict"]


def predict(
    images: tyro.conf.Positional[tuple[Path, ...]],
    /,
    *,
    trained: Path,
    json: Path | None = None,
) -> int:
    """Say which digit is on a picture, by a network that `train mnist --out DIR` has left.

    Args:
        images: PNG or JPEG files with one digit each, dark on light or light on dark.
        trained: the folder that `train` wrote with --out.
        json: write the results to this file.
    """
    outputs.require(json=json)
    if not images:
        raise UsageError("name at least one picture of a digit")
    about = _about(trained)
    model = _model(trained, about)
    params, state = jax.jit(model.init)(jax.random.key(0))
    params, state = params_file.load(trained / f"params-{about['method']}.npz", params, state)
    x = np.stack([digit_image.read(path) for path in images])
    x = x.reshape(-1, *model.example.x.shape)
    logits = model.predict(params, state, jnp.asarray(x, jax.tree.leaves(params)[0].dtype))
    probabilities = np.asarray(jax.nn.softmax(logits.astype(jnp.float32)))
    results = [
        {"image": str(path), "predicted": int(p.argmax()), "probabilities": p.tolist()}
        for path, p in zip(images, probabilities, strict=True)
    ]
    console = terminal.console()
    console.print(terminal.training.prediction_table(results))
    for result in results:
        console.print(terminal.training.prediction(result), soft_wrap=True)
    outputs.save("predict", json_file.environment("default"), results, json=json)
    return AGREE


def _about(folder: Path) -> dict[str, Any]:
    """Reads the first result in the `train.json` of a folder; the hand-derived side comes first.

    Raises:
        ParamsFileError: the file is missing, or `train` did not write it.
    """
    file = folder / "train.json"
    try:
        about = json_module.loads(file.read_text(encoding="utf-8"))["results"][0]
        if not {"problem", "model", "hidden", "method", "dtype"} <= set(about):
            raise ValueError("not the results of train")
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ParamsFileError(
            f"{file}: cannot be read ({error}); make it with: train mnist --out {folder}"
        ) from error
    return about


def _model(folder: Path, about: dict[str, Any]) -> problems.Model:
    if about["problem"] != "mnist":
        raise UsageError(
            f"--trained {folder}: is a network for {about['problem']}, which has no pictures; "
            "train one with: train mnist --out DIR"
        )
    return problems.choose(about["problem"], about["model"], about["hidden"])
