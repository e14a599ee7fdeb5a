"""What a header says of the bits of a pixel: which of them are its value.

DICOM PS3.5, 8.1.1: a pixel cell has BitsAllocated bits; the value is the BitsStored bits that end at HighBit; all
other bits are no part of it, whatever they hold (old scanners put overlay planes there).
"""

from __future__ import annotations

from dataclasses import dataclass

from gc_ray.errors import ScanError
from gc_ray.imaging.dicom_files import PARSER_ERRORS, DicomFile, numbers

OVERLAY_GROUPS = range(0x6000, 0x6020, 2)  # DICOM PS3.3, C.9.2: 16 overlay planes
OVERLAY_BITS_ALLOCATED, OVERLAY_BIT_POSITION = 0x0100, 0x0102  # elements of an overlay group
BIT_TAGS = [
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *(
        group << 16 | element
        for group in OVERLAY_GROUPS
        for element in (OVERLAY_BITS_ALLOCATED, OVERLAY_BIT_POSITION)
    ),
]
ALLOCATED = (8, 16, 32)  # bits of a pixel cell that are read


@dataclass(frozen=True)
class PixelBits:
    """What a header says of the bits of a pixel.

    Attributes
    ----------
    allocated, stored, high : int
        BitsAllocated, BitsStored and HighBit (counted from 0; BitsStored - 1 when it is missing).
    signed : bool
        Whether values are two's complement (PixelRepresentation 1).
    overlays : tuple of int
        Bits of the cell that hold overlay planes.
    high_missing : bool
        Whether the header has no HighBit.
    """

    allocated: int
    stored: int
    high: int
    signed: bool
    overlays: tuple[int, ...] = ()
    high_missing: bool = False

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and the highest value that BitsStored bits can hold."""
        lowest = -(1 << self.stored - 1) if self.signed else 0
        return lowest, lowest + (1 << self.stored) - 1

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unusual in the header and was read all the same."""
        found = []
        if self.high_missing:
            found.append(f"HighBit is missing, {self.high} was taken as BitsStored is {self.stored}")
        elif self.high != self.stored - 1:
            found.append(
                f"HighBit is {self.high} with BitsStored {self.stored}: values were taken from the bits up to it"
            )
        if any(not self.high - self.stored < bit <= self.high for bit in self.overlays):
            found.append("overlay planes lie in unused bits of the pixels (high bits) and were masked")
        return tuple(found)


def read_bits(file: DicomFile) -> PixelBits:
    """Read the description of the pixel bits from a header.

    Parameters
    ----------
    file : DicomFile
        A slice, opened with ``BIT_TAGS``.

    Returns
    -------
    PixelBits
        The bits of one pixel.

    Raises
    ------
    ScanError
        When an element is missing or contradicts another, so that values cannot be told from other bits.
    """
    allocated, stored = numbers(file, "BitsAllocated", 1), numbers(file, "BitsStored", 1)
    high, sign = numbers(file, "HighBit", 1), numbers(file, "PixelRepresentation", 1)
    for keyword, value in (("BitsAllocated", allocated), ("BitsStored", stored), ("PixelRepresentation", sign)):
        if value is None:
            raise ScanError(
                f"{file.name}: {keyword} is missing, so the pixel data cannot be decoded; export it again"
            )
    if allocated[0] not in ALLOCATED:
        raise ScanError(f"{file.name}: BitsAllocated is {allocated[0]:g}, wanted 8, 16 or 32; export it again")
    last = (stored[0] - 1,) if high is None else high
    if not (1 <= stored[0] <= allocated[0] and 0 <= last[0] < allocated[0] and sign[0] in (0, 1)):
        raise ScanError(
            f"{file.name}: BitsAllocated {allocated[0]:g}, BitsStored {stored[0]:g}, HighBit {last[0]:g} and "
            f"PixelRepresentation {sign[0]:g} contradict each other; export it again"
        )
    bits, highest = int(stored[0]), int(last[0])
    return PixelBits(int(allocated[0]), bits, highest, sign[0] == 1, _overlays(file), high is None)


def _overlays(file: DicomFile) -> tuple[int, ...]:
    """Bits of the pixel cells that hold overlay planes; a plane with BitsAllocated 1 has data of its own."""
    found = set()
    for group in {tag >> 16 for tag in map(int, file.header.keys())} & set(OVERLAY_GROUPS):
        try:
            allocated = file.header.get((group, OVERLAY_BITS_ALLOCATED))
            position = file.header.get((group, OVERLAY_BIT_POSITION))
            if allocated is not None and position is not None and int(allocated.value) > 1:
                found.add(int(position.value))
        except PARSER_ERRORS:  # an overlay that nobody can draw
            continue
    return tuple(sorted(found))
