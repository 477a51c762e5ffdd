"""The report in a real browser: what only a browser can tell."""

import pytest

pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")
pytest.importorskip("jinja2", reason="pip install 'handgrad[report]'")

from compare.report.html import page as html_report


def luminances(page):
    """The red, green and blue of the banner."""
    colour = page.locator("#verdict").evaluate("e => getComputedStyle(e).backgroundColor")
    return [int(c) for c in colour[4:-1].split(",")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_section_is_there_and_fits(opened, whole_page, width, scheme):
    page = opened(whole_page, width=width, scheme=scheme)
    for name in (
        "verdict", "gradients", "training", "benchmarks", "articles", "mutants", "derivations"
    ):  # fmt: skip
        section = page.locator(f"#{name}")
        assert section.is_visible(), name
        assert section.bounding_box()["width"] > 300
    assert page.locator("nav a").count() == 6
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".picture").count() == page.locator(".picture > svg").count() > 6
    for picture in page.locator(".picture > svg").all():
        assert picture.bounding_box()["height"] > 100
    red, green, _ = luminances(page)
    assert green > red, "agreement is green"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_disagreement_is_red_and_named(opened, gradients, scheme):
    wrong = gradients(("0/b", "0/<script>alert(1)</script>"), factor=2.0)
    page = opened(html_report.render([wrong]), scheme=scheme)
    red, green, blue = luminances(page)
    assert red > 2 * green
    assert red > 2 * blue
    assert "DISAGREE" in page.locator("h1").inner_text()
    assert page.locator(".finding").is_visible()
    assert "constant_factor" in page.locator(".finding").inner_text()
    assert page.locator("tr.wrong th").first.inner_text() == "0/<script>alert(1)</script>"


def test_tables_are_sorted_by_keyboard(opened, gradients):
    page = opened(html_report.render([gradients(factor=2.0)]))
    names = page.locator("table.leaves tbody th")
    head = page.locator("table.leaves thead button").last
    head.focus()
    page.keyboard.press("Enter")
    assert names.all_inner_texts() == ["0/b", "0/w"]
    page.keyboard.press("Enter")
    assert names.all_inner_texts() == ["0/w", "0/b"]
    assert page.locator("table.leaves th[aria-sort=descending]").count() == 1


def test_printing_unfolds_the_derivations_in_black_on_white(opened, whole_page):
    page = opened(whole_page, scheme="dark")
    folded = page.locator("#derivations details").first
    assert folded.get_attribute("open") is None
    page.pdf()
    assert folded.get_attribute("open") is not None
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 33, 38)"


@pytest.mark.parametrize(("theme", "scheme"), [("true", "dark"), ("false", "light")])
def test_a_cell_follows_the_notebook_and_leaves_it_alone(opened, gradients, theme, scheme):
    """The notebook's own theme counts, whatever the browser prefers."""
    cell = html_report.fragment([gradients(factor=2.0)])
    page = opened(
        f'<body data-jp-theme-light="{theme}"><table><tr><td id="theirs">1</td></tr></table>{cell}',
        scheme=scheme,
    )
    colour = "element => getComputedStyle(element).backgroundColor"
    light = page.eval_on_selector(".handgrad", colour) == "rgb(251, 251, 250)"
    assert light == (theme == "true")
    assert page.eval_on_selector("body", colour) == "rgba(0, 0, 0, 0)"
    padding = "element => getComputedStyle(element).padding"
    assert page.eval_on_selector("#theirs", padding) == "1px"
    assert page.eval_on_selector(".leaves tbody td", padding) != "1px"
