"""The pages stay true: what they show runs, what they name is there, what they list is complete.

A fenced block says by its language what it is:

- `python` runs, in a folder of its own. A `text` block right below it, with at most a paragraph in
  between, is what it prints; only the numbers may differ.
- `sh` runs: every `handgrad` command, once, however many pages show it. `make` targets
  must exist.
- `console` is shown and not run, as it takes minutes or several hosts; a comment on its line says
  so. It must be right all the same: its options are parsed.
"""

import ast
import functools
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from compare import cli
from compare.checker.reporting.verdicts import MEANINGS
from compare.commands import options
from compare.diagnosis.catalogue import CATALOGUE
from manual import rules
from website.words import without_numbers

ROOT = Path(__file__).parents[1]
MNIST = ROOT.parent / "shared" / "data" / "mnist"
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
}
README, ARCHITECTURE, CHECKER = (
    PAGES[name] for name in ("README.md", "docs/architecture.md", "docs/checker.md")
)
LAST_WORDS = ("AGREE", "DETECTED", "MEASURED", "TRAINED")


class Block(NamedTuple):
    """A fenced block: its language, its text, and the text that it is said to print."""

    page: str
    language: str
    text: str
    printed: str | None


def blocks():
    for page, text in PAGES.items():
        fences = list(re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
        for fence, following in zip(fences, [*fences[1:], None], strict=True):
            printed = None
            if following is not None and following[1] == "text":
                between = text[fence.end() : following.start()].strip()
                if "\n\n" not in between and "#" not in between:
                    printed = following[2]
            yield Block(page, fence[1], fence[2], printed)


BLOCKS = list(blocks())
PYTHON_BLOCKS = [block for block in BLOCKS if block.language == "python"]


def lines_of(language):
    """Every line of the blocks of a language, once."""
    lines = [line for b in BLOCKS if b.language == language for line in b.text.splitlines()]
    return sorted({line.removeprefix("$ ") for line in lines})


SHELL, CONSOLE = lines_of("sh"), lines_of("console")
COMMANDS = [line for line in SHELL if line.startswith("handgrad ")]
INLINE = sorted(
    {c for text in PAGES.values() for c in re.findall(r"`(handgrad [a-z]+ [^`]+)`", text)}
)
SHOWN = [line for line in [*CONSOLE, *INLINE] if line.startswith("handgrad ")]


def test_blocks_are_what_this_file_knows():
    assert {block.language for block in BLOCKS} <= {"python", "sh", "console", "text", "toml"}
    assert all(line.startswith(("handgrad ", "make ")) for line in SHELL)
    assert all(" # " in line for line in CONSOLE), "a line that is not run says why"
    assert COMMANDS
    assert SHOWN


@pytest.mark.parametrize(
    "block", PYTHON_BLOCKS, ids=[f"{b.page}-{i}" for i, b in enumerate(PYTHON_BLOCKS)]
)
def test_code_runs(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "example.py"
    file.write_text(block.text, encoding="utf-8")
    exec(compile(block.text, str(file), "exec"), {})
    printed = capsys.readouterr().out
    assert without_numbers(printed) == without_numbers(block.printed or ""), printed


@pytest.mark.parametrize(
    ("page", "mends"),
    [
        ("README.md", {"(1 - z**2)": "(1 - a**2)"}),
        (
            "docs/articles.md",
            {f"jnp.full(10, {d}.sum())": f"{d}.sum(axis=0)" for d in ("dz", "dlogits")},
        ),
    ],
)
def test_the_mistake_of_a_page_mended_agrees(page, mends, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    wrong = next(block.text for block in PYTHON_BLOCKS if block.page == page)
    mended = wrong
    for mistake, cure in mends.items():
        assert mistake in mended
        mended = mended.replace(mistake, cure)
    exec(compile(mended, "mended.py", "exec"), {})
    assert capsys.readouterr().out.startswith("AGREE")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command, tmp_path, monkeypatch, capsys):
    command = command.replace("path/to/mnist", str(MNIST))
    if str(MNIST) in command and not MNIST.is_dir():
        pytest.skip("full MNIST is not at ../shared/data/mnist")
    if MNIST.is_dir():
        monkeypatch.setenv("HANDGRAD_DATA", str(MNIST))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        cli.main(shlex.split(command, comments=True)[1:])
    out, err = capsys.readouterr()
    assert exit_.value.code == 0, out + err
    last = [line for line in out.splitlines() if not line.startswith("WROTE: ")][-1]
    assert "--help" in command or last.startswith(LAST_WORDS)


def parse(command, monkeypatch):
    """Parses a command without running it; returns which commands it reached."""
    reached = []

    def stand_in(function):
        @functools.wraps(function)
        def run(*args, **settings):
            reached.append(function.__name__)
            return 0

        return run

    monkeypatch.setattr(cli, "COMMANDS", {n: stand_in(f) for n, f in cli.COMMANDS.items()})
    words = shlex.split(command, comments=True)
    with pytest.raises(SystemExit) as exit_:
        cli.main(words[1:])
    assert exit_.value.code == 0, command
    return reached


@pytest.mark.parametrize("command", SHOWN)
def test_commands_that_are_only_shown_can_be_typed(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    [options_file] = [block.text for block in BLOCKS if block.language == "toml"]
    Path("mnist.toml").write_text(options_file)
    assert len(parse(command, monkeypatch)) == 1


def test_an_option_that_does_not_exist_is_noticed(monkeypatch, capsys):
    with pytest.raises(AssertionError, match="--batches"):
        parse("handgrad train mnist --batches 2", monkeypatch)


def test_quick_start_has_the_two_commands():
    assert {line.split("#")[0].strip() for line in SHELL} >= {"make compare", "make test"}


@pytest.mark.parametrize(
    "target", sorted({line.split()[1] for line in [*SHELL, *CONSOLE] if line.startswith("make ")})
)
def test_make_has_every_target(target):
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def anchors(text):
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


LINKS = [(p, link) for p, text in PAGES.items() for link in re.findall(r"\]\(([^)\s]+)\)", text)]


@pytest.mark.parametrize(
    ("page", "link"), [(page, link) for page, link in LINKS if not link.startswith("https://")]
)
def test_links_lead_somewhere(page, link):
    path, _, anchor = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    assert target.exists()
    assert not anchor or anchor in anchors(target.read_text(encoding="utf-8"))


def test_files_that_are_named_exist():
    named = {
        (page, path)
        for page, text in PAGES.items()
        for path in re.findall(r"`((?:manual|autodiff|compare|tests|examples|docs)/[\w./]*)`", text)
        if not re.search(r"[A-Z]{3}", path)  # A name to fill in.
    }
    assert named
    assert [own for own in named if not (ROOT / own[1]).exists()] == []


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 250
    assert len(PAGES["CONTRIBUTING.md"].splitlines()) < 80


def test_every_rule_is_listed_and_every_listed_rule_exists():
    table = re.search(r"(^\|.*\n)+", PAGES["docs/rules.md"], re.MULTILINE)
    assert table
    names = re.findall(r"`(\w+)`", table[0])
    assert len(names) == len(set(names))
    known = {n for n in dir(rules) if isinstance(getattr(rules, n), rules.Rule)}
    assert set(names) == known


def cells(text, heading):
    """The rows of the first table below a heading, without its head."""
    section = text.split(f"\n## {heading}\n", 1)[1]
    table = re.search(r"(^\|.*\n)+", section, re.MULTILINE)
    assert table
    return [[c.strip() for c in row.strip("|").split("|")] for row in table[0].splitlines()[2:]]


def test_every_named_mistake_is_in_the_table():
    rows = [
        [f"`{name}`", mistake.meaning, mistake.look_at, f"`{mistake.mutant}`"]
        for name, mistake in CATALOGUE.items()
    ]
    wanted = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    shown = cells(CHECKER, "The mistakes it names")
    assert shown == rows, f"docs/checker.md should have these rows:\n{wanted}"


def test_every_verdict_is_in_the_table():
    shown = [row[0] for row in cells(CHECKER, "What it says")]
    assert sorted(shown) == sorted(f"`{verdict}`" for verdict in MEANINGS)


def test_every_verdict_has_an_example_that_gives_it():
    page = PAGES["docs/verdicts.md"]
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(MEANINGS)
    printed = [b.printed for b in PYTHON_BLOCKS if b.page == "docs/verdicts.md"]
    for verdict, text in zip(MEANINGS, printed, strict=True):
        assert text is not None
        assert text.startswith(verdict.replace("_", " ").upper()), verdict


def test_every_exit_code_is_in_the_table():
    codes = {v for n, v in vars(options).items() if n.isupper() and isinstance(v, int)}
    assert {int(row[0]) for row in cells(CHECKER, "Exit codes")} == codes


def test_the_layout_is_there_and_complete():
    layout = re.search(r"## Layout\n+```text\n(.*?)```", ARCHITECTURE, re.DOTALL)
    assert layout
    shown = {line.split()[0] for line in layout[1].splitlines()}
    assert [path for path in shown if not (ROOT / path).exists()] == []
    folders = {f"compare/{p.parent.name}/" for p in (ROOT / "compare").glob("*/__init__.py")}
    assert folders <= shown


def test_who_may_import_whom_is_the_table_of_the_test():
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    (held,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "MAY_IMPORT"
    )
    assert held is not None
    code = compile(ast.Expression(held), "MAY_IMPORT", "eval")
    wanted = eval(code, {})
    own_names = {"`__main__`": "__main__", "`__init__`": "compare"}
    shown = {
        own_names.get(name, name): set(others.split(", ")) - {"nothing"}
        for names, others in cells(ARCHITECTURE, "Who may import whom")
        for name in names.split(", ")
    }
    assert shown == wanted


def test_tool_versions_are_those_of_the_project():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pinned = re.search(r'"ruff==([\d.]+)"', project)
    assert pinned
    assert f"rev: v{pinned[1]}\n" in hooks
