import errno
import os
import resource
import socket
import stat
from pathlib import Path

import pytest

from compare import files


@pytest.fixture
def small_disk():
    """No file can grow beyond 1 kB, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_takes_its_place_whole_and_has_the_mode_that_the_umask_leaves(tmp_path):
    path = tmp_path / ("x" * 250)
    before = os.umask(0o027)
    try:
        with files.replacing(path) as file:
            file.write(b"new")
            assert not path.exists()
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, small_disk):
    path = tmp_path / "results.json"
    path.write_text("old")
    with (
        pytest.raises(files.WriteError, match="cannot be written: File too large"),
        files.replacing(path) as file,
    ):
        file.write(bytes(2000))
    with pytest.raises(files.WriteError, match="cannot be written"):
        files.require_writable(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space there"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
        (errno.EROFS, "choose another place"),
    ],
)
def test_what_to_do_is_said(number, advice, tmp_path):
    error = files.unwritten(tmp_path / "x", OSError(number, os.strerror(number)))
    assert advice in str(error)
    assert os.strerror(number) in str(error)


def test_trying_leaves_nothing_behind(tmp_path):
    files.require_writable(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(files.WriteError, match=r"name too long; choose a shorter name"):
        files.require_writable(tmp_path / ("a" * 10_000))


def special(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    own = socket.socket(socket.AF_UNIX)
    os.chdir(tmp_path)  # the name of a socket is short
    own.bind("socket")
    own.close()
    return [tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero"), tmp_path]


def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in special(tmp_path):
        with pytest.raises(OSError, match=r"Not a regular file|Is a directory"):
            files.open_regular(path)
        with pytest.raises(files.WriteError, match="is no regular file"):
            files.require_writable(path)


def test_drafts_are_removed_when_a_process_ends_at_once(tmp_path):
    draft = files.replacing(tmp_path / "x")
    draft.__enter__().write(b"half")
    assert len(list(tmp_path.iterdir())) == 1
    files.remove_drafts()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(files.WriteError, match="No such file"):
        draft.__exit__(None, None, None)


@pytest.mark.parametrize("name", ["net.py", "lecture.ipynb", "README.md"])
def test_what_a_person_has_written_is_not_written_over(name, tmp_path):
    path = tmp_path / name
    files.require_writable(path)
    path.write_text("mine")
    with pytest.raises(files.WriteError, match="is not written over, since it is no result"):
        files.require_writable(path)
    assert path.read_text() == "mine"
