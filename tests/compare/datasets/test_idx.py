import gzip
import hashlib
import os
import struct
import tracemalloc

import numpy as np
import pytest

from compare.datasets import idx

REMEDIES = ("--data-dir DIR", "--dataset mnist5k")

IMAGES = np.arange(2 * 784, dtype=np.uint32).astype(np.uint8).reshape(2, 28, 28)
LABELS = np.array([7, 0, 9], np.uint8)


def header(*sizes: int, kind: int = 8, ndim: int | None = None, start: int = 0) -> bytes:
    ndim = len(sizes) if ndim is None else ndim
    return struct.pack(f">HBB{len(sizes)}I", start, kind, ndim, *sizes)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "some-ubyte"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_reads_back_what_was_written(file, idx_bytes, pack):
    file.write_bytes(pack(idx_bytes(IMAGES)))
    images = idx.read_images(file)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, IMAGES)

    file.write_bytes(pack(idx_bytes(LABELS)))
    np.testing.assert_array_equal(idx.read_labels(file), LABELS)


def test_gzip_is_told_by_its_bytes_not_by_the_name(tmp_path, idx_bytes):
    misnamed = tmp_path / "labels.gz"
    misnamed.write_bytes(idx_bytes(LABELS))
    np.testing.assert_array_equal(idx.read_labels(str(misnamed)), LABELS)


def test_reads_gzip_of_several_members(file, idx_bytes):
    content = idx_bytes(LABELS)
    file.write_bytes(gzip.compress(content[:5]) + gzip.compress(content[5:]))
    np.testing.assert_array_equal(idx.read_labels(file), LABELS)


def test_sha256_is_that_of_the_plain_file(file, idx_bytes):
    for items in (IMAGES, LABELS):
        assert idx.sha256(items) == hashlib.sha256(idx_bytes(items)).hexdigest()


WRONG_LABELS = {
    "empty file": (b"", "4 more bytes", "0 bytes"),
    "magic cut off": (b"\0\0\x08", "4 more bytes", "3 bytes"),
    "sizes cut off": (b"\0\0\x08\x01\0\0", "4 more bytes", "2 bytes"),
    "no IDX": (b"<!DOCTYPE html>", "00 00 first", "3c 21 first"),
    "wrong magic": (header(1, start=1) + b"\0", "00 00 first", "00 01 first"),
    "signed bytes": (header(1, kind=9) + b"\0", "0x08", "0x09"),
    "doubles": (header(1, kind=0x0E) + bytes(8), "0x08", "0x0e"),
    "no dimension": (header(ndim=0), "dimensions: 1 (labels)", "found 0"),
    "images": (header(1, 28, 28) + bytes(784), "dimensions: 1 (labels)", "found 3"),
    "one short": (header(3) + b"\1\2", "3 bytes after", "found 2;"),
    "no items after the header": (header(3), "3 bytes after", "found 0;"),
    "trailing byte": (header(3) + b"\1\2\3\4", "3 bytes after", "found more;"),
    "label 10": (header(3) + b"\1\2\x0a", "labels 0 to 9", "10 at item 2"),
    "label 255": (header(3) + b"\xff\2\3", "labels 0 to 9", "255 at item 0"),
    "no items at all": (header(0), "1 to 300,000 items", "a header for 0"),
    "too many": (header(300_001) + bytes(9), "1 to 300,000 items", "300,001"),
    "absurd header": (header(2**32 - 1), "1 to 300,000 items", "4,294,967,295"),
}

WRONG_IMAGES = {
    "labels": (header(1) + b"\0", "dimensions: 3 (images)", "found 1"),
    "four dimensions": (header(1, 28, 28, 1) + bytes(784), "dimensions: 3 (images)", "found 4"),
    "255 dimensions": (header(*[1] * 255), "dimensions: 3 (images)", "found 255"),
    "sizes cut off": (header(1, 28, 28)[:12], "12 more bytes", "8 bytes"),
    "32 × 32": (header(1, 32, 32) + bytes(1024), "28 × 28", "32 × 32"),
    "rows and columns that fit in number only": (
        header(1, 784, 1) + bytes(784),
        "28 × 28",
        "784 × 1",
    ),
    "no rows": (header(1, 0, 28), "28 × 28", "0 × 28"),
    "one short": (header(2, 28, 28) + bytes(1567), "1,568 bytes after", "found 1,567;"),
    "trailing byte": (header(2, 28, 28) + bytes(1569), "1,568 bytes after", "found more;"),
    "absurd header": (header(*[2**32 - 1] * 3), "28 × 28", "4294967295 × 4294967295"),
    "absurd count": (header(2**32 - 1, 28, 28), "1 to 300,000 items", "4,294,967,295"),
    "little-endian": (struct.pack("<I3I", 0x803, 1, 28, 28) + bytes(784), "00 00 first", "03 08"),
}

WRONG = [
    pytest.param(read, *case, id=f"{read.__name__}: {name}")
    for read, cases in ((idx.read_labels, WRONG_LABELS), (idx.read_images, WRONG_IMAGES))
    for name, case in cases.items()
]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("read", "content", "expected", "found"), WRONG)
def test_refuses_wrong_content(file, refusal, pack, read, content, expected, found):
    file.write_bytes(pack(content))
    refusal(lambda: read(file), file, expected, found, *REMEDIES)


def test_every_cut_of_a_gzip_is_refused(file, idx_bytes, refusal):
    whole = gzip.compress(idx_bytes(LABELS))
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        refusal(lambda: idx.read_labels(file), file, *REMEDIES)


def test_every_flipped_byte_is_refused_or_harmless(file, idx_bytes, refusal):
    whole = gzip.compress(idx_bytes(IMAGES), mtime=0)
    header_fields_without_meaning = {4, 5, 6, 7, 8, 9}  # time, extra flags, operating system
    for at in set(range(len(whole))) - header_fields_without_meaning:
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        refusal(lambda: idx.read_images(file), file, *REMEDIES)


def test_rubbish_after_the_gzip_is_refused(file, idx_bytes, refusal):
    file.write_bytes(gzip.compress(idx_bytes(LABELS)) + b"rubbish")
    refusal(lambda: idx.read_labels(file), file, "intact gzip", *REMEDIES)


def test_wrong_checksum_is_refused(file, idx_bytes, refusal):
    whole = bytearray(gzip.compress(idx_bytes(LABELS)))
    whole[-8] ^= 1
    file.write_bytes(whole)
    refusal(lambda: idx.read_labels(file), file, "intact gzip", "CRC", *REMEDIES)


def test_a_gzip_bomb_is_never_unpacked(file, refusal):
    file.write_bytes(gzip.compress(header(3) + bytes(40_000_000)))
    assert file.stat().st_size < 50_000
    tracemalloc.start()
    try:
        refusal(lambda: idx.read_labels(file), file, "3 bytes after", "found more", *REMEDIES)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_missing_file(file, refusal):
    refusal(lambda: idx.read_labels(file), file, "expected a file", "found none", *REMEDIES)


def test_directory(tmp_path, refusal):
    refusal(lambda: idx.read_images(tmp_path), tmp_path, "found Is a directory", *REMEDIES)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_named_pipe_is_refused_without_waiting_for_it(file, refusal):
    os.mkfifo(file)
    refusal(lambda: idx.read_labels(file), file, "Not a regular file", *REMEDIES)


def test_file_that_may_not_be_read(file, idx_bytes, refusal, monkeypatch):
    file.write_bytes(idx_bytes(LABELS))

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)  # root may read whatever its mode is
    refusal(lambda: idx.read_labels(file), file, "readable", "Permission denied", *REMEDIES)


def test_a_line_break_in_the_name_leaves_the_message_one_line(tmp_path, refusal):
    refusal(lambda: idx.read_labels(tmp_path / "two\nlines"), "two lines", *REMEDIES)
