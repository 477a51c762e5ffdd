"""Damaged and hostile files by the thousand, from a seed: each is read right, or refused in a line.

HANDGRAD_FUZZ multiplies their number.
"""

import copy
import io
import itertools
import json
import os
import random
import resource
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compare.datasets import DataError, digit_image, idx
from compare.experiments import ParamsFileError, params_file
from compare.report import html, json_file
from compare.report.schema import validated

TIMES = int(os.environ.get("HANDGRAD_FUZZ", "1"))
SECONDS, MEGABYTES = 5.0, 500


class Fuzz:
    """Counts what was read and what was refused, and holds the time and memory of each."""

    def __init__(self, expected):
        self.expected, self.read, self.refused = expected, 0, 0
        self.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def __call__(self, work):
        began = time.process_time()
        try:
            work()
            self.read += 1
        except self.expected as error:
            self.refused += 1
            said = str(error)
            if not said.strip() or "\n" in said:
                raise
        assert time.process_time() - began < SECONDS
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.memory
        assert grown < MEGABYTES * 1024


def damaged(content, choose):
    """Changes, cuts, doubles or fills some of a file's bytes."""
    content = bytearray(content)
    for _ in range(choose.choice([1, 1, 2, 8])):
        place = choose.randrange(len(content))
        kind = choose.randrange(5)
        if kind == 0:
            content[place] = choose.randrange(256)
        elif kind == 1:
            content[place : place + 4] = struct.pack(
                ">I", choose.choice([0, 1, 2**31 - 1, 2**32 - 1])
            )
        elif kind == 2:
            del content[max(1, place) :]
        elif kind == 3:
            content[place:place] = content[place : place + choose.randrange(1, 64)]
        else:
            content[place] ^= 1 << choose.randrange(8)
    return bytes(content)


def pictures(choose):
    grey = np.zeros((40, 30), np.uint8)
    grey[5:30, 10:14] = 255
    modes = ["L", "RGB", "RGBA", "P", "LA", "1"]
    for form, mode in [("PNG", mode) for mode in modes] + [("JPEG", "L"), ("JPEG", "RGB")]:
        file = io.BytesIO()
        Image.fromarray(grey).convert(mode).save(file, form)
        yield file.getvalue()
    yield png(2 ** choose.randrange(8, 31), 2 ** choose.randrange(8, 31))


def png(width, height):
    """A PNG that claims a size, with a few bytes of pixels."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


def test_pictures(tmp_path):
    choose, path, fuzz = random.Random(1), tmp_path / "x.png", Fuzz(DataError)
    whole = list(pictures(choose))
    for i in range(500 * TIMES):
        path.write_bytes(damaged(whole[i % len(whole)], choose))
        fuzz(lambda: digit_image.read(path))
    assert min(fuzz.read, fuzz.refused) > 20


PARAMS = [{"w": np.ones((20, 3), np.float32), "b": np.zeros(3, np.float32)}]


def archives(choose):
    """Archives of the right names: whole, of other shapes and types, with pickles, and bombs."""
    right = {"params/0/w": PARAMS[0]["w"], "params/0/b": PARAMS[0]["b"]}
    changes = [
        {}, {"params/0/w": np.ones((20, 3), np.int64)}, {"params/0/w": np.ones((2, 3))},
        {"params/0/b": np.array([0, np.nan, 0])}, {"params/0/b": np.zeros(3, ">f4")},
        {"params/0/b": np.zeros(3, complex)}, {"other": np.zeros(1)},
    ]  # fmt: skip
    for change in changes:
        file = io.BytesIO()
        choose.choice([np.savez, np.savez_compressed])(file, **(right | change))  # pyright: ignore[reportCallIssue, reportArgumentType]
        yield file.getvalue()
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **(right | {"params/0/b": np.array([None] * 3)}))
    yield file.getvalue()
    for shape in ((20, 3), (10_000, 10_000)):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, own in (("params/0/w", shape), ("params/0/b", (3,))):
                header = io.BytesIO()
                about = {"descr": "<f4", "fortran_order": False, "shape": own}
                np.lib.format.write_array_header_1_0(header, about)  # pyright: ignore[reportArgumentType]
                archive.writestr(f"{name}.npy", header.getvalue() + bytes(20_000_000))
        yield file.getvalue()


def test_archives_of_parameters(tmp_path):
    choose, path, fuzz = random.Random(2), tmp_path / "x.npz", Fuzz(ParamsFileError)
    whole = list(archives(choose))
    for i in range(500 * TIMES):
        content = whole[i % len(whole)]
        path.write_bytes(content if i < len(whole) else damaged(content, choose))
        fuzz(lambda: params_file.load(path, PARAMS, ()))
        if i == len(whole) - 1:
            assert (fuzz.read, fuzz.refused) == (1, len(whole) - 1), "only the first is right"


def test_idx_files(tmp_path):
    choose, path, fuzz = random.Random(3), tmp_path / "labels", Fuzz(DataError)
    header = struct.pack(">4BI", 0, 0, 8, 1, 60)
    whole = header + bytes(i % 10 for i in range(60))
    for _ in range(300 * TIMES):
        path.write_bytes(damaged(whole, choose))
        fuzz(lambda: idx.read_labels(path))
    assert min(fuzz.read, fuzz.refused) > 20


WRONG = (
    None, True, False, 0, -1, 1, 2**53 + 1, 10**30, -0.5, 1e-300, 1e300, 1.7e308, "", "x", "nan",
    "\x1b[2J\nAGREE", "9" * 50, [], [[]], [None], {}, {"x": 1}, [[1.0, None], [2.0]],
)  # fmt: skip


def places(value, path=()):
    """Every place in a document, outer ones first; of a list the first and last entry."""
    yield path
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from places(entry, (*path, name))
    elif isinstance(value, list):
        for i in sorted({0, len(value) - 1} if value else ()):
            yield from places(value[i], (*path, i))


def with_a_wrong_field(document, choose, every):
    """One field of a document is something else, or missing."""
    changed = copy.deepcopy(document)
    *path, last = choose.choice(every)
    parent = changed
    for step in path:
        parent = parent[step]
    if isinstance(parent, dict) and choose.random() < 0.2:
        del parent[last]
    else:
        parent[last] = copy.deepcopy(choose.choice(WRONG))
    return changed


def test_fields_of_results(tmp_path):
    """A page takes up to a second where it has pictures: few of those that hold are shown."""
    sys_path = Path(__file__).parent / "compare" / "report" / "conftest.py"
    namespace: dict = {"__name__": "documents"}
    exec(compile(sys_path.read_text(encoding="utf-8"), str(sys_path), "exec"), namespace)
    documents = [*namespace["_everything"](), namespace["_gradients"](factor=3.0)]
    choose, path, fuzz = random.Random(4), tmp_path / "x.json", Fuzz(ValueError)
    shown = dict.fromkeys(range(len(documents)), 0)
    most = {0: 3, 1: 1, 2: 1, 3: 3, 4: 3, 5: 1}
    every = [[place for place in places(document) if place] for document in documents]
    for i in itertools.islice(itertools.cycle(range(len(documents))), 1000 * TIMES):
        changed = with_a_wrong_field(documents[i], choose, every[i])

        def show(i=i, changed=changed):
            found = validated(json.dumps(changed).encode())
            if shown[i] < TIMES * most[i]:
                shown[i] += 1
                assert "<html" in html.render([found])

        fuzz(show)
    assert min(fuzz.read, fuzz.refused) > 100
    path.write_bytes(b'{"x": ' * 1_000_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        json_file.read(path)
