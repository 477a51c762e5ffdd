import fcntl
import json
import os

import pytest

from compare.experiments.lock import LOCK, FolderInUseError, locked
from compare.files import WriteError


def test_the_second_is_told_who_holds_it(tmp_path):
    folder = tmp_path / "new" / "kept"
    with locked(folder):
        found = json.loads((folder / LOCK).read_text())
        assert found["pid"] == os.getpid()
        message = f"process {os.getpid()} on {found['host']} is training there"
        with pytest.raises(FolderInUseError, match=message), locked(folder):
            pass
        assert json.loads((folder / LOCK).read_text()) == found
    assert list(folder.iterdir()) == []
    with locked(folder):
        pass


def test_what_a_killed_process_has_left_is_taken_over(tmp_path):
    (tmp_path / LOCK).write_text('{"pid": 1, "host": "gone", "and": "more than a new one has"}')
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", ["", "[", "[1]", '{"pid": "x"}'])
def test_a_holder_that_does_not_say_its_name(content, tmp_path):
    (tmp_path / LOCK).write_text(content)
    with (tmp_path / LOCK).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(FolderInUseError, match="another process is training"), locked(tmp_path):
            pass


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written"), locked(tmp_path / "file" / "x"):
        pass
