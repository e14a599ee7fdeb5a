"""Takes pixel values from decoded cells, and refuses cells whose bits can be read in two ways.

Where header and pixels contradict each other the two readings are compared: the wrong one wraps around, and so jumps
between neighbouring pixels where the right one does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.jpeg import Sample
from gc_ray.imaging.pixel_bits import PixelBits

SMOOTHER = 0.5  # a reading whose jumps are less than this share of the other's is the right one of the two


@dataclass(frozen=True, eq=False)
class _Cells:
    """Unsigned cells of ``width`` bits, of which the ``count`` bits from bit ``low`` on are the value."""

    array: np.ndarray
    width: int
    low: int
    count: int

    def value(self, signed: bool, count: int | None = None) -> np.ndarray:
        """The value with its sign, or another number of bits from bit ``low`` on."""
        count, size = count or self.count, 8 * self.array.itemsize
        moved = self.array << (size - self.low - count)
        return (moved.view(f"i{self.array.itemsize}") if signed else moved) >> (size - count)

    def above(self, bits: PixelBits) -> int:
        """A mask of the bits above the value that hold no overlay."""
        return _mask(set(range(self.low + self.count, self.width)) - set(bits.overlays))


def pixel_values(
    cells: np.ndarray, bits: PixelBits, sample: Sample | None, name: str
) -> tuple[np.ndarray, list[str]]:
    """Take the pixel values from decoded cells.

    Parameters
    ----------
    cells : ndarray of unsigned int, shape (rows, columns)
        The cells as decoded; of a compressed stream its samples as bit patterns.
    bits : PixelBits
        What the header says.
    sample : Sample or None
        What the compressed stream says of its samples; None when cells are stored whole (uncompressed, RLE).
    name : str
        The file's name for messages.

    Returns
    -------
    values : ndarray of int, shape (rows, columns)
        As wide as the cells; signed when PixelRepresentation is 1.
    notes : list of str
        What was unusual in these pixels and was read all the same.

    Raises
    ------
    ScanError
        When the bits can be read in two ways and the header's way is not the likelier one.

    References
    ----------
    DICOM PS3.5, 8.1.1 (pixel cells) and 8.2 (compressed streams beside their header).
    """
    width = bits.allocated if sample is None else sample.precision
    held = _Cells(cells & _mask(range(width)), width, *_field(bits, width, name))
    values = held.value(bits.signed)
    _check_below(held, bits, name)
    _check_overlays(values, held, bits, name)
    notes = _check_above(held, values, bits, name)
    check_sign = _check_signed if bits.signed else _check_unsigned
    values, signs = check_sign(held, values, bits, sample, name)
    return values, notes + signs


def _mask(bits: Iterable[int]) -> int:
    return sum(1 << bit for bit in bits)


def _field(bits: PixelBits, width: int, name: str) -> tuple[int, int]:
    """(lowest bit, number of bits) of the value in cells of ``width`` bits."""
    low = bits.high + 1 - bits.stored
    if low < 0:  # there are not so many bits up to HighBit
        return 0, min(bits.high + 1, width)
    if bits.high < width:
        return low, bits.stored
    if low == 0 or bits.stored == width:  # the compressed stream holds the value alone
        return 0, width
    raise ScanError(
        f"{name}: HighBit is {bits.high} with BitsStored {bits.stored}, but its compressed samples have {width} "
        "bits, so it is unknown which are the value; export the series uncompressed"
    )


def _check_below(held: _Cells, bits: PixelBits, name: str) -> None:
    """Bits below the value should be empty; when they are not, perhaps the value lies there."""
    below = _mask(set(range(held.low)) - set(bits.overlays))
    if below and (held.array & below).any():
        raise ScanError(
            f"{name}: HighBit is {bits.high} with BitsStored {bits.stored}, but the bits below them are not empty, "
            "so it is unknown which bits are the value; export the series again with HighBit = BitsStored - 1"
        )


def _check_overlays(values: np.ndarray, held: _Cells, bits: PixelBits, name: str) -> None:
    """An overlay plane is said to lie inside the value: harmless when there is none in truth."""
    inside = {bit for bit in bits.overlays if held.low <= bit < held.low + held.count}
    if not inside:
        return
    without = replace(held, array=held.array & _mask(set(range(held.width)) - inside))
    if _smoother(without.value(bits.signed), values):
        raise ScanError(
            f"{name}: an overlay plane lies in bit {min(inside)}, which HighBit {bits.high} counts to the pixel "
            "value; export the series again without overlays"
        )


def _check_above(held: _Cells, values: np.ndarray, bits: PixelBits, name: str) -> list[str]:
    """Bits above the value are masked; a note when they hold anything but the sign or a declared overlay."""
    above = held.above(bits)
    rest = held.array & above
    if not rest.any() or (bits.signed and np.array_equal(rest, np.where(values < 0, above, 0))):
        return []
    if held.count < bits.stored and held.low + held.count < held.width:
        raise ScanError(
            f"{name}: values use more bits than HighBit {bits.high} allows, BitsStored is {bits.stored}; export the "
            "series again"
        )
    if any(_smoother(held.value(signed, held.width - held.low), values) for signed in (False, True)):
        raise ScanError(
            f"{name}: values seem to need more than BitsStored {bits.stored} bits (cut off, they wrap around), or a "
            "sign; export the series again"
        )
    return [f"bits above BitsStored {bits.stored} are set and were masked, they are no part of the pixel value"]


def _check_signed(
    held: _Cells, values: np.ndarray, bits: PixelBits, sample: Sample | None, name: str
) -> tuple[np.ndarray, list[str]]:
    """Negative values whose sign is not certain: the stream says otherwise or is narrower, or no sign bits follow."""
    negative = values < 0
    unsigned = sample is not None and sample.signed is not True
    disagrees = unsigned and (sample.signed is False or held.width < bits.stored)
    zero_filled = held.above(bits) and not (held.array & held.above(bits))[negative].any()
    if not negative.any() or not (disagrees or zero_filled):
        return values, []
    other = held.value(signed=False)
    if held.count < bits.stored and _smoother(other, values):  # they fit into BitsStored with a sign of 0
        return other.astype(values.dtype), []
    if _smoother(other, values) or (held.count < bits.stored and not _smoother(values, other)):
        raise ScanError(
            f"{name}: PixelRepresentation says signed, but its values seem unsigned, so HU are unknown; export the "
            "series again"
        )
    note = "the compressed stream is unsigned, values were read as PixelRepresentation says: signed"
    return values, [note] if disagrees else []


def _check_unsigned(
    held: _Cells, values: np.ndarray, bits: PixelBits, sample: Sample | None, name: str
) -> tuple[np.ndarray, list[str]]:
    """A compressed stream with signed samples, some of them negative, under a header without signs."""
    if sample is None or not sample.signed or not (held.array >> (held.width - 1)).any():
        return values, []
    whole = _Cells(held.array, held.width, 0, held.width)
    if _smoother(whole.value(signed=True), values):
        raise ScanError(
            f"{name}: PixelRepresentation says unsigned, but its compressed stream holds negative values; export the "
            "series uncompressed"
        )
    return values, ["the compressed stream is signed, values were read as PixelRepresentation says: unsigned"]


def _smoother(other: np.ndarray, values: np.ndarray) -> bool:
    """Whether neighbouring pixels jump far less in another reading, counted where the two jump differently."""
    jumps, jumps_of_other = 0, 0
    for axis in range(values.ndim):
        mine, theirs = (np.abs(np.diff(array.astype(np.int64), axis=axis)) for array in (values, other))
        jumps += mine[mine != theirs].sum()
        jumps_of_other += theirs[mine != theirs].sum()
    return bool(jumps_of_other < SMOOTHER * jumps)
