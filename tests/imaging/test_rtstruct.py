"""RT structure sets on the grid of their CT."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError
from gc_ray.imaging.read import list_rois, read_mask, survey_ct, survey_mask

CLOSED = "CLOSED_PLANAR"


@pytest.fixture
def images(slices):
    return [s.SOPInstanceUID for s in slices]


def test_contours_fill_the_voxels_whose_centres_they_enclose(rtstruct, box, images, ct):
    """Columns 3 to 8 of rows 2 to 5, on slices 1 and 2, and nothing else."""
    path = rtstruct({"GTV": [(CLOSED, box(k, 3, 8, 2, 5)) for k in (1, 2)]}, images=images)
    read = read_mask(path, "GTV", ct)
    wanted = np.zeros((6, 16, 20), np.uint8)
    wanted[1:3, 2:6, 3:9] = 1
    assert np.array_equal(read.mask.array, wanted)
    assert read.mask.grid == ct.grid
    assert read.notes.repairs == read.notes.remarks == ()
    assert list_rois(path) == ("GTV",)


def test_regions_are_chosen_by_name_or_number(rtstruct, box, images, ct, assert_refused):
    """Exact name first, then number, then the name up to case and blanks, with a remark; two fits are refused."""
    whole, part = box(1, 0, 19, 0, 15), box(1, 3, 8, 2, 5)
    path = rtstruct({"GTV": [(CLOSED, whole)], " gtv  Node": [(CLOSED, part)]}, images=images)
    for roi, voxels in (("GTV", 320), ("1", 320), ("2", 24), (" gtv  Node", 24), ("GTV node", 24)):
        assert read_mask(path, roi, ct).mask.voxels == voxels
    assert read_mask(path, "gtv", ct).notes.remarks == ("RS.dcm: ROI 'GTV' taken for 'gtv'",)
    assert_refused(path, "PTV", ct, "ROI 'PTV' not found; available: 1 = 'GTV', 2 = ' gtv  Node'")
    assert_refused(path, None, ct, "2 ROIs and none was asked for")
    assert_refused(rtstruct({"gtv": [(CLOSED, part)], "GTV": []}, images=images), "Gtv", ct, "fits several")


def test_a_repeated_contour_does_not_cancel_itself(rtstruct, box, images, ct):
    """By the even-odd rule two equal contours would leave nothing: the copy is dropped, the note says which."""
    once = box(1, 3, 8, 2, 5)
    copies = [(CLOSED, once), (CLOSED, once[::-1]), (CLOSED, np.roll(once, 1, axis=0))]
    read = read_mask(rtstruct({"GTV": [*copies, (CLOSED, box(2, 3, 8, 2, 5))]}, images=images), None, ct)
    assert read.mask.voxels == 48
    assert read.notes.repairs == ("RS.dcm: ROI 'GTV': contours 2-3 on slice 1 dropped: duplicate of another contour",)


def test_contours_of_a_slice_are_combined_by_their_type(rtstruct, box, images, ct):
    """CLOSED_PLANAR unites what overlaps, CLOSEDPLANAR_XOR cuts it out; a hole is a hole in both."""
    overlapping = [box(1, 2, 9, 2, 9), box(1, 6, 15, 5, 12), box(2, 2, 15, 2, 12), box(2, 4, 7, 4, 9)]
    for kind, voxels in ((CLOSED, 64 + 80 - 20 + 130), ("CLOSEDPLANAR_XOR", 64 + 80 - 40 + 130)):
        read = read_mask(rtstruct({"GTV": [(kind, c) for c in overlapping]}, images=images), None, ct)
        assert read.mask.voxels == voxels
        assert any("contours 1-2 on slice 1 overlapping" in note for note in read.notes.repairs) == (kind == CLOSED)


@pytest.mark.parametrize(
    "spelling", ["CLOSED_PLANAR_XOR", "closedplanar_xor", "CLOSEDPLANAR_XOR ", "Closed Planar XOR"]
)
def test_other_spellings_of_exclusive_contours_are_read(rtstruct, box, images, ct, spelling):
    """Tools write the term with two underscores, in small letters, or with a blank."""
    contours = [(spelling, box(1, 2, 9, 2, 9)), (spelling, box(1, 6, 15, 5, 12))]
    assert read_mask(rtstruct({"GTV": contours}, images=images), None, ct).mask.voxels == 64 + 80 - 40
    for planar in ("INTERPOLATED_PLANAR", "CLOSEDPLANAR"):
        path = rtstruct({"GTV": [(planar, c) for _, c in contours]}, images=images)
        assert read_mask(path, None, ct).mask.voxels == 64 + 80 - 20


def test_both_types_of_closed_contours_in_one_region_are_refused(rtstruct, box, images, ct, assert_refused):
    """Which contours would be holes cannot be told (DICOM PS3.3, C.8.8.6.3, wants one type)."""
    contours = [(CLOSED, box(1, 2, 9, 2, 9)), ("CLOSEDPLANAR_XOR", box(2, 6, 15, 5, 12))]
    path = rtstruct({"GTV": contours, "other": contours[:1]}, images=images)
    assert_refused(path, "GTV", ct, "1 of 2 contours are CLOSEDPLANAR_XOR, the others CLOSED_PLANAR; .*export the")
    assert read_mask(path, "other", ct).mask.voxels == 64


def test_a_contour_that_fills_no_voxel_is_named_with_its_slice(rtstruct, box, line, images, ct, assert_refused):
    """Smaller than a voxel and between centres; a region of such contours alone is empty."""
    tiny = line(3, (5.2, 5.2), (5.8, 5.2), (5.8, 5.8), (5.2, 5.8))
    read = read_mask(rtstruct({"GTV": [(CLOSED, box(2, 3, 8, 2, 5)), (CLOSED, tiny)]}, images=images), None, ct)
    assert read.mask.voxels == 24
    assert read.notes.repairs == (
        "RS.dcm: ROI 'GTV': contour 2 on slice 3 too small, or of lines that cancel: enclosing no voxel centre, "
        "filling no voxel",
    )
    assert_refused(rtstruct({"GTV": [(CLOSED, tiny)]}, images=images), None, ct, "ROI 'GTV' is empty: no voxels")


@pytest.mark.parametrize("kind", [CLOSED, "CLOSEDPLANAR_XOR"])
def test_contours_traced_from_voxels_keep_the_voxels_on_their_lines(rtstruct, line, images, ct, kind):
    """All run from centre to centre, as OpenCV draws: holes lose their line; voxels and lines of voxels count."""
    outer, hole = line(1, (3, 2), (9, 2), (9, 8), (3, 8)), line(1, (5, 4), (7, 4), (7, 6), (5, 6))
    contours = [(kind, c) for c in (line(2, (4, 4)), outer, hole, line(2, (6, 5), (6, 9)))]
    read = read_mask(rtstruct({"GTV": contours}, images=images), None, ct)
    wanted = np.zeros((6, 16, 20), np.uint8)
    wanted[1, 2:9, 3:10] = wanted[2, 4, 4] = wanted[2, 5:10, 6] = 1
    wanted[1, 5, 6] = 0
    assert np.array_equal(read.mask.array, wanted)
    assert read.notes.repairs == ()
    assert "from voxel centre to voxel centre, as traced from voxels" in read.notes.remarks[0]


def test_contours_through_voxel_centres_are_noted(rtstruct, box, line, images, ct):
    """Where not all were traced from voxels, their lines are no part of the region: the note counts the voxels."""
    through = line(1, (3, 2), (9, 2), (9, 8), (3, 8))
    read = read_mask(rtstruct({"GTV": [(CLOSED, through), (CLOSED, box(2, 3, 8, 2, 5))]}, images=images), None, ct)
    assert read.mask.voxels == 36 + 24
    assert read.notes.repairs == (
        "RS.dcm: ROI 'GTV': contour 1 on slice 1 through voxel centres: 13 of the 24 voxels on the line not counted",
    )


def test_regions_with_one_number_are_refused(rtstruct, box, images, ct, assert_refused):
    """Contours name their region by its number: those of two regions cannot be told apart."""
    path = rtstruct({"GTV": [(CLOSED, box(1, 3, 8, 2, 5))], "liver": [(CLOSED, box(2, 3, 8, 2, 5))]}, images=images)
    data = pydicom.dcmread(path)
    data.StructureSetROISequence[1].ROINumber = 1
    data.save_as(path)
    assert_refused(path, "GTV", ct, "ROI 'GTV': several ROIs have its number 1; export")


def test_looking_and_reading_say_the_same(rtstruct, box, images, ct, assert_refused):
    """A structure set is all header: `check` finds what `extract` finds, an empty or too small region, too."""
    contours = [(CLOSED, box(k, 3, 8, 2, 5)) for k in (1, 1, 4)] + [(CLOSED, box(4, 5, 12, 3, 9))]
    path = rtstruct({"GTV": contours}, images=images)
    assert len(read_mask(path, None, ct).notes.repairs) == 3
    assert survey_mask(path, None, ct).repairs == read_mask(path, None, ct).notes.repairs
    small = rtstruct({"GTV": [(CLOSED, box(1, 3, 5, 2, 4))]}, images=images)
    assert_refused(small, None, ct, "has 9 voxels, too small: wanted 10")


def test_points_and_open_lines_are_dropped_with_a_note(rtstruct, box, images, ct, assert_refused):
    """What encloses no area adds no voxel; alone it is an empty region."""
    area = box(1, 3, 8, 2, 5)
    odd = [("POINT", area[:1]), ("OPEN_PLANAR", area), (CLOSED, area[:2])]
    read = read_mask(rtstruct({"GTV": [(CLOSED, area), *odd]}, images=images), None, ct)
    assert read.mask.voxels == 24
    assert "2 contour(s) dropped: a point or fewer than 3 points" in read.notes.repairs[0]
    assert "1 contour(s) dropped: open, not closed" in read.notes.repairs[1]
    unknown = read_mask(rtstruct({"GTV": [(CLOSED, area), ("SPLINE", area)]}, images=images), None, ct)
    assert "1 contour(s) dropped: of no known geometric type" in unknown.notes.repairs[0]
    why = r"2 a point or fewer than 3 points; 1 open, not closed"
    assert_refused(rtstruct({"GTV": odd}, images=images), None, ct, rf"is empty: no closed contours.*\({why}\)")


def test_contours_without_points_are_dropped_with_a_note(rtstruct, box, images, ct):
    """Tools list a contour for every slice; a stated number of points that the data lacks stays a refusal."""
    area = box(1, 3, 8, 2, 5)
    path = rtstruct({"GTV": [(CLOSED, area), (CLOSED, area), (CLOSED, area)]}, images=images)
    data = pydicom.dcmread(path)
    first, second, third = data.ROIContourSequence[0].ContourSequence
    del first.NumberOfContourPoints
    second.NumberOfContourPoints, second.ContourData = 0, None
    del third.NumberOfContourPoints, third.ContourData
    data.save_as(path)
    read = read_mask(path, None, ct)
    assert read.mask.voxels == 24
    assert read.notes.repairs == ("RS.dcm: ROI 'GTV': 2 contour(s) dropped: a point or fewer than 3 points",)
    second.NumberOfContourPoints = 4
    data.save_as(path)
    with pytest.raises(MaskError, match="contours are invalid or cut short"):
        read_mask(path, None, ct)


def test_slices_without_contours_are_told_not_filled(rtstruct, box, images, ct):
    """Contours on slices 0, 2 and 4 leave two gaps."""
    read = read_mask(rtstruct({"GTV": [(CLOSED, box(k, 3, 8, 2, 5)) for k in (0, 2, 4)]}, images=images), None, ct)
    assert read.mask.voxels == 3 * 24
    assert "contours missing on 2 of 5 slices (gaps), not interpolated" in read.notes.repairs[0]


@pytest.mark.parametrize(
    ("shift", "pattern"),
    [
        ((0, 0, 1000), "outside the volume"),
        ((0, 0, -4), "outside the volume"),
        ((-3, 0, 0), "reaches outside the volume"),
        ((0, 9, 0), "reaches outside the volume"),
        ((0, 0, 1), "1.00 mm off the grid's nearest slice"),
        (np.array([[0, 0, 0], [0, 0, 2], [0, 0, 2], [0, 0, 0]]), "oblique to the CT slices"),
    ],
)
def test_contours_off_the_grid_are_refused(rtstruct, box, images, ct, shift, pattern, assert_refused):
    """One contour of two that leaves the grid refuses the region: it is never clipped."""
    contours = [(CLOSED, box(1, 3, 8, 2, 5)), (CLOSED, box(1, 3, 8, 2, 5) + shift)]
    assert_refused(rtstruct({"GTV": contours}, images=images), None, ct, pattern)


def test_contours_may_touch_the_border_of_the_image(rtstruct, box, images, ct):
    """A region drawn around all voxels of a slice holds all of them."""
    read = read_mask(rtstruct({"GTV": [(CLOSED, box(1, 0, 19, 0, 15))]}, images=images), None, ct)
    assert read.mask.voxels == 320


def test_small_offset_from_the_slice_plane_is_remarked(rtstruct, box, images, ct):
    """0.05 mm is rounding of positions, accepted and told."""
    read = read_mask(
        rtstruct({"GTV": [(CLOSED, box(1, 3, 8, 2, 5) + np.array([0, 0, 0.05]))]}, images=images), None, ct
    )
    assert "up to 0.050 mm off the slice planes" in read.notes.remarks[0]


def test_another_frame_of_reference_is_refused(rtstruct, box, images, ct, assert_refused):
    """Equal positions in another coordinate system prove nothing."""
    path = rtstruct({"GTV": [(CLOSED, box(1, 3, 8, 2, 5))]}, frame="1.2.9", images=images)
    assert_refused(path, None, ct, "frame of reference 1.2.9 is not the CT's .*another patient or study")


def test_without_frame_of_reference_the_images_must_match(rtstruct, box, images, ct, assert_refused):
    """The images that contours were drawn on tie them to the series; images elsewhere do not."""
    contours = {"GTV": [(CLOSED, box(1, 3, 8, 2, 5))]}
    assert read_mask(rtstruct(contours, frame="", images=images), None, ct).mask.voxels == 24
    assert_refused(
        rtstruct(contours, frame="", images=["1.9.1"]), None, ct, "names no frame of reference, and 1 of 1"
    )
    assert_refused(rtstruct(contours, frame=""), None, ct, "names no frame of reference, and 0 of 0")


def test_a_ct_that_is_no_dicom_is_matched_by_position_and_told(rtstruct, box, ct):
    """A NIfTI names no frame of reference: only geometry is left to decide."""
    path = rtstruct({"GTV": [(CLOSED, box(1, 3, 8, 2, 5))]}, frame="1.2.9")
    read = read_mask(path, None, replace(ct, sop_uids=(), frame_of_reference_uid=None))
    assert "by position only" in read.notes.remarks[0]


def test_contours_that_lost_points_are_refused(rtstruct, box, images, ct, assert_refused):
    """The stated number of points must be there: a shortened outline encloses another area."""
    path = rtstruct({"GTV": [(CLOSED, box(1, 3, 8, 2, 5))]}, images=images)
    data = pydicom.dcmread(path)
    data.ROIContourSequence[0].ContourSequence[0].ContourData = box(1, 3, 8, 2, 5)[:3].ravel().tolist()
    data.save_as(path)
    assert_refused(path, "GTV", ct, "its contours are invalid or cut short")


@pytest.mark.parametrize("share", np.linspace(0.02, 0.98, 25).tolist())
def test_truncated_structure_sets_never_lose_contours_in_silence(rtstruct, box, images, ct, share, assert_refused):
    """pydicom reads a file cut inside a sequence without a word; each cut must be refused and named."""
    path = rtstruct({"GTV": [(CLOSED, box(k, 3, 8, 2, 5)) for k in range(6)]}, images=images)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert_refused(path, "GTV", ct, r"^RS\.dcm: ")


def test_sts_025_equals_its_reference_voxel_for_voxel(data):
    """A sarcoma's contours reproduce the mask that the data's authors published, all 9,655 voxels."""
    folder = data / "sts_ct_rtstruct/STS_025"
    read = read_mask(folder / "RS.dcm", "GTV_Mass_CT", survey_ct(folder / "dicom"))
    assert read.mask.voxels == 9655
    assert np.array_equal(read.mask.array, sitk.GetArrayFromImage(sitk.ReadImage(folder / "CT_mask.nii.gz")))
    assert "15 of 15 referenced SOP instances are not in this series" in read.notes.repairs[0]
