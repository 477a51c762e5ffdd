import numpy as np
import pytest

from compare import check_gradients
from compare.diagnosis.catalogue import CATALOGUE
from compare.mutants.gallery import mutants, originals
from compare.mutants.runs import run
from website.mistake_pages import REPORTS
from website.reports import report_on
from website.words import without_numbers

MUTANTS = mutants()
SHOWN = {mistake.mutant: name for name, mistake in CATALOGUE.items()}


def chosen():
    """One mutant for each name, which its page shows, one for each verdict, three without a name.

    `handgrad mutants` runs them all, in seven minutes.
    """
    nameless = [m for m in MUTANTS if m.slug is None and m.verdict == "manual_wrong"]
    first = {(m.slug, m.verdict): m for m in reversed(MUTANTS)}
    first |= {(m.slug, m.verdict): m for m in MUTANTS if m.name in SHOWN}
    return [*first.values(), *nameless[1:4]]


def test_the_gallery_is_large_and_its_names_are_unique():
    names = [m.name for m in MUTANTS]
    assert len(names) >= 191
    assert len(set(names)) == len(names)
    assert all(name == name.lower() and "_" not in name for name in names)


def test_every_slug_has_a_mutant_and_every_mutant_a_docstring():
    assert {m.slug for m in MUTANTS} - {None} == set(CATALOGUE)
    assert all(set(m.aliases) <= set(CATALOGUE) - {m.slug} for m in MUTANTS)
    assert all(m.candidate.__doc__ for m in MUTANTS)


@pytest.mark.table
@pytest.mark.parametrize("original", originals(), ids=lambda s: s.loss.__name__)
def test_the_right_gradient_of_each_model_agrees(original):
    report = check_gradients(original.correct, original.loss, *original.make(0), dtype=np.float64)
    assert report.agree, report


@pytest.mark.parametrize("mutant", chosen(), ids=lambda mutant: mutant.name)
def test_a_mutant_is_detected_where_it_is_wrong_and_named(mutant):
    report = report_on(mutant)
    wrong = {leaf.path for leaf in report.leaves if not leaf.agrees}
    assert report.verdict == mutant.verdict, report
    if mutant.verdict != "manual_wrong":
        assert wrong >= set(mutant.path), report
        return
    assert wrong == set(mutant.path), report
    assert report.diagnosis is not None
    names = {mutant.slug or "unknown", *mutant.aliases}
    assert report.diagnosis.bug in names, report
    assert report.diagnosis.confirmed == (report.diagnosis.bug != "unknown")
    assert "/compare/mutants/" in report.diagnosis.site
    assert any("/compare/mutants/" in line for line in report.diagnosis.suspects), report
    if mutant.name in SHOWN:
        page = (REPORTS / f"{SHOWN[mutant.name]}.txt").read_text(encoding="utf-8")
        assert diagnosed(page) == diagnosed(str(report)), "the page is out of date: make reports"


def diagnosed(report):
    """The words of a report from the bug to what to look at; what follows is numbers."""
    return without_numbers(report[report.index("\nbug: ") : report.index("\n  look at:")])


def test_every_report_that_a_page_shows_gives_the_name_of_the_page():
    assert {file.stem for file in REPORTS.glob("*.txt")} == set(CATALOGUE)
    for name in CATALOGUE:
        report = (REPORTS / f"{name}.txt").read_text(encoding="utf-8")
        assert name in report.split("\nbug: ")[1].splitlines()[0]
        assert max(map(len, report.splitlines())) <= 80


def test_every_mutant_that_has_a_diagnosis_carries_the_line_of_its_mistake():
    unmarked = [m.name for m in MUTANTS if m.verdict == "manual_wrong" and not m.lines]
    assert unmarked == []


def test_a_run_says_which_suspect_is_the_true_line():
    mutant = next(m for m in MUTANTS if m.name == "mlp-two-of-the-square-forgotten")
    found = run(mutant)
    assert found.line == 1
    assert run(mutant._replace(candidate=_unmarked(mutant.candidate))).line == 0


def _unmarked(candidate):
    def same(*inputs):
        return candidate(*inputs)

    return same
