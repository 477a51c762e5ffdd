import json
import os

import pytest

from compare.report import json_file


def test_what_is_written_is_read(tmp_path, gradients):
    file = tmp_path / "gradients.json"
    document = gradients(factor=2.0)
    json_file.write(file, document)
    found = json_file.read(file)
    assert found["environment"] == document["environment"]
    [written], [read] = document["results"], found["results"]
    assert [leaf["max_abs"] for leaf in read["leaves"]] == [
        leaf["max_abs"] for leaf in written["leaves"]
    ]
    assert read["diagnosis"]["bug"] == "constant_factor"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": "fit"}, "Invalid value 'fit' - at `\\$.command`"),
        ({"command": ["bench"]}, "Expected `str` - at `\\$.command`"),
        ({"schema_version": 2}, "Invalid enum value 2 - at `\\$.schema_version`"),
        ({"schema_version": True}, "Expected `int`, got `bool` - at `\\$.schema_version`"),
        ({"results": []}, "length >= 1"),
        ({"environment": None}, "Expected `object`, got `null` - at `\\$.environment`"),
        ({"results": [7]}, "Expected `object`, got `int` - at `\\$.results"),
        ({"results": [{"model": "relu", "batch": "4"}]}, "missing required field `engine`"),
    ],
)
def test_what_is_not_ours_is_refused(tmp_path, document, change, message):
    file = tmp_path / "other.json"
    row = dict.fromkeys(("ratio", "ratio_low", "ratio_high", "median_ms"), 1)
    own = document("bench", [row | {"model": "relu", "batch": "4", "engine": "numpy"}])
    json_file.write(file, own)
    assert json_file.read(file)
    file.write_text(json.dumps(own | change))
    with pytest.raises(ValueError, match=message):
        json_file.read(file)


def test_a_pipe_is_not_waited_for_and_a_large_file_is_not_read(tmp_path, monkeypatch):
    file = tmp_path / "other.json"
    file.write_text("[" * 2000)
    monkeypatch.setattr(json_file, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="more than 0 MiB"):
        json_file.read(file)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Not a regular file"):
        json_file.read(tmp_path / "pipe")


@pytest.mark.parametrize("text", ["[]", "{", "7", "[" * 100_000, '{"a": 1e999}', "\x00"])
def test_other_files_are_refused(tmp_path, text):
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - the decoder's own message where it is no JSON
        json_file.read(file)
