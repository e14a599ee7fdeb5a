"""The segments of 3D Slicer's ``.seg.nrrd``, as Slicer itself reads them.

References
----------
vtkMRMLSegmentationStorageNode::ReadBinaryLabelmapRepresentation of 3D Slicer 4.10 and 5; the keys are described in
https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gc_ray.errors import MaskError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.label_values import where_nearly
from gc_ray.imaging.scan import Notes


@dataclass(frozen=True)
class Segment:
    """One named region of a segmentation.

    Attributes
    ----------
    name : str
        Its name; its ID where no name is stated.
    value : int
        The voxel value that marks it.
    layer : int
        In which of the image's layers, counted from 0.
    stated : bool
        Whether the file states the value; Slicer up to 4.10 does not, and marks by 1.
    extent : tuple of int or None
        First and last voxel along x, y and z that Slicer takes into account.
    """

    name: str
    value: int
    layer: int
    stated: bool
    extent: tuple[int, ...] | None


def segments_of(metadata: Mapping[str, str], layers: int, name: str) -> list[Segment]:
    """The segments in the order of the file, none for a plain label map.

    Parameters
    ----------
    metadata : mapping
        The header's free keys.
    layers : int
        How many layers the image has.

    Raises
    ------
    MaskError
        For fractional segmentations, and when keys are no numbers or leave open which voxels are meant.
    """
    keys = (re.fullmatch(r"Segment(\d{1,9})_(Name|ID|LabelValue|Layer)", key) for key in metadata)
    order = sorted({match[1] for match in keys if match}, key=int)
    if not order:
        return []
    kind = metadata.get("Segmentation_MasterRepresentation", metadata.get("Segmentation_SourceRepresentation", ""))
    if "fractional" in kind.lower():
        raise MaskError(f"{name}: a fractional segmentation; in 3D Slicer, export it as a binary labelmap")
    found = [_segment(metadata, number, layers, name) for number in order]
    for segment in found:
        if segment.layer >= layers:
            raise MaskError(
                f"{name}: ROI {segment.name!r} names a layer that the file lacks ({segment.layer} of {layers}, "
                "counted from 0); export it again"
            )
    return [_told_apart(segment, found, name) for segment in found]


def _told_apart(segment: Segment, among: list[Segment], name: str) -> Segment:
    """The segment; value 1 counts as stated where others share its layer. MaskError when one has the same value."""
    beside = [other for other in among if other is not segment and other.layer == segment.layer]
    if segment.stated or not beside:
        return segment
    if any(other.value == segment.value for other in beside):
        raise MaskError(f"{name}: several segments in one layer without label values; save it again with 3D Slicer 5")
    return replace(segment, stated=True)


def _segment(metadata: Mapping[str, str], number: str, layers: int, name: str) -> Segment:
    key = f"Segment{number}_"
    value = _number(metadata.get(key + "LabelValue"), name)
    layer = _number(metadata.get(key + "Layer"), name)
    if layer is None:  # Slicer: as many layers as segments, in their order; in a single layer only values tell apart
        layer = 0 if layers == 1 else int(number)
    label = metadata.get(key + "Name") or metadata.get(key + "ID") or f"Segment_{number}"
    extent = re.fullmatch(r"\s*" + r"\s+".join([r"(-?\d{1,9})"] * 6) + r"\s*", metadata.get(key + "Extent", ""))
    box = tuple(int(v) for v in extent.groups()) if extent else None
    return Segment(label, 1 if value is None else value, layer, value is not None, box)


def _number(text: str | None, name: str) -> int | None:
    if text is None or not text.strip():
        return None
    if not re.fullmatch(r"\s*\d{1,9}(\.0*)?\s*", text):
        raise MaskError(f"{name}: segment label values or layers are no numbers; export it again")
    return int(float(text))


def slicer_grid(grid: Grid, metadata: Mapping[str, str], name: str) -> tuple[Grid, Notes]:
    """The grid with the origin that Slicer before 4.8 means, and a repair note where that is not the header's.

    It stated the origin of the reference image, and where the file begins on it as an extent. Raises MaskError when
    the extent does not fit the file's size.
    """
    stated = metadata.get("Segmentation_Extent")
    if stated is None or "Segmentation_ReferenceImageExtentOffset" in metadata:
        return grid, Notes()
    box = re.findall(r"-?\d{1,9}", stated)
    first, last = [int(v) for v in box[::2]], [int(v) for v in box[1::2]]
    if len(box) != 6 or tuple(b - a + 1 for a, b in zip(first, last, strict=True)) != grid.size:
        raise MaskError(f"{name}: the extent that the header states is not the image's size; save it again")
    if first == [0, 0, 0]:
        return grid, Notes()
    note = f"{name}: begins {tuple(first)} voxels from the origin in its header, as 3D Slicer before 4.8 writes it"
    origin = tuple(float(v) for v in grid.index_to_mm(np.array(first)))
    return replace(grid, origin_mm=origin), Notes(repairs=(note,))


def segment_voxels(layer: np.ndarray, segment: Segment, name: str) -> tuple[np.ndarray, Notes]:
    """Where a segment is in its layer (z, y, x), with remarks where the file is not as Slicer writes it."""
    what, remarks = f"{name}: ROI {segment.name!r}", []
    inside = where_nearly(layer, segment.value)
    if not segment.stated and not inside.any() and np.unique(others := layer[layer != 0]).size == 1:
        remarks.append(f"{what} has no label value; marked by {others[0]} in the file")
        inside = layer != 0
    if not inside.any():
        raise MaskError(f"{what} is empty: no voxels of its layer hold its label value {segment.value}")
    if segment.extent is not None and (lost := _outside(inside, segment.extent)):
        remarks.append(
            f"{what}: {lost} voxels lie outside the extent that the header states; kept, Slicer hides them"
        )
    return inside, Notes(remarks=tuple(remarks))


def _outside(inside: np.ndarray, extent: tuple[int, ...]) -> int:
    box = tuple(slice(max(a, 0), max(b + 1, 0)) for a, b in zip(extent[::2], extent[1::2], strict=True))
    return int(np.count_nonzero(inside) - np.count_nonzero(inside[box[::-1]]))
