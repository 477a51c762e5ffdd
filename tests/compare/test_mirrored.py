"""Every module of the checker and of the diagnosis has tests at the mirrored path."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SOURCES = TESTS.parents[1] / "compare"


def untested(sources: Path, tests: Path) -> list[str]:
    """The modules below `sources` that no file of tests mirrors, faces aside."""
    modules = sorted(path for path in sources.rglob("*.py") if path.name != "__init__.py")
    assert modules, f"{sources} has no modules"
    return [
        str(module.relative_to(sources))
        for module in modules
        if not has_tests(tests / module.relative_to(sources).with_name(f"test_{module.name}"))
    ]


def has_tests(file: Path) -> bool:
    return file.is_file() and "\ndef test_" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", ["checker", "diagnosis"])
def test_every_module_has_tests(folder):
    assert untested(SOURCES / folder, TESTS / folder) == []


def test_a_module_without_tests_is_named(tmp_path):
    sources, tests = tmp_path / "sources", tmp_path / "tests"
    for folder in (sources / "deep", tests / "deep"):
        folder.mkdir(parents=True)
    for name in ("__init__.py", "tested.py", "empty.py", "missing.py", "deep/lower.py"):
        (sources / name).write_text("")
    (tests / "test_tested.py").write_text("import math\n\n\ndef test_it():\n    pass\n")
    (tests / "test_empty.py").write_text("import math\n")
    (tests / "test_lower.py").write_text("\ndef test_it():\n    pass\n")
    assert untested(sources, tests) == ["deep/lower.py", "empty.py", "missing.py"]
