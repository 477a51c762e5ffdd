"""What the fixture `gradient_check` gives: the checks, with the seed of the test."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compare import GradientReport

__all__ = ["GradientCheck"]


@dataclass(frozen=True)
class GradientCheck:
    """Checks that fail the test where they do not agree, and return the report where they do.

    Attributes:
        seed: of the random numbers of each check, unless it is given one.
    """

    seed: int

    @classmethod
    def of_test(cls, name: str, params: Mapping[str, Any]) -> "GradientCheck":
        """Takes the parameter `seed` of a test, or else a seed that is the same for its name."""
        seed = params.get("seed")
        return cls(seed if isinstance(seed, int) else zlib.crc32(name.encode()))

    def __call__(
        self, candidate: Callable[..., Any], loss: Callable[..., Any], *args: Any, **settings: Any
    ) -> "GradientReport":
        """`compare.check_gradients(candidate, loss, params, *args, ...)`.

        Raises:
            AssertionError: the gradients do not agree; its message is the report.
            TypeError: as `check_gradients`.
            ValueError: as `check_gradients`.
        """
        __tracebackhide__ = True
        from compare import check_gradients

        return self._required(check_gradients, (candidate, loss, *args), settings)

    def rule(
        self, rule_or_fwd: Callable[..., Any], *rest: Any, **settings: Any
    ) -> "GradientReport":
        """`compare.check_rule(rule, *inputs, ...)`; raises as a call does."""
        __tracebackhide__ = True
        from compare import check_rule

        return self._required(check_rule, (rule_or_fwd, *rest), settings)

    def function(self, f: Callable[..., Any], *inputs: Any, **settings: Any) -> "GradientReport":
        """`compare.check_function(f, *inputs, ...)`; raises as a call does."""
        __tracebackhide__ = True
        from compare import check_function

        return self._required(check_function, (f, *inputs), settings)

    def _required(
        self, check: Callable[..., "GradientReport"], args: tuple[Any, ...], settings: Any
    ) -> "GradientReport":
        __tracebackhide__ = True
        from compare.checker import require_agreement

        report = check(*args, **{"seed": self.seed, **settings})
        require_agreement(report)
        return report
