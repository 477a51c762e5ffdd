"""Shows a training from within: every number of small networks, and how derivatives fade."""

from compare.explain.fading import dead_relus, digits, learning_rates, norms
from compare.explain.recording import MOMENTS, record
from compare.explain.toys import TOYS, Network, Toy

__all__ = [
    "MOMENTS", "TOYS", "Network", "Toy", "dead_relus", "digits", "learning_rates", "norms",
    "record",
]  # fmt: skip
