"""Who waits for a process among several imports nothing for it, and says when it was killed."""

import signal
import subprocess
import sys

import pytest

from compare.commands import options
from compare.commands.training import supervision


class Ended:
    """A worker that has ended."""

    def __init__(self, code):
        self.wait = lambda: code

    def send_signal(self, number):
        """Comes too late."""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train xor --distributed", True),
        ("train xor --coordinator=host:1 --processes 2 --process 0", True),
        ("train xor --devices 2", False),
        ("train --distributed --help", False),
        ("gradients --process 1", False),
        ("", False),
    ],
)
def test_the_words_of_a_process_among_several(words, expected):
    assert supervision.is_for_several(words.split()) == expected


@pytest.mark.parametrize("code", [0, 3, -signal.SIGKILL])
def test_the_workers_code_is_the_supervisors(code, monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **settings: Ended(code))
    assert supervision.supervise(["train", "xor"]) == code
    assert capsys.readouterr().err == ""


def test_a_worker_that_the_runtime_kills_has_lost_a_peer(monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **settings: Ended(-signal.SIGABRT))
    assert supervision.supervise(["train", "xor"]) == options.PEER_LOST
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("handgrad: another process was lost, which ended the run; start all")


def test_a_module_of_the_same_name_in_the_working_folder_is_not_run(monkeypatch, tmp_path, capfd):
    (tmp_path / "compare.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    workers, start = [], subprocess.Popen

    def started(*args, **settings):
        workers.append(start(*args, **settings))
        return workers[-1]

    monkeypatch.setattr(subprocess, "Popen", started)
    code = supervision.supervise(["--version"])
    workers[0].stdin.close()
    assert code == 0
    assert capfd.readouterr().out.startswith("handgrad ")


SUPERVISOR = """
import subprocess, sys
from types import SimpleNamespace
sys.modules.update(dict.fromkeys(("jax", "numpy", "tyro", "rich", "optax")))
subprocess.Popen = lambda *args, **settings: SimpleNamespace(wait=lambda: 7, send_signal=None)
from compare.__main__ import main
sys.argv = ["handgrad", "train", "xor", "--distributed"]
main()
"""


def test_a_supervisor_imports_no_more_than_it_needs():
    done = subprocess.run([sys.executable, "-c", SUPERVISOR], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (7, b"")
