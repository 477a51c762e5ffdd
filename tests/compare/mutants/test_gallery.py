import jax
import numpy as np
import pytest

from compare import check_gradients
from compare.mutants.gallery import SLUGS, mutants, subjects
from compare.mutants.mutant import Mutant

MUTANTS = mutants()


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Compiling is nearly all of the time here, and what is compiled runs once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def right(subject):
    name = f"{subject.name}-{subject.loss.__name__}".replace("_", "-")
    return Mutant(
        name, None, subject.name, subject.correct, subject.loss, subject.make, (), "agree"
    )


# The right gradient of a loss beside the wrong ones: then the loss is compiled once for all.
CASES = [case for subject in subjects() for case in (right(subject), *subject.mutants)]


def test_the_gallery_is_large_and_its_names_are_unique():
    names = [m.name for m in MUTANTS]
    assert len(names) >= 44
    assert len(set(names)) == len(names)
    assert all(name == name.lower() and "_" not in name for name in names)


def test_every_slug_has_a_mutant_and_every_mutant_a_docstring():
    assert {m.slug for m in MUTANTS} - {None} == SLUGS
    assert all(set(m.aliases) <= SLUGS - {m.slug} for m in MUTANTS)
    assert all(m.candidate.__doc__ for m in MUTANTS)


# In float64 alone, where the mathematics is judged: it halves the compilation.
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_right_agrees_and_wrong_is_detected_where_it_is_wrong(case):
    report = check_gradients(case.candidate, case.loss, *case.make(0), dtype=np.float64)
    wrong = {leaf.path for leaf in report.leaves if not leaf.agrees}
    assert report.verdict == case.verdict, report
    if case.verdict in ("agree", "manual_wrong"):
        assert wrong == set(case.path), report
        assert report.loss.manual == pytest.approx(report.loss.autodiff, rel=1e-12)
    else:
        assert wrong >= set(case.path), report
