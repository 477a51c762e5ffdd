"""The options and the fixture that pytest finds; nothing is imported until it is used."""

import importlib.util
from pathlib import Path

import pytest

from pytest_handgrad.fixture import GradientCheck
from pytest_handgrad.session import Session

__all__ = ["gradient_check", "pytest_addoption", "pytest_configure"]

_OPTIONS = {
    "--handgrad-report": "write every check of the session to this page",
    "--handgrad-json": "write every check of the session to this file, as JSON",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("handgrad", "gradients derived by hand")
    for option, text in _OPTIONS.items():
        group.addoption(option, type=Path, metavar="FILE", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Refuses files that cannot be written, and listens to the checks of the session."""
    page, json = (config.getoption(option) for option in _OPTIONS)
    for option, file in zip(_OPTIONS, (page, json), strict=True):
        if file is not None:
            _require_writable(option, file)
    missing = [name for name in ("jinja2", "matplotlib") if importlib.util.find_spec(name) is None]
    if page is not None and missing:
        raise pytest.UsageError(
            f"--handgrad-report {page}: needs {' and '.join(missing)}: "
            "pip install 'handgrad[report]'"
        )
    config.pluginmanager.register(Session(config, page, json), "handgrad-session")


def _require_writable(option: str, file: Path) -> None:
    from compare import files  # Not where nothing is written: it takes a while.

    try:
        if why := files.misplaced(file):
            raise pytest.UsageError(f"{option} {file}: {why}")
        files.require_writable(file)
    except OSError as error:
        raise pytest.UsageError(f"{option} {files.unwritten(file, error)}") from None


@pytest.fixture
def gradient_check(request: pytest.FixtureRequest) -> GradientCheck:
    """Checks gradients with the seed of the test: its parameter `seed`, or one by its name."""
    callspec = getattr(request.node, "callspec", None)
    return GradientCheck.of_test(request.node.nodeid, callspec.params if callspec else {})
