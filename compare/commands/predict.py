"""The command `predict`: says which digit is on a picture, by a trained network."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from compare import problems, terminal
from compare.commands import outputs
from compare.commands.options import AGREE, OptionalPath, UsageError
from compare.datasets import digit_image
from compare.experiments import ParamsFileError, params_file
from compare.report import json_file

__all__ = ["predict"]


def predict(
    images: tyro.conf.Positional[tuple[Path, ...]],
    /,
    *,
    trained: Path,
    most_parameters: int = 10_000_000,
    json: OptionalPath = None,
) -> int:
    """Say which digit is on a picture, by a network that `train mnist --out DIR` has left.

    Args:
        images: PNG or JPEG files with one digit each, dark on light or light on dark.
        trained: the folder that `train` wrote with --out.
        most_parameters: refuse a network that has more.
        json: write the results to this file.
    """
    outputs.require(json=json)
    if not images:
        raise UsageError("name at least one picture of a digit")
    about = _about(trained)
    model = _model(trained, about, most_parameters)
    like = jax.eval_shape(model.init, jax.random.key(0))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(like))
    if count > most_parameters:
        raise _too_large(trained, f"{count:,} parameters", most_parameters)
    params, state = params_file.load(trained / f"params-{about['method']}.npz", *like)
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
        content = json_file.read(file)
        if content["command"] != "train":
            raise ValueError("not the results of train")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ParamsFileError(
            f"{file}: cannot be read ({reason}); make it with: train mnist --out {folder}"
        ) from error
    return content["results"][0]


def _model(folder: Path, about: dict[str, Any], most_parameters: int) -> problems.Model:
    if about["problem"] != "mnist":
        raise UsageError(
            f"--trained {folder}: is a network for {about['problem']}, which has no pictures; "
            "train one with: train mnist --out DIR"
        )
    # Before anything is built: a hidden layer has at least as many parameters as its width.
    width = max(about["hidden"] or [0])
    if width > most_parameters:
        raise _too_large(folder, f"a hidden layer of {width:,}", most_parameters)
    try:
        return problems.choose("mnist", about["model"], about["hidden"])
    except ValueError as error:
        raise ParamsFileError(f"{folder / 'train.json'}: {error}") from error


def _too_large(folder: Path, what: str, most: int) -> ParamsFileError:
    return ParamsFileError(
        f"--trained {folder}: is a network with {what}; at most {most:,} are read without "
        "--most-parameters"
    )
