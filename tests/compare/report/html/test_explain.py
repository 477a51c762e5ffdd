"""The page of a recording in a real browser: each number that it shows is the recording's."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="pip install 'handgrad[report]'")

from compare import explain
from compare.report import json_file
from compare.report.html import explain as html_explain

MOST_BYTES = 2_000_000
ENVIRONMENT = {"platform": "cpu", "jax": "0.10.2"}


@pytest.fixture(scope="module")
def xor():
    """The network of the command, and one that is less deep than the command's, to be fast."""
    toy = explain.TOYS["xor"]()
    shallow, deep = toy.networks
    deep = deep._replace(sizes=(2, 3, 3, 3, 1), steps=explain.MOMENTS)
    return explain.record(toy._replace(networks=(shallow, deep)), seed=1)


def rendered(recording):
    return html_explain.render(
        json_file.document("explain", ENVIRONMENT, [recording], reproduce="handgrad explain")
    )


@pytest.fixture(scope="module")
def text(xor):
    return rendered(xor)


@pytest.fixture(scope="module")
def mnist():
    toy = explain.TOYS["mnist"](None, "mnist5k")
    return explain.record(toy._replace(networks=toy.networks[:1]), seed=1)


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


def test_the_gradient_vanishes_at_a_glance(opened, xor, text):
    page, shown = opened(text), []
    for r, recording in enumerate(xor["recordings"]):
        shown = [number(t) for t in page.locator(f"[data-norm^='{r}/']").all_inner_texts()]
        assert shown == [rounded(norm) for norm in recording["norm"][0]]
    assert shown[0] < 0.05 * shown[-1]
    widths = (
        page.locator(".norms")
        .last.locator(".track i")
        .evaluate_all("bars => bars.map(bar => bar.getBoundingClientRect().width)")
    )
    assert widths[0] < 0.9 * widths[-1]
    page.locator("#networks input").nth(1).check(force=True)
    assert page.locator("#drawing circle.under").count() == 2 + 3 * 3 + 1
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
    page, (shallow,) = opened(rendered(mnist), width=390), mnist["recordings"]
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


def zeros(toy):
    """A recording of zeros of the shapes that the toy's has: as long, since numbers are packed."""

    def of(*shape):
        return np.zeros((explain.MOMENTS, *shape)).tolist()

    rows, n_out = len(toy.x), len(toy.outputs)
    recordings = []
    for network in toy.networks:
        layers = []
        for i, (n, k) in enumerate(pairwise(network.sizes), 1):
            arrays = {"w": of(n, k), "b": of(k), "dw": of(3, n, k), "db": of(3, k)}
            arrays |= {name: of(3, rows, k) for name in ("z", "a", "da", "dz")}
            layers.append(arrays | {"slope": None if i == len(network.sizes) - 1 else of(rows, k)})
        recordings.append(
            {
                **network._asdict(), "steps": [123] * explain.MOMENTS, "loss": of(3),
                "loss_of_each": of(rows), "probability": of(rows, n_out),
                "norm": of(len(layers)), "apart": of(), "layers": layers,
                "boundary": {"axis": [0.123456] * 25, "probability": of(25, 25)}
                if network.sizes[0] == 2 else None,
            }
        )  # fmt: skip
    return recordings


@pytest.mark.parametrize("name", explain.TOYS)
def test_the_page_is_under_two_megabytes(xor, mnist, name):
    toy = explain.TOYS[name](None, "mnist5k")
    small = {"xor": xor, "mnist": mnist}[name]
    stand_in = {**small, "recordings": zeros(toy)}
    assert len(rendered(stand_in).encode()) < MOST_BYTES
    # The shapes are those of a recording.
    found, wanted = stand_in["recordings"][0], small["recordings"][0]
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        if name != "layers" and isinstance(value, list):
            assert np.shape(found[name]) == np.shape(value), name
    for own, other in zip(found["layers"], wanted["layers"], strict=True):
        assert {n: np.shape(v) for n, v in own.items()} == {
            n: np.shape(v) for n, v in other.items()
        }


def test_the_page_repeats_its_command_and_asks_for_nothing(text):
    assert "<code>handgrad explain</code>" in text
    assert set(re.findall(r"https?:[^\s\"]*", text)) == {"http://www.w3.org/2000/svg"}


def test_nothing_in_a_recording_ends_its_script(xor):
    hostile = {**xor, "examples": ["</script><script>alert(1)</script>"] * 4}
    text = rendered(hostile)
    assert text.count("</script>") == 2
    packed = text.split('id="recording">')[1].split("</script>")[0]
    assert json.loads(packed)["examples"] == hostile["examples"]
