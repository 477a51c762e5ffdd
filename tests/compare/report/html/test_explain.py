"""The page of a recording in a real browser: each number that it shows is the recording's."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="pip install 'handgrad[report]'")
pytest.importorskip("playwright", reason="pip install 'handgrad[dev]'")

from playwright import sync_api

from compare import explain
from compare.report import json_file
from compare.report.html import explain as html_explain

MOST_BYTES = 2_000_000
ENVIRONMENT = {"platform": "cpu", "jax": "0.10.2"}


def invented(toy, network, seed=0):
    """A recording of random numbers, of the shapes that `explain.record` returns."""
    rng = np.random.default_rng(seed)

    def of(*shape):
        return rng.normal(size=(explain.MOMENTS, *shape)).tolist()

    rows, layers = len(toy.x), []
    for i, (n, k) in enumerate(pairwise(network.sizes), 2):
        arrays = {"w": of(n, k), "b": of(k), "dw": of(3, n, k), "db": of(3, k)}
        arrays |= {name: of(3, rows, k) for name in ("z", "a", "da", "dz")}
        layers.append(arrays | {"slope": of(rows, k) if i < len(network.sizes) else None})
    plane = {"axis": np.linspace(-0.5, 1.5, 25).tolist(), "probability": of(25, 25)}
    fading = 10.0 ** np.arange(1 - len(layers), 1)
    return {
        "name": network.name, "sizes": list(network.sizes), "activation": network.activation,
        "rate": network.rate, "steps": list(range(0, 5 * explain.MOMENTS, 5)), "loss": of(3),
        "loss_of_each": of(rows), "probability": of(rows, len(toy.outputs)),
        "norm": [fading.tolist()] * explain.MOMENTS, "apart": of(), "layers": layers,
        "boundary": plane if network.sizes[0] == 2 else None,
    }  # fmt: skip


@pytest.fixture(scope="module")
def xor():
    """What the command records of the first network, and random numbers for the deep one."""
    toy = explain.TOYS["xor"]()
    recording = explain.record(toy._replace(networks=toy.networks[:1]), seed=1)
    (real,) = recording["recordings"]
    like = invented(toy, toy.networks[0])
    assert shapes(like) == shapes(real)
    return {**recording, "recordings": [real, invented(toy, toy.networks[1])]}


def shapes(value):
    """The shape of every array."""
    if isinstance(value, dict):
        return {name: shapes(entry) for name, entry in value.items()}
    if isinstance(value, list) and isinstance(value[0], dict):
        return [shapes(entry) for entry in value]
    return np.shape(value)


@pytest.fixture(scope="module")
def mnist():
    """Random numbers for the networks of the digits."""
    toy = explain.TOYS["mnist"](None, "mnist5k")
    about = toy._asdict() | {name: getattr(toy, name).tolist() for name in ("x", "targets")}
    recordings = [invented(toy, network) for network in toy.networks]
    named = {"problem": "mnist", "engines": ["by hand", "jax.grad", "scalar engine"]}
    return {**about, **named, "recordings": recordings}


def rendered(recording):
    return html_explain.render(
        json_file.document("explain", ENVIRONMENT, [recording], reproduce="handgrad explain")
    )


@pytest.fixture(scope="module")
def text(xor):
    return rendered(xor)


def number(shown):
    return float(shown.replace("−", "-"))


def rounded(x, digits=3):
    """A number of the recording as the page shows it: kept as float32, so many digits."""
    return float(f"{float(np.float32(x)):.{digits - 1}e}")


def move(page, moment):
    page.locator("#moment").fill(str(moment))


def drawn(page, unit):
    """What a neuron of the drawing shows: its value and the derivative."""
    return [number(t) for t in page.locator(f"[data-unit='{unit}'] text").all_text_contents()[:2]]


def opinions(page, what):
    return [number(t) for t in page.locator(f"td[data-what='{what}']").all_inner_texts()]


def test_neurons_show_the_recording_at_every_moment(opened, xor, text):
    page, (shallow, _) = opened(text), xor["recordings"]
    hidden, output = shallow["layers"]
    for moment in (0, 17, explain.MOMENTS - 1):
        move(page, moment)
        step = shallow["steps"][moment]
        shown = page.locator("#step").inner_text()
        assert shown.startswith(f"step {step}, loss ")
        assert number(shown.split()[-1]) == rounded(shallow["loss"][moment][0])
        for row in (1, 2):
            page.locator("#examples input").nth(row).check(force=True)
            for unit in range(4):
                value, derivative = (hidden[n][moment][0][row][unit] for n in ("a", "da"))
                assert drawn(page, f"0/{unit}") == [rounded(value, 2), rounded(derivative, 2)]
            chance = shallow["probability"][moment][row][0]
            assert drawn(page, "1/0") == [
                rounded(chance, 2), rounded(output["dz"][moment][0][row][0], 2)
            ]  # fmt: skip


def test_the_equation_of_a_neuron_has_the_numbers_of_all_three(opened, xor, text):
    page, layer = opened(text), xor["recordings"][0]["layers"][0]
    move(page, 9)
    page.locator("[data-unit='0/2']").focus()
    page.keyboard.press("Enter")
    chosen = page.locator("#chosen")
    assert chosen.locator("h3").inner_text().startswith("h3")
    for what in ("z", "a", "da", "dz"):
        wanted = [rounded(layer[what][9][engine][1][2], 7) for engine in range(3)]
        assert opinions(page, what) == wanted
    assert chosen.locator("thead th").all_inner_texts() == xor["engines"]
    equations = " ".join(chosen.locator(".equation").all_inner_texts())
    numbers = [number(n) for n in re.findall(r"−?\d\.?\d*(?:e−?\d+)?", equations)]
    for needed in (
        *(layer["w"][9][i][2] for i in range(2)), layer["b"][9][2], layer["slope"][9][1][2],
        layer["z"][9][0][1][2], layer["a"][9][0][1][2], layer["dz"][9][0][1][2],
        xor["recordings"][0]["layers"][1]["w"][9][2][0],
        xor["recordings"][0]["layers"][1]["dz"][9][0][1][0],
    ):  # fmt: skip
        assert rounded(needed) in numbers
    apart = page.locator("#apart").inner_text()
    assert number(apart) == rounded(xor["recordings"][0]["apart"][9], 2)


def test_each_weight_shows_its_value_and_derivative_and_where_it_comes_from(opened, xor, text):
    page, layers = opened(text), xor["recordings"][0]["layers"]
    move(page, 30)
    assert page.locator(".weight").count() == 2 * 4 + 4 + 4 + 1
    for layer, (source, unit) in ((0, (1, 3)), (1, (2, 0))):
        button = page.locator(f"[data-weight='{layer}/{source}/{unit}']")
        value, derivative = button.inner_text().split()
        w, d = layers[layer]["w"][30][source][unit], layers[layer]["dw"][30][0][source][unit]
        assert (number(value), number(derivative)) == (rounded(w), rounded(d, 2))
        button.focus()
        page.keyboard.press("Space")
        assert opinions(page, "dw") == [
            rounded(layers[layer]["dw"][30][e][source][unit], 7) for e in range(3)
        ]
        assert page.locator("#chosen h3").inner_text().startswith("weight from ")
        shown_below = page.locator(".layer").nth(layer).locator("#chosen")
        assert shown_below.is_visible(), "where it was chosen"
    page.locator("[data-weight='0/b/1']").click()
    assert opinions(page, "db") == [rounded(layers[0]["db"][30][e][1], 7) for e in range(3)]


def test_the_slider_moves_by_keyboard_and_changes_the_page(opened, xor, text):
    page = opened(text)
    page.locator("#moment").focus()
    before = page.locator("#drawing").inner_html(), page.locator("#tables").inner_text()
    picture = "document.querySelector('#plane canvas').toDataURL()"
    boundary = page.evaluate(picture)
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.locator("#step").inner_text().startswith("step 25,")
    assert page.locator("#drawing").inner_html() != before[0]
    assert page.locator("#tables").inner_text() != before[1]
    assert page.evaluate(picture) != boundary
    page.locator("#play").click()
    # By itself; how far depends on how often it is looked at.
    sync_api.expect(page.locator("#step")).not_to_contain_text("step 25,")
    page.locator("#play").click()
    assert page.locator("#play").inner_text() == "Play"


def test_the_gradient_vanishes_at_a_glance(opened, xor, text):
    page, shown = opened(text), []
    for r, recording in enumerate(xor["recordings"]):
        shown = [number(t) for t in page.locator(f"[data-norm^='{r}/']").all_inner_texts()]
        assert shown == [rounded(norm) for norm in recording["norm"][0]]
    assert shown[0] < 1e-9 * shown[-1]
    widths = (
        page.locator(".norms")
        .last.locator(".track i")
        .evaluate_all("bars => bars.map(bar => bar.getBoundingClientRect().width)")
    )
    assert widths[0] < 0.1 * widths[-1]
    page.locator("#networks input").nth(1).check(force=True)
    assert page.locator("#chosen").is_visible()
    assert page.locator("#drawing circle.under").count() == 2 + 10 * 4 + 1
    first = xor["recordings"][1]["layers"][0]
    assert drawn(page, "0/0")[1] == rounded(first["da"][0][0][1][0], 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_a_phone_and_follows_the_theme(opened, text, width, scheme):
    page = opened(text, width=width, scheme=scheme)
    for network in (0, 1):
        page.locator("#networks input").nth(network).check(force=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    red = page.evaluate("getComputedStyle(document.body).backgroundColor").split("(")[1]
    assert (int(red.split(",")[0]) > 128) == (scheme == "light")


def test_digits_have_a_page_as_well(opened, mnist):
    page, (shallow, _) = opened(rendered(mnist), width=390), mnist["recordings"]
    move(page, 20)
    page.locator("#examples input").nth(3).check(force=True)
    for unit in range(5):
        chance, derivative = (
            shallow["probability"][20][3][unit], shallow["layers"][1]["dz"][20][0][3][unit]
        )  # fmt: skip
        assert drawn(page, f"1/{unit}") == [rounded(chance, 2), rounded(derivative, 2)]
    page.locator("[data-weight='0/24/1']").click()
    assert opinions(page, "dw")[2] == rounded(shallow["layers"][0]["dw"][20][2][24][1], 7)
    assert not page.locator("#plane").is_visible()


def test_the_pages_of_both_problems_are_under_two_megabytes(text, mnist):
    """Numbers are packed, so that others of the same shapes are as long."""
    assert len(text.encode()) < MOST_BYTES
    assert len(rendered(mnist).encode()) < MOST_BYTES


def test_the_page_repeats_its_command_and_asks_for_nothing(text):
    assert "<code>handgrad explain</code>" in text
    assert set(re.findall(r"https?:[^\s\"]*", text)) == {"http://www.w3.org/2000/svg"}


def test_nothing_in_a_recording_ends_its_script(xor):
    hostile = {**xor, "examples": ["</script><script>alert(1)</script>"] * 4}
    text = rendered(hostile)
    assert text.count("</script>") == 2
    packed = text.split('id="recording">')[1].split("</script>")[0]
    assert json.loads(packed)["examples"] == hostile["examples"]
