"""A gallery of classic wrong gradients, each written out by hand with one mistake in it."""

from compare.mutants.gallery import Mutant, Original, mutants, originals
from compare.mutants.runs import MutantRun, run

__all__ = ["Mutant", "MutantRun", "Original", "mutants", "originals", "run"]
