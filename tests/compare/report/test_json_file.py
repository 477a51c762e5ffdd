import json

import pytest

from compare.report import json_file


def test_what_is_written_is_read(tmp_path, gradients):
    file = tmp_path / "gradients.json"
    document = gradients(factor=2.0)
    json_file.write(file, document)
    assert json_file.read(file) == json.loads(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": "fit"}, "no results of gradients, train"),
        ({"command": ["bench"]}, "no results of gradients, train"),
        ({"schema_version": 2}, "schema version 2, not 1"),
        ({"results": []}, "no results"),
        ({"environment": None}, "no environment"),
        ({"results": [7]}, "a result is no object"),
        ({"results": [{"model": "relu", "batch": "4"}]}, "a result lacks engine, median_ms, ratio"),
    ],
)
def test_what_is_not_ours_is_refused(tmp_path, document, change, message):
    file = tmp_path / "other.json"
    row = dict.fromkeys(("model", "batch", "engine", "ratio", "ratio_low", "ratio_high"), 1)
    own = document("bench", [row | {"median_ms": 1.0}])
    json_file.write(file, own)
    assert json_file.read(file)
    file.write_text(json.dumps(own | change))
    with pytest.raises(ValueError, match=message):
        json_file.read(file)


@pytest.mark.parametrize("text", ["[]", "{", "7"])
def test_other_files_are_refused(tmp_path, text):
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - json's own message where it is no JSON
        json_file.read(file)
