"""How far apart two results may be, where their spread is known from a few draws only."""

import math

from scipy import special

__all__ = ["FALSE_ALARM_RATE", "student_factor"]

FALSE_ALARM_RATE = 1e-6
"""The probability, for each leaf, that chance alone exceeds a tolerance."""


def student_factor(draws: int) -> float:
    """Returns tolerance over spread: Student's quantile for so many draws, times √2.

    The quantile is that of FALSE_ALARM_RATE, two-sided, with as many degrees of freedom as draws.
    The √2 is there because both sides of the difference round. 16 draws make it 10.8, 4 make it 70.
    """
    return math.sqrt(2) * float(special.stdtrit(draws, 1 - FALSE_ALARM_RATE / 2))
