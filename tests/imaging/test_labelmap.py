"""Label maps on the CT's grid."""

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.read import list_rois, read_mask, survey_ct, survey_mask
from gc_ray.imaging.scan import ScanGeometry

GRID = Grid((12, 10, 8), (0.5, 0.75, 2.0), (-10.0, 5.0, 100.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
CT = ScanGeometry(GRID)


@pytest.fixture
def labels():
    """Label 1 with 24 voxels, label 5 with 18 in two parts, nothing else."""
    array = np.zeros(GRID.shape, np.uint8)
    array[1:3, 2:5, 3:7] = 1
    array[4, 1:4, 1:4] = array[6, 5:8, 5:8] = 5
    return array


@pytest.fixture
def write(tmp_path):
    def save(array, name="mask.nii.gz", **header):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(header.get("spacing", GRID.spacing_mm))
        image.SetOrigin(header.get("origin", GRID.origin_mm))
        image.SetDirection(header.get("direction", GRID.direction))
        sitk.WriteImage(image, tmp_path / name)
        return tmp_path / name

    return save


def assert_refused(path, roi, pattern, ct=CT):
    with pytest.raises(MaskError, match=pattern) as refusal:
        read_mask(path, roi, ct)
    assert str(path.parent) not in str(refusal.value)


@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz", "mask.nrrd", "mask.mha", "mask.mhd"])
def test_a_label_is_read_on_the_cts_own_grid(write, labels, name):
    """Every format gives the same voxels and exactly the CT's grid."""
    path = write(labels, name)
    read = read_mask(path, "1", CT)
    assert np.array_equal(read.mask.array, labels == 1)
    assert read.mask.grid is CT.grid
    assert list_rois(path) == ("1", "5")
    assert read_mask(path, "5", CT).notes.remarks == (
        f"{name}: label 5 has 2 parts (connected components), all kept",
    )


def test_absent_labels_and_unasked_choices_are_refused(write, labels):
    """The refusal lists what is there; no other label takes the place."""
    path = write(labels)
    assert_refused(path, "2", "label 2 not found; labels present: 1, 5")
    assert_refused(path, None, "2 labels and none was asked for; labels present: 1, 5")
    assert_refused(path, "liver", "a plain label map has numbers, no names; give ROI 'liver' as its label number")


@pytest.mark.parametrize("value", [255, 2, 0.0039, 1000.0])
def test_one_value_other_than_one_is_accepted_with_a_remark(write, labels, value):
    """Tools write 255 or 1/255 for inside; with a single value there is no doubt which voxels are meant."""
    read = read_mask(write((labels == 1) * np.float32(value)), None, CT)
    assert np.array_equal(read.mask.array, labels == 1)
    assert f"marked by {value:g} instead of 1" in read.notes.remarks[0]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd", "mask.mha"])
def test_nan_is_background_with_a_note(write, labels, name, kind):
    """Resampling tools write NaN outside their region; the labels are kept, their count is that of NumPy."""
    path = write(np.where(labels == 0, np.nan, labels).astype(kind), name)
    read = read_mask(path, "5", CT)
    assert np.array_equal(read.mask.array, labels == 5)
    assert f"{name}: {np.count_nonzero(labels == 0)} voxels hold NaN, taken for background" in read.notes.repairs
    assert list_rois(path) == ("1", "5")


@pytest.mark.parametrize(
    ("inside", "outside", "message"),
    [
        (np.nan, 0, "the mask is empty: 24 voxels hold NaN"),
        (np.nan, np.nan, "is empty"),
        (1, np.inf, "infinite values"),
    ],
)
def test_nan_and_infinity_never_mark_a_region(write, labels, inside, outside, message):
    """What a map of NaN and 0 means is not known; infinite values are no labels."""
    assert_refused(write(np.where(labels == 1, inside, outside).astype(np.float32)), None, message)


def test_probabilities_and_images_are_refused(write, labels):
    """Fractions or negative numbers are no labels, whichever is asked for."""
    assert_refused(write(labels * np.float32(0.1)), None, "values that are no labels")
    assert_refused(write(labels.astype(np.int16) * -3), "1", "values that are no labels")


def test_empty_and_tiny_regions_are_refused(write, labels):
    """No voxel is no mask; fewer than ten carry no texture."""
    assert_refused(write(labels * 0), None, r"mask\.nii\.gz: the mask is empty: no voxels")
    few = labels * 0
    few[3, 3, :9] = 1
    assert_refused(write(few), None, r"mask\.nii\.gz: label 1 has 9 voxels, too small: wanted 10")
    few[3, 3, 9] = 1
    assert read_mask(write(few), None, CT).mask.voxels == 10


@pytest.mark.parametrize(
    ("header", "pattern"),
    [
        (
            {"origin": (-9.5, 5.0, 100.0)},
            r"origin differs by \(0.500, 0.000, 0.000\) mm, \(-1.000, 0.000, 0.000\) voxels",
        ),
        (
            {"spacing": (0.5, 0.75, 2.5)},
            r"spacing \(0.500, 0.750, 2.500\) where the CT has \(0.500, 0.750, 2.000\) mm",
        ),
        ({"direction": (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)}, "direction differs"),
    ],
)
def test_another_grid_is_refused_from_the_header(write, labels, header, pattern):
    """One voxel of shift, another spacing or a flip in the header: never used as the arrays lie."""
    path = write(labels, **header)
    assert_refused(path, "1", pattern)
    with pytest.raises(MaskError, match="geometry mismatch"):
        survey_mask(path, "1", CT)


def test_a_voxel_exact_part_of_the_grid_is_padded_with_a_note(write, labels):
    """Cropped tools' masks: same spacing and axes, origin on a voxel centre of the CT, no voxel outside."""
    path = write(labels[1:, 2:, 3:8], origin=tuple(float(v) for v in GRID.index_to_mm(np.array([3, 2, 1]))))
    read = read_mask(path, "1", CT)
    assert np.array_equal(read.mask.array, labels == 1)
    assert read.mask.grid is CT.grid
    assert "covers a part of the CT's grid ((5, 8, 7) voxels from (3, 2, 1) on), cropped" in read.notes.repairs[0]
    assert survey_mask(path, "1", CT).repairs == read.notes.repairs


def test_rounding_of_the_origin_is_mended_with_a_note(write, labels):
    """Up to 1e-3 mm is one scan written twice; above PyRadiomics' 1e-6 mm it is told."""
    read = read_mask(write(labels, origin=(-10.0 + 6e-5, 5.0, 100.0)), "1", CT)
    assert read.mask.grid is CT.grid
    assert "grid differs from the CT's by 6.0e-05 mm" in read.notes.repairs[0]
    assert_refused(write(labels, origin=(-10.002, 5.0, 100.0)), "1", "origin differs")
    assert read_mask(write(labels), "1", CT).notes.repairs == ()


def segmentation(path, layers, segments):
    """A 3D Slicer .seg.nrrd, written by hand: layers (layer, z, y, x), segments (name, value, layer)."""
    kinds, size = ("list domain domain domain", len(layers)) if len(layers) > 1 else ("domain domain domain", "")
    steps = "(-0.5,0,0) (0,-0.75,0) (0,0,2)"
    header = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {3 + (len(layers) > 1)}",
        "space: left-posterior-superior",
        f"sizes: {size} 12 10 8",
        f"space directions: {'none ' if len(layers) > 1 else ''}{steps}",
        f"kinds: {kinds}",
        "encoding: raw",
        "space origin: (-10,5,100)",
    ]
    for n, (name, value, layer) in enumerate(segments):
        header += [f"Segment{n}_Name:={name}", f"Segment{n}_LabelValue:={value}", f"Segment{n}_Layer:={layer}"]
    voxels = np.moveaxis(np.stack(layers), 0, -1) if len(layers) > 1 else layers[0]
    path.write_bytes(("\n".join(header) + "\n\n").encode() + voxels.tobytes())
    return path


def test_slicer_segments_are_chosen_by_name(tmp_path, labels):
    """One layer: name, or label value, finds the segment."""
    path = segmentation(tmp_path / "a.seg.nrrd", [labels], [("Tumour", 1, 0), ("Node", 5, 0)])
    assert list_rois(path) == ("Tumour", "Node")
    assert np.array_equal(read_mask(path, "Tumour", CT).mask.array, labels == 1)
    assert np.array_equal(read_mask(path, "node", CT).mask.array, labels == 5)
    assert np.array_equal(read_mask(path, "5", CT).mask.array, labels == 5)
    assert_refused(path, "Liver", "ROI 'Liver' not found; available: 1 = 'Tumour', 5 = 'Node'")


def test_slicer_segments_may_overlap_in_layers(tmp_path, labels):
    """Layers use the same label value for different segments: names tell them apart, the number alone does not."""
    second = np.zeros_like(labels)
    second[1:4, 2:6, 3:8] = 1
    path = segmentation(tmp_path / "a.seg.nrrd", [labels, second], [("Tumour", 1, 0), ("Oedema", 1, 1)])
    assert np.array_equal(read_mask(path, "Tumour", CT).mask.array, labels == 1)
    assert np.array_equal(read_mask(path, "Oedema", CT).mask.array, second)
    assert_refused(path, "1", "ROI '1' fits several")
    survey_mask(path, "Oedema", CT)


def test_spoilt_slicer_headers_are_refused(tmp_path, labels):
    """A layer that is not there, and a label value that is no number."""
    assert_refused(
        segmentation(tmp_path / "a.seg.nrrd", [labels], [("Tumour", 1, 3)]), None, "names a layer that the file lacks"
    )
    assert_refused(
        segmentation(tmp_path / "b.seg.nrrd", [labels], [("Tumour", "x", 0)]), None, r"b\.seg\.nrrd: segment label"
    )


def test_layers_without_names_are_refused(tmp_path, labels):
    """Nothing says which of several values per voxel is meant."""
    assert_refused(
        segmentation(tmp_path / "a.nrrd", [labels, labels], []), "1", "several values per voxel and no segment names"
    )


def test_totalsegmentator_labels_are_those_of_its_separate_files(data):
    """Stomach, label 6: 4,675 voxels on a grid with direction (-1, -1, 1)."""
    folder = data / "totalseg_abdomen_nifti"
    ct = survey_ct(folder / "ct.nii.gz")
    stomach = read_mask(folder / "seg_multilabel.nii.gz", "6", ct)
    assert stomach.mask.voxels == 4675
    assert stomach.notes.repairs == ()
    assert read_mask(folder / "organs_fast/stomach.nii.gz", None, ct).mask.voxels == 4748
