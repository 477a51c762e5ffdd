"""Every published network by its name, and what a run of some of them gives."""

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
        shortened: what a quick run leaves out; "" where it leaves out nothing.
        prepare: `prepare(options) -> setup`, what both methods start from.
        claims: `claims(setup, method)`, every claim, measured.
        needs_mnist: whether `options.mnist` must be there.
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
    """The rows of one article: every claim by every method, a claim's methods together.

    Args:
        name: one of ARTICLES.
        options: how.
        methods: by name.

    Raises:
        ValueError: there is no such article, or it needs MNIST and was given none.
    """
    if name not in ARTICLES:
        raise ValueError(f"unknown article {name!r}; choose from {', '.join(ARTICLES)}")
    article = ARTICLES[name]
    setup = article.prepare(options)
    # Compiling is most of a quick run, and runs in threads; a full run has a claim about its time.
    with ThreadPoolExecutor(len(methods) if options.quick else 1) as pool:
        measured = list(pool.map(lambda m: list(article.claims(setup, m)), methods.values()))
    return [
        {"article": name, "method": method, **json_ready(claim._asdict())}
        for same in zip(*measured, strict=True)
        for method, claim in zip(methods, same, strict=True)
    ]


def _by_claim(rows: Sequence[Row]) -> Iterator[list[Row]]:
    for _, same in groupby(rows, key=lambda r: (r["article"], r["claim"], r["published"])):
        yield list(same)


def disagreements(rows: Sequence[Row]) -> list[str]:
    """The claims of which the methods say different things; how long a run takes is not theirs."""
    return [
        f"{same[0]['article']}: {same[0]['claim']}"
        for same in _by_claim(rows)
        if not same[0]["timed"] and len({row["holds"] for row in same}) > 1
    ]


class Totals(NamedTuple):
    """How many published claims hold, do not hold, and were not judged.

    A claim holds where it does by every method.
    """

    hold: int
    fail: int
    unjudged: int


def totals(rows: Sequence[Row]) -> Totals:
    """Counts the published claims, second runs left out."""
    outcomes = [[row["holds"] for row in same] for same in _by_claim(rows) if same[0]["published"]]
    unjudged = sum(None in own for own in outcomes)
    hold = sum(all(own) for own in outcomes)
    return Totals(hold, len(outcomes) - hold - unjudged, unjudged)
