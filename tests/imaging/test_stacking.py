"""From slice positions to a grid."""

import numpy as np
import pytest

from gc_ray.errors import ScanError
from gc_ray.imaging.stacking import Place, orthonormal, stack

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.9541666, -0.2080757, 0.2151061, 0.2785886, 0.880128, -0.3843997)


def planes(z: list[float], x: list[float] | None = None) -> list[Place]:
    return [Place(f"{i}.dcm", ((x or [0.0] * len(z))[i], 0.0, v)) for i, v in enumerate(z)]


def lay(slices: list[Place], orientation: tuple[float, ...] = AXIAL):
    return stack(slices, orientation, (0.75, 0.5), (16, 20))


def test_slices_are_ordered_along_their_normal_whatever_their_names():
    """Spacing tuples turn from DICOM's (between rows, between columns) to x, y, z; the lowest slice is the origin."""
    laid = lay(planes([6.0, 0.0, 4.0, 2.0]))
    assert laid.planes == ((1,), (3,), (2,), (0,))
    assert laid.grid.size == (20, 16, 4)
    assert laid.grid.spacing_mm == (0.5, 0.75, 2.0)
    assert laid.grid.origin_mm == (0.0, 0.0, 0.0)
    assert laid.notes.repairs == laid.notes.remarks == ()


def test_reversed_rows_turn_the_normal_and_the_order():
    """With the column axis upside down the normal points down, so the highest slice comes first."""
    laid = lay(planes([0.0, 2.0, 4.0]), (1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    assert laid.planes == ((2,), (1,), (0,))
    assert laid.grid.index_to_mm(np.array([0, 0, 2])).tolist() == [0.0, 0.0, 0.0]


def test_oblique_directions_become_exactly_orthonormal():
    """Cosines rounded to seven decimals come out orthonormal to machine precision."""
    direction = orthonormal(OBLIQUE)
    assert np.allclose(direction.T @ direction, np.eye(3), atol=1e-15)
    assert np.linalg.det(direction) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        ([0, 2, 4, 8, 10], r"missing slice\(s\): a gap of 4.00 mm between 2.dcm and 3.dcm, median spacing 2.00 mm"),
        ([0, 2, 4.4, 6, 8], "uneven spacing"),
        ([0, 0, 2, 2, 4, 4], "3 of 3 slice positions hold several images .same position, first: 0.dcm and 1.dcm"),
        ([5, 5], "same position"),
    ],
)
def test_defective_stacks_are_refused(z: list[float], message: str):
    """A gap, an uneven step and two images per position never become an average spacing."""
    with pytest.raises(ScanError, match=message):
        lay(planes(z))


def test_sideways_steps_are_refused_as_gantry_tilt():
    """One degree of tilt over 10 mm drifts 0.17 mm, more than is tolerated."""
    with pytest.raises(ScanError, match=r"sheared volume \(gantry tilt"):
        lay(planes([0, 2, 4, 6, 8, 10], [0.0175 * z for z in (0, 2, 4, 6, 8, 10)]))


def test_small_unevenness_is_told_not_refused():
    """A slice 0.05 mm off its place is a remark; one at 0.005 mm is rounding and not worth a word."""
    assert "uneven" in lay(planes([0, 2, 4.05, 6, 8])).notes.remarks[0]
    assert lay(planes([0, 2, 4.005, 6, 8])).notes.remarks == ()


def test_a_single_copy_shares_its_plane():
    """A doubled position keeps both files on one plane, first name first, and leaves spacing alone."""
    laid = lay(planes([0, 2, 4, 6, 8, 2]))
    assert laid.planes[1] == (1, 5)
    assert laid.grid.spacing_mm[2] == 2.0
