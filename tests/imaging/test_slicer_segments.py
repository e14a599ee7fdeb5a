"""3D Slicer's .seg.nrrd of old and new versions, minimal and cropped ones, against SimpleITK's arrays."""

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.read import list_rois, read_mask, survey_mask
from gc_ray.imaging.scan import ScanGeometry

GRID = Grid((12, 10, 8), (0.8, 0.8, 3.0), (-25.2, -180.4, 100.0))
CT = ScanGeometry(GRID)
FIRST, SECOND = np.zeros(GRID.shape, np.uint8), np.zeros(GRID.shape, np.uint8)
FIRST[1:3, 2:5, 3:7] = FIRST[4, 1:4, 1:4] = 1
SECOND[1:4, 2:6, 3:8] = 1  # overlaps the first


@pytest.fixture
def write(tmp_path):
    def save(voxels, keys, space="left-posterior-superior", place=None, kinds=None, name="a.seg.nrrd"):
        """voxels (z, y, x[, layer]); keys: lines of the form ``Segment0_Name:=tumour``."""
        layered = voxels.ndim == 4
        place = place or "(0.8,0,0) (0,0.8,0) (0,0,3)"
        lines = [
            "NRRD0004",
            f"type: {'unsigned char' if voxels.dtype == np.uint8 else 'float'}",
            f"dimension: {voxels.ndim}",
            f"space: {space}",
            f"sizes: {' '.join(map(str, voxels.shape[::-1]))}",
            f"space directions: {'none ' * layered}{place}",
            f"kinds: {kinds or 'list ' * layered + 'domain domain domain'}",
            "endian: little",
            "encoding: raw",
            *keys,
        ]
        (tmp_path / name).write_bytes(("\n".join(lines) + "\n\n").encode() + voxels.tobytes())
        return tmp_path / name

    return save


ORIGIN = "space origin: (-25.2,-180.4,100.0)"
OLD = [
    ORIGIN,
    *("Segment0_ID:=Segment_1", "Segment0_Name:=tumour", "Segment0_Extent:=0 11 0 9 0 7", "Segment0_Color:=1 0 0"),
    *("Segment1_ID:=Segment_2", "Segment1_Name:=liver", "Segment1_Extent:=0 11 0 9 0 7"),
    "Segmentation_MasterRepresentation:=Binary labelmap",
    "Segmentation_ReferenceImageExtentOffset:=0 0 0",
]


def test_slicer_up_to_4_10_has_a_layer_a_segment_and_no_values(write):
    """Layer = index, value = 1; overlapping segments stay whole."""
    path = write(np.stack([FIRST, SECOND], -1), OLD)
    assert list_rois(path) == ("tumour", "liver")
    stored = sitk.GetArrayFromImage(sitk.ReadImage(path))
    for k, (roi, expected) in enumerate((("tumour", FIRST), ("liver", SECOND))):
        survey_mask(path, roi, CT)
        read = read_mask(path, roi, CT)
        assert np.array_equal(read.mask.array, expected)
        assert np.array_equal(read.mask.array, stored[..., k])
        assert read.notes.repairs == ()


@pytest.mark.parametrize(
    "keys",
    [
        ["Segment0_Name:=tumour"],
        ["Segment0_ID:=tumour"],
        ["Segment0_Name:=tumour", "Segment0_LabelValue:=1"],
        ["Segment0_Name:=tumour", "Segment0_Layer:=0"],
        ["Segment3_Name:=tumour", "Segment3_LabelValue:=1"],
        ["Segment0_Name:=tumour", "Segment0_LabelValue:=1.0", "Segment0_Layer:= 0 "],
        ["Segment0_Name:=", "Segment0_ID:=tumour", "Segment0_LabelValue:="],
    ],
)
def test_a_minimal_file_of_one_layer_is_read(write, keys):
    """As slicerio, pynrrd scripts and Slicer 4.10 with one segment write it."""
    path = write(FIRST, [ORIGIN, *keys])
    for roi in (None, "tumour", "1"):
        assert np.array_equal(read_mask(path, roi, CT).mask.array, FIRST)
    assert list_rois(path) == ("tumour",)


def test_values_tell_segments_apart_in_one_layer_without_layer_keys(write):
    """Several segments with values and no layers lie in the only layer that there is."""
    keys = [
        f"Segment{n}_{key}" for n, name in enumerate(("a", "b")) for key in (f"Name:={name}", f"LabelValue:={n + 4}")
    ]
    path = write(FIRST * 4 + (SECOND & ~FIRST & 1) * 5, [ORIGIN, *keys])
    assert np.array_equal(read_mask(path, "a", CT).mask.array, FIRST)
    assert np.array_equal(read_mask(path, "b", CT).mask.array, SECOND & (1 - FIRST))


def test_what_leaves_segments_apart_in_doubt_is_refused(write):
    """Two segments in one layer and no values; more segments than layers."""
    doubt = [ORIGIN, "Segment0_Name:=a", "Segment1_Name:=b", "Segment1_LabelValue:=1"]
    with pytest.raises(MaskError, match="several segments in one layer without label values"):
        survey_mask(write(FIRST, doubt), "a", CT)
    with pytest.raises(MaskError, match=r"ROI 'c' names a layer that the file lacks \(2 of 2, counted from 0\)"):
        survey_mask(write(np.stack([FIRST, SECOND], -1), [*OLD, "Segment2_Name:=c"]), "tumour", CT)


def test_a_segment_without_a_value_beside_others_is_value_one(write):
    """Their values tell them apart; it takes no other segment's voxels when it has none itself."""
    keys = [ORIGIN, "Segment0_Name:=a", "Segment1_Name:=b", "Segment1_LabelValue:=2"]
    both = np.where(FIRST, 1, SECOND * 2).astype(np.uint8)
    assert np.array_equal(read_mask(write(both, keys), "a", CT).mask.array, both == 1)
    assert np.array_equal(read_mask(write(both, keys), "b", CT).mask.array, both == 2)
    with pytest.raises(MaskError, match="ROI 'a' is empty: no voxels of its layer hold its label value 1"):
        read_mask(write(SECOND * np.uint8(2), keys), "a", CT)


def test_a_segment_without_a_value_may_be_marked_by_another_than_one(write):
    """255 in its layer, and nothing else there, is the segment; with a remark."""
    read = read_mask(write(FIRST * np.uint8(255), [ORIGIN, "Segment0_Name:=tumour"]), None, CT)
    assert np.array_equal(read.mask.array, FIRST)
    assert "marked by 255 in the file" in read.notes.remarks[0]
    both = FIRST * np.uint8(255) | SECOND * np.uint8(7)
    with pytest.raises(MaskError, match="ROI 'tumour' is empty"):
        read_mask(write(both, [ORIGIN, "Segment0_Name:=tumour"]), None, CT)


def test_layers_of_real_numbers_are_compared_within_a_millionth(write):
    """Floats that scripts write."""
    path = write(FIRST * np.float32(2.0000002), [ORIGIN, "Segment0_Name:=tumour", "Segment0_LabelValue:=2"])
    assert np.array_equal(read_mask(path, None, CT).mask.array, FIRST)


@pytest.mark.parametrize("layered", [False, True])
def test_a_cropped_segmentation_is_padded(write, layered):
    """Slicer crops to the effective extent; origin and offset say where, and extents count from the file's start."""
    place = GRID.index_to_mm(np.array([1, 1, 1]))
    keys = [
        f"space origin: ({place[0]},{place[1]},{place[2]})",
        *("Segment0_Name:=tumour", "Segment0_LabelValue:=1", "Segment0_Layer:=0", "Segment0_Extent:=0 7 0 4 0 4"),
        "Segmentation_ReferenceImageExtentOffset:=1 1 1",
    ]
    part = FIRST[1:7, 1:7, 1:9]
    path = write(np.stack([part, part * 0], -1) if layered else part, keys)
    read = read_mask(path, None, CT)
    assert np.array_equal(read.mask.array, FIRST)
    assert "covers a part of the CT's grid ((8, 6, 6) voxels from (1, 1, 1) on)" in read.notes.repairs[0]
    assert read.notes.remarks[-1].endswith("has 2 parts (connected components), all kept")


def test_voxels_outside_the_stated_extent_are_kept_with_a_remark(write):
    """Scripts that copy a header leave stale extents; Slicer would hide these voxels."""
    path = write(FIRST, [ORIGIN, "Segment0_Name:=tumour", "Segment0_Extent:=3 6 2 4 1 2"])
    read = read_mask(path, None, CT)
    assert np.array_equal(read.mask.array, FIRST)
    assert "9 voxels lie outside the extent that the header states; kept" in read.notes.remarks[0]


def test_an_extent_of_the_time_before_offsets_moves_the_origin(write):
    """Slicer before 4.8 counts from the reference image's origin; an extent that does not fit is refused."""
    keys = [ORIGIN, "Segment0_Name:=tumour", "Segmentation_Extent:=1 8 1 6 1 6"]
    read = read_mask(write(FIRST[1:7, 1:7, 1:9], keys), None, CT)
    assert np.array_equal(read.mask.array, FIRST)
    assert "begins (1, 1, 1) voxels from the origin in its header" in read.notes.repairs[0]
    with pytest.raises(MaskError, match="the extent that the header states is not the image's size"):
        survey_mask(write(FIRST, keys), None, CT)


@pytest.mark.parametrize("space", ["right-anterior-superior", "RAS", "left-anterior-superior"])
def test_another_anatomical_space_is_turned(write, space):
    """The same voxels with the signs of that space."""
    right, anterior = (-1 if space[0] in "rR" else 1), -1
    place = f"({0.8 * right},0,0) (0,{0.8 * anterior},0) (0,0,3)"
    origin = f"space origin: ({-25.2 * right},{-180.4 * anterior},100.0)"
    path = write(FIRST, [origin, "Segment0_Name:=tumour"], space, place)
    read = read_mask(path, None, CT)
    assert np.array_equal(read.mask.array, FIRST)
    assert read.notes.repairs == ()


def test_layers_may_be_the_last_axis(write):
    """Some scripts write the list behind the space."""
    voxels = np.stack([FIRST, SECOND])
    lines = OLD[1:]
    path = write(
        voxels, [ORIGIN, *lines], kinds="domain domain domain list", place="(0.8,0,0) (0,0.8,0) (0,0,3) none"
    )
    path.write_bytes(path.read_bytes().replace(b"directions: none (", b"directions: ("))
    assert np.array_equal(read_mask(path, "liver", CT).mask.array, SECOND)


def test_a_measurement_frame_and_other_keys_change_nothing(write):
    """They are of tensors, or of Slicer's own."""
    more = [ORIGIN, "measurement frame: (1,0,0) (0,-1,0) (0,0,1)", "Segment0_Name:=肿瘤", "Segment0_Tags:=a:b|"]
    path = write(FIRST, [*more, "segment0_name:=other", "SegmentX_Name:=other", "Segmentation_Name:=other"])
    assert list_rois(path) == ("肿瘤",)
    assert np.array_equal(read_mask(path, "肿瘤", CT).mask.array, FIRST)


def test_a_fractional_segmentation_is_refused_with_the_fix(write):
    """Its voxels are shares, not labels."""
    keys = [ORIGIN, "Segment0_Name:=tumour", "Segmentation_MasterRepresentation:=Fractional labelmap"]
    with pytest.raises(MaskError, match="a fractional segmentation; in 3D Slicer, export it as a binary labelmap"):
        survey_mask(write(FIRST, keys), None, CT)
