"""Two gradients that differ by more than rounding explains."""

from typing import Any, Literal, NamedTuple

from compare.checker.comparison import Comparison, Rows, mathematics
from compare.checker.noise.measure import in_narrower, two_precisions
from compare.checker.sides.evaluation import DRAWS, Point, Sides
from compare.checker.sides.narrowing import Narrowing
from compare.diagnosis.case import Leaves
from compare.trees import largest

__all__ = ["Disagreement"]


class Disagreement(NamedTuple):
    """Two gradients in float64 that differ by more than rounding explains.

    Attributes:
        sides: how to run both.
        point: where, and what they returned there.
        rows: the leaves compared, by key.
        narrow: the narrower type that manual computes in, or None.
        own: what they returned there in the dtype asked for, where that is known.
    """

    sides: Sides
    point: Point
    rows: Rows
    narrow: Narrowing | None = None
    own: Point | None = None

    @property
    def wrong(self) -> list[str]:
        """The paths of the gradient that do not agree."""
        return [
            path for (kind, path), row in self.rows.items() if kind == "grad" and not row.agrees
        ]

    @property
    def manual_gradient(self) -> Leaves:
        """Manual's gradient by path."""
        return self._gradient("manual")

    @property
    def autodiff_gradient(self) -> Leaves:
        """Autodiff's gradient by path."""
        return self._gradient("autodiff")

    @property
    def leaves(self) -> Leaves:
        """The parameters by path."""
        names = list(self.autodiff_gradient)
        return dict(zip(names, self.point.arrays, strict=False))

    @property
    def constants(self) -> list[Any]:
        """The arrays that are no parameters."""
        return self.point.arrays[len(self.autodiff_gradient) :]

    def loss(self, leaves: list[Any], constants: list[Any]) -> Any:
        """Computes the loss as a function of the parameters' leaves and of all other arrays."""
        layout = self.sides.evaluation.layout
        loss = self.sides.autodiff.in_float64(self.point.arrays, layout).loss
        assert loss is not None
        params, args = layout.rebuild([*leaves, *constants])
        return loss(params, *args)

    def compared_at(self, point: Point) -> Comparison:
        """Compares both sides at another point, by the noise there."""
        if self.narrow is not None:
            noise = in_narrower(self.sides, point.arrays, self.narrow.dtype)
            return mathematics(point, noise, dtype=self.narrow.dtype)
        noise = two_precisions(self.sides, point.arrays).in_float64(DRAWS)
        return mathematics(point, noise)

    def limit(self, path: str, leaf: Any) -> float:
        """Returns the tolerance of a leaf at the size of manual's numbers, which may be larger."""
        row = self.rows[("grad", path)]
        right, size = largest(self.autodiff_gradient[path]), largest(leaf)
        return row.tolerance * max(1.0, size / right if right else 1.0)

    def _gradient(self, side: Literal["manual", "autodiff"]) -> Leaves:
        return {
            path: leaf for (kind, path), leaf in self.point.leaves(side).items() if kind == "grad"
        }
