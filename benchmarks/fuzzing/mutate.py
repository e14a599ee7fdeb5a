"""Mutations that know nothing of a format: bytes flipped, cut, moved, overwritten; numbers and words replaced.

An input is a folder: file names to bytes, or to text where a symbolic link to that place is meant.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

Files = dict[str, bytes | str]
Rng = np.random.Generator

SECRET = "ZZSECRETZZ"  # stands where identifiers of patients stand; no message may repeat it
EDGES = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
WIDTHS = (1, 2, 4, 8)  # bytes of the integers that formats are made of
MB = 1 << 20
LONG = 70_000  # characters; longer than 16 bits of length can say
NUMBERS = (
    *(b"0", b"-1", b"1", b"2", b"65535", b"65536", b"4294967296", b"99999999999999999999", b"-0.0", b"0.5", b"1e308"),
    *(b"1e-320", b"1e400", b"nan", b"inf", b"-inf", b"0x10", b"1_0", b"", b" ", b"9" * 5000),
)
WORDS = (
    *(b"", b" ", b"\0", b"\r\n", b"\x1b[31m", b"'", b'"', b'"""', b"\\", b"%s%n", b"{}", b"None", b"true"),
    *(
        "\N{ROMAN NUMERAL TWO}\N{RIGHT-TO-LEFT OVERRIDE}\N{COMBINING ACUTE ACCENT}".encode(),
        b"\xff\xfe",
        b"\xed\xa0\x80",
    ),
    *(b"a" * LONG, b"../../etc/passwd", b"/etc/passwd", b"file:///etc/passwd", b"http://127.0.0.1/x", b"s3://"),
)


def pick(rng: Rng, of: Sequence):
    """One element."""
    return of[int(rng.integers(len(of)))]


def spot(rng: Rng, data: bytes, width: int = 0) -> int:
    """A place in the data, half the time among the first 512 bytes, where headers lie."""
    end = max(1, len(data) - width + 1)
    return int(rng.integers(min(end, 512) if rng.random() < 0.5 else end))


def flip(data: bytes, rng: Rng) -> bytes:
    """Some bits turned over."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 17)) if out else 0):
        out[spot(rng, data, 1)] ^= 1 << int(rng.integers(8))
    return bytes(out)


def cut(data: bytes, rng: Rng) -> bytes:
    """The beginning alone."""
    return data[: spot(rng, data)]


def block(data: bytes, rng: Rng) -> tuple[int, int]:
    """(start, end) of a piece of the data."""
    start = spot(rng, data)
    return start, min(len(data), start + int(2 ** rng.uniform(0, 12)))


def duplicate(data: bytes, rng: Rng) -> bytes:
    """A piece repeated up to a hundred times."""
    start, end = block(data, rng)
    return data[:end] + data[start:end] * int(2 ** rng.uniform(0, 6.6)) + data[end:]


def remove(data: bytes, rng: Rng) -> bytes:
    """A piece left out."""
    start, end = block(data, rng)
    return data[:start] + data[end:]


def swap(data: bytes, rng: Rng) -> bytes:
    """Two pieces exchanged."""
    (a, b), (c, d) = sorted((block(data, rng), block(data, rng)))
    return data if c < b else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def overwrite(data: bytes, rng: Rng) -> bytes:
    """An integer at the edge of its range, of either byte order, over what was there."""
    width = pick(rng, WIDTHS)
    value = (pick(rng, EDGES) % 256**width).to_bytes(width, pick(rng, ("little", "big")))
    at = spot(rng, data, width)
    return data[:at] + value + data[at + width :]


def noise(data: bytes, rng: Rng) -> bytes:
    """Random bytes put in."""
    at = spot(rng, data)
    return data[:at] + rng.bytes(int(2 ** rng.uniform(0, 10))) + data[at:]


def renumber(data: bytes, rng: Rng) -> bytes:
    """A number written in digits replaced by one that is none, or none of this size."""
    return _replaced(rb"-?\d+(?:\.\d+)?", data, rng, NUMBERS)


def reword(data: bytes, rng: Rng) -> bytes:
    """A word replaced by what breaks words."""
    return _replaced(rb"[A-Za-z_]{2,}", data, rng, WORDS)


def _replaced(pattern: bytes, data: bytes, rng: Rng, by: Sequence[bytes]) -> bytes:
    found = list(re.finditer(pattern, data[: 1 << 16]))
    if not found:
        return noise(data, rng)
    match = pick(rng, found)
    return data[: match.start()] + pick(rng, by) + data[match.end() :]


BYTES: tuple[Callable[[bytes, Rng], bytes], ...] = (flip, cut, duplicate, remove, swap, overwrite, overwrite, noise)
TEXT = (*BYTES, renumber, renumber, reword, reword)


def spoil(data: bytes, rng: Rng, ways: Sequence[Callable[[bytes, Rng], bytes]] = BYTES) -> bytes:
    """One to three mutations after one another."""
    for _ in range(int(rng.integers(1, 4))):
        data = pick(rng, ways)(data, rng)
    return data


def spoil_one(files: Files, rng: Rng, ways: Sequence[Callable[[bytes, Rng], bytes]] = BYTES) -> Files:
    """The folder with one of its files damaged."""
    name = pick(rng, sorted(name for name, data in files.items() if isinstance(data, bytes)))
    return {**files, name: spoil(files[name], rng, ways)}


@cache
def deflated_zeros() -> bytes:
    """A megabyte of zeros, deflated so that it may be repeated in a stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packer.compress(b"\0")
    packer.flush(zlib.Z_FULL_FLUSH)
    return packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH)
