"""The header of a NIfTI file: sizes, voxel type, and the places that it states for the voxels (``nifti_forms``)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.grid import MAX_VOXELS

HEADER_BYTES = 540  # of NIfTI-2
NIFTI_1_BYTES = 348
MAX_SIDE = 32767  # voxels along an axis, in NIfTI-1
MAX_VOXEL_BYTES = 1 << 32  # of a volume: 4 GiB, 1024 x 1024 x 1024 of 32 bits
MAX_OFFSET_BYTES = 1 << 26  # before the voxels, where extensions of some kilobytes may lie: 64 MiB
MAX_MM = 1e6  # a kilometre; no axis, spacing or origin of a scan comes near it

# Bytes in the file: NIfTI-1 standard (nifti1.h) and NIfTI-2 standard (nifti2.h).
_FIELDS_1 = {
    "dim": ("8i2", 40),
    "datatype": ("i2", 70),
    "pixdim": ("8f4", 76),
    "vox_offset": ("f4", 108),
    "scl_slope": ("f4", 112),
    "scl_inter": ("f4", 116),
    "xyzt_units": ("u1", 123),
    "qform_code": ("i2", 252),
    "sform_code": ("i2", 254),
    "quaternion": ("3f4", 256),
    "qoffset": ("3f4", 268),
    "srow": ("(3,4)f4", 280),
    "magic": ("S4", 344),
}
_FIELDS_2 = {
    "magic": ("S8", 4),
    "datatype": ("i2", 12),
    "dim": ("8i8", 16),
    "pixdim": ("8f8", 104),
    "vox_offset": ("i8", 168),
    "scl_slope": ("f8", 176),
    "scl_inter": ("f8", 184),
    "qform_code": ("i4", 344),
    "sform_code": ("i4", 348),
    "quaternion": ("3f8", 352),
    "qoffset": ("3f8", 376),
    "srow": ("(3,4)f8", 400),
    "xyzt_units": ("i4", 500),
}

VOXEL_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
OTHER_TYPES = {1: "1-bit", 128: "RGB colour", 2304: "RGBA colour", 1536: "128-bit float"}
OTHER_TYPES |= dict.fromkeys((32, 1792, 2048), "complex")
# By the three lowest bits of xyzt_units: millimetres of one unit, and its name. 0 (unknown) counts as mm.
UNITS = {1: (1e3, "metre"), 3: (1e-3, "micrometre")}


@dataclass(frozen=True)
class NiftiHeader:
    """A NIfTI header as stored.

    Attributes
    ----------
    raw : bytes
        The 348 (NIfTI-1) or 540 (NIfTI-2) bytes.
    order : str
        Byte order as numpy writes it, ``<`` or ``>``.
    """

    raw: bytes
    order: str

    @property
    def fields(self) -> np.ndarray:
        """The named fields, a structured array without axes."""
        return np.frombuffer(self.raw, _layout(len(self.raw), self.order))[0]

    @property
    def size(self) -> tuple[int, ...]:
        """Voxels along every axis, x first."""
        dim = self.fields["dim"]
        return tuple(int(n) for n in dim[1 : int(dim[0]) + 1])

    @property
    def stored_type(self) -> np.dtype:
        """The type of the voxels in the file, in its byte order."""
        return np.dtype(VOXEL_TYPES[int(self.fields["datatype"])]).newbyteorder(self.order)

    @property
    def offset(self) -> int:
        """Where the voxels begin, bytes from the start of the file that holds them."""
        return int(self.fields["vox_offset"])

    @property
    def in_two_files(self) -> bool:
        """Whether the header says that the voxels lie in a second file (.hdr and .img)."""
        return bytes(self.fields["magic"]).startswith(b"ni")

    @property
    def mm(self) -> float:
        """Millimetres of one unit of length in this header."""
        return UNITS.get(int(self.fields["xyzt_units"]) & 7, (1.0, ""))[0]

    @property
    def unit(self) -> str:
        """Name of the unit of length, empty for millimetres and when it is not stated."""
        return UNITS.get(int(self.fields["xyzt_units"]) & 7, (1.0, ""))[1]

    def replaced(self, **changes: object) -> NiftiHeader:
        """The same header with some fields set to other values."""
        return NiftiHeader(_with(self.raw, _layout(len(self.raw), self.order), changes), self.order)

    def alone(self) -> bytes:
        """A NIfTI-1 file of this header without voxels, for ITK, which does not know NIfTI-2."""
        named = {name: self.fields[name] for name in _FIELDS_1 if name not in ("magic", "vox_offset")}
        named |= {"magic": np.bytes_(b"n+1"), "vox_offset": np.float32(NIFTI_1_BYTES + 4)}
        blank = np.array(NIFTI_1_BYTES, f"{self.order}i4").tobytes().ljust(NIFTI_1_BYTES, b"\0")
        return _with(blank, _layout(NIFTI_1_BYTES, self.order), named) + bytes(4)


def _layout(length: int, order: str) -> np.dtype:
    named = _FIELDS_1 if length == NIFTI_1_BYTES else _FIELDS_2
    layout = {
        "names": list(named),
        "formats": [form for form, _ in named.values()],
        "offsets": [at for _, at in named.values()],
        "itemsize": length,
    }
    return np.dtype(layout).newbyteorder(order)


def _with(raw: bytes, layout: np.dtype, changes: dict[str, object]) -> bytes:
    """A header with some fields changed and all other bytes as they are."""
    changed, fields = bytearray(raw), layout.fields or {}
    for name, value in changes.items():
        form, at = fields[name][:2]
        changed[at : at + form.itemsize] = np.asarray(value).astype(form.base).tobytes().ljust(form.itemsize, b"\0")
    return bytes(changed)


def parse_header(head: bytes, name: str) -> NiftiHeader:
    """Read a NIfTI header.

    Parameters
    ----------
    head : bytes
        The first ``HEADER_BYTES`` bytes of the file, inflated.
    name : str
        The file's name, for messages.

    Raises
    ------
    ScanError
        For Analyze 7.5, another number of axes than three, voxels that are no single real number, and sizes that no
        CT has.
    ValueError
        When these bytes are no NIfTI header.
    """
    order = next((o for o in "<>" if int(np.frombuffer(head, f"{o}i4", 1)[0]) in (NIFTI_1_BYTES, HEADER_BYTES)), None)
    if order is None:
        raise ValueError
    length = int(np.frombuffer(head, f"{order}i4", 1)[0])
    header = NiftiHeader(head[:length], order)
    if len(header.raw) < length:
        raise ValueError
    _check_format(header, name)
    _check_layout(header, name)
    return header


def _check_format(header: NiftiHeader, name: str) -> None:
    magic = bytes(header.fields["magic"])
    if len(header.raw) == HEADER_BYTES:
        if magic[:3] not in (b"n+2", b"ni2"):
            raise ValueError
    elif magic not in (b"n+1", b"ni1"):
        raise ScanError(
            f"{name}: Analyze 7.5 format, which states no orientation (or a damaged NIfTI header); "
            "export it again as NIfTI (.nii.gz)"
        )


def _check_layout(header: NiftiHeader, name: str) -> None:
    axes, size, code = int(header.fields["dim"][0]), header.size, int(header.fields["datatype"])
    if not 1 <= axes <= 7 or min(size) <= 0:
        raise ValueError
    if axes < 3 or any(n != 1 for n in size[3:]):
        raise ScanError(f"{name}: {axes}D image of {' x '.join(map(str, size))}, wanted one 3D volume")
    if math.prod(size) > MAX_VOXELS or max(size) > MAX_SIDE:
        raise ScanError(f"{name}: {' x '.join(map(str, size))} voxels, wanted at most {MAX_VOXELS}; not one CT")
    if code in OTHER_TYPES:
        raise ScanError(
            f"{name}: {OTHER_TYPES[code]} voxels (NIfTI datatype {code}), wanted one whole or real number a voxel; "
            "export it as such"
        )
    if math.prod(size) * int(VOXEL_TYPES.get(code, "u1")[1]) > MAX_VOXEL_BYTES:
        raise ScanError(f"{name}: more than {MAX_VOXEL_BYTES >> 30} GiB of voxels; not one CT")
    first = 0 if header.in_two_files else len(header.raw)
    if code not in VOXEL_TYPES or not first <= float(header.fields["vox_offset"]) <= MAX_OFFSET_BYTES:
        raise ValueError


def scaling(header: NiftiHeader, name: str) -> tuple[float, float] | None:
    """Slope and intercept of the voxels, None when they are taken as stored.

    Raises
    ------
    ScanError
        When slope or intercept are no numbers to compute with, or the slope is 0 beside an intercept: the standard
        then says no scaling, and ITK adds the intercept.
    """
    slope, inter = float(header.fields["scl_slope"]), float(header.fields["scl_inter"])
    unscaled = slope == 0 or math.isnan(slope)
    if unscaled and (inter == 0 or math.isnan(inter)):
        return None
    if unscaled or not (math.isfinite(slope) and math.isfinite(inter)):
        raise ScanError(
            f"{name}: scl_slope {slope:g} with scl_inter {inter:g} says no scaling to some programs and "
            "another value to others; set both (1 and 0 when the voxels are stored as they are)"
        )
    return None if (slope, inter) == (1.0, 0.0) else (slope, inter)
