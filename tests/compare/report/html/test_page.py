import base64
import hashlib
import html
import re

import pytest

pytest.importorskip("matplotlib", reason="pip install 'handgrad[report]'")
pytest.importorskip("jinja2", reason="pip install 'handgrad[report]'")

from compare.report.html import gradients as gradients_section
from compare.report.html import page as html_report
from compare.report.html import values

SCRIPT = "<script>alert(1)</script>"


def text_of(page):
    """What a reader sees, roughly: no style, no script, no tags."""
    body = re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", body).split()))


def test_the_verdict_comes_first_with_all_that_it_is_about(gradients):
    text = text_of(html_report.render([gradients()]))
    top = text[: text.index("Every leaf")]
    for said in (
        "AGREE", "1 of 1 comparisons, on mnist mlp", "An error of 1e−15", "cpu", "float32", "jit",
        "highest", "jax 0.10.2", "handgrad gradients",
    ):  # fmt: skip
        assert said in top, said
    assert "DISAGREE" not in text


def test_a_disagreement_has_its_diagnosis_and_its_picture(gradients):
    page = html_report.render([gradients(factor=2.0)])
    text = text_of(page)
    for said in (
        "DISAGREE", "manual wrong", "The hand-derived gradient is wrong.", "constant_factor",
        "confirmed", "loss.py:7", "twice <b>the</b> gradient", "look for a constant",
        "0/w: manual has 2 where jax.grad has 1",
    ):  # fmt: skip
        assert said in text, said
    assert 'aria-label="Heat map of the error of 0/w, 100×40' in page


def test_a_number_in_a_sentence_is_not_broken(gradients):
    own = gradients(factor=2.0)
    own["results"][0]["details"] = ["they <differ> by 3.9e-01 of -2.5"]
    page = html_report.render([own])
    assert (
        'they &lt;differ&gt; by <span class="number">3.9e-01</span> of '
        '<span class="number">-2.5</span>'
    ) in page


def test_what_disagrees_comes_before_what_agrees(gradients):
    page = html_report.render([gradients(), gradients(factor=2.0)])
    assert text_of(page).index("DISAGREE") < text_of(page).index("AGREE 1 of 1")
    assert "<title>DISAGREE" in page


def test_the_gradients_come_before_other_results(everything):
    assert [own.command for own in html_report.headlines(everything[::-1])] == [
        "gradients", "mutants", "articles", "bench", "train",
    ]  # fmt: skip


def test_names_from_outside_are_text(everything, gradients, document, training):
    training[0]["gradient_norms"][0]["leaf"] = SCRIPT
    training[0]["parting"]["leaf"] = SCRIPT
    attacked = gradients((SCRIPT, f"$\\frac$ {SCRIPT}"), factor=2.0)
    attacked["reproduce"] = SCRIPT
    attacked["derivations"] = [dict.fromkeys(("rule", "about", "fwd", "bwd"), SCRIPT)]
    for name in ("problem", "model", "settings", "dataset"):
        attacked["results"][0][name] = training[0][name] = SCRIPT
    attacked["results"][0]["diagnosis"].update(
        dict.fromkeys(("bug", "at", "source", "evidence", "advice"), SCRIPT)
    )
    others = everything[2:]
    for own in others:
        own["results"][0] |= {
            name: SCRIPT for name, value in own["results"][0].items()
            if isinstance(value, str) and name != "engine"
        }  # fmt: skip
    page = html_report.render([attacked, document("train", training), *others])
    assert page.count("&lt;script&gt;") > 20
    assert "<script>alert" not in page
    assert page.count("<script") == 1, "our own"


def test_nothing_is_loaded_and_only_our_script_runs(whole_page):
    page = whole_page
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    policy = html.unescape(policy)
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}';" in policy
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', page)
    assert addresses
    assert all(address.startswith(("data:image/png", "#")) for address in addresses)
    assert not re.findall(r'\son\w+="', page), "no handlers in attributes"


def test_pictures_have_alt_text_and_ids_of_their_own(whole_page):
    page = whole_page
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for used in re.findall(r'(?:xlink:href="#|url\(#)([\w-]+)', page):
        assert used in ids
    pictures = re.findall(r'<[^>]*role="img"[^>]*>', page)
    assert len(pictures) > 8
    assert all(re.search(r'aria-label="[^"]{9,}"', picture) for picture in pictures)
    assert all('alt="' in image for image in re.findall(r"<img [^>]+>", page))
    assert "#0072b2" not in page.split("</style>")[1], "pictures take the page's colours"


def test_sections_without_data_are_left_out(everything):
    names = ("gradients", "training", "benchmarks", "articles", "mutants")
    for own, expected in zip(everything, names, strict=True):
        page = html_report.render([own])
        for name in names:
            assert (f'<section id="{name}">' in page) == (name == expected)
            assert (f'href="#{name}"' in page) == (name == expected)


def test_each_rule_once_without_what_is_for_callers(whole_page):
    text = text_of(whole_page)
    assert text.count("dx = dy wᵀ, dw = xᵀ dy.") == 1
    assert "∂L/∂x = Σ dy w." in text
    assert "ValueError" not in text


def test_the_whole_report_is_small(whole_page):
    assert len(whole_page.encode()) < 3e6


@pytest.mark.parametrize(
    ("ratio", "length"), [(0.0, 0.0), (1e-9, 2.0), (1e-3, 2.0), (1.0, 60.0), (100.0, 100.0)]
)
def test_bars_are_logarithmic(gradients, ratio, length):
    own = gradients()
    own["results"][0]["leaves"][0]["ratio"] = ratio
    (view,) = gradients_section.view([own])
    bar = view["leaves"][0]["cells"][0]["bar"]
    assert bar.length == length
    assert bar.tolerance == pytest.approx(80.67, abs=0.01)


def test_a_leaf_that_is_not_finite_is_wrong_and_the_others_are_not_judged(gradients):
    own = gradients(factor=float("nan"))
    result = own["results"][0]
    result.update(verdict="nonfinite", diagnosis=None)
    for leaf in result["leaves"]:
        leaf.update(noise=None, noise_nonfinite="nan", agrees=False)
    (view,) = gradients_section.view([own])
    assert [leaf["wrong"] for leaf in view["leaves"]] == [False, True]
    assert view["leaves"][1]["cells"][0]["error"] == "NaN"
    text = text_of(html_report.render([own]))
    assert "not judged" in text
    assert "where it is not finite" in text


def test_training_that_stopped_at_once_is_shown(document, training):
    stopped = {"history": [], "confusion": None, "precision": None, "recall": None}
    stopped |= {"confused_pairs": None, "gradient_norms": None, "parting": None}
    page = html_report.render([document("train", [training[0] | stopped])])
    assert "TRAINED test accuracy of mnist mlp –" in text_of(page)


def test_a_defect_in_training_is_a_disagreement(document, training):
    training[0]["parting"]["verdict"] = "defect"
    page = html_report.render([document("train", training)])
    assert 'class="banner bad"' in page
    assert "part by more than rounding explains" in text_of(page)


def test_a_file_of_an_earlier_version_is_shown(gradients):
    own = gradients(factor=2.0)
    del own["reproduce"], own["derivations"]
    for name in ("meaning", "settings", "batch"):
        del own["results"][0][name]
    for name in ("at", "source", "advice"):
        del own["results"][0]["diagnosis"][name]
    for leaf in own["results"][0]["leaves"]:
        del leaf["error_map"]
    assert "loss.py:7" in text_of(html_report.render([own]))


def test_claims_are_counted_as_their_command_counts_them():
    def row(claim, method, holds, *, published=True):
        return {
            "article": "a", "claim": claim, "method": method, "holds": holds, "published": published
        }  # fmt: skip

    rows = [
        row("both", "manual", True), row("both", "autodiff", True),
        row("one", "manual", True), row("one", "autodiff", False),
        row("short", "manual", None), row("short", "autodiff", None),
        row("both", "manual", True, published=False),
    ]  # fmt: skip
    assert values.held(rows) == "1 of 2"
