"""Which values of a map are labels: whole numbers, or nearly so; everything else is shown and refused."""

import numpy as np
import pytest

from gc_ray.errors import MaskError
from gc_ray.imaging.label_values import choose_label, label_number, label_texts


def values(*found, dtype=np.float64):
    """A map with every value on ten voxels, and background."""
    return np.repeat(np.array([0, *found], dtype), 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.9999999975, 1.0000004, 0.9999995, 1.0])
@pytest.mark.parametrize("roi", [None, "1", "1.0", " 1 "])
def test_a_value_within_a_millionth_of_a_whole_number_is_that_label(dtype, value, roi):
    """255 times the slope 1/255 in single precision is not quite 1."""
    array = values(value, 3, dtype=dtype) if roi else values(value, dtype=dtype)
    inside, label, notes = choose_label(array, roi, "m.nii")
    assert (inside.sum(), label) == (10, "1")
    assert np.array_equal(np.flatnonzero(inside), np.arange(10, 20))
    exact = dtype(value) == 1
    assert [str(dtype(value)) in note for note in notes.repairs] == [True] * (not exact)


def test_values_on_both_sides_of_a_label_are_one_label():
    """0.9999999, 1 and 1.0000001 are all label 1."""
    inside, _, notes = choose_label(values(0.9999999, 1, 1.0000001, 2), "1", "m.nii")
    assert inside.sum() == 30
    assert "0.9999999, 1.0000001" in notes.repairs[0]
    assert label_texts(values(0.9999999, 1, 1.0000001, 2), "m.nii") == ("1", "2")


@pytest.mark.parametrize("noise", [1e-7, -1e-7, -0.0])
def test_a_value_within_a_millionth_of_zero_is_background(noise):
    """Resampled masks keep such dust."""
    inside, label, _ = choose_label(values(noise, 1), None, "m.nii")
    assert (inside.sum(), label) == (10, "1")
    with pytest.raises(MaskError, match=r"^m\.nii: the mask is empty: no voxels"):
        choose_label(values(noise), None, "m.nii")


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ((0.25, 0.5, 1), "0.25, 0.5"),
        ((1, 1.00001), "1.00001"),
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), r"0\.1, 0\.2, 0\.3, 0\.4, 0\.5 and 2 more"),
        ((-1, 1), "-1"),
        ((1, 2, -3), "-3"),
    ],
)
@pytest.mark.parametrize("roi", [None, "1"])
def test_values_that_are_no_labels_are_refused_and_shown(found, shown, roi):
    """Probability maps, images, and labels that interpolation smeared."""
    with pytest.raises(MaskError, match=f"values that are no labels .* values present: {shown}; threshold or round"):
        choose_label(values(*found), roi, "m.nii")


@pytest.mark.parametrize(
    ("value", "dtype"), [(255, np.uint8), (0.0039, np.float32), (-1, np.int8), (1 / 255, np.float64)]
)
def test_a_single_value_of_any_kind_marks_the_region(value, dtype):
    """Image viewers write 255 or its inverse; which voxels are meant is not in doubt."""
    inside, label, notes = choose_label(values(value, dtype=dtype), None, "m.nii")
    assert inside.sum() == 10
    assert notes.remarks == (f"m.nii: the mask is marked by {label} instead of 1",)
    assert dtype(float(label)) == dtype(value)


@pytest.mark.parametrize("value", [255, 0.5, 0.9, 1.0001])
def test_a_refusal_never_names_the_label_that_it_misses(value):
    """Values are written with as many digits as tell them apart."""
    with pytest.raises(MaskError) as refusal:
        choose_label(values(value), "1", "m.nii")
    text = str(refusal.value)
    assert "label 1 not found; labels present: " in text
    assert text.partition("present: ")[2].partition(";")[0] == str(float(value)).removesuffix(".0")
    assert "leave roi empty to take the only label" in text


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64, np.uint16])
def test_large_labels_are_exact(dtype):
    """FreeSurfer numbers regions to 14,175; neighbours stay apart, also in the list."""
    array = values(2035, 2036, 14175, dtype=dtype)
    inside, label, notes = choose_label(array, "2035", "m.nii")
    assert (inside.sum(), label, notes.repairs) == (10, "2035", ())
    assert label_texts(array, "m.nii") == ("2035", "2036", "14175")
    assert label_texts(values(1_000_001, 1_000_002, dtype=np.int32), "m.nii") == ("1000001", "1000002")


@pytest.mark.parametrize(
    ("roi", "number"),
    [
        ("1", 1),
        ("01", 1),
        (" 12 ", 12),
        ("3.0", 3),
        ("4.", 4),
        ("3.5", None),
        ("liver", None),
        ("-1", None),
        ("", None),
    ],
)
def test_a_label_number_is_what_a_spreadsheet_makes_of_it(roi, number):
    """1.0 is label 1; a fraction or a name is none."""
    assert label_number(roi) == number


def test_background_is_no_label():
    """Asking for 0 gets no outside-in mask."""
    with pytest.raises(MaskError, match=r"label 0 not found \(0 is background\); labels present: 1, 2"):
        choose_label(values(1, 2), "0", "m.nii")
