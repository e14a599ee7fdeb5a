"""Padding outside the scanned field is reported when it would read as tissue."""

import numpy as np
import pytest

from gc_ray.imaging.read import read_ct


def pad(slices, value, intercept=-1024):
    """Slices 1 and 2 with a first row of padding."""
    for data in slices:
        data.RescaleIntercept, data.PixelPaddingValue = intercept, value
    for data in slices[1:3]:
        stored = np.frombuffer(data.PixelData, "<i2").copy()
        stored[: data.Columns] = value
        data.PixelData = stored.tobytes()


@pytest.mark.parametrize(
    ("value", "intercept", "hu"), [(5064, -1024, "4040"), (0, 0, "0"), (-200, 0, "-200"), (-2000, 1200, "-800")]
)
def test_padding_that_reads_as_tissue_is_remarked(slices, save, value, intercept, hu):
    """The values stay as every reader gives them; the note says in how many slices."""
    pad(slices, value, intercept)
    scan = read_ct(save(slices))
    assert (scan.volume.array[1:3, 0] == value + intercept).all()
    assert scan.notes.repairs == ()
    note = (
        f"padding pixels outside the scanned field (PixelPaddingValue) read as {hu} HU, like tissue (2 of 6 slices)"
    )
    assert note in scan.notes.remarks


@pytest.mark.parametrize(("value", "intercept"), [(-2000, -1024), (0, -1024), (24, -1024)])
def test_padding_at_or_below_air_is_not_worth_a_note(slices, save, value, intercept):
    """As most scanners write it."""
    pad(slices, value, intercept)
    assert read_ct(save(slices)).notes.remarks == ()


def test_a_range_of_padding_counts_to_its_limit(slices, save):
    """In either order."""
    pad(slices, 1060)
    for data in slices:
        data.PixelPaddingRangeLimit = 1050
    (remark,) = read_ct(save(slices)).notes.remarks
    assert "read as 36 HU" in remark


def test_padding_that_no_pixel_has_is_not_reported(slices, save):
    """Most slices fill their matrix."""
    for data in slices:
        data.PixelPaddingValue = 30000
    assert read_ct(save(slices)).notes.remarks == ()


def test_an_invalid_padding_refuses_nothing(slices, save):
    """No value depends on it."""
    for data in slices:
        data.PixelPaddingValue = [1, 2]
    assert read_ct(save(slices)).notes.remarks == ()
