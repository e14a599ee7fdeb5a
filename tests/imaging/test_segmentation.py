"""DICOM SEG objects of every kind on the grid of their CT."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError
from gc_ray.imaging.read import list_rois, read_ct, read_mask, survey_ct, survey_mask


@pytest.fixture
def region():
    """An asymmetric region on slices 1 to 3, so that any flip or mix-up of frames shows."""
    array = np.zeros((6, 16, 20), np.uint8)
    array[1, 2:6, 3:9] = array[2, 3:6, 3:12] = array[3, 10:12, 15:19] = 1
    return array


@pytest.mark.parametrize("roi", [None, "1", "Tumour", " tumour "])
def test_binary_segment_is_placed_by_position(seg, slices, ct, region, roi):
    """Frames exist for filled slices only and go where their position says; name, number or nothing choose it."""
    path = seg(region, slices, "BINARY", ["Tumour"])
    read = read_mask(path, roi, ct)
    assert np.array_equal(read.mask.array, region)
    assert read.mask.grid == ct.grid
    assert list_rois(path) == ("Tumour",)
    assert read.notes.remarks[-1] == "seg.dcm: ROI 'Tumour' has 2 parts (connected components), all kept"


def test_order_of_frames_does_not_matter(seg, slices, ct, region):
    """Functional groups and pixel frames reversed together give the same mask."""
    path = seg(region, slices, "BINARY", ["Tumour"])
    data = pydicom.dcmread(path)
    frames = [np.packbits(f.ravel().astype(bool), bitorder="little") for f in data.pixel_array[::-1]]
    data.PixelData = np.concatenate(frames).tobytes()
    data.PerFrameFunctionalGroupsSequence = data.PerFrameFunctionalGroupsSequence[::-1]
    data.save_as(path)
    assert np.array_equal(read_mask(path, None, ct).mask.array, region)


def test_frames_that_do_not_end_on_a_byte_are_unpacked(seg, slices, save, region):
    """One bit per voxel and 15 x 19 voxels a frame: frames start in the middle of a byte."""
    for data in slices:
        values = np.frombuffer(data.PixelData, "<i2").reshape(16, 20)[:15, :19]
        data.Rows, data.Columns, data.PixelData = 15, 19, values.tobytes() + b"\0\0"[: values.nbytes % 2]
    ct = survey_ct(save(slices))
    path = seg(region[:, :15, :19], slices, "BINARY", ["Tumour"])
    assert np.array_equal(read_mask(path, None, ct).mask.array, region[:, :15, :19])


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_several_segments_are_told_apart(seg, slices, ct, region, kind, assert_refused):
    """Each segment is its own mask; none asked for among two is refused with the names."""
    labels = region.copy()
    labels[2, 8:14, 2:9] = 2
    path = seg(labels, slices, kind, ["Tumour", "Node"])
    assert np.array_equal(read_mask(path, "Tumour", ct).mask.array, region)
    assert np.array_equal(read_mask(path, "2", ct).mask.array, labels == 2)
    assert_refused(path, None, ct, "2 ROIs and none was asked for; available: 1 = 'Tumour', 2 = 'Node'")
    assert_refused(path, "Liver", ct, "ROI 'Liver' not found; available: 1 = 'Tumour', 2 = 'Node'")


def test_overlapping_segments_keep_their_common_voxels(seg, slices, ct, region):
    """A voxel may belong to two segments."""
    second = np.zeros_like(region)
    second[2, 2:8, 2:10] = 1
    path = seg(np.stack([region, second], -1), slices, "BINARY", ["Tumour", "Oedema"])
    assert np.array_equal(read_mask(path, "Tumour", ct).mask.array, region)
    assert np.array_equal(read_mask(path, "Oedema", ct).mask.array, second)
    assert (region & second).any()


def test_fractions_count_from_one_half_on(seg, slices, ct, region):
    """Half of the maximum and more is inside, and the reader is told."""
    fractions = region * 0.49
    fractions[1, 2:6, 3:9] = 0.51
    path = seg(fractions.astype(np.float32), slices, "FRACTIONAL", ["Tumour"])
    read = read_mask(path, None, ct)
    assert np.array_equal(read.mask.array[1], region[1])
    assert read.mask.voxels == region[1].sum()
    assert "fractional" in read.notes.remarks[0]


def test_cropped_segmentation_lands_on_its_voxels(seg, slices, ct, region, assert_refused):
    """A SEG of a part of the image, offset by whole voxels, is placed; by half a voxel it is refused."""
    path = seg(region, slices, "BINARY", ["Tumour"])
    data = pydicom.dcmread(path)
    part = data.pixel_array[:, 2:14, 3:19]
    data.Rows, data.Columns = part.shape[1:]
    data.PixelData = np.packbits(part.ravel().astype(bool), bitorder="little").tobytes()
    for group in data.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        x, y, z = place.ImagePositionPatient
        place.ImagePositionPatient = [x + 3 * 0.5, y + 2 * 0.75, z]
    data.save_as(path)
    assert np.array_equal(read_mask(path, None, ct).mask.array, region)
    for group in data.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient[0] += 0.25
    data.save_as(path)
    assert_refused(path, None, ct, "frame 1 lies off the grid: shifted by a part of a voxel")


def turned_seg(path, rows, columns, flips, shape=None, first=(0, 0, 0)):
    """Rewrite a SEG: frames whose rows run along CT axis ``rows`` and columns along ``columns``, some reversed.

    flips: by axis. shape: (x, y, z) of the part that frames cover from voxel ``first`` on, else the whole CT.
    """
    data = pydicom.dcmread(path)
    heights = [g.PlanePositionSequence[0].ImagePositionPatient[2] for g in data.PerFrameFunctionalGroupsSequence]
    whole = np.zeros((20, 16, 6), np.uint8)  # x, y, z
    for frame, height in zip(data.pixel_array, heights, strict=True):
        whole[:, :, round((float(height) - 100) / 2)] = frame.T
    spacing, origin, fixed = (0.5, 0.75, 2.0), (-10.0, 5.0, 100.0), 3 - rows - columns
    shape = shape or whole.shape
    padded = np.zeros(np.maximum(whole.shape, np.add(first, shape)), np.uint8)
    padded[:20, :16, :6] = whole
    part = padded[tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))]
    cosines = np.zeros((2, 3))
    cosines[0, rows], cosines[1, columns] = (-1 if flips[rows] else 1), (-1 if flips[columns] else 1)
    groups, frames = [], []
    for k in range(shape[fixed]):
        frame = part.take(k, fixed)
        frame = frame if columns < rows else frame.T
        frame = frame[:: -1 if flips[columns] else 1, :: -1 if flips[rows] else 1]
        index = np.array(first) + [shape[a] - 1 if flips[a] and a != fixed else 0 for a in range(3)]
        index[fixed] = first[fixed] + k
        group = deepcopy(data.PerFrameFunctionalGroupsSequence[0])
        group.PlanePositionSequence[0].ImagePositionPatient = [
            float(o + s * i) for o, s, i in zip(origin, spacing, index, strict=True)
        ]
        groups.append(group)
        frames.append(frame)
    shared = data.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = cosines.ravel().tolist()
    shared.PixelMeasuresSequence[0].PixelSpacing = [spacing[columns], spacing[rows]]
    data.Rows, data.Columns = frames[0].shape
    data.NumberOfFrames = len(frames)
    data.PerFrameFunctionalGroupsSequence = groups[::-1]
    data.PixelData = np.packbits(np.stack(frames[::-1]).ravel(), bitorder="little").tobytes()
    data.save_as(path)
    return path


@pytest.mark.parametrize(("rows", "columns"), [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)])
@pytest.mark.parametrize("flips", [(False,) * 3, (True, False, True), (False, True, False), (True, True, True)])
def test_axes_that_run_another_way_are_an_exact_index_flip(seg, slices, ct, region, rows, columns, flips):
    """IDC, dcmqi and highdicom write arrays in any orientation: every voxel comes back, with a note."""
    path = turned_seg(seg(region, slices, "BINARY", ["Tumour"]), rows, columns, flips)
    read = read_mask(path, None, ct)
    assert np.array_equal(read.mask.array, region)
    told = [note for note in read.notes.repairs if "exact index flip, values equal" in note]
    assert len(told) == ((rows, columns) != (0, 1) or flips[0] or flips[1])
    assert survey_mask(path, None, ct).repairs == read.notes.repairs


@pytest.mark.parametrize("flips", [(False,) * 3, (True, True, False)])
def test_frames_of_a_part_are_padded_with_a_remark(seg, slices, ct, region, flips):
    """Cropped to the region, also with axes reversed."""
    path = turned_seg(seg(region, slices, "BINARY", ["Tumour"]), 0, 1, flips, (17, 11, 3), (2, 1, 1))
    read = read_mask(path, None, ct)
    assert np.array_equal(read.mask.array, region)
    assert "frames of 11 x 17 pixels where the CT has 16 x 20, padded with 0" in str(read.notes.remarks)


def test_frames_beyond_the_ct_are_cropped_when_they_hold_nothing_there(seg, slices, ct, region, save):
    """A SEG of a longer scan or a larger field of view; one voxel outside refuses it."""
    path = turned_seg(seg(region, slices, "BINARY", ["Tumour"]), 0, 1, (False,) * 3, (23, 18, 8))
    read = read_mask(path, None, ct)
    assert np.array_equal(read.mask.array, region)
    assert "reaches beyond the CT, where the region must have no voxel; cropped to the CT" in read.notes.repairs[0]
    data = pydicom.dcmread(path)
    bits = np.unpackbits(np.frombuffer(data.PixelData, np.uint8), bitorder="little")
    bits[0] = 1  # of the frame written first, which lies above the CT
    data.PixelData = np.packbits(bits, bitorder="little").tobytes()
    data.save_as(path)
    with pytest.raises(MaskError, match="ROI 'Tumour': 1 of its voxels lie outside the volume"):
        read_mask(path, None, ct)


def test_frames_in_several_orientations_are_refused(seg, slices, ct, region, assert_refused):
    """One segment, one stack."""
    path = turned_seg(seg(region, slices, "BINARY", ["Tumour"]), 0, 1, (False,) * 3)
    data = pydicom.dcmread(path)
    group, shared = data.PerFrameFunctionalGroupsSequence[0], data.SharedFunctionalGroupsSequence[0]
    group.PlaneOrientationSequence = deepcopy(shared.PlaneOrientationSequence)
    group.PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    data.save_as(path)
    assert_refused(path, None, ct, "has frames in several orientations")


def test_another_patients_segmentation_is_refused(seg, slices, ct, region, assert_refused):
    """Another frame of reference is another coordinate system, whatever the positions say."""
    path = seg(region, slices, "BINARY", ["Tumour"])
    assert_refused(
        path, None, replace(ct, frame_of_reference_uid="1.2.9"), "frame of reference 1.2.3.3 is not the CT's"
    )


def test_without_frame_of_reference_the_images_must_match(seg, slices, ct, region, assert_refused):
    """A CT that names none is tied by its SOP UIDs; if these differ too, nothing says that they belong together."""
    path = seg(region, slices, "BINARY", ["Tumour"])
    nameless = replace(ct, frame_of_reference_uid=None)
    assert "tied to the CT by its referenced images" in read_mask(path, None, nameless).notes.remarks[0]
    stranger = replace(nameless, sop_uids=tuple(f"1.9.{k}" for k in range(6)))
    assert_refused(path, None, stranger, "names no frame of reference, and 3 of 3 images")


def test_unknown_images_in_the_same_frame_are_a_repair(seg, slices, ct, region):
    """An exported copy of the CT has new SOP UIDs; positions still say where frames lie."""
    path = seg(region, slices, "BINARY", ["Tumour"])
    read = read_mask(path, None, replace(ct, sop_uids=tuple(f"1.9.{k}" for k in range(6))))
    assert np.array_equal(read.mask.array, region)
    assert "3 of 3 referenced SOP instances are not in this series" in read.notes.repairs[0]


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"origin_mm": (-10.0, 5.0, 1000.0)}, "outside the volume"),
        ({"origin_mm": (-10.0, 5.0, 101.0)}, "mm off the grid"),
        ({"origin_mm": (-20.0, 5.0, 100.0)}, "reaches outside the volume"),
        ({"spacing_mm": (0.51, 0.75, 2.0)}, "pixel spacing or orientation is not the CT's"),
        ({"direction": (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)}, "pixel spacing or orientation is not the CT's"),
    ],
)
def test_frames_off_the_grid_are_refused(seg, slices, ct, region, change, pattern, assert_refused):
    """Position, spacing and orientation are compared with the CT's; nothing is resampled or clipped in silence."""
    path = seg(region, slices, "BINARY", ["Tumour"])
    assert_refused(path, None, replace(ct, grid=replace(ct.grid, **change)), pattern)


def test_segment_without_frames_is_refused_as_empty(seg, slices, ct, region, assert_refused):
    """A described segment that was never drawn is not a mask of zeros."""
    path = seg(region, slices, "BINARY", ["Tumour", "Node"])
    assert_refused(path, "Node", ct, r"seg\.dcm: ROI 'Node' is empty: no frames, so no voxels")


@pytest.mark.parametrize(
    ("spoil", "pattern"),
    [
        (
            lambda d: setattr(d, "SegmentationType", "OTHER"),
            "SegmentationType must be BINARY, FRACTIONAL or LABELMAP",
        ),
        (lambda d: setattr(d, "SegmentationType", "FRACTIONAL"), "fractional segmentation without Maximum"),
        (lambda d: delattr(d, "PerFrameFunctionalGroupsSequence"), "functional groups are incomplete"),
        (lambda d: delattr(d, "SegmentSequence"), "list of segments is missing"),
        (lambda d: setattr(d, "PixelData", bytes(2)), "truncated: it holds 2 of 120 bytes"),
        (lambda d: delattr(d, "FrameOfReferenceUID"), None),
        (
            lambda d: setattr(
                d.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0],
                "ImagePositionPatient",
                d.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient,
            ),
            "several frames on one CT slice",
        ),
        (
            lambda d: setattr(
                d.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0], "ImagePositionPatient", ["1", "2"]
            ),
            "functional groups are incomplete or invalid",
        ),
    ],
)
def test_spoilt_headers_are_refused_in_plain_words(seg, slices, ct, region, spoil, pattern, assert_refused):
    """What a header lacks or contradicts is a refusal; a missing frame of reference is made up for by image UIDs."""
    path = seg(region, slices, "BINARY", ["Tumour"])
    data = pydicom.dcmread(path)
    spoil(data)
    data.save_as(path)
    if pattern is None:
        assert np.array_equal(read_mask(path, None, ct).mask.array, region)
    else:
        assert_refused(path, None, ct, r"^seg\.dcm: .*" + pattern)


def test_frames_without_a_voxel_are_refused_as_empty(seg, slices, ct, region):
    """Frames may exist and hold nothing; only decoding tells."""
    path = seg(region, slices, "BINARY", ["Tumour"])
    data = pydicom.dcmread(path)
    data.PixelData = bytes(len(data.PixelData))
    data.save_as(path)
    with pytest.raises(MaskError, match="ROI 'Tumour' is empty: no voxels"):
        read_mask(path, None, ct)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_segmentation_is_refused(seg, slices, ct, region, share, assert_refused):
    """A file cut anywhere is refused and named."""
    path = seg(region, slices, "BINARY", ["Tumour"])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert_refused(path, None, ct, r"^seg\.dcm: ")


def test_liver_equals_its_reference_voxel_for_voxel(data):
    """dcmqi's liver segmentation: 107,098 voxels, equal to the NRRD it was made from."""
    folder = data / "dicom_seg"
    read = read_mask(folder / "ct-3slice_liver_SEG.dcm", "Liver", survey_ct(folder / "ct-3slice"))
    reference = sitk.GetArrayFromImage(sitk.ReadImage(folder / "ct-3slice_liver_seg.nrrd"))
    assert read.mask.voxels == 107098
    assert np.array_equal(read.mask.array, reference)


@pytest.mark.parametrize("name", ["seg_image_ct_binary.dcm", "seg_image_ct_binary_fractional.dcm"])
def test_highdicoms_own_segmentations_match_their_threshold(data, tmp_path, name):
    """highdicom's test files, made from three slices of tiny_ct2: their frames in the order of positions."""
    for k in ("17136", "17166", "17196"):
        (tmp_path / k).write_bytes((data / "dicom_seg/tiny_ct2" / k).read_bytes())
    scan = read_ct(tmp_path)
    read = read_mask(data / "dicom_seg" / name, None, scan.geometry)
    stored = pydicom.dcmread(data / "dicom_seg" / name)
    heights = [
        float(g.PlanePositionSequence[0].ImagePositionPatient[2]) for g in stored.PerFrameFunctionalGroupsSequence
    ]
    frames = stored.pixel_array[np.argsort(heights)]
    assert np.array_equal(read.mask.array, frames >= frames.max() / 2)
