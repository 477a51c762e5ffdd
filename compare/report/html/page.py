"""Renders results as one page for a browser: a file that needs no network and no other file."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare import files
from compare.report.html import (
    benchmarks,
    checks,
    claims,
    derivations,
    gradients,
    training,
    verdict,
)
from compare.report.html.scope import scoped
from compare.report.html.verdict import headlines

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

__all__ = ["fragment", "headlines", "policy", "render", "style", "template", "write"]

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
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return template("page.html.jinja", whole=True).render(
        policy=policy(script),
        script=script,
        style=style(),
        headlines=headlines(documents),
        facts=verdict.facts(documents),
        origins=verdict.origins(documents),
        checks=checks.view(documents),
        gradients=gradients.view(documents),
        trainings=training.view(documents),
        bench=benchmarks.view(documents),
        articles=claims.articles(documents),
        mutants=claims.mutants(documents),
        derivations=derivations.view(documents),
    )


def fragment(documents: Sequence[dict[str, Any]]) -> str:
    """Renders gradients and derivations as an element that brings its style, for a notebook.

    It runs no script and loads nothing, and its style is that of the page, for this element alone.

    Raises:
        ImportError: Jinja2 is not installed; or matplotlib, and a matrix is wrong.
    """
    place = hashlib.sha256(json.dumps(documents).encode()).hexdigest()[:12]
    return template("fragment.html.jinja", whole=False).render(
        style=scoped(style(), ".handgrad"),
        headlines=headlines(documents),
        facts=verdict.facts(documents),
        gradients=gradients.view(documents, f"{place}-"),
        derivations=derivations.view(documents),
    )


def template(name: str, *, whole: bool) -> "Template":
    """Loads a template.

    Args:
        name: of a file in `templates`.
        whole: whether it is rendered as a page, and not as a part of one.

    Raises:
        ImportError: Jinja2 is not installed.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(TEMPLATES),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals["whole"] = whole
    environment.filters["unbroken"] = _unbroken
    return environment.get_template(name)


_NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?e[-+]\d+|[-−]\d+(?:\.\d+)?")


def _unbroken(text: str) -> "Markup":
    """Keeps each number of a sentence on one line: a browser breaks after a minus."""
    from markupsafe import Markup, escape

    return Markup(_NUMBER.sub(r'<span class="number">\g<0></span>', str(escape(text))))


def style() -> str:
    """Reads the style sheet of all pages."""
    return (TEMPLATES / "page.css").read_text(encoding="utf-8")


def policy(script: str) -> str:
    """Returns the content security policy: only `script` may run, and nothing may be loaded."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
