"""Exclusive or in time, after Elman (1990): whether the number of ones in a stream is odd."""

import numpy as np

from compare.datasets.dataset import Dataset

__all__ = ["load"]


def load(seed: int, length: int = 16, train: int = 8_000, test: int = 2_000) -> Dataset:
    """Draws streams of bits; every other one for training begins with zeros.

    So there are short streams to learn from, in which few bits count: of full ones alone, networks
    learn for long that either answer is as likely.

    Args:
        seed: of the bits.
        length: the number of bits of a stream.
        train: rows for training; of every other one only the last bits are drawn, from one to all.
        test: rows for testing, all bits drawn, of which the first half is not all zeros; no two are
            the same, and none is trained on.

    Returns:
        `Dataset` "parity": x (n, length, 1) float32 of zeros and ones, y (n, 1) float32, 1 where
        the number of ones is odd. Where there are fewer than train + test streams, as many, in
        the same proportion.

    Raises:
        ValueError: if the length is not between 2 and 32.
    """
    if not 2 <= length <= 32:
        raise ValueError(f"the length of a stream must be between 2 and 32, got {length}")
    streams = 2**length
    rows = min(train + test, streams)
    rng = np.random.default_rng(seed)
    drawn = np.unique(rng.integers(0, streams, 4 * rows)) if streams > 4 * rows else range(streams)
    numbers = rng.permutation(np.asarray(drawn))[:rows]
    # Those that are short to begin with are learnt from: some are all there is of their length.
    numbers = numbers[np.argsort(numbers >= 2 ** (length // 2), kind="stable")]
    cut = rows * train // (train + test)
    drawn_bits = np.where(np.arange(cut) % 2, length, rng.integers(1, length + 1, cut))
    shorter = numbers[:cut] % 2**drawn_bits
    numbers[:cut] = np.where(np.isin(shorter, numbers[cut:]), numbers[:cut], shorter)
    bits = (numbers[:, None] >> np.arange(length)[::-1]) & 1
    x, y = bits[..., None].astype(np.float32), (bits.sum(axis=1) % 2)[:, None].astype(np.float32)
    return Dataset("parity", x[:cut], y[:cut], x[cut:], y[cut:])
