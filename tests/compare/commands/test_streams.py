import io
import os
import subprocess
import sys

import pytest

from compare.commands.streams import Stream, guarded


def test_a_full_disk_behind_standard_output_is_noted_and_nothing_is_raised():
    with open("/dev/full", "w") as full, guarded(full, sys.stderr) as out:
        print("lost")
        out.flush()
        print("as well")
    assert out.error is not None
    assert out.error.strerror == "No space left on device"


def test_a_reader_that_has_gone_is_noted():
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "w") as pipe:
        stream = Stream(pipe)
        print("lost", file=stream, flush=True)
        assert isinstance(stream.error, BrokenPipeError)


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_a_closed_stream_is_noted(stream):
    if stream is not None:
        stream.close()
    own = Stream(stream)
    assert own.write("lost") == 4
    assert str(own.error) == "is closed"


def test_what_ascii_does_not_have_is_written_in_it():
    below = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = Stream(below)
    stream.write("2×4 · ▸1e-9 é")
    stream.flush()
    assert below.buffer.getvalue() == b"2x4 - >1e-9 ?"  # pyright: ignore[reportAttributeAccessIssue]
    assert stream.error is None


def test_the_stream_behind_is_told_from_a_terminal():
    assert not Stream(io.StringIO()).isatty()
    assert Stream(io.StringIO()).encoding == "utf-8"


def test_nothing_is_said_at_the_end_of_the_interpreter():
    code = (
        "import sys; from compare.commands.streams import guarded\n"
        "with guarded(sys.stdout, sys.stderr) as out: print('x'); out.flush()\n"
        "sys.stderr.write(f'noted {out.error}')"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=True
        )
    assert done.stderr == "noted [Errno 28] No space left on device"
