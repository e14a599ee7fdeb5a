"""Whether the places that a NIfTI header states for its voxels agree: qform, sform and pixdim.

A header may state them three times: voxel sizes in ``pixdim``; a rotation and origin in ``qform``, scaled by
``pixdim``; a whole matrix in ``sform``. ITK takes spacing from ``pixdim`` always, and axes and origin from ``sform``
when its code is 1, when the code of ``qform`` is 0 or when both nearly agree, else from ``qform``. nibabel takes all
three from ``sform`` when its code is above 0. So a header that contradicts itself has no reading that is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.axes import MOST_DEGREES, ORTHOGONAL, nearest_orthogonal, shear_degrees
from gc_ray.imaging.nifti_header import MAX_MM, NiftiHeader
from gc_ray.imaging.scan import Notes

SPACING_MM = 1e-3  # forms that differ by more say two things; float32 rounds to 1e-7 of a value
ORIGIN_MM = 1e-3
TOOL = "nibabel.processing.resample_to_output or 3D Slicer"
SMALLEST_MM = 1e-4  # a tenth of a micrometre: no scanner, and a matrix that cannot be inverted
CT_MM = (0.01, 50.0)  # voxel sizes that a CT may have when the header counts in another unit than millimetres


@dataclass(frozen=True)
class Form:
    """One statement of where voxels lie: axes (3 x 3, unit columns), origin and spacing (mm), RAS."""

    axes: np.ndarray
    origin: np.ndarray
    spacing: np.ndarray


def settle(header: NiftiHeader, name: str) -> tuple[NiftiHeader, Notes]:
    """The header as ITK is to read it, with notes on what was changed.

    Raises
    ------
    ScanError
        When two statements differ by more than 1e-3 mm in spacing or origin or 0.1 degree in axes, when axes are
        sheared by more than 0.1 degree, and for voxel sizes that cannot be meant.
    ValueError
        When a number that is used is not finite, or lies beyond any scanner: ITK would look for its rotation for
        ever.
    """
    _check_finite(header)
    sform, qform = _sform(header, name), _qform(header)
    pixdim = _voxel_size(header, name, sform)
    repairs: list[str] = []
    if sform is not None:
        header, repairs = _settle_shear(header, name, sform)
        if np.abs(sform.spacing - pixdim).max() > SPACING_MM:
            other = "pixdim" if qform is None else "pixdim and qform"
            _refuse_two(name, f"spacings: sform {_mm(sform.spacing)}, {other} {_mm(pixdim)} mm")
        if qform is not None:
            _compare(name, sform, qform)
    if (header.fields["pixdim"][1:4] < 0).any():
        header = header.replaced(
            pixdim=[header.fields["pixdim"][0], *pixdim / header.mm, *header.fields["pixdim"][4:]]
        )
        repairs.append(f"{name}: voxel sizes below 0 in pixdim, taken without their sign")
    return header, Notes(tuple(repairs), tuple(_remarks(header, name, sform is None and qform is None)))


def _check_finite(header: NiftiHeader) -> None:
    fields = header.fields
    used = [fields["pixdim"][1:4]]
    if fields["qform_code"] > 0:
        used += [fields["quaternion"], fields["qoffset"]]
    if fields["sform_code"] > 0:
        used += [fields["srow"].ravel()]
    numbers = np.concatenate(used).astype(float) * header.mm
    if not (np.abs(numbers) <= MAX_MM).all():
        raise ValueError


def _sform(header: NiftiHeader, name: str) -> Form | None:
    if header.fields["sform_code"] <= 0:
        return None
    rows = header.fields["srow"].astype(float) * header.mm
    spacing = np.linalg.norm(rows[:, :3], axis=0)
    if spacing.min() < SMALLEST_MM:
        raise ScanError(f"{name}: an axis of the sform has length 0; export it again")
    return Form(rows[:, :3] / spacing, rows[:, 3], spacing)


def _qform(header: NiftiHeader) -> Form | None:
    """The rotation of the quaternion as the standard says (nifti1.h, method 2)."""
    if header.fields["qform_code"] <= 0:
        return None
    b, c, d = header.fields["quaternion"].astype(float)
    rest = 1.0 - (b * b + c * c + d * d)
    if rest < 1e-7:  # a rotation by 180 degrees, rounded
        length = np.sqrt(b * b + c * c + d * d)
        a, b, c, d = 0.0, b / length, c / length, d / length
    else:
        a = np.sqrt(rest)
    axes = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    if header.fields["pixdim"][0] < 0:
        axes[:, 2] *= -1
    spacing = np.abs(header.fields["pixdim"][1:4].astype(float)) * header.mm
    return Form(axes, header.fields["qoffset"].astype(float) * header.mm, spacing)


def _voxel_size(header: NiftiHeader, name: str, sform: Form | None) -> np.ndarray:
    """Spacing (mm) of pixdim as ITK takes it: a size of 0 as 1, but only where the sform says so too."""
    stored = np.abs(header.fields["pixdim"][1:4].astype(float)) * header.mm
    if (stored == 0).any() and sform is None:
        raise ScanError(f"{name}: a voxel size (pixdim) is 0; export it again")
    size = np.where(stored == 0, header.mm, stored)
    low, high = CT_MM if header.unit else (SMALLEST_MM, MAX_MM)
    if size.min() < low or size.max() > high:
        fix = f"its unit is the {header.unit}; correct xyzt_units or pixdim" if header.unit else "correct pixdim"
        raise ScanError(f"{name}: the header states voxels of {_mm(size)} mm; {fix}")
    return size


def _settle_shear(header: NiftiHeader, name: str, sform: Form) -> tuple[NiftiHeader, list[str]]:
    angle = shear_degrees(sform.axes, name, "sheared sform", TOOL)
    if np.abs(sform.axes @ sform.axes.T - np.eye(3)).max() <= ORTHOGONAL:
        return header, []
    if header.fields["qform_code"] > 0:
        return header, [f"{name}: sform sheared by {angle:.3f} degrees; the axes of the qform are taken"]
    rows = np.column_stack([nearest_orthogonal(sform.axes) * sform.spacing, sform.origin]) / header.mm
    note = f"{name}: sform sheared by {angle:.3f} degrees; the nearest orthogonal axes are taken"
    return header.replaced(srow=rows), [note]


def _compare(name: str, sform: Form, qform: Form) -> None:
    cosines = np.clip((sform.axes * qform.axes).sum(axis=0), -1, 1)
    # of small angles the chord is exact where the cosine is rounded
    chord = np.linalg.norm(sform.axes - qform.axes, axis=0).max()
    angle = float(np.degrees(np.arccos(cosines)).max()) if chord > 0.1 else float(np.degrees(chord))
    if angle > MOST_DEGREES:
        _refuse_two(name, f"axes that differ by {angle:.2f} degrees (sform {_axes(sform)}, qform {_axes(qform)})")
    if np.abs(sform.origin - qform.origin).max() > ORIGIN_MM:
        _refuse_two(name, f"origins: sform ({_mm(sform.origin, ', ')}), qform ({_mm(qform.origin, ', ')}) mm")


def _refuse_two(name: str, what: str) -> NoReturn:
    raise ScanError(
        f"{name}: the header states two {what}; programs differ in which they use; make them equal (nibabel: "
        "set_qform and set_sform with the true matrix) or export it again"
    )


def _remarks(header: NiftiHeader, name: str, nowhere: bool) -> list[str]:
    remarks = []
    if header.unit:
        remarks.append(f"{name}: the header counts in {header.unit}s, converted to mm")
    if nowhere:
        remarks.append(
            f"{name}: the header states no orientation (qform and sform code 0); left and right are unknown"
        )
    return remarks


def _mm(values: np.ndarray, between: str = " x ") -> str:
    return between.join(f"{v + 0.0:.7g}" for v in values)


def _axes(form: Form) -> str:
    return "; ".join(" ".join(f"{round(v, 3) + 0.0:.3f}" for v in column) for column in form.axes.T)
