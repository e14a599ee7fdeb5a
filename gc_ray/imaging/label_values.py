"""Which values of a label map are labels, and which of them is meant."""

from __future__ import annotations

import re

import numpy as np

from gc_ray.errors import MaskError
from gc_ray.imaging.scan import Notes

NEARLY = 1e-6  # a value this near a whole number is that label: 255 times a slope of 1/255 in single precision
MAX_LISTED = 60  # labels in one message; a body atlas has about 120
MAX_EXAMPLES = 5  # of values that are no labels


def label_number(roi: str) -> int | None:
    """The label that is asked for: a whole number, also as spreadsheets write it (``1.0``); None for a name."""
    text = roi.strip()
    return int(float(text)) if re.fullmatch(r"\d{1,15}(\.0*)?", text) else None


def present_values(array: np.ndarray, name: str) -> np.ndarray:
    """The distinct values that are no background, sorted, in the array's type.

    Values within 1e-6 of 0 are background. Raises MaskError when nothing else is there.
    """
    found = np.unique(array[array != 0])
    found = found[np.abs(found) > NEARLY] if found.dtype.kind == "f" else found
    if found.size == 0:
        raise MaskError(f"{name}: the mask is empty: no voxels")
    return found


def without_nan(array: np.ndarray, name: str) -> tuple[np.ndarray, Notes]:
    """A map with 0 where it holds NaN, which some resampling tools write outside their region.

    Parameters
    ----------
    array : array
        The values of the map, of any shape; it is left as it is.

    Returns
    -------
    array
        The same with 0 where it held NaN.
    notes : Notes
        A repair note with their number.

    Raises
    ------
    MaskError
        When a value is infinite, or NaN is all there is besides 0, so that NaN may mark the region.
    """
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array, Notes()
    if np.isinf(array).any():
        raise MaskError(f"{name}: holds infinite values, wanted labels; export it again")
    nowhere = np.isnan(array)
    array = np.where(nowhere, array.dtype.type(0), array)
    count = np.count_nonzero(nowhere)
    if not array.any():
        raise MaskError(f"{name}: the mask is empty: {count} voxels hold NaN and no voxel a label; export it again")
    return array, Notes(repairs=(f"{name}: {count} voxels hold NaN, taken for background",))


def label_texts(array: np.ndarray, name: str) -> tuple[str, ...]:
    """The labels of a map as text; raises MaskError when there are none, or values that are no labels."""
    return tuple(_text(value) for value in _as_labels(present_values(array, name), name)[0])


def choose_label(array: np.ndarray, roi: str | None, name: str) -> tuple[np.ndarray, str, Notes]:
    """One label of a map.

    Parameters
    ----------
    array : array
        The values of the map, of any shape.
    roi : str or None
        The label's number as text; None only when there is one label.

    Returns
    -------
    inside : boolean array
        Where the label is.
    label : str
        Its value, for messages.
    notes : Notes
        Values that were taken for a whole number near them, and a single label other than 1.

    Raises
    ------
    MaskError
        When there is no label, the one asked for is absent, several are there and none was asked for, or values are
        no labels.
    """
    values = present_values(array, name)
    labels, notes = _as_labels(values, name)
    listed = [_text(value) for value in labels]
    present = ", ".join(listed[:MAX_LISTED]) + (", ..." if len(listed) > MAX_LISTED else "")
    if roi is None and len(labels) > 1:
        raise MaskError(f"{name}: {len(labels)} labels and none was asked for; labels present: {present}")
    wanted = labels[0] if roi is None else label_number(roi)
    at = [i for i, label in enumerate(labels) if label == wanted]
    if not at:
        background = " (0 is background)" if wanted == 0 else ""
        fix = "leave roi empty to take the only label" if len(labels) == 1 else "ask for one of them"
        raise MaskError(f"{name}: label {wanted} not found{background}; labels present: {present}; {fix}")
    if roi is None and wanted != 1:
        notes += Notes(remarks=(f"{name}: the mask is marked by {_text(wanted)} instead of 1",))
    exact = labels[at[0]] in values and not notes.repairs
    inside = array == labels[at[0]] if exact else where_nearly(array, labels[at[0]])
    return inside, listed[at[0]], notes


def where_nearly(array: np.ndarray, label: float) -> np.ndarray:
    """Where a whole-numbered label is (boolean); of real numbers those within 1e-6 of it."""
    return np.abs(array - label) <= NEARLY if array.dtype.kind == "f" else array == label


def _as_labels(values: np.ndarray, name: str) -> tuple[list, Notes]:
    """The labels that values stand for, sorted and each once, with a repair note when some are not exact.

    A single value of any kind marks the region: tools write 255, 1/255 or -1 for inside.
    """
    whole = np.rint(values) if values.dtype.kind == "f" else values
    near = np.abs(values - whole) <= NEARLY if values.dtype.kind == "f" else np.ones(values.shape, bool)
    if near.all() and (values > 0).all():
        changed = values[values != whole]
        labels = [int(v) for v in np.unique(whole)]
        if not changed.size:
            return labels, Notes()
        note = f"{name}: values that are nearly whole numbers are taken for them: {_examples(changed)}"
        return labels, Notes(repairs=(note,))
    if values.size == 1:
        return [values[0]], Notes()
    odd = values[~near] if not near.all() else values[values < 0]
    raise MaskError(
        f"{name}: values that are no labels (a probability map or an image?), wanted whole numbers above 0; values "
        f"present: {_examples(odd)}; threshold or round them first"
    )


def _examples(values: np.ndarray) -> str:
    shown = ", ".join(_text(value) for value in values[:MAX_EXAMPLES])
    return shown + (f" and {values.size - MAX_EXAMPLES} more" if values.size > MAX_EXAMPLES else "")


def _text(value: float | np.number) -> str:
    """A value with as many digits as tell it from its neighbours, so that two that differ look different."""
    return str(value).removesuffix(".0")
