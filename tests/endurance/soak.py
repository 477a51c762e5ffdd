"""Checks new functions by the thousand: memory must not grow by 50 MB after the first hundred.

python tests/endurance/soak.py [COUNT]
"""

import gc
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from compare import check_gradients

FIRST, MOST_MEGABYTES = 100, 50


def megabytes() -> float:
    """Returns the memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096 / 2**20


def check(i: int) -> None:
    """Checks a function that was not there before; every tenth one has a wrong gradient."""
    power = 1.0 + i % 7
    factor = 2.0 if i % 10 == 0 else 1.0

    def loss(params: dict, x: jax.Array) -> jax.Array:
        return jnp.mean(jnp.tanh(x @ params["w"]) ** 2 * power) + i * jnp.sum(params["b"])

    def candidate(params: dict, x: jax.Array) -> tuple:
        y = jnp.tanh(x @ params["w"])
        dz = 2 * power * y * (1 - y**2) / y.size
        return loss(params, x), {"w": factor * x.T @ dz, "b": jnp.full_like(params["b"], i)}

    params = {"w": jnp.linspace(-1, 1, 6).reshape(3, 2), "b": jnp.zeros(2 + i % 3)}
    report = check_gradients(candidate, loss, params, jnp.linspace(0, 1, 12).reshape(4, 3))
    assert report.agree == (factor == 1.0), report


def main(count: int) -> int:
    """Runs the checks, prints the memory at every hundred, and returns whether it grew."""
    began, first = time.monotonic(), 0.0
    for i in range(count):
        check(i)
        if (i + 1) % 100 == 0:
            gc.collect()
            now = megabytes()
            first = now if i + 1 == FIRST else first
            print(f"{i + 1:5} checks, {time.monotonic() - began:4.0f} s: {now:.0f} MB", flush=True)
    grown = megabytes() - first
    print(f"grown by {grown:.0f} MB after the first {FIRST} checks")
    return int(grown >= MOST_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1000))
