"""The one list of named mistakes: each is explained, shown by a mutant, and given by a search."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from compare.diagnosis import catalogue
from compare.diagnosis.catalogue import CATALOGUE, NamedMistake, named_mistake
from compare.mutants.gallery import mutants

FOLDER = Path(catalogue.__file__).parent
SHOWN = {mutant.name: mutant.slug for mutant in mutants()}


def faults(name: str, mistake: NamedMistake, shown: dict[str, str | None] = SHOWN) -> list[str]:
    """What an entry lacks."""
    found = []
    for field in ("meaning", "look_at"):
        text = getattr(mistake, field)
        if not text.strip() or text != text.strip():
            found.append(f"{field} is empty or has blanks around it")
        elif text.endswith("."):
            found.append(f"{field} ends with a full stop")
        elif text[0].isupper():
            found.append(f"{field} starts with a capital")
    if mistake.mutant not in shown:
        found.append(f"the gallery has no {mistake.mutant}")
    elif shown[mistake.mutant] != name:
        found.append(f"{mistake.mutant} shows {shown[mistake.mutant]}")
    return found


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_name_is_explained_and_has_a_mutant_that_shows_it(name):
    assert faults(name, CATALOGUE[name]) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"meaning": ""}, "meaning is empty"),
        ({"look_at": " "}, "look_at is empty"),
        ({"meaning": "a term is missing "}, "meaning is empty or has blanks"),
        ({"look_at": "divide once."}, "look_at ends with a full stop"),
        ({"meaning": "A term is missing"}, "meaning starts with a capital"),
        ({"mutant": "mlp-nothing-wrong"}, "the gallery has no mlp-nothing-wrong"),
        ({"mutant": "mlp-bias-averaged"}, "mlp-bias-averaged shows bias_averaged"),
    ],
)
def test_what_an_entry_lacks_is_found(change, fault):
    (found,) = faults("transposed", CATALOGUE["transposed"]._replace(**change))
    assert found.startswith(fault)


@pytest.mark.parametrize("field", NamedMistake._fields)
def test_no_two_names_share_an_explanation_or_a_mutant(field):
    texts = [getattr(mistake, field) for mistake in CATALOGUE.values()]
    assert len(set(texts)) == len(texts)


def given_names(tree: ast.AST) -> Iterator[str]:
    """The string constants that stand where a suspect or a mistake is given its name."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Suspect" | "_always" | "Named"), args=[name, *_]):
                pass
            case ast.keyword(arg="slug", value=name):
                pass
            case ast.Assign(targets=[ast.Name(id="slug")], value=name):
                pass
            case (ast.Return() | ast.Yield()) as out if isinstance(out.value, ast.Tuple):
                name = out.value.elts[0]
            case _:
                continue
        constants = (n.value for n in ast.walk(name) if isinstance(n, ast.Constant))
        yield from (value for value in constants if isinstance(value, str))


def test_the_catalogue_has_every_name_that_a_diagnosis_gives_and_no_other():
    modules = ("mistakes", "suspecting/suspects", "hypotheses", "watching/relations",
               "watching/watch", "mending/operands", "mending/sums")  # fmt: skip
    files = [FOLDER / f"{module}.py" for module in modules]
    given = {n for file in files for n in given_names(ast.parse(file.read_text("utf-8")))}
    assert given == set(CATALOGUE)


@pytest.mark.parametrize(
    "source",
    [
        "Suspect('made_up', {}, story)",
        "Named('made_up', story)",
        "_always('made_up')",
        "Mistake(slug=lambda edge: 'made_up', fits=fits)",
        "slug = 'made_up' if near else other",
        "def name():\n    return 'made_up', f'a factor of {x}'",
    ],
)
def test_a_name_is_found_wherever_one_is_given(source):
    assert list(given_names(ast.parse(source))) == ["made_up"]


def test_looking_up():
    assert named_mistake("transposed") is CATALOGUE["transposed"]
    assert named_mistake("unknown") is None


def test_the_names_in_the_documentation_are_these():
    text = (FOLDER.parents[1] / "docs" / "checker.md").read_text("utf-8")
    missing = [name for name in CATALOGUE if f"`{name}`" not in text]
    assert missing == []
