import inspect

import pytest

import manual.cnn
import manual.mlp
import manual.regularised_mlp
from compare import problems
from compare.problems import derivations
from compare.problems.rules import RULES
from manual.rules import dropout

MODULES = {
    "mlp": manual.mlp, "regularised-mlp": manual.regularised_mlp, "cnn": manual.cnn
}  # fmt: skip


@pytest.mark.parametrize("model", problems.PROBLEMS["mnist"].models, ids=lambda model: model.name)
def test_a_model_has_every_rule_that_it_imports(model):
    names = [own.rule for own in model.derivations]
    assert names[0] == MODULES[model.name].__name__
    imported = {name.removesuffix("_bwd") for name in vars(MODULES[model.name]) if "_bwd" in name}
    assert imported <= set(names)
    assert "softmax_cross_entropy_with_integer_labels" in names


def test_a_resized_model_keeps_them():
    model = problems.choose("mnist", "mlp", (8,))
    assert model.derivations == problems.choose("mnist", "mlp").derivations


def test_every_rule_that_is_timed_has_one():
    for rule in RULES:
        own = derivations.of_rule(rule.rule)
        assert " = " in own.fwd.splitlines()[0], rule.name
        assert own.bwd.startswith("d"), rule.name
        assert own.about, rule.name


def test_they_are_docstrings_whatever_is_bound():
    own = derivations.of_rule(dropout.bind(rate=0.3).bind(rate=0.5))
    assert own.rule == "dropout"
    assert own.bwd == inspect.getdoc(dropout.bwd)
    assert derivations.each_once([own, own]) == [own._asdict()]
