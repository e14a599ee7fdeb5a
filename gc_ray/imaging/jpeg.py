"""JPEG streams looked over before a C++ decoder gets them, which a damaged header brings down with its process."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.pixels.utils import get_j2k_parameters
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

START, TABLES, SCAN = 0xD8, 0xC4, 0xDA  # markers of ITU-T T.81, B.1.1.3: SOI, DHT, SOS
FRAMES = (0xC0, 0xC1, 0xC3)  # SOF of baseline, extended and lossless, the JPEG that DICOM knows
OTHERS = (0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0))  # DQT, DRI, COM, APPn: may stand before the scan
LS_FRAME = 0xF7  # SOF of JPEG-LS, ITU-T T.87
# Syntaxes whose streams hold samples of their own depth; RLE holds the bytes of whole pixel cells.
SAMPLED = frozenset((*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes))
CODE_BITS = 16  # longest Huffman code


@dataclass(frozen=True)
class Sample:
    """What a compressed stream says of its samples: bits of each, and whether signed (None: JPEG has no sign)."""

    precision: int
    signed: bool | None


def check_jpeg(stream: bytes, shape: tuple[int, int], width: int) -> None:
    """Raises ValueError or IndexError unless all up to the scan is whole and promises what the DICOM header does.

    shape: rows, columns. width: bytes of a decoded value. Damage behind the scan's head is the decoder's to find.
    Source: ITU-T T.81, B.2.
    """
    if stream[:2] != bytes((0xFF, START)):
        raise ValueError("no JPEG stream")
    at, sized, tables = 2, False, False
    while True:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        body, at = stream[at + 4 : at + 2 + length], _past(stream, at, length)
        if marker == SCAN:
            break
        if marker in FRAMES:
            _check_frame(body, shape, width, again=sized)
            sized = True
        elif marker == TABLES:
            _check_tables(body)
            tables = True
        elif marker not in OTHERS:
            raise ValueError("a segment that has no place here")
    if not (sized and tables) or len(body) != 6 or body[0] != 1:
        raise ValueError("no scan of one component with its size and tables")


def _past(stream: bytes, at: int, length: int) -> int:
    """Where the next segment begins."""
    if stream[at] != 0xFF or length < 2 or at + 2 + length > len(stream):
        raise ValueError("a segment that is none, or leaves the stream")
    return at + 2 + length


def _check_frame(body: bytes, shape: tuple[int, int], width: int, again: bool) -> None:
    size = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    if again or len(body) != 9 or size != shape or -(-body[0] // 8) != width or body[5] != 1:
        raise ValueError("another size, depth or number of components than in the DICOM header")


def _check_tables(body: bytes) -> None:
    """Huffman tables: class and number, how many codes there are of 1 to 16 bits, and their values."""
    while body:
        kind, counts = body[0], body[1 : 1 + CODE_BITS]
        room = sum(count << (CODE_BITS - bits) for bits, count in enumerate(counts, 1))
        if kind & 0xEC or room > 1 << CODE_BITS or len(body) < 1 + CODE_BITS + sum(counts):
            raise ValueError("codes that cannot be, or more of them than the segment holds")
        body = body[1 + CODE_BITS + sum(counts) :]


def sample_of(stream: bytes, transfer_syntax: str) -> Sample:
    """Read what a compressed stream says of its samples.

    Parameters
    ----------
    stream : bytes
        One compressed frame.
    transfer_syntax : str
        UID of the transfer syntax, one of ``SAMPLED``.

    Returns
    -------
    Sample
        Bits and sign of one sample.

    Raises
    ------
    ValueError, IndexError
        When the stream has no frame header.

    References
    ----------
    ITU-T T.81 B.2.2, T.87 C.2.2 (frame headers), T.800 A.5.1 (SIZ).
    """
    if transfer_syntax in JPEG2000TransferSyntaxes:
        _check_boxes(stream)
        parameters = get_j2k_parameters(stream)
        if not parameters:
            raise ValueError("no JPEG 2000 codestream")
        return Sample(parameters["precision"], parameters["is_signed"])
    at = 2
    while stream[at + 1] not in (*FRAMES, LS_FRAME):
        at = _past(stream, at, int.from_bytes(stream[at + 2 : at + 4], "big"))
    return Sample(stream[at + 4], None)


def _check_boxes(stream: bytes) -> None:
    """ValueError for JP2 boxes without length before the codestream, among which pydicom would walk for ever."""
    at = 12 if stream.startswith(b"\0\0\0\x0cjP  ") else len(stream)
    while at < len(stream) and stream[at + 4 : at + 8] != b"jp2c":
        length = int.from_bytes(stream[at : at + 4], "big")
        if length < 8:
            raise ValueError("a box that is none")
        at += length
