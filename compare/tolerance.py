"""How far apart two results may be, where their spread is known from a few draws only."""

import math

from scipy import special

__all__ = ["FALSE_ALARM_RATE", "is_least_noise", "student_factor"]

FALSE_ALARM_RATE = 1e-6
"""The probability, for each leaf, that chance alone exceeds a tolerance."""


def student_factor(draws: int) -> float:
    """Returns tolerance over spread: Student's quantile for so many draws, times √2.

    The quantile is that of FALSE_ALARM_RATE, two-sided, with as many degrees of freedom as draws.
    The √2 is there because both sides of the difference round. 16 draws make it 10.8, 4 make it 70.
    """
    return math.sqrt(2) * float(special.stdtrit(draws, 1 - FALSE_ALARM_RATE / 2))


def is_least_noise(noise: float) -> bool:
    """Whether a noise is the least that is said of one: none was measured, of a gradient of 0.

    It is the smallest normal number of float64; or of float32, which is that of bfloat16.
    """
    return noise in (2.0**-1022, 2.0**-126)
