"""What all kinds of masks share."""

import numpy as np
import pytest

from gc_ray.errors import MaskError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.roi import choose_roi, finished, on_plane
from gc_ray.imaging.scan import Notes

GRID = Grid((5, 6, 4), (1.0, 1.0, 2.0))


@pytest.mark.parametrize("z", [-0.5, -3.0, 3.5, 1e300, np.inf, np.nan])
def test_points_beyond_the_outermost_slices_are_outside(z):
    """Half a slice beyond the last one, and numbers that are none, lie outside; nothing is clipped to the border."""
    with pytest.raises(MaskError, match=r"contour 1 lies outside the volume"):
        on_plane(np.full(3, z), GRID, "contour 1")


def test_nearest_slice_and_distance_are_in_millimetres():
    """An index of 2.04 on slices 2 mm apart is slice 2, 0.08 mm off."""
    k, off = on_plane(np.array([2.04, 2.0, 1.99]), GRID, "contour 1")
    assert k == 2
    assert off == pytest.approx(0.08)


def test_a_name_is_preferred_to_a_number():
    """A region called '2' is meant by '2', whatever its number."""
    assert choose_roi("2", [(1, "2"), (2, "liver")], "m")[0] == 0
    assert choose_roi("2", [(1, "spleen"), (2, "liver")], "m")[0] == 1


def test_parts_touching_at_a_corner_are_one_part():
    """Connected means by face, edge or corner, counted once over the region's bounding box; all parts are kept."""
    inside = np.zeros(GRID.shape, np.uint8)
    inside[0, :3, :3] = inside[1, 3:, 3:] = 1
    assert finished(inside, GRID, Notes(), "m").notes.remarks == ()
    inside[3, 0, 0] = 1
    read = finished(inside, GRID, Notes(), "m")
    assert read.notes.remarks == ("m has 2 parts (connected components), all kept",)
    assert read.mask.voxels == 9 + 6 + 1
