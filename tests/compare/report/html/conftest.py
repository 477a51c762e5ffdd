"""A real browser, in which a page is opened from disk."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install 'handgrad[dev]'")
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"there is no browser at {CHROMIUM}: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page from disk; at the end nothing was asked for and nothing failed."""
    noticed = []

    def open_page(text, *, width=1280, scheme="light"):
        file = tmp_path / "report.html"
        file.write_text(text, encoding="utf-8")
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        page.on("console", lambda message: noticed.append(message.text))
        page.on("pageerror", lambda error: noticed.append(str(error)))
        page.on("request", lambda request: noticed.append(request.url))
        page.goto(file.as_uri())
        return page

    yield open_page
    asked = [n for n in noticed if not n.startswith("data:image/png")]
    assert [n for n in asked if not n.startswith("file:") or not n.endswith("report.html")] == []
