"""Masks as label maps (NIfTI, NRRD, MetaImage, 3D Slicer's .seg.nrrd) on the CT's grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gc_ray.errors import MaskError
from gc_ray.imaging.image_files import open_volume
from gc_ray.imaging.label_values import choose_label, label_number, label_texts, without_nan
from gc_ray.imaging.opened import OpenedVolume
from gc_ray.imaging.placement import Placement, match_grid, put_on_grid
from gc_ray.imaging.roi import choose_roi, finished
from gc_ray.imaging.scan import Notes, RoiMask, ScanGeometry
from gc_ray.imaging.slicer_segments import Segment, segment_voxels, segments_of, slicer_grid


@dataclass(frozen=True)
class _Plan:
    """What a header tells of a mask: the file, where it lies, and the segment that is meant (None: a plain map)."""

    opened: OpenedVolume
    placed: Placement
    segment: Segment | None
    notes: Notes


def list_labels(path: Path) -> tuple[str, ...]:
    """Segment names of a .seg.nrrd, else the non-zero values of the label map as text."""
    opened = _open(path)
    segments = segments_of(opened.metadata, opened.channels, path.name)
    if segments:
        return tuple(segment.name for segment in segments)
    return label_texts(_layers(opened)[0], path.name)


def survey_labelmap(path: Path, roi: str | None, ct: ScanGeometry) -> Notes:
    """Notes from a label map's header; raises MaskError for another grid than the CT's or an absent segment."""
    return _plan(path, roi, ct).notes


def read_labelmap(path: Path, roi: str | None, ct: ScanGeometry) -> RoiMask:
    """One label of a label map, or one segment of a .seg.nrrd, on the CT's grid.

    Raises MaskError when voxel centres differ from the CT's by more than 1e-3 mm, the label is absent, several labels
    are present and none was asked for, the values are no labels, or voxels of the region lie outside the CT.
    """
    plan = _plan(path, roi, ct)
    layers, notes = _layers(plan.opened)
    if plan.segment is not None:
        inside, more = segment_voxels(layers[plan.segment.layer], plan.segment, path.name)
        what = f"{path.name}: ROI {plan.segment.name!r}"
    else:
        inside, label, more = choose_label(layers[0], roi, path.name)
        what = f"{path.name}: label {label}"
    return finished(put_on_grid(inside, plan.placed, ct.grid, what), ct.grid, plan.notes + notes + more, what)


def _open(path: Path) -> OpenedVolume:
    opened = open_volume(path)
    if not opened.real:
        raise MaskError(f"{path.name}: complex values, wanted one label map")
    grid, notes = slicer_grid(opened.grid, opened.metadata, path.name)
    return replace(opened, grid=grid, notes=opened.notes + notes)


def _plan(path: Path, roi: str | None, ct: ScanGeometry) -> _Plan:
    opened = _open(path)
    placed, notes = match_grid(opened.grid, ct.grid, path.name, _hints(opened))
    segments, segment = segments_of(opened.metadata, opened.channels, path.name), None
    notes = opened.notes + notes
    if segments:
        index, more = choose_roi(roi, [(s.value, s.name) for s in segments], path.name)
        segment, notes = segments[index], notes + more
    elif opened.channels > 1:
        raise MaskError(f"{path.name}: several values per voxel and no segment names; wanted one label map")
    elif roi is not None and label_number(roi) is None:
        raise MaskError(f"{path.name}: a plain label map has numbers, no names; give ROI {roi!r} as its label number")
    return _Plan(opened, placed, segment, notes)


def _hints(opened: OpenedVolume) -> tuple[str, ...]:
    notes = opened.notes.repairs + opened.notes.remarks
    return tuple(note.removeprefix(f"{opened.name}: ") for note in notes)


def _layers(opened: OpenedVolume) -> tuple[np.ndarray, Notes]:
    """Labels as layer, z, y, x, and a note where some were NaN."""
    array, notes = without_nan(opened.read(), opened.name)
    return (array[None] if array.ndim == 3 else np.moveaxis(array, -1, 0)), notes
