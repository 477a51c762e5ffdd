"""Who may import whom: the design's rules, held against the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("manual", "autodiff", "compare")
DIFFERENTIATORS = {
    "grad", "value_and_grad", "vjp", "jvp", "linearize", "linear_transpose", "jacobian", "jacrev",
    "jacfwd", "hessian", "custom_jvp", "checkpoint", "remat",
}  # fmt: skip


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> set[str]:
    """Every dotted name that a module imports: `from a.b import c` gives a.b and a.b.c."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {node.module or ""} | {f"{node.module}.{a.name}" for a in node.names}
    return found


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


def test_custom_vjp_ties_in_one_file():
    tying = {
        name
        for name, tree in modules("manual")
        if "custom_vjp" in attributes(tree) or "jax.custom_vjp" in imports(tree)
    }
    assert tying == {"manual.rules.tie"}


def test_only_problems_imports_both_sides():
    for name, tree in modules("compare"):
        if name not in ("compare.problems", "compare.rule_problems"):
            assert not roots(tree) & {"manual", "autodiff"}, name


def test_report_renders_results_and_computes_nothing():
    for name, tree in modules("compare"):
        if name.startswith("compare.report"):
            own = {i for i in imports(tree) if i.startswith("compare.")}
            assert all(i.startswith(("compare.report", "compare.gradient_report")) for i in own)
            assert not {"jax.numpy", "numpy"} & imports(tree), name


def test_no_circles():
    graph = {
        name: {i for i in imports(tree) if i.split(".")[0] in PACKAGES}
        for package in PACKAGES
        for name, tree in modules(package)
    }
    graph = {name: {i for i in own if i in graph and i != name} for name, own in graph.items()}
    while graph:
        leaves = {name for name, own in graph.items() if not own}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {name: own - leaves for name, own in graph.items() if name not in leaves}


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
