"""Renders results as one page for a browser: a file that needs no network and no other file."""

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
        documents: the JSON objects of one or more commands.

    Raises:
        ImportError: Jinja2 or matplotlib is not installed.
        OSError: the file cannot be written; what it held before is untouched.
    """
    text = render(documents)
    with files.replacing(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def render(documents: Sequence[dict[str, Any]]) -> str:
    """Renders the page as text; sections that have nothing to show are left out.

    Raises:
        ImportError: Jinja2 or matplotlib is not installed.
    """
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
    """Returns the content security policy: only `script` may run, and nothing may be loaded."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
