import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
INSTALLED = ("data", "report", "tensorboard", "train", "dev", "docs")


def test_the_lock_has_every_dependency_with_hashes_and_names_no_host():
    """Where it has not: make lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    assert "://" not in lock
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    locked: dict[str, list[str]] = {}
    for entry in entries:
        name, version = re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)", entry).groups()  # pyright: ignore[reportOptionalMemberAccess]
        locked.setdefault(name.lower(), []).append(version)
    wanted = [*project["dependencies"]]
    for extra in INSTALLED:
        wanted += project["optional-dependencies"][extra]
    for requirement in map(Requirement, wanted):
        versions = locked[requirement.name.lower()]
        assert any(requirement.specifier.contains(version) for version in versions), requirement
