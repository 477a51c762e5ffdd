"""Trains with both gradients in step, and judges whether they part by rounding or by a mistake.

From the same start and on the same batches, the two trajectories still differ: every step rounds,
and training magnifies rounding errors. The yardstick is how `jax.grad` parts from itself: a few
more of its trajectories start from parameters that are perturbed by one unit in the last place.
By rounding alone, manual parts from autodiff no faster than the perturbed trajectories do; by a
wrong gradient it parts faster.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from compare.tolerance import student_factor
from compare.training.steps import (
    Batch,
    LossAndGrad,
    TrainState,
    epoch_order,
    make_step,
    scan_batches,
)

__all__ = ["Gaps", "Pair", "Parting", "init_pair", "joined", "judge_parting", "make_pair_epoch"]

DRAWS = 4
LIMIT = student_factor(DRAWS)
"""How far a leaf may be from autodiff's, over the spread of DRAWS perturbed trajectories."""


class Pair(NamedTuple):
    """The states of both trainings.

    Attributes:
        manual: the training by hand.
        autodiff: the training by `jax.grad`, stacked on a new first axis: its own trajectory, then
            the perturbed ones.
    """

    manual: TrainState
    autodiff: TrainState

    @property
    def sides(self) -> tuple[TrainState, TrainState]:
        """Returns the states of manual and of autodiff, the perturbed ones left out."""
        return self.manual, jax.tree.map(lambda leaf: leaf[0], self.autodiff)


class Gaps(NamedTuple):
    """How far parameters are from those of autodiff, at each step and in each leaf.

    Attributes:
        manual: the distance of manual's parameters, a Euclidean norm, (steps, leaves).
        moved: the distance of the perturbed parameters, (steps, draws, leaves).
        size: the norm of autodiff's parameters, (steps, leaves).
        unit: one unit in the last place, relative to the size, (steps,).
    """

    manual: Any
    moved: Any
    size: Any
    unit: Any

    @property
    def total(self) -> np.ndarray:
        """Returns manual's distance over all leaves, relative to the parameters' size, (steps,)."""
        return _norms(self.manual) / _norms(self.size)

    @property
    def spread(self) -> np.ndarray:
        """Returns the distance of the perturbed parameters, relative like `total`, (steps,).

        It is the root mean square over the draws.
        """
        draws = _norms(self.moved)
        return np.sqrt((draws**2).mean(axis=1)) / _norms(self.size)


class Parting(NamedTuple):
    """The judgement on the distances between the two trainings.

    Attributes:
        verdict: `identical` to the last bit, `chaos` or `defect`.
        identical_steps: the number of steps after which both were the same to the last bit.
        onset: the first step, from 1, at which a distance exceeds the limit; None if none does.
        step: the step, from 1, at which a distance is largest relative to its limit.
        leaf: the path of the leaf with that distance.
        excess: that distance over its limit; above 1 is a defect.
    """

    verdict: Literal["identical", "chaos", "defect"]
    identical_steps: int
    onset: int | None
    step: int
    leaf: str
    excess: float


def init_pair(state: TrainState, seed: int = 0) -> Pair:
    """Returns both trainings before their first step.

    Args:
        state: where both start.
        seed: of the perturbations.
    """
    keys = jax.random.split(jax.random.key(seed), DRAWS)
    moved = [state._replace(params=_perturbed(state.params, key)) for key in keys]
    return Pair(state, jax.tree.map(lambda *leaves: jnp.stack(leaves), state, *moved))


def make_pair_epoch(
    manual: LossAndGrad,
    autodiff: LossAndGrad,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    mesh: Mesh | None = None,
) -> Callable[[Pair, Any, Any], tuple[Pair, tuple[jax.Array, jax.Array], Gaps]]:
    """Makes one epoch of both trainings on the same batches, compiled.

    Args:
        manual: the gradient by hand.
        autodiff: the gradient by `jax.grad`.
        optimizer: any of optax's.
        batch_size: rows of a mini-batch; the last one may have fewer.
        mesh: devices that share each batch; None for one device.

    Returns:
        `epoch(pair, x, y) -> (pair, (manual's losses, autodiff's losses), gaps)`.
    """
    manual_step, autodiff_step = (make_step(side, optimizer) for side in (manual, autodiff))

    def step(pair: Pair, batch: Batch) -> tuple[Pair, Any]:
        by_hand, loss = manual_step(pair.manual, batch)
        # One trajectory after the other: vmap would round in other places than manual's step.
        machine, losses = jax.lax.map(lambda state: autodiff_step(state, batch), pair.autodiff)
        return Pair(by_hand, machine), ((loss, losses[0]), _gaps(by_hand.params, machine.params))

    @jax.jit
    def epoch(pair: Pair, x: Any, y: Any) -> Any:
        order = epoch_order(pair.manual, len(x))
        pair, (losses, gaps) = scan_batches(step, pair, order, x, y, batch_size, mesh)
        return pair, losses, gaps

    return epoch


def judge_parting(gaps: Gaps, paths: Sequence[str]) -> Parting:
    """Judges whether manual parts from autodiff faster than autodiff parts from itself.

    The limit of a leaf's distance is LIMIT times the spread of the perturbed trajectories so far,
    or LIMIT units in the last place if that is more. A leaf beyond its limit may have leapt there
    by chance, which `compare.experiments.parting` tells.

    Args:
        gaps: of all steps.
        paths: of the leaves.
    """
    manual, size = np.asarray(gaps.manual, np.float64), np.asarray(gaps.size, np.float64)
    moved = np.nan_to_num(np.asarray(gaps.moved, np.float64), nan=np.inf)
    spread = np.maximum.accumulate(np.sqrt((moved**2).mean(axis=1)), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = manual / (LIMIT * np.maximum(spread, np.asarray(gaps.unit)[:, None] * size))
    excess = np.where(manual == 0, 0, np.where(np.isfinite(excess), excess, np.inf))
    worst = int(excess.argmax())
    step, leaf = divmod(worst, len(paths))
    apart = np.flatnonzero(manual.any(axis=1))
    beyond = np.flatnonzero((excess > 1).any(axis=1))
    return Parting(
        verdict="identical" if not len(apart) else "defect" if excess.max() > 1 else "chaos",
        identical_steps=int(apart[0]) if len(apart) else len(manual),
        onset=int(beyond[0]) + 1 if len(beyond) else None,
        step=step + 1,
        leaf=paths[leaf],
        excess=float(excess.max()),
    )


def joined(gaps: Sequence[Gaps]) -> Gaps:
    """Joins the gaps of several epochs, as if those were one epoch."""
    return Gaps(*(np.concatenate(parts) for parts in zip(*gaps, strict=True)))


def _perturbed(params: Any, key: jax.Array) -> Any:
    """Moves each number by one unit in its last place, up or down at random."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure,
        [
            jnp.nextafter(p, jnp.where(jax.random.bernoulli(k, shape=p.shape), jnp.inf, -jnp.inf))
            for p, k in zip(leaves, keys, strict=True)
        ],
    )


def _gaps(manual: Any, autodiff: Any) -> Gaps:
    stacked = jax.tree.leaves(autodiff)
    ours, theirs, moved = jax.tree.leaves(manual), [s[0] for s in stacked], [s[1:] for s in stacked]
    distances = [jax.vmap(_norm)(m - p) for m, p in zip(moved, theirs, strict=True)]
    return Gaps(
        manual=jnp.stack([_norm(m - p) for m, p in zip(ours, theirs, strict=True)]),
        moved=jnp.stack(distances, axis=-1),
        size=jnp.stack([_norm(p) for p in theirs]),
        unit=jnp.asarray(max(jnp.finfo(p.dtype).eps for p in theirs), float),
    )


def _norm(x: jax.Array) -> jax.Array:
    return jnp.linalg.norm(x.astype(jnp.promote_types(x.dtype, jnp.float32)).ravel())


def _norms(leaves: Any) -> np.ndarray:
    return np.sqrt((np.asarray(leaves, np.float64) ** 2).sum(axis=-1))
