import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def start():
    """Starts `python -m compare ...` as a process of its own, and ends it with the test."""
    running = []

    def started(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "compare", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "80", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield started
    for process in running:
        process.kill()
        process.communicate()
