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


DECOMPOSED, COMPOSED = "Tumo\N{COMBINING DIAERESIS}r", "Tum\N{LATIN SMALL LETTER O WITH DIAERESIS}r"


@pytest.mark.parametrize(("written", "wanted"), [(DECOMPOSED, COMPOSED), (COMPOSED, DECOMPOSED), ("GTV\0 ", "GTV")])
def test_one_text_in_two_unicode_forms_is_one_name(written, wanted):
    """macOS writes letters and their accents apart; padding at the end is no part of a name. No remark."""
    assert choose_roi(wanted, [(1, "liver"), (2, written)], "m") == (1, Notes())


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        pytest.param("GTV\N{EN DASH}1", "GTV-1", id="dash of a word processor"),
        pytest.param("\N{FULLWIDTH LATIN CAPITAL LETTER G}TV\N{FULLWIDTH DIGIT ONE}", "GTV1", id="full width"),
        pytest.param("GTV\N{IDEOGRAPHIC SPACE}1", "GTV 1", id="wide blank"),
        pytest.param("GTV\N{NO-BREAK SPACE}1", "gtv  1", id="no-break blank"),
        pytest.param("\N{ZERO WIDTH NO-BREAK SPACE}GTV\N{ZERO WIDTH SPACE}", "GTV", id="invisible characters"),
        pytest.param("Gro\N{LATIN SMALL LETTER SHARP S}", "GROSS", id="case of more than one letter"),
        pytest.param("TUMO\N{COMBINING DIAERESIS}R", COMPOSED, id="case and form"),
    ],
)
def test_a_name_in_a_looser_form_is_found_with_a_remark(written, wanted):
    """Case, blanks, width and invisible characters."""
    index, notes = choose_roi(wanted, [(1, "liver"), (2, written)], "m")
    assert index == 1
    assert notes.remarks == (f"m: ROI {written!r} taken for {wanted!r}",)


@pytest.mark.parametrize("names", [(COMPOSED, DECOMPOSED), ("GTV", "GTV "), ("gtv 1", "Gtv  1")])
def test_names_that_are_equal_are_told_apart_by_number_only(names):
    """Which one is meant cannot be seen: refused, the number decides."""
    present = [(3, names[0]), (5, names[1])]
    wanted = "GTV 1" if names[0] == "gtv 1" else names[0]
    with pytest.raises(MaskError, match=r"fits several; give the number of one or .*; available: 3 ="):
        choose_roi(wanted, present, "m")
    assert choose_roi("5", present, "m") == (1, Notes())


def test_a_message_lists_what_can_be_printed():
    """Control characters as escapes, long names and long lists cut short."""
    present = [(n, "a" * 500 + "\x1b[31m") for n in range(200)] + [(7, "b")]
    with pytest.raises(MaskError, match=r"'x.u202ey' not found; .* 59 = 'a{64}...', and 141 more") as refusal:
        choose_roi("x\N{RIGHT-TO-LEFT OVERRIDE}y", present, "m")
    assert "\x1b" not in str(refusal.value)


def test_parts_touching_at_a_corner_are_one_part():
    """Connected means by face, edge or corner, counted once over the region's bounding box; all parts are kept."""
    inside = np.zeros(GRID.shape, np.uint8)
    inside[0, :3, :3] = inside[1, 3:, 3:] = 1
    assert finished(inside, GRID, Notes(), "m").notes.remarks == ()
    inside[3, 0, 0] = 1
    read = finished(inside, GRID, Notes(), "m")
    assert read.notes.remarks == ("m has 2 parts (connected components), all kept",)
    assert read.mask.voxels == 9 + 6 + 1
