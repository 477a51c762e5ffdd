import importlib
import inspect
import re
from xml.etree import ElementTree

import pytest

from manual import rules
from website import mathml, prose
from website.rule_pages import models, subjects

RULES = [getattr(rules, name) for names in subjects().values() for name in names]
MODELS = [importlib.import_module(f"manual.{name}") for name in models()]
DERIVATIONS = {
    **{rule.__name__: (rule.fwd, rule.bwd) for rule in RULES},
    **{model.__name__: (model, model.loss_and_grad) for model in MODELS},
}


def inside(text):
    return ElementTree.fromstring(mathml.formula(text))


def tags(text):
    return [element.tag for element in inside(text).iter()]


def letters(element):
    """What is to be read, in order: brackets that became structure are left out on both sides."""
    return re.sub(r"[()\s^]", "", "".join(element.itertext()))


@pytest.mark.parametrize(
    ("text", "tag", "parts"),
    [
        ("x_ij", "msub", ["x", "ij"]),
        ("h_(t−1)", "msub", ["h", "t−1"]),
        ("x_tᵀ", "msubsup", ["x", "t", "T"]),
        ("e^(−x)", "msup", ["e", "−x"]),
        ("e^−|x|", "msup", ["e", "−|x|"]),
        ("eˣ", "msup", ["e", "x"]),
        ("x̂", "mover", ["x", "^"]),
        ("(a − y)/m dL", "mfrac", ["a−y", "m"]),
        ("∂L/∂x_ik", "mfrac", ["∂L", "∂xik"]),
        ("∂L/∂(last h)", "mfrac", ["∂L", "∂(lasth)"]),
        ("eˣ/Σ eˣ", "mfrac", ["ex", "∑ex"]),
        ("1/√(σ² + ε)", "mfrac", ["1", "σ2+ε"]),
        ("Σ_batch dy", "munder", ["∑", "batch"]),
        ("p_i,label(i)", "msub", ["p", "i,label(i)"]),
    ],
)
def test_the_notation(text, tag, parts):
    found = next(element for element in inside(text).iter() if element.tag == tag)
    assert ["".join("".join(part.itertext()).split()) for part in found] == parts


def test_names_of_several_letters():
    assert [e.text for e in inside("tanh u").iter("mi")] == ["tanh", "u"]
    assert [e.text for e in inside("dx = jd").iter("mi")] == ["d", "x", "j", "d"]
    assert [e.text for e in inside("x where y").iter("mtext")] == ["where"]
    assert [e.text for e in inside("max_pool(conv2d(ẑ))").iter() if len(e.text or "") > 1] == [
        "max_pool", "conv2d"
    ]  # fmt: skip


def test_a_slash_between_spaces_stays():
    assert "mfrac" not in tags("m / (1 − p)")


def test_a_minus_is_a_sign_where_nothing_precedes_it():
    signs = [e.get("form") for e in inside("−y − (−½) x̂ − Σ_i −z").iter("mo") if e.text == "−"]
    assert signs == ["prefix", None, "prefix", None, "prefix"]


def test_lines_meet_at_the_first_equals_sign():
    table = ElementTree.fromstring(mathml.lines(["dx = a", "dw   = b = c"]))
    rows = [[letters(cell) for cell in row] for row in table.iter("mtr")]
    assert rows == [["dx", "=a"], ["dw", "=b=c"]]
    loose = ElementTree.fromstring(mathml.lines(["dx = a,   dw = b", "and c"]))
    assert [len(row) for row in loose.iter("mtr")] == [1, 1]


@pytest.mark.parametrize("name", DERIVATIONS)
def test_no_symbol_of_a_derivation_is_lost(name):
    """Each formula's label is its plain text, which its elements have to show in the same order."""
    written = mathml._RAISED | mathml._LOWERED | {"Σ": "∑", "ĉ": "c", "ẑ": "z", "\u0302": ""}
    for half in DERIVATIONS[name]:
        html = prose.html(inspect.getdoc(half) or "", lead=True)
        formulas = re.findall(r"<math.*?</math>", html, re.DOTALL)
        assert formulas
        for formula in map(ElementTree.fromstring, formulas):
            label = "".join(written.get(c, c) for c in formula.get("aria-label") or "")
            left = r"[√_/()\s^]"
            assert re.sub(left, "", letters(formula)) == re.sub(left, "", label)
