import os
import signal
import subprocess
import sys
import time

import pytest

from compare.commands.interruption import INTERRUPTED

BUSY = """
import ctypes
import sys
from pathlib import Path
from compare import files
from compare.commands import interruption
interruption.install()
with files.replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    print("ready", flush=True)
    # Native code that does not look at signals, as an epoch is.
    while True:
        ctypes.CDLL(None).poll(None, 0, 60_000)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_native_code_with_one_line_and_no_draft(number, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY, str(tmp_path / "x")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert len(os.listdir(tmp_path)) == 1
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (INTERRUPTED, "handgrad: interrupted\n")
    assert os.listdir(tmp_path) == []


def test_a_signal_within_the_imports(start):
    process = start("gradients", "xor")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (INTERRUPTED, "", "handgrad: interrupted\n")
