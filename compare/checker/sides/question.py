"""What a check asks: whether two sides return the same at one point."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from compare.checker.sides.side import Arrays, Side
from compare.trees import Layout

__all__ = ["Question"]


class Question(NamedTuple):
    """Two sides and a point.

    Attributes:
        manual: the side under test.
        autodiff: the side that differentiates.
        params: the arrays with respect to which both differentiate, by path.
        args: further arguments of both.
        settings: what else the judge is told.
    """

    manual: Side
    autodiff: Side
    params: Any
    args: Sequence[Any]
    settings: Mapping[str, Any]

    @property
    def sides(self) -> tuple[Side, Side, Any, Sequence[Any]]:
        """Both sides and the point: the judge's first four arguments."""
        return self[:4]

    @property
    def point(self) -> tuple[Arrays, Layout]:
        """The arrays that both sides are called with, and where they belong."""
        point = (self.params, tuple(self.args))
        layout = Layout(point)
        return layout.arrays(point), layout
