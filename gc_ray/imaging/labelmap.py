"""Masks as label maps (NIfTI, NRRD, MetaImage, 3D Slicer's .seg.nrrd) that must lie on exactly the CT's grid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from gc_ray.errors import MaskError
from gc_ray.imaging.dicom_files import blaming
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.image_files import grid_in, open_image, read_array
from gc_ray.imaging.roi import choose_roi, finished
from gc_ray.imaging.scan import Notes, RoiMask, ScanGeometry

SAME_GRID_MM = 1e-3  # float32 and decimal headers of one scan differ by up to 6e-5 mm
MAX_LISTED = 60  # labels in one message; a body atlas has about 120
REMARKED_MM = 1e-6  # PyRadiomics' own tolerance: above it the mend is noted


@dataclass(frozen=True)
class Segment:
    """One named region of a 3D Slicer segmentation: the value that marks it, in which layer."""

    name: str
    value: int
    layer: int


def list_labels(path: Path) -> tuple[str, ...]:
    """Segment names of a .seg.nrrd, else the non-zero values of the label map as text."""
    reader = open_image(path)
    segments = _segments(reader, path.name)
    if segments:
        return tuple(segment.name for segment in segments)
    return tuple(f"{value:g}" for value in _values(_label_array(reader, path.name), path.name))


def survey_labelmap(path: Path, roi: str | None, ct: ScanGeometry) -> Notes:
    """Notes from a label map's header; raises MaskError for another grid than the CT's or an absent segment."""
    reader = open_image(path)
    notes = _match_grid(grid_in(reader, path.name), ct.grid, path.name)
    segments = _segments(reader, path.name)
    if segments:
        return notes + _choose_segment(segments, roi, path.name)[1]
    if roi is not None and not roi.strip().isdecimal():
        raise MaskError(f"{path.name}: a plain label map has numbers, no names; give ROI {roi!r} as its label number")
    return notes


def read_labelmap(path: Path, roi: str | None, ct: ScanGeometry) -> RoiMask:
    """One label of a label map, or one segment of a .seg.nrrd, on the CT's grid.

    Raises MaskError when the grids differ by more than 1e-3 mm, the label is absent, several labels are present and
    none was asked for, or the values are no labels.
    """
    notes = survey_labelmap(path, roi, ct)
    reader = open_image(path)
    segments = _segments(reader, path.name)
    array = _label_array(reader, path.name)
    if segments:
        segment, _ = _choose_segment(segments, roi, path.name)
        if segment.layer >= len(array):
            raise MaskError(f"{path.name}: ROI {segment.name!r} names a layer that the file lacks; export it again")
        inside = array[segment.layer] == segment.value
        return finished(inside.astype(np.uint8), ct.grid, notes, f"{path.name}: ROI {segment.name!r}")
    if len(array) > 1:
        raise MaskError(f"{path.name}: several values per voxel and no segment names; wanted one label map")
    value, remark = _choose_label(roi, _values(array, path.name), path.name)
    what = f"{path.name}: label {value:g}"
    return finished((array[0] == value).astype(np.uint8), ct.grid, notes + remark, what)


def _label_array(reader: sitk.ImageFileReader, name: str) -> np.ndarray:
    """Labels as layer, z, y, x."""
    array = read_array(reader, name)
    return array[None] if array.ndim == 3 else np.moveaxis(array, -1, 0)


def _match_grid(mask: Grid, ct: Grid, name: str) -> Notes:
    """A repair note for a difference within tolerance; raises MaskError that says what differs beyond it."""
    distance = mask.corner_distance_mm(ct)
    if distance <= REMARKED_MM:
        return Notes()
    if distance <= SAME_GRID_MM:
        note = f"{name}: grid differs from the CT's by {distance:.1e} mm (origin or rounding), taken as equal"
        return Notes(repairs=(note,))
    raise MaskError(
        f"{name}: geometry mismatch with the CT: {_difference(mask, ct)}; make the mask on this CT's grid"
    )


def _difference(mask: Grid, ct: Grid) -> str:
    if mask.size != ct.size:
        return f"size {mask.size} where the CT has {ct.size} voxels"
    if not np.allclose(mask.direction, ct.direction, atol=1e-4):
        return "direction differs (axes flipped, permuted or rotated)"
    if not np.allclose(mask.spacing_mm, ct.spacing_mm, rtol=0, atol=1e-4):
        return f"spacing {_vector(mask.spacing_mm)} where the CT has {_vector(ct.spacing_mm)} mm"
    shift = np.subtract(mask.origin_mm, ct.origin_mm)
    return f"origin differs by {_vector(shift)} mm, {_vector(ct.mm_to_index(mask.origin_mm))} voxels"


def _vector(values: np.ndarray | tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{v:.3f}" for v in values) + ")"


def _segments(reader: sitk.ImageFileReader, name: str) -> list[Segment]:
    """3D Slicer's segments in the order of the file, none for a plain label map."""
    numbers = (re.fullmatch(r"Segment(\d+)_Name", key) for key in reader.GetMetaDataKeys())
    with blaming(name, "segment label values or layers are no numbers"):
        order = sorted(int(match[1]) for match in numbers if match)
        return [
            Segment(
                reader.GetMetaData(f"Segment{n}_Name"),
                int(reader.GetMetaData(f"Segment{n}_LabelValue")),
                int(reader.GetMetaData(f"Segment{n}_Layer")),
            )
            for n in order
        ]


def _choose_segment(segments: list[Segment], roi: str | None, name: str) -> tuple[Segment, Notes]:
    index, notes = choose_roi(roi, [(s.value, s.name) for s in segments], name)
    return segments[index], notes


def _values(array: np.ndarray, name: str) -> list[float]:
    """The distinct non-zero values; raises MaskError when there are none, or several that are no labels."""
    values = [float(v) for v in np.unique(array[array != 0])]
    if not values:
        raise MaskError(f"{name}: the mask is empty: no voxels")
    if len(values) > 1 and not all(v.is_integer() and v > 0 for v in values):
        raise MaskError(f"{name}: values that are no labels (a probability map or an image?), wanted whole numbers")
    return values


def _choose_label(roi: str | None, values: list[float], name: str) -> tuple[float, Notes]:
    present = ", ".join(f"{v:g}" for v in values[:MAX_LISTED]) + (", ..." if len(values) > MAX_LISTED else "")
    if roi is not None:
        if float(roi) not in values:
            raise MaskError(f"{name}: label {roi} not found; labels present: {present}")
        return float(roi), Notes()
    if len(values) > 1:
        raise MaskError(f"{name}: {len(values)} labels and none was asked for; labels present: {present}")
    remark = f"{name}: the mask is marked by {values[0]:g} instead of 1"
    return values[0], Notes(remarks=(remark,) if values[0] != 1 else ())
