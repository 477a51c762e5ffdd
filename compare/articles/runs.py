"""Lists every article by its name, runs articles, and counts the claims that hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple

from compare.articles import binary_classifier, mnist_mlp, regularised_mlp, sixty_lines, xor
from compare.articles.claim import Claim, Options
from compare.articles.descent import METHODS, Method
from compare.json_ready import json_ready

__all__ = ["ARTICLES", "Article", "Row", "Totals", "disagreements", "run", "totals"]

Row = dict[str, Any]


class Article(NamedTuple):
    """One published network.

    Attributes:
        title: its network and settings, in words.
        shortened: what a quick run leaves out; "" if it leaves out nothing.
        prepare: `prepare(options) -> setup`, what both methods start from.
        claims: `claims(setup, method) -> claims`, measured by one method.
        needs_mnist: whether `options.mnist` must be given.
    """

    title: str
    shortened: str
    prepare: Callable[[Options], Any]
    claims: Callable[[Any, Method], Iterator[Claim]]
    needs_mnist: bool = False


ARTICLES = {
    "xor": Article(
        "2-4-1 LeakyReLU, gradient descent at lr 0.1, 5,000 epochs",
        "",
        xor.prepare,
        xor.claims,
    ),
    "binary-classifier": Article(
        "10-8-4-1 sigmoid, gradient descent at lr 0.01, 1,000 steps",
        "",
        binary_classifier.prepare,
        binary_classifier.claims,
    ),
    "regularised-mlp": Article(
        "128-256-128-64-1 batch-norm ReLU dropout 0.3, AdamW",
        "3 epochs instead of 100",
        regularised_mlp.prepare,
        regularised_mlp.claims,
    ),
    "sixty-lines": Article(
        "784-10-10 ReLU, gradient descent at lr 0.1, 750 iterations",
        "4,100 rows and 101 iterations instead of 41,000 and 750",
        sixty_lines.prepare,
        sixty_lines.claims,
        needs_mnist=True,
    ),
    "mnist-mlp": Article(
        "784-128-64-10 ReLU, Adam at 1e-3, cosine, 8 epochs",
        "10,000 rows and 2 epochs instead of 55,000 and 8",
        mnist_mlp.prepare,
        mnist_mlp.claims,
        needs_mnist=True,
    ),
}
"""Every article by its name, the quickest first."""


def run(name: str, options: Options, methods: Mapping[str, Method] = METHODS) -> list[Row]:
    """Runs one article by every method.

    Args:
        name: one of ARTICLES.
        options: how the article is run.
        methods: the methods by name.

    Returns:
        A row for each claim and method; the rows of one claim follow each other.

    Raises:
        ValueError: there is no such article, or it needs MNIST and was given none.
    """
    if name not in ARTICLES:
        raise ValueError(f"unknown article {name!r}; choose from {', '.join(ARTICLES)}")
    article = ARTICLES[name]
    setup = article.prepare(options)
    # A quick run mostly compiles, which threads speed up. A full run measures its time: one thread.
    with ThreadPoolExecutor(len(methods) if options.quick else 1) as pool:
        measured = list(pool.map(lambda m: list(article.claims(setup, m)), methods.values()))
    return [
        {"article": name, "method": method, **json_ready(claim._asdict())}
        for by_method in zip(*measured, strict=True)
        for method, claim in zip(methods, by_method, strict=True)
    ]


def _by_claim(rows: Sequence[Row]) -> Iterator[list[Row]]:
    for _, claim in groupby(rows, key=lambda r: (r["article"], r["claim"], r["published"])):
        yield list(claim)


def disagreements(rows: Sequence[Row]) -> list[str]:
    """Lists the claims that hold by one method and not by the other, those about time left out."""
    return [
        f"{claim[0]['article']}: {claim[0]['claim']}"
        for claim in _by_claim(rows)
        if not claim[0]["timed"] and len({row["holds"] for row in claim}) > 1
    ]


class Totals(NamedTuple):
    """The numbers of published claims that hold by every method, do not, and were not judged."""

    hold: int
    fail: int
    unjudged: int


def totals(rows: Sequence[Row]) -> Totals:
    """Counts the published claims; second runs, with settings of our own, are left out."""
    published = [claim for claim in _by_claim(rows) if claim[0]["published"]]
    outcomes = [[row["holds"] for row in claim] for claim in published]
    unjudged = sum(None in by_method for by_method in outcomes)
    hold = sum(all(by_method) for by_method in outcomes)
    return Totals(hold=hold, fail=len(outcomes) - hold - unjudged, unjudged=unjudged)
