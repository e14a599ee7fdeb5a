"""Mutations that know NIfTI, NRRD and MetaImage: dimensions, spacing, offsets, affines, and gzip bombs."""

from __future__ import annotations

import gzip
import struct
import zlib

from fuzzing.mutate import (
    EDGES,
    MB,
    SECRET,
    TEXT,
    Files,
    Rng,
    deflated_zeros,
    overwrite,
    pick,
    renumber,
    reword,
    spoil,
)

# (place, struct format, values) of the NIfTI-1 header's fields
DIMS = (-1, 0, 1, 2, 3, 7, 8, 100, 30000, 32767, -32768)
REALS = (0.0, -0.0, -1.0, 1e-40, 1e30, 3e38, float("nan"), float("inf"), float("-inf"), 1.0, 352.0, 1e9, -352.0)
CODES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, 9999, -1)
FIELDS = (
    *((40 + 2 * i, "h", DIMS) for i in range(8)),
    *((70, "h", CODES), (72, "h", (0, 1, 8, 16, 32, 64, 128, -16, 32767))),
    *((76 + 4 * i, "f", REALS) for i in range(8)),
    *((108, "f", REALS), (112, "f", REALS), (116, "f", REALS)),
    *((252, "h", DIMS), (254, "h", DIMS)),
    *((256 + 4 * i, "f", REALS) for i in range(18)),
    *((348, "i", (1, 16777216)), (352, "i", (8, 16, 2**31 - 1, -8)), (0, "i", (540, 0, 348 << 8))),
)


def nifti(shape: tuple[int, int, int], voxels: bytes, code: int = 4, bits: int = 16) -> bytes:
    """A NIfTI-1 file of 2 x 2 x 3 mm voxels; shape: x, y, z. Its description holds the planted identifier."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, code, bits)
    struct.pack_into("<8f", head, 76, 1, 2, 2, 3, 0, 0, 0, 0)
    struct.pack_into("<3f", head, 108, 352, 1, 0)
    head[148 : 148 + len(SECRET)] = SECRET.encode()
    struct.pack_into("<hh", head, 252, 1, 1)
    struct.pack_into("<6f", head, 256, 0, 0, 0, -10, 5, 20)
    struct.pack_into("<12f", head, 280, 2, 0, 0, -10, 0, 2, 0, 5, 0, 0, 3, 20)
    head[344:348] = b"n+1\0"
    return bytes(head) + voxels


def pair_header(single: bytes) -> bytes:
    """The .hdr of a pair, from a NIfTI-1 file of one piece; its voxels begin the .img."""
    head = bytearray(single[:348])
    struct.pack_into("<f", head, 108, 0)
    head[344:348] = b"ni1\0"
    return bytes(head)


def spoil_segments(files: Files, rng: Rng) -> Files:
    """A segmentation with the keys of its segments left out, repeated or of other values, or damaged as a volume."""
    if rng.random() < 0.4:
        return spoil_volume(files, rng)
    ((name, data),) = files.items()
    head, end, voxels = data.partition(b"\n\n")
    lines = head.split(b"\n")
    marks = (b"Segment",) if rng.random() < 0.8 else (b"kinds", b"space", b"sizes")
    keyed = [i for i, line in enumerate(lines) if line.startswith(marks)]
    for _ in range(int(rng.integers(1, 5))):
        at = pick(rng, keyed)
        key, mark, _ = lines[at].partition(b":=" if b":=" in lines[at] else b": ")
        value = pick(rng, (str(pick(rng, EDGES)).encode(), b"0 5 0 5 0 5", b"1e3", b"-1", b"", b"x" * 900, b"none"))
        way = rng.random()
        lines[at] = b"" if way < 0.3 else key + mark + value if way < 0.8 else lines[at] + b"\n" + lines[at]
    return {name: b"\n".join(line for line in lines if line) + end + voxels}


def bomb(data: bytes, zeros_mb: int) -> bytes:
    """The data as a gzip file with many megabytes of zeros behind them; its checksum is wrong."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
    size = (len(data) + zeros_mb * MB) % 2**32
    return (
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + body + deflated_zeros() * zeros_mb + b"\x03\0" + struct.pack("<LL", 0, size)
    )


def spoil_volume(files: Files, rng: Rng) -> Files:
    """The volume file with bytes, header fields or its compression damaged."""
    name = pick(rng, sorted(files))
    data = files[name]
    if rng.random() < 0.25:
        return {**files, name: spoil(data, rng)}
    if name.endswith((".nrrd", ".mha", ".mhd", ".nhdr")):
        return {**files, name: _spoil_text_header(data, rng)}
    packed = data[:2] == b"\x1f\x8b"
    plain = _fields(gzip.decompress(data) if packed else data, rng)
    if not packed:
        return {**files, name: plain}
    if rng.random() < 0.2:
        return {**files, name: bomb(plain, pick(rng, (1, 64, 1024, 4096)))}
    return {**files, name: gzip.compress(plain, 1, mtime=0)}


def _fields(data: bytes, rng: Rng) -> bytes:
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at, form, values = pick(rng, FIELDS)
        value = pick(rng, values)
        if at + struct.calcsize(form) <= len(out):
            struct.pack_into("<" + form, out, at, value)
    return bytes(out) if rng.random() < 0.8 else spoil(bytes(out), rng)


def _spoil_text_header(data: bytes, rng: Rng) -> bytes:
    mark = b"ElementDataFile" if b"ElementDataFile" in data[:2000] else b"\n\n"
    at = data.find(mark)
    head, rest = data[:at], data[at:]
    way = rng.random()
    if way < 0.25:
        huge = b" ".join(str(pick(rng, EDGES)).encode() for _ in range(3))
        head = b"\n".join(
            line.split(b":")[0] + b": " + huge
            if line.startswith(b"sizes")
            else b"DimSize = " + huge
            if line.startswith(b"DimSize")
            else line
            for line in head.split(b"\n")
        )
    elif way < 0.4:
        target = pick(rng, (b"../../etc/passwd", b"/etc/passwd", b"LIST", b"x%03d.raw 0 9 1", b"/dev/zero", b""))
        if mark == b"\n\n":
            head += b"\ndata file: " + target
        else:
            rest = b"ElementDataFile = " + target + b"\n"
    else:
        for _ in range(int(rng.integers(1, 4))):
            head = pick(rng, (renumber, renumber, reword, overwrite, *TEXT))(head, rng)
    return head + rest
