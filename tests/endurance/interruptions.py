"""Interrupts every command at random moments: each must end with 130, one line, and whole files.

python tests/endurance/interruptions.py [COUNT] [SEED]
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUBSET = ("--dataset", "mnist5k")
COMMANDS = {
    "gradients": ("gradients", "xor"),
    "gradients mnist": ("gradients", "mnist", "--model", "mlp", *SUBSET),
    "train": ("train", "xor", "--epochs", "100000"),
    "train kept": ("train", "xor", "--epochs", "100000", "--checkpoint", "CHECKPOINTS"),
    "train mnist": ("train", "mnist", "--model", "cnn", "--method", "autodiff", *SUBSET),
    "bench": ("bench", "--only", "relu", "--quick"),
    "articles": ("articles", "xor"),
    "mutants": ("mutants", "bias"),
    "report": ("report", "--dataset", "mnist5k", "--out", "REPORT"),
}


def interrupted(words: tuple[str, ...], after: float, number: int, folder: Path) -> list[str]:
    """Interrupts one command, and returns what was not as it must be."""
    places = {"CHECKPOINTS": str(folder / "kept"), "REPORT": str(folder / "report.html")}
    further = () if words[0] == "report" else ("--json", str(folder / "results.json"))
    process = subprocess.Popen(
        [sys.executable, "-m", "compare", *(places.get(word, word) for word in words), *further],
        cwd=ROOT, env={**os.environ, "JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(after)
    if process.poll() is not None:
        process.communicate()
        return ["had ended before"]
    process.send_signal(number)
    sent = time.monotonic()
    _, err = process.communicate(timeout=120)
    seconds = time.monotonic() - sent
    lines = err.splitlines()
    noted = "CHECKPOINTS" in words and any("stopping with a checkpoint" in line for line in lines)
    faults = []
    if process.returncode != 130:
        faults.append(f"exit code {process.returncode}")
    if len(lines) != 1 + noted or not lines[-1].startswith("handgrad: interrupted"):
        faults.append(f"{len(lines)} lines: {err[-300:]!r}")
    if seconds > 5:
        faults.append(f"{seconds:.1f} s")
    left = [path.name for path in folder.rglob(".handgrad-*")]
    return faults + [f"left {name}" for name in left]


def main(count: int, seed: int) -> int:
    """Interrupts `count` commands, prints a line for each, and returns whether one was at fault.

    One that had ended before it could be interrupted is none of them.
    """
    choose = random.Random(seed)
    failed = done = 0
    for i in range(2 * count):
        if done == count:
            break
        name = list(COMMANDS)[i % len(COMMANDS)]
        # Half of them within the imports, which take the first two seconds.
        after = choose.uniform(0.03, 2.0) if i % 2 else choose.uniform(2.0, 8.0)
        number = choose.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM])
        with tempfile.TemporaryDirectory() as folder:
            faults = interrupted(COMMANDS[name], after, number, Path(folder))
        late = faults == ["had ended before"]
        done += not late
        failed += bool(faults) and not late
        print(f"{name:16} {number.name} after {after:5.2f} s: {'; '.join(faults) or 'right'}")
    print(f"{done} interruptions: {failed} at fault")
    return int(failed > 0 or done < count)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*numbers, *(40, 0)[len(numbers) :]))
