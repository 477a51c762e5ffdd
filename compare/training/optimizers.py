"""Builds optimizers by name, with a schedule, clipping and weight decay, from optax's parts."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import optax

__all__ = ["Optimizer", "OptimizerName", "ScheduleName", "optimizer"]

OptimizerName = Literal["adam", "adamw", "sgd", "momentum"]
ScheduleName = Literal["constant", "cosine", "warmup-cosine", "plateau"]

_MOMENTUM = 0.9
_WARM_UP = 0.1
"""The share of the steps in which the learning rate rises to its peak."""


class Optimizer(NamedTuple):
    """An optimizer of optax, and its learning rate.

    Attributes:
        transformation: the gradient transformation, whose updates `optax.apply_updates` adds.
        learning_rate: `learning_rate(opt_state, step) -> rate` of the step that starts there.
    """

    transformation: optax.GradientTransformationExtraArgs
    learning_rate: Callable[[Any, Any], Any]


def optimizer(
    name: str,
    learning_rate: float,
    schedule: str = "constant",
    *,
    epochs: int = 1,
    steps_per_epoch: int = 1,
    clip: float | None = None,
    weight_decay: float | None = None,
) -> Optimizer:
    """Builds the optimizer called `name`.

    Args:
        name: `adam`, `adamw`, `sgd` or `momentum` (0.9).
        learning_rate: the highest rate of the schedule.
        schedule: `constant`; `cosine`, which falls to 0; `warmup-cosine`, which first rises from 0
            during a tenth of the steps; or `plateau`, which divides the rate by ten after ten
            epochs without a smaller mean loss.
        epochs: the number of epochs of the whole run.
        steps_per_epoch: the number of steps of an epoch.
        clip: the largest global norm of a gradient; None does not clip.
        weight_decay: decoupled from the gradient in `adamw`, where it is 1e-4 if not given; added
            to the gradient in the others.

    Raises:
        ValueError: there is no optimizer or schedule of that name, or a number is not positive.
    """
    _require_positive(learning_rate=learning_rate, clip=clip, weight_decay=weight_decay)
    rate = _schedule(schedule, learning_rate, epochs * steps_per_epoch)
    core = _core(name, rate, weight_decay)
    parts = [core] if clip is None else [optax.clip_by_global_norm(clip), core]
    if schedule == "plateau":
        parts.append(optax.contrib.reduce_on_plateau(accumulation_size=steps_per_epoch))

    def current_rate(opt_state: Any, step: Any) -> Any:
        return rate(step) * (opt_state[-1].scale if schedule == "plateau" else 1)

    return Optimizer(optax.chain(*parts), current_rate)


def _schedule(name: str, learning_rate: float, steps: int) -> optax.Schedule:
    if name == "cosine":
        return optax.cosine_decay_schedule(learning_rate, steps)
    if name == "warmup-cosine":
        warm_up = round(_WARM_UP * steps)
        return optax.warmup_cosine_decay_schedule(0, learning_rate, warm_up, steps)
    if name in ("constant", "plateau"):
        return optax.constant_schedule(learning_rate)
    raise ValueError(
        f"unknown schedule {name!r}; choose from constant, cosine, warmup-cosine, plateau"
    )


def _core(
    name: str, rate: optax.Schedule, weight_decay: float | None
) -> optax.GradientTransformation:
    if name == "adamw":
        return optax.adamw(rate, weight_decay=1e-4 if weight_decay is None else weight_decay)
    makers = {
        "adam": optax.adam,
        "sgd": optax.sgd,
        "momentum": lambda rate: optax.sgd(rate, momentum=_MOMENTUM),
    }
    if name not in makers:
        raise ValueError(f"unknown optimizer {name!r}; choose from adam, adamw, sgd, momentum")
    if weight_decay is None:
        return makers[name](rate)
    return optax.chain(optax.add_decayed_weights(weight_decay), makers[name](rate))


def _require_positive(**settings: float | None) -> None:
    for name, value in settings.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
