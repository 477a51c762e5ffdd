import importlib
import inspect

import pytest

from compare import problems
from compare.problems import derivations
from compare.problems.rules import RULES
from manual.recurrent import CELLS
from manual.rules import dropout

MODELS = [(name, m) for name, problem in problems.PROBLEMS.items() for m in problem.models]


@pytest.mark.parametrize(("name", "model"), MODELS, ids=[f"{n}-{m.name}" for n, m in MODELS])
def test_a_model_has_every_rule_that_it_imports(name, model):
    names = [own.rule for own in model.derivations]
    module = importlib.import_module(names[0])
    of_its_own = f"manual.{model.name.replace('-', '_')}"
    assert module.__name__ == ("manual.recurrent" if model.name in CELLS else of_its_own)
    imported = {name.removesuffix("_bwd") for name in vars(module) if "_bwd" in name}
    assert imported <= set(names)
    assert model.criterion.__name__ in names


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
