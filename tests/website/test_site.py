"""The site is built as `make docs` builds it, in a process that reaches no network."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from compare.diagnosis.catalogue import CATALOGUE
from website import notebook_pages, reference_pages, rule_pages, shared_pages

pytest.importorskip("mkdocstrings", reason="pip install 'handgrad[docs]'")

from mkdocs.config import load_config

from website import hooks

ROOT = Path(__file__).parents[2]
BUILD = """
import socket, sys
def refuse(*_): raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli()
"""


def build(*arguments):
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", BUILD, "build", "--strict", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def config():
    return load_config(str(ROOT / "mkdocs.yml"))


@pytest.mark.long
def test_the_site_is_built_and_complete(tmp_path, config):
    """One test, because building takes longer than all that is asked here."""
    done = build("--site-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    site = {str(p.relative_to(tmp_path)): p.read_text() for p in tmp_path.rglob("*.html")}
    assert_every_public_name_has_a_page(site)
    assert_every_page_is_listed(site, config)
    assert_a_rule_has_its_derivation_as_mathematics(site["rules/dense.html"])
    assert_a_mistake_has_code_report_and_cure(site)
    assert_nothing_is_fetched_from_elsewhere(site)


def assert_every_public_name_has_a_page(site):
    ids = {found for text in site.values() for found in re.findall(r'\bid="([^"]+)"', text)}
    modules = reference_pages.public_names()
    public = {f"{module}.{name}" for module, names in modules.items() for name in names}
    assert len(public) > 200
    assert public - ids == set()


def assert_every_page_is_listed(site, config):
    rules = {f"rules/{name}" for names in rule_pages.subjects().values() for name in names}
    mistakes = {f"mistakes/{name}" for name in CATALOGUE}
    notebooks = {path.removesuffix(".md") for path, _ in notebook_pages.titles()}
    assert len(notebooks) == 3
    listed = {path.removesuffix(".md") for path in hooks.paths(hooks.on_config(config).nav or [])}
    assert rules | mistakes | notebooks <= listed
    assert listed == {page.removesuffix(".html") for page in site} - {"404"}


def assert_a_rule_has_its_derivation_as_mathematics(page):
    assert 'aria-label="dw = xᵀ dy"' in page
    assert page.count("<math") > 10
    assert 'id="manual.rules.dense"' in page
    assert 'id="manual.rules.dense.dense_bwd"' in page


def assert_a_mistake_has_code_report_and_cure(site):
    text = html.unescape(re.sub(r"<[^>]+>", "", site["mistakes/bias_averaged.html"]))
    assert "bias_bwd=lambda dz: dz.mean(axis=0))  # bug" in text
    assert "bug: bias_averaged" in text
    assert "Sum over the examples; the mean is in dz already." in text
    assert "def bias_bwd(dz: jax.Array) -> jax.Array:\n    return dz.sum(axis=0)" in text
    assert "Computes the cross-entropy of a tanh network" in text
    assert 'href="mistakes/bias_averaged.html"' in site["checker.html"]


def assert_nothing_is_fetched_from_elsewhere(site):
    for page, text in site.items():
        loaded = re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=\"([^\"]+)", text)
        assert not [link for link in loaded if re.match(r"(https?:)?//", link)], page


def test_public_are_the_names_that_readme_and_faces_offer():
    found = reference_pages.public_names()
    assert set(found["compare"]) >= {"check_gradients", "check_rule", "GradientReport"}
    assert set(found["manual.mlp"]) >= {"init", "predict", "loss", "loss_and_grad"}
    assert "load" in found["compare.datasets.mnist"]
    assert {"manual.rules.rule", "autodiff.mlp", "compare.training"} <= set(found)


def test_links_out_of_docs_are_mended():
    assert shared_pages.mended("[a](docs/checker.md#x) [b](../README.md)") == (
        "[a](checker.md#x) [b](index.md)"
    )
    assert shared_pages.mended("[c](../CONTRIBUTING.md) [d](examples) [e](https://x.y/docs/)") == (
        "[c](contributing.md) [d](examples.md) [e](https://x.y/docs/)"
    )


def small_site(folder, text, nav):
    """A site with this project's settings and one page."""
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text(text)
    settings = {
        "INHERIT": str(ROOT / "mkdocs.yml"), "docs_dir": "docs", "site_dir": "site",
        "hooks": [], "nav": nav, "plugins": [], "extra_css": [],
    }  # fmt: skip
    (folder / "mkdocs.yml").write_text(json.dumps(settings))
    return build("--config-file", folder / "mkdocs.yml")


def test_every_link_that_leads_nowhere_fails(tmp_path):
    links = ["missing.md", "index.md#no-such-heading", "../elsewhere"]
    text = "".join(f"[link]({link})\n" for link in links)
    done = small_site(tmp_path, f"# Title\n\n{text}", ["index.md"])
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    for link in links:
        assert any(link.split("#")[-1] in line for line in said), done.stderr
    assert f"Aborted with {len(links)} warnings in strict mode" in done.stdout


def test_a_page_that_stands_nowhere_is_listed_under_further(config):
    config.nav = [section for section in config.nav or [] if "Measured" not in section]
    listed = hooks.on_config(config).nav or []
    assert listed[-1] == {"Further": ["articles.md", "benchmarks.md", "training.md"]}
