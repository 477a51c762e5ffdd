"""Gradients and trainings that several devices, or several processes, share."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from compare.training import devices

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).parent / "programs" / "sharded_gradients.py"


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


def require_right(result, names):
    """The right gradients agree; the wrong one is that of the loss of one's own rows."""
    assert result["shared"]
    assert result["verdicts"] == {
        name: "loss_differs" if name.endswith("own rows") else "agree" for name in names
    }


@pytest.mark.long
def test_the_gradients_of_several_devices_are_those_of_one():
    mlp = "regularised-mlp"
    names = [f"{mlp}:manual", f"{mlp}:autodiff", "cnn:manual", "mlp:own rows"]
    result = result_of(start("devices", 4, *names))
    assert (result["devices"], result["processes"]) == (4, 1)
    require_right(result, names)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.long
def test_the_gradients_of_two_processes_are_those_of_one():
    where = f"127.0.0.1:{free_port()}"
    names = ["regularised-mlp:manual"]
    both = [start("processes", where, 2, rank, *names) for rank in (1, 0)]
    for result in map(result_of, both):
        assert (result["devices"], result["processes"]) == (2, 2)
        require_right(result, names)


@pytest.mark.parametrize("count", [0, 10_000])
def test_more_devices_than_there_are(count):
    with pytest.raises(ValueError, match=f"{count} devices were asked for, and jax has"):
        devices.make_mesh(count)


def test_one_device_needs_no_mesh():
    batch = (jax.numpy.ones((3, 2)), jax.numpy.ones(3))
    assert devices.share_rows(batch, None) is batch
    assert devices.replicated(batch, None) is batch
