"""Pixels outside the scanned field that would read as tissue (DICOM PixelPaddingValue)."""

from __future__ import annotations

import numpy as np

from gc_ray.errors import ScanError
from gc_ray.imaging.dicom_files import DicomFile, numbers

PADDING_KEYWORDS = ["PixelPaddingValue", "PixelPaddingRangeLimit"]
AIR_HU = -1000.0  # padding at or below air is taken for tissue by nobody


def padding_remarks(file: DicomFile, stored: np.ndarray, scale: tuple[float, float]) -> list[str]:
    """Say when padding pixels read as HU above air.

    Parameters
    ----------
    file : DicomFile
        A slice, opened with ``PADDING_KEYWORDS``.
    stored : ndarray of int
        Its stored values.
    scale : tuple of float
        Its rescale slope and intercept.

    Returns
    -------
    list of str
        One remark, or none. The values are left as they are.

    References
    ----------
    DICOM PS3.3, C.7.5.1.1.2 (Pixel Padding Value and Pixel Padding Range Limit).
    """
    first = _padding(file, "PixelPaddingValue")
    last = _padding(file, "PixelPaddingRangeLimit")
    if first is None:
        return []
    lowest, highest = sorted((first, first if last is None else last))
    inside = stored[(stored >= lowest) & (stored <= highest)]
    hu = scale[0] * inside.astype(np.float64) + scale[1]
    if not inside.size or hu.max() <= AIR_HU:
        return []
    return [f"padding pixels outside the scanned field (PixelPaddingValue) read as {hu.max():g} HU, like tissue"]


def _padding(file: DicomFile, keyword: str) -> int | None:
    """A padding element; None when it is missing or no number, as no value depends on it."""
    try:
        value = numbers(file, keyword, 1)
    except ScanError:
        return None
    return None if value is None else int(value[0])
