"""Where a DICOM file's pixel data lie and whether they are whole, by the file's structure, without decoding."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

UNDEFINED_LENGTH = 0xFFFFFFFF  # DICOM PS3.5, 7.1.1: the element ends with a delimiter
PIXEL_DATA, ITEM, SEQUENCE_END = (0x7FE0, 0x0010), (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)  # tags


@dataclass(frozen=True)
class PixelSpan:
    """The pixel data element as it lies in a file, judged without decoding.

    held_bytes: bytes of pixel data really in the file.
    encapsulated: compressed fragments instead of plain values.
    ended: the element's end lies inside the file.
    """

    held_bytes: int
    encapsulated: bool
    ended: bool


def find_pixel_data(stream: BinaryIO, big_endian: bool) -> PixelSpan | None:
    """The integer pixel data that begin where the stream stands, None when something else or nothing does."""
    order = ">" if big_endian else "<"
    head = stream.read(8)
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != PIXEL_DATA:
        return None
    explicit = head[4:6] in (b"OB", b"OW", b"UN")
    (declared,) = struct.unpack(order + "L", stream.read(4) if explicit else head[4:])
    if declared == UNDEFINED_LENGTH:
        return _walk_fragments(stream)
    left = _size(stream) - stream.tell()
    return PixelSpan(min(declared, left), False, declared <= left)


def _walk_fragments(stream: BinaryIO) -> PixelSpan:
    """Steps over encapsulated fragments (PS3.5 A.4) to the sequence delimiter."""
    held, size = 0, _size(stream)
    while len(head := stream.read(8)) == 8:
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) == SEQUENCE_END:
            return PixelSpan(held, True, True)
        if (group, element) != ITEM or stream.tell() + length > size:
            break
        held += length
        stream.seek(length, 1)
    return PixelSpan(held, True, False)


def _size(stream: BinaryIO) -> int:
    here = stream.tell()
    end = stream.seek(0, 2)
    stream.seek(here)
    return end
