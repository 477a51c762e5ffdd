"""Lets every command write to a disk that is full: each must end with 3 and one line, no half file.

python tests/endurance/full_disk.py        as root, on Linux: a disk of 64 KiB is mounted for it
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = {
    "gradients --json": ("gradients", "xor", "--json", "DISK/j.json"),
    "gradients --report": ("gradients", "xor", "--report", "DISK/r.html"),
    "report --out": ("report", "--dataset", "mnist5k", "--out", "DISK/r.html"),
    "train --json": ("train", "xor", "--epochs", "20", "--json", "DISK/t.json"),
    "train --out": ("train", "xor", "--epochs", "20", "--out", "DISK/trained"),
    "train --checkpoint": ("train", "xor", "--epochs", "2000", "--checkpoint", "DISK/kept"),
    "bench --json": ("bench", "--only", "leaky_relu", "--quick", "--json", "DISK/b.json"),
    "bench --plot": ("bench", "--only", "leaky_relu", "--quick", "--plot", "DISK/b.png"),
    "mutants --json": ("mutants", "bias", "--json", "DISK/m.json"),
    "explain --out": ("explain", "xor", "--out", "DISK/xor.html"),
    "exercises start": ("exercises", "start", "DISK/exercises"),
}
LEFT = {"gradients --json": 0, "train --json": 0, "bench --json": 0, "mutants --json": 0}
"""Where what is written is small: how many bytes are left; else a few thousand."""


def fill(disk: Path, left: int) -> None:
    """Fills a disk but for so many bytes."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "filler").write_bytes(b"x" * max(0, free - left))


def faults(words: tuple[str, ...], disk: Path) -> list[str]:
    """Runs one command, and returns what was not as it must be."""
    before = {path.name for path in disk.iterdir()}
    done = subprocess.run(
        [sys.executable, "-m", "compare", *(w.replace("DISK", str(disk)) for w in words)],
        cwd=ROOT, env={**os.environ, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    found = []
    if done.returncode != 3:
        found.append(f"exit code {done.returncode}")
    lines = done.stderr.splitlines()
    if len(lines) != 1 or not lines[0].startswith("handgrad:") or "space" not in lines[0]:
        found.append(f"{len(lines)} lines: {done.stderr[-300:]!r}")
    # A folder may be there, and what is whole in it; half a file may not.
    left = [p for p in disk.rglob("*") if p.is_file() and p.name not in before]
    found += [f"left {p.name}" for p in left if p.name.startswith(".handgrad-")]
    return found


def main() -> int:
    """Prints a line for each place, and returns whether one was at fault."""
    failed = 0
    for name, words in PLACES.items():
        with tempfile.TemporaryDirectory() as top:
            disk = Path(top) / "disk"
            disk.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
            if subprocess.run(mount, capture_output=True, check=False).returncode:
                print("no disk could be mounted: run this as root, on Linux")
                return 2
            try:
                fill(disk, LEFT.get(name, 8192))
                found = faults(words, disk)
            finally:
                subprocess.run(["umount", str(disk)], check=True)
        failed += bool(found)
        print(f"{name:20} {'; '.join(found) or 'right'}", flush=True)
    print(f"{len(PLACES)} places: {failed} at fault")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
