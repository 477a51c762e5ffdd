"""Who may import whom: the design's rules, held against the source."""

import ast
import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("manual", "autodiff", "compare")
DIFFERENTIATORS = {
    "grad", "value_and_grad", "vjp", "jvp", "linearize", "linear_transpose", "jacobian", "jacrev",
    "jacfwd", "hessian", "custom_jvp", "checkpoint", "remat",
}  # fmt: skip


@functools.cache
def modules(package: str) -> tuple[tuple[str, ast.Module], ...]:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append((name, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(found)


@functools.cache
def imports(tree: ast.AST) -> frozenset[str]:
    """Every dotted name that a module imports: `from a.b import c` gives a.b and a.b.c."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {node.module or ""} | {f"{node.module}.{a.name}" for a in node.names}
    return frozenset(found)


def attributes(tree: ast.AST) -> set[str]:
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def roots(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imports(tree)}


@pytest.mark.parametrize("package", ["manual", "autodiff"])
def test_the_two_sides_know_nobody(package):
    others = set(PACKAGES) - {package}
    for name, tree in modules(package):
        assert not roots(tree) & others, name


def test_manual_differentiates_by_hand():
    for name, tree in modules("manual"):
        used = attributes(tree) | {full.rsplit(".", 1)[-1] for full in imports(tree)}
        assert not used & DIFFERENTIATORS, name
        assert not {i for i in imports(tree) if i.startswith(("jax.nn", "jax.ad", "jax.extend"))}
        assert "nn" not in attributes(tree), name
        assert roots(tree) <= {"manual", "jax", "numpy", "chex"} | set(sys.stdlib_module_names)


def test_the_plugin_of_pytest_imports_nothing_until_it_is_used():
    at_once = {
        root
        for _, tree in modules("pytest_handgrad")
        for statement in tree.body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for root in roots(statement)
    }
    assert at_once <= {"pytest", "pytest_handgrad"} | set(sys.stdlib_module_names)
    for package in PACKAGES:
        assert not [name for name, tree in modules(package) if "pytest_handgrad" in roots(tree)]


def test_custom_vjp_ties_in_one_file():
    tying = {
        name
        for name, tree in modules("manual")
        if "custom_vjp" in attributes(tree) or "jax.custom_vjp" in imports(tree)
    }
    assert tying == {"manual.rules.rule"}


# Who may import whom in compare/: a folder, or `ground` for the files that know nothing of it.
GROUND = {"escapes", "files", "jaxprs", "json_ready", "sites", "tolerance", "trees"}
MAY_IMPORT: dict[str, set[str]] = {
    "ground": set(),
    "datasets": {"ground"},
    "diagnosis": {"ground"},
    "own": {"ground"},
    "training": {"ground"},
    "report": {"ground"},
    "checker": {"ground", "diagnosis", "report"},
    "problems": {"ground", "datasets", "manual", "autodiff"},
    "terminal": {"ground", "report", "checker"},
    "mutants": {"ground", "checker", "diagnosis"},
    "articles": {"ground", "datasets", "problems", "training", "checker"},
    "benchmark": {"ground", "problems", "training", "checker"},
    "experiments": {"ground", "problems", "training", "checker"},
    "exercises": {"ground", "own", "checker", "diagnosis"},
    "explain": {"ground", "datasets", "problems"},
    "commands": {
        "ground", "datasets", "diagnosis", "training", "checker", "problems", "report", "terminal",
        "mutants", "articles", "benchmark", "experiments", "own", "exercises", "explain",
    },
    "cli": {"ground", "commands", "datasets", "experiments"},
    "__main__": {"cli", "commands"},
    "compare": {"checker"},
    # Names for programs that import them from where they were.
    "metrics": {"training"},
    "optimizers": {"training"},
}  # fmt: skip
# Of a subject only these modules, where the whole would be too much.
ONLY = {
    ("mutants", "diagnosis"): {"compare.diagnosis.catalogue"},
    ("terminal", "checker"): {"compare.checker.gradient_report", "compare.checker.leaf"},
}


def subject(module: str) -> str:
    """The folder, the file, or `ground` that a module of compare/ belongs to."""
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else parts[0]
    return "ground" if name in GROUND else name


def graph_of(*packages: str) -> dict[str, set[str]]:
    """Which modules of the project each module imports; `from package import module` is one."""
    every = {name for package in PACKAGES for name, _ in modules(package)}
    named = {name: imports(tree) & every for package in packages for name, tree in modules(package)}
    return {
        name: {i for i in own if not any(other.startswith(f"{i}.") for other in own)}
        for name, own in named.items()
    }


def forbidden_imports(graph: dict[str, set[str]]) -> list[str]:
    """Every import of compare/ that the table does not allow, as `module imports module`."""
    wrong = []
    for module, imported in graph.items():
        own = subject(module)
        for other in imported - {"compare"}:
            theirs = subject(other) if other.startswith("compare") else other.split(".")[0]
            only = ONLY.get((own, theirs))
            allowed = theirs in MAY_IMPORT[own] | {own} and (only is None or other in only)
            if not allowed:
                wrong.append(f"{module} imports {other}")
    return sorted(wrong)


def test_every_subject_imports_what_the_table_allows():
    assert forbidden_imports(graph_of("compare")) == []


def test_the_table_has_every_subject_and_no_circle():
    assert {subject(name) for name, _ in modules("compare")} == set(MAY_IMPORT)
    left = {name: own & set(MAY_IMPORT) for name, own in MAY_IMPORT.items()}
    while left:
        lowest = {name for name, own in left.items() if not own}
        assert lowest, f"a circle among {sorted(left)}"
        left = {name: own - lowest for name, own in left.items() if name not in lowest}


@pytest.mark.parametrize(
    ("module", "other"),
    [
        ("compare.trees", "compare.checker.judge"),
        ("compare.training.steps", "compare.problems"),
        ("compare.checker.judge", "manual.mlp"),
        ("compare.report.json_file", "compare.checker.judge"),
        ("compare.mutants.mlp", "compare.diagnosis.search"),
        ("compare.articles.xor", "autodiff"),
    ],
)
def test_an_import_that_runs_upwards_is_noticed(module, other):
    graph = graph_of("compare")
    graph[module] |= {other}
    assert forbidden_imports(graph) == [f"{module} imports {other}"]


def test_report_and_terminal_compute_nothing():
    for name, tree in modules("compare"):
        if name.startswith(("compare.report", "compare.terminal")):
            assert not {"jax.numpy", "numpy"} & imports(tree), name


def test_folders_have_one_subject():
    for folder in sorted({path.parent for path in (ROOT / "compare").rglob("*.py")}):
        files = sorted(path.name for path in folder.glob("*.py"))
        most = 12 if folder == ROOT / "compare" else 14
        assert len(files) <= most or folder.name == "mutants", f"{folder}: {files}"


def test_faces_are_names_and_nothing_else():
    for path in (ROOT / "compare").rglob("__init__.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 40, path
        kinds = {type(node) for node in ast.parse(text).body}
        # The first face imports nothing before a name of it is used: see `__main__`.
        lazy = {ast.If, ast.FunctionDef} if path.parent == ROOT / "compare" else set()
        assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign} | lazy, path


def test_the_command_line_starts_before_its_imports():
    heavy = ["jax", "numpy", "tyro", "rich", "optax"]
    done = run_blocking(heavy, "import compare.__main__\nprint(1)")
    assert done.stdout.strip() == "1", done.stderr


def test_no_circles():
    graph = graph_of(*PACKAGES)
    while graph:
        lowest = {name for name, own in graph.items() if not own}
        assert lowest, f"a circle among {sorted(graph)}"
        graph = {name: own - lowest for name, own in graph.items() if name not in lowest}


def test_importing_sets_no_jax_option():
    for package in PACKAGES:
        for name, tree in modules(package):
            for statement in tree.body:
                if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                    calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call)]
                    assert "update" not in {a for c in calls for a in attributes(c)}, name


OPTIONAL = (
    "mlxtend platformdirs pooch sklearn matplotlib jinja2 orbax torch pandas tyro rich optax"
).split()


def run_blocking(blocked: Sequence[str], code: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a fresh Python in which `blocked` cannot be imported."""
    block = f"import sys; sys.modules.update(dict.fromkeys({list(blocked)!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", block + code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_manual_needs_jax_numpy_and_chex_only():
    # chex itself imports some of these where they are installed, and does without where not.
    code = "import jax.numpy as jnp\nfrom manual import mlp\nfrom manual.rules import dense\n" + (
        "import jax\nparams = mlp.init(jax.random.key(0), (3, 2))\n"
        "print(mlp.predict(params, jnp.ones((4, 3))).shape)"
    )
    done = run_blocking(OPTIONAL, code)
    assert done.stdout.strip() == "(4, 2)", done.stderr


def test_autodiff_and_compare_need_the_core_only():
    extras = [name for name in OPTIONAL if name not in ("optax", "tyro", "rich")]
    done = run_blocking(extras, "from autodiff import mlp\nimport compare, compare.cli\nprint(1)")
    assert done.stdout.strip() == "1", done.stderr


def test_a_blocked_module_is_noticed():
    assert "ModuleNotFoundError" in run_blocking(["pooch"], "import pooch").stderr
