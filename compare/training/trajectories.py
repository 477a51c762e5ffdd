"""Two trainings in step, by hand and by `jax.grad`: do they part like chaos, or like a mistake?

The same start, the same batches, and still two trajectories: every step rounds, and training
magnifies what was rounded. The yardstick is what `jax.grad` does to itself: a few more of its own
trajectories, each from parameters moved by one unit in the last place. Rounding alone makes manual
part from autodiff no faster than those part from it; a wrong gradient does.
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
"""How much faster than its yardstick a leaf may part, the spread of DRAWS trajectories."""


class Pair(NamedTuple):
    """Both trainings.

    Attributes:
        manual: by hand.
        autodiff: by `jax.grad`, stacked: the trajectory itself and those that were moved.
    """

    manual: TrainState
    autodiff: TrainState

    @property
    def sides(self) -> tuple[TrainState, TrainState]:
        """The states of manual and of autodiff, without those that were moved."""
        return self.manual, jax.tree.map(lambda leaf: leaf[0], self.autodiff)


class Gaps(NamedTuple):
    """Distances of parameters from those of autodiff, one row a step, one column a leaf.

    Attributes:
        manual: of manual's, the Euclidean norm over the leaf, (steps, leaves).
        moved: of those that were moved, (steps, draws, leaves).
        size: the norm of autodiff's leaf itself, (steps, leaves).
        unit: of one unit in the last place, relative to the size, (steps,).
    """

    manual: Any
    moved: Any
    size: Any
    unit: Any

    @property
    def total(self) -> np.ndarray:
        """Manual's distance over all leaves, relative to the size of the parameters, (steps,)."""
        return _norms(self.manual) / _norms(self.size)

    @property
    def spread(self) -> np.ndarray:
        """The same for those that were moved, root mean square over the draws, (steps,)."""
        draws = _norms(self.moved)
        return np.sqrt((draws**2).mean(axis=1)) / _norms(self.size)


class Parting(NamedTuple):
    """What the distances say.

    Attributes:
        verdict: `identical` to the last bit, `chaos` or `defect`.
        identical_steps: how many steps both were the same to the last bit.
        onset: the first step at which the distance is more than is allowed, from 1; None if none.
        step: the one where the distance is largest against what is allowed, from 1.
        leaf: the path of the leaf in which it is.
        excess: the distance there over what is allowed; above 1 is a defect.
    """

    verdict: Literal["identical", "chaos", "defect"]
    identical_steps: int
    onset: int | None
    step: int
    leaf: str
    excess: float


def init_pair(state: TrainState, seed: int = 0) -> Pair:
    """Both trainings before their first step.

    Args:
        state: where both start.
        seed: of the moves.
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
    """One epoch of both on the same batches, compiled.

    Args:
        manual: the gradient by hand.
        autodiff: the gradient by `jax.grad`.
        optimizer: any of optax's.
        batch_size: rows of a mini-batch; what is left over is a last, smaller one.
        mesh: devices that share each batch; one device without.

    Returns:
        `epoch(pair, x, y) -> (pair, (manual's losses, autodiff's losses), gaps)`.
    """
    manual_step, autodiff_step = (make_step(side, optimizer) for side in (manual, autodiff))

    def step(pair: Pair, batch: Batch) -> tuple[Pair, Any]:
        by_hand, loss = manual_step(pair.manual, batch)
        # One after the other and not under vmap, which would round in other places.
        machine, losses = jax.lax.map(lambda state: autodiff_step(state, batch), pair.autodiff)
        return Pair(by_hand, machine), ((loss, losses[0]), _gaps(by_hand.params, machine.params))

    @jax.jit
    def epoch(pair: Pair, x: Any, y: Any) -> Any:
        order = epoch_order(pair.manual, len(x))
        pair, (losses, gaps) = scan_batches(step, pair, order, x, y, batch_size, mesh)
        return pair, losses, gaps

    return epoch


def judge_parting(gaps: Gaps, paths: Sequence[str]) -> Parting:
    """Whether manual parts from autodiff faster than autodiff parts from itself.

    A leaf may be LIMIT times as far away as those that were moved have been so far, and as one unit
    in the last place. One that is further may have leapt by chance: `parting_check` tells.

    Args:
        gaps: of all steps.
        paths: of the leaves.
    """
    manual, moved, size = (np.asarray(a, np.float64) for a in gaps[:3])
    moved = np.nan_to_num(moved, nan=np.inf)
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
    """Joins the gaps of several epochs as if they were one."""
    return Gaps(*(np.concatenate(parts) for parts in zip(*gaps, strict=True)))


def _perturbed(params: Any, key: jax.Array) -> Any:
    """Each number one unit in its last place up or down, at random."""
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
    own = [leaf[0] for leaf in jax.tree.leaves(autodiff)]
    by_hand, moved = jax.tree.leaves(manual), [leaf[1:] for leaf in jax.tree.leaves(autodiff)]
    return Gaps(
        manual=jnp.stack([_norm(m - p) for m, p in zip(by_hand, own, strict=True)]),
        moved=jnp.stack([jax.vmap(_norm)(q - p) for q, p in zip(moved, own, strict=True)], axis=-1),
        size=jnp.stack([_norm(p) for p in own]),
        unit=jnp.asarray(max(jnp.finfo(p.dtype).eps for p in own), float),
    )


def _norm(x: jax.Array) -> jax.Array:
    return jnp.linalg.norm(x.astype(jnp.promote_types(x.dtype, jnp.float32)).ravel())


def _norms(leaves: Any) -> np.ndarray:
    return np.sqrt((np.asarray(leaves, np.float64) ** 2).sum(axis=-1))
