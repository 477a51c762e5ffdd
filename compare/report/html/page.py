"""Results as one page for a browser: a file that needs no network and nothing beside it."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compare import files
from compare.report.html import (
    benchmarks,
    claims,
    derivations,
    gradients,
    training,
    verdict,
)
from compare.report.html.verdict import headlines

__all__ = ["headlines", "render", "write"]

TEMPLATES = Path(__file__).parent / "templates"


def write(path: Path, documents: Sequence[dict[str, Any]]) -> None:
    """Writes the page of these documents, whole or not at all.

    Args:
        path: of the file.
        documents: the JSON objects of one or more commands, one at least.

    Raises:
        ImportError: Jinja2 or matplotlib is not installed.
        OSError: the file cannot be written; what was there before is untouched.
    """
    text = render(documents)
    with files.replacing(path) as file:
        file.write(text.encode())


def render(documents: Sequence[dict[str, Any]]) -> str:
    """The page as text. Sections that have nothing to show are left out."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(TEMPLATES),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html.jinja").render(
        policy=_policy(script),
        script=script,
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        headlines=headlines(documents),
        facts=verdict.facts(documents),
        origins=verdict.origins(documents),
        gradients=gradients.view(documents),
        trainings=training.view(documents),
        bench=benchmarks.view(documents),
        articles=claims.articles(documents),
        mutants=claims.mutants(documents),
        derivations=derivations.view(documents),
    )


def _policy(script: str) -> str:
    """Nothing may be loaded and nothing run but this one script; style and images are inline."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
