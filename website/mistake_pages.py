"""A page for each named mistake: the code that makes it, its report, and the cure.

All of it comes from the catalogue and the gallery. The reports are those of `make reports`, kept in
docs/reports/, because making them takes a minute; a test of the gallery holds them against what is
printed.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from compare.diagnosis.catalogue import CATALOGUE, NamedMistake
from compare.mutants.gallery import originals
from compare.mutants.mutant import Mutant, Original
from website import prose

__all__ = ["pages"]

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "docs" / "reports"


def pages() -> Iterator[tuple[str, str]]:
    """Makes a list of the mistakes and the page of each: (path, Markdown)."""
    shown = {mutant.name: (mutant, model) for model in originals() for mutant in model.mutants}
    yield "mistakes/index.md", _index()
    for name, mistake in CATALOGUE.items():
        yield f"mistakes/{name}.md", _page(name, mistake, *shown[mistake.mutant])


def _index() -> str:
    rows = [
        f"| [`{name}`]({name}.md) | {m.meaning} | {m.look_at} |" for name, m in CATALOGUE.items()
    ]
    return "\n".join(
        [
            "# The named mistakes",
            "",
            f"The {len(CATALOGUE)} mistakes that a diagnosis gives a name. A name is given where "
            "the same mistake, made on purpose, gives the same numbers in every leaf, to rounding.",
            "",
            "| name | what was done | what to look at |",
            "|---|---|---|",
            *rows,
        ]
    )


def _page(name: str, mistake: NamedMistake, mutant: Mutant, original: Original) -> str:
    mended = list(_mended(mutant, original))
    report = (REPORTS / f"{name}.txt").read_text(encoding="utf-8")
    told = prose.html(inspect.getdoc(mutant.candidate) or "")
    file = Path(inspect.getsourcefile(mutant.candidate) or "").relative_to(ROOT)
    return "\n\n".join(
        [
            f"# {name}",
            f"**{_sentence(mistake.meaning)}**",
            "## The code that makes it",
            told,
            f"```python\n{_code(mutant.candidate)}\n```",
            f"It is `{mutant.name}` of the gallery, in `{file}`; the lines that end in `# bug` "
            "hold the mistake.",
            "## What the report says",
            f"```text\n{report.rstrip()}\n```",
            *_of_several(report),
            "## The cure",
            f"{_sentence(mistake.look_at)}",
            *mended,
            _folded("The right backward pass of this network", original.correct, not mended),
            _folded("The loss", original.loss),
        ]
    )


def _of_several(report: str) -> Iterator[str]:
    """What stands below a report that gives more than one name."""
    if " or " in report.split("\nbug: ")[1].splitlines()[0]:
        yield (
            "Several mistakes would give these very numbers, so the report names them all, and "
            "what to look at is that of the first."
        )


def _mended(mutant: Mutant, original: Original) -> Iterator[str]:
    """The right steps in the place of those that the mutant hands in."""
    parameters = inspect.signature(original.correct).parameters
    given = re.findall(r"\b(\w+)=", inspect.getsource(mutant.candidate))
    right = [parameters[name].default for name in given if name in parameters]
    steps = [_code(step) for step in right if inspect.isfunction(step) and "<" not in step.__name__]
    if steps:
        yield "Right is:"
        yield "```python\n" + "\n\n\n".join(dict.fromkeys(steps)) + "\n```"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _code(function: object) -> str:
    """The source without its decorator and docstring, which stand above."""
    source = textwrap.dedent(inspect.getsource(function))  # pyright: ignore[reportArgumentType]
    source = source[source.index("def ") :]
    return re.sub(
        r'^ +""".*?"""\n\n?', "", source, count=1, flags=re.DOTALL | re.MULTILINE
    ).rstrip()


def _folded(title: str, function: object, unfolded: bool = False) -> str:
    source = inspect.getsource(function)  # pyright: ignore[reportArgumentType]
    lines = ["```python", *textwrap.dedent(source).rstrip().splitlines(), "```"]
    mark = "???+" if unfolded else "???"
    return f'{mark} note "{title}"\n\n' + textwrap.indent("\n".join(lines), "    ")
