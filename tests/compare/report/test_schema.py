import json
from pathlib import Path

import pytest

from compare.report import schema

PAIR = {"truth": 1, "predicted": 2, "count": 3}
PUBLISHED = Path(__file__).parents[3] / "docs" / "schema.json"


def in_order(found):
    """The schema with its alternatives in one order, which versions of msgspec have differently."""
    if isinstance(found, dict):
        return {name: in_order(entry) for name, entry in found.items()}
    return sorted(map(in_order, found), key=json.dumps) if isinstance(found, list) else found


def test_the_published_schema_is_this_one():
    """Where it is not, write json_schema() there with an indent of 1."""
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert in_order(published) == in_order(schema.json_schema())


def test_documents_of_every_command_hold(everything):
    assert {document["command"] for document in everything} == {
        "gradients", "train", "bench", "articles", "mutants"
    }  # fmt: skip
    for document in everything:
        content = json.dumps(document).encode()
        found = schema.validated(content)
        assert found == schema.validated(json.dumps(found).encode())
        assert is_part(json.loads(content), found)


def is_part(small, large):
    """Whether what both have is the same."""
    if isinstance(small, dict):
        return all(is_part(small[name], large[name]) for name in set(small) & set(large))
    if isinstance(small, list):
        return len(small) == len(large) and all(map(is_part, small, large))
    return small == large


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (1, {"confusion": [[1, 2]]}, "a confusion that is no square"),
        (1, {"precision": [0.5]}, "a recall for each precision"),
        (1, {"method": "../../etc/passwd"}, "Invalid enum value"),
        (1, {"history": [{"epoch": -1, "test_accuracy": 1}]}, "`int` >= 0"),
        (1, {"decision_boundary": {"x": [0, 1], "y": [], "probability": [[0, 1]]}}, "a plane"),
        (
            1,
            {"confused_pairs": [{"truth": 1, "predicted": 2, "count": 3, "images": [[]]}]},
            "image",
        ),
        (2, {"ratio": None}, "an engine without a ratio"),
        (2, {"ratio": True}, "Expected `float . null`, got `bool`"),
        (4, {"seconds": 1e301}, "`float` <= 1e.300"),
    ],
)
def test_a_field_that_would_not_be_shown_right_is_refused(everything, place, change, message):
    document = everything[place]
    document["results"][0].update(change)
    with pytest.raises(ValueError, match=message):
        schema.validated(json.dumps(document).encode())
