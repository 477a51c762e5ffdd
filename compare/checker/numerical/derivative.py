"""What a numerical derivative is: a loss in a direction, to a value and an error bar."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

__all__ = ["Derivative", "Leaves", "Loss"]

Leaves = dict[str, np.ndarray]
Loss = Callable[[list[Any], list[Any]], Any]


class Derivative(Protocol):
    """The derivative of a loss in a direction, by a numerical method."""

    def __call__(
        self, leaves: Leaves, constants: list[Any], direction: Leaves, enough: float = 0.0
    ) -> tuple[float, float]:
        """Computes (value, error bar) in a direction given by path.

        An error bar of `enough` is not made smaller.
        """
        ...
