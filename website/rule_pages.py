"""A page for each rule: its derivation, from the docstrings, and the code that it comes to."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from manual import rules
from manual.rules import Rule
from website import prose

__all__ = ["models", "pages", "subjects"]

ROOT = Path(__file__).parents[1]
_RAISES = re.compile(r"^Raises:\n((?:[ \n].*\n?)*)", re.MULTILINE)


def subjects() -> dict[str, list[str]]:
    """Reads the table of docs/rules.md: the rules of each subject."""
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z][\w ]*) \| (`.*) \|$", text, re.MULTILINE)
    return {subject: re.findall(r"`(\w+)`", names) for subject, names in rows}


def models() -> list[str]:
    """Lists the models that are made of the rules: the modules with a `loss_and_grad`."""
    files = sorted((ROOT / "manual").glob("*.py"))
    return [f.stem for f in files if "\ndef loss_and_grad" in f.read_text(encoding="utf-8")]


def pages() -> Iterator[tuple[str, str]]:
    """Makes the page of each rule and of each model: (path, Markdown)."""
    for names in subjects().values():
        for name in names:
            yield f"rules/{name}.md", _page(getattr(rules, name))
    for name in models():
        yield f"rules/models/{name}.md", _model_page(importlib.import_module(f"manual.{name}"))


def _page(rule: Rule) -> str:
    name = rule.__name__
    module = inspect.getmodule(rule.fwd)
    assert module is not None
    return "\n\n".join(
        [
            f"# {name} {{ #manual.rules.{name} }}",
            prose.html(inspect.getdoc(module) or ""),
            f"```python\nfrom manual.rules import {name}\n\n{_call(rule)}\n```",
            *_half(rule, "fwd", "Forward"),
            *_half(rule, "bwd", "Backward"),
            f"## In code\n\nBoth halves as they stand in `{module.__name__.replace('.', '/')}.py`.",
            _source(rule.fwd, "The forward pass"),
            _source(rule.bwd, "The backward pass"),
        ]
    )


def _model_page(module: ModuleType) -> str:
    name = module.__name__
    return "\n\n".join(
        [
            f"# {name}",
            prose.html(inspect.getdoc(module) or ""),
            "## Backward",
            prose.html(inspect.getdoc(module.loss_and_grad) or "", lead=True),
            f"Its functions are in the [reference](../../reference/{name}.md).",
            _source(module.loss_and_grad, "In code"),
        ]
    )


def _half(rule: Rule, half: str, title: str) -> Iterator[str]:
    function = getattr(rule, half)
    docstring = inspect.getdoc(function) or ""
    yield f"## {title} {{ #{function.__module__}.{function.__name__} }}"
    yield prose.html(docstring, lead=True)
    raised = _RAISES.search(docstring)
    if raised:
        lines = " ".join(raised[1].split())
        errors = re.findall(r"(\w+Error): (.*?)(?=\w+Error: |$)", lines)
        yield "\n".join(f"- `{error}` {when.strip()}" for error, when in errors)


def _call(rule: Rule) -> str:
    """The rule with its inputs and settings, as one would write it."""
    parameters = inspect.signature(rule).parameters.values()
    given = [
        p.name if p.default is inspect.Parameter.empty else f"{p.name}={p.default!r}"
        for p in parameters
    ]
    line = f"{rule.__name__}({', '.join(given)})"
    return line if len(line) < 80 else f"{rule.__name__}(\n    {', '.join(given)}\n)"


def _source(function: object, title: str) -> str:
    """The code of a half without its docstring, which is above, to be unfolded."""
    source = inspect.getsource(function)  # pyright: ignore[reportArgumentType]
    code = re.sub(r'^ +""".*?"""\n', "", source, count=1, flags=re.DOTALL | re.MULTILINE)
    body = "\n".join(f"    {line}" for line in ["```python", *code.rstrip().splitlines(), "```"])
    return f'??? note "{title}"\n\n{body}'
