"""Runs published networks, one a file, and measures by both methods what each of them claims."""

from compare.articles.claim import Claim, Options
from compare.articles.descent import METHODS, Method
from compare.articles.runs import ARTICLES, Article, Row, Totals, disagreements, run, totals

__all__ = [
    "ARTICLES", "METHODS", "Article", "Claim", "Method", "Options", "Row", "Totals",
    "disagreements", "run", "totals",
]  # fmt: skip
