"""Kills trainings at random moments with -9 and resumes them: each must end bit for bit the same.

python tests/endurance/kills.py [COUNT] [SEED]
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
ENDED = "had ended before"
TRAINING = ("train", "classification", "--epochs", "300", "--hidden", "16")


def command(*further: object) -> list[str]:
    """Returns the words of one training."""
    return [sys.executable, "-m", "compare", *TRAINING, *map(str, further)]


def params(folder: Path) -> dict[str, bytes]:
    """Reads the trained parameters as bytes."""
    with np.load(folder / "params-manual.npz") as archive:
        return {name: archive[name].tobytes() for name in archive.files}


def losses(folder: Path) -> list[float]:
    """Reads the loss of each look."""
    [result] = json.loads((folder / "train.json").read_text(encoding="utf-8"))["results"]
    return [row["train_loss"] for row in result["history"]]


def killed(after: float, folder: Path, whole: Path) -> str:
    """Kills one training and resumes it; returns "" if it ends as the whole one did."""
    kept, out = folder / "kept", folder / "out"
    process = subprocess.Popen(
        command("--checkpoint", kept), cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(after)
    process.kill()
    process.communicate()
    if process.returncode == 0:
        return ENDED
    done = subprocess.run(
        command("--checkpoint", kept, "--resume", "--out", out),
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode or done.stderr:
        return f"exit code {done.returncode}: {done.stderr[-300:]!r}"
    same = params(out) == params(whole) and losses(out) == losses(whole)
    return "" if same else "ended otherwise"


def main(count: int, seed: int) -> int:
    """Kills `count` trainings, prints a line for each, and returns whether one was at fault.

    One that had ended before it could be killed is none of them.
    """
    choose, failed, done = random.Random(seed), 0, 0
    with tempfile.TemporaryDirectory() as top:
        whole = Path(top) / "whole"
        start = time.monotonic()
        subprocess.run(command("--out", whole), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
        for i in range(4 * count):
            if done == count:
                break
            after = choose.uniform(0.3 * seconds, seconds)
            fault = killed(after, Path(top) / str(i), whole)
            done += fault != ENDED
            failed += fault not in ("", ENDED)
            print(f"killed after {after:5.2f} s: {fault or 'the same bit for bit'}", flush=True)
    print(f"{done} trainings killed: {failed} at fault")
    return int(failed > 0 or done < count)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*numbers, *(15, 0)[len(numbers) :]))
