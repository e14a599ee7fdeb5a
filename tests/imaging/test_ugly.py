"""Every row of the table of ugly inputs (``data/ugly_expected.csv``) behaves as the table says.

``CASES`` says how a row is called; what must come of it is read from the table.
"""

import csv
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.pixels import read_slice_hu
from gc_ray.imaging.read import read_ct, read_mask, survey_ct
from gc_ray.imaging.scan import CtScan, Notes, RoiMask

FIRST_UID = "1.3.6.1.4.1.14519.5.2.1.5168.1900.141218997755131153939359972784"
SECOND_UID = "1.2.826.0.1.3680043.8.498.24517223117677449504531620502071880243"
STS = "sts_ct_rtstruct/STS_025"
TOTALSEG = "totalseg_abdomen_nifti"

CLEAN_HU = "7c5f1e62ca5cbf4d8b47fdb3d00f0790fc2d4e6fd386e5113dc9ce73ecf97d1c"
CT2_HU = "ddaf7fb6a05bf7ac8b2b29e29cca3204e426179cce2888eeff3a270c1927d73d"
SMALL_HU = "743dc0a86c09496177526f2a903e7d18016eacfee47afabd89b198224c8f8e5d"
CLEAN_MASK = "eb1546eb86dac807b4e854717ed70e8148acb2fe644c5d188363f86cac5d490d"


@dataclass(frozen=True)
class Case:
    """How a row is called, and which of the outcomes that its table allows is ours.

    named: words besides the row's keywords that a refusal must hold; sha256, voxels, spacing: of what is accepted.
    """

    call: Callable[[Path, Path], object]
    outcome: str
    named: tuple[str, ...] = ()
    sha256: str | None = None
    voxels: int | None = None
    spacing: tuple[float, float, float] | None = None


def ct(name: str, uid: str | None = None) -> Callable:
    return lambda data, tmp: read_ct(data / name, uid)


def hu(name: str) -> Callable:
    return lambda data, tmp: read_slice_hu(data / name)


def on(scan: str, mask: str, roi: str | None) -> Callable:
    return lambda data, tmp: read_mask(data / mask, roi, survey_ct(data / scan))


def rtstruct(name: str, roi: str = "GTV_Mass_CT") -> Callable:
    return on(f"{STS}/dicom", f"ugly/derived_rtstruct_cases/{name}.dcm", roi)


def labelled(label: str) -> Callable:
    return on(f"{TOTALSEG}/ct.nii.gz", f"{TOTALSEG}/seg_multilabel.nii.gz", label)


def two_slices(name: str) -> Callable:
    """A lossy slice twice, at two positions: the smallest series that shows the note of a volume."""

    def call(data: Path, tmp: Path) -> CtScan:
        for k in range(2):
            slice_k = pydicom.dcmread(data / "ugly/real_compressed_wg04" / name)
            slice_k.ImagePositionPatient[2] += 10 * k
            slice_k.SOPInstanceUID = slice_k.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{k + 1}"
            slice_k.save_as(tmp / f"{k}.dcm")
        return read_ct(tmp)

    return call


def stomach(change: Callable[[sitk.Image], sitk.Image]) -> Callable:
    """The stomach of the label map, spoilt by ``change`` and written beside nothing else."""

    def call(data: Path, tmp: Path) -> RoiMask:
        labels = sitk.ReadImage(data / TOTALSEG / "seg_multilabel.nii.gz")
        sitk.WriteImage(change(labels == 6), tmp / "mask.nii.gz")
        return read_mask(tmp / "mask.nii.gz", None, survey_ct(data / TOTALSEG / "ct.nii.gz"))

    return call


def shifted(mask: sitk.Image) -> sitk.Image:
    x, y, z = mask.GetOrigin()
    mask.SetOrigin((x + 3.0, y, z))
    return mask


def flipped(mask: sitk.Image) -> sitk.Image:
    turned = sitk.GetImageFromArray(sitk.GetArrayFromImage(mask)[:, ::-1].copy())
    turned.CopyInformation(mask)
    return turned


CLEAN = {"sha256": CLEAN_HU, "spacing": (0.976562, 0.976562, 3.27)}
REFUSE, EQUAL, NOTED = "refuse", "accept-equal", "accept-with-repair-note"
CASES = {
    "missing_slices": Case(ct("ugly/derived_missing_slices"), REFUSE, ("009.dcm", "010.dcm", "9.81")),
    "duplicate_slice": Case(ct("ugly/derived_duplicate_slice"), NOTED, ("021.dcm",), **CLEAN),
    "truncated_file": Case(ct("ugly/derived_truncated_file"), REFUSE, ("010.dcm",)),
    "mixed_series": Case(ct("ugly/derived_mixed_series"), REFUSE, (FIRST_UID, SECOND_UID)),
    "mixed_series_uid_given": Case(ct("ugly/derived_mixed_series", FIRST_UID), EQUAL, **CLEAN),
    "mixed_series_uid_given_2": Case(
        ct("ugly/derived_mixed_series", SECOND_UID), EQUAL, spacing=(0.976562, 0.976562, 6.54)
    ),
    "rle": Case(ct("ugly/derived_rle"), EQUAL, **CLEAN),
    "rtstruct_roi_name_spaces_case": Case(
        rtstruct("roi_name_spaces_case", "GTV mass"), EQUAL, sha256=CLEAN_MASK, voxels=9655
    ),
    "rtstruct_roi_empty": Case(rtstruct("roi_empty"), REFUSE, ("GTV_Mass_CT", "roi_empty.dcm")),
    "rtstruct_no_contours": Case(rtstruct("no_contours"), REFUSE, ("GTV_Mass_CT", "no_contours.dcm")),
    "rtstruct_outside_volume": Case(rtstruct("outside_volume"), REFUSE, ("GTV_Mass_CT",)),
    "rtstruct_every_other_contour": Case(rtstruct("every_other_contour_missing"), NOTED, ("7 of 15",), voxels=4957),
    "rtstruct_one_point": Case(rtstruct("one_point_contour"), NOTED, voxels=9617),
    "rtstruct_inner_hole": Case(rtstruct("inner_hole_contour"), EQUAL, voxels=9500),
    "rtstruct_clean_but_unmatched_sop": Case(
        on(f"{STS}/dicom", f"{STS}/RS.dcm", None), NOTED, sha256=CLEAN_MASK, voxels=9655
    ),
    "real_gantry_tilt_siemens": Case(ct("ugly/real_gantry_tilt_siemens"), REFUSE),
    "real_oblique_oriented": Case(ct("ugly/real_oblique_oriented"), EQUAL, spacing=(2.5, 3.5, 4.5)),
    "real_localizer_philips": Case(ct("ugly/real_localizer_philips"), REFUSE),
    "pydicom_CT_small": Case(hu("ugly/real_pydicom/CT_small.dcm"), EQUAL, sha256=SMALL_HU),
    "pydicom_no_meta": Case(ct("ugly/real_pydicom/no_meta.dcm"), REFUSE, ("no_meta.dcm",)),
    "pydicom_meta_missing_tsyntax": Case(
        ct("ugly/real_pydicom/meta_missing_tsyntax.dcm"), REFUSE, ("meta_missing_tsyntax.dcm",)
    ),
    "pydicom_badVR": Case(hu("ugly/real_pydicom/badVR.dcm"), REFUSE, ("badVR.dcm",)),
    "pydicom_rtstruct": Case(on(f"{STS}/dicom", "ugly/real_pydicom/rtstruct.dcm", None), REFUSE, ("rtstruct.dcm",)),
    **{
        f"wg04_{name}": Case(hu(f"ugly/real_compressed_wg04/{name}"), EQUAL, sha256=CT2_HU)
        for name in ("CT2_J2KR", "CT2_JLSL", "CT2_JPLL", "CT2_RLE", "CT2_UNC")
    },
    "wg04_CT2_J2KI": Case(two_slices("CT2_J2KI"), NOTED),
    "wg04_CT2_JLSN": Case(two_slices("CT2_JLSN"), NOTED),
    "wg04_CT2_folder": Case(ct("ugly/real_compressed_wg04"), REFUSE),
    "empty_mask": Case(on(f"{TOTALSEG}/ct.nii.gz", f"{TOTALSEG}/organs_fast/esophagus_EMPTY.nii.gz", None), REFUSE),
    "one_voxel_mask": Case(labelled("13"), REFUSE),
    "pancreas_3_parts": Case(labelled("7"), EQUAL, voxels=644),
    "label_absent": Case(labelled("250"), REFUSE),
    "totalseg_nifti_direction": Case(labelled("6"), EQUAL, voxels=4675),
    "shifted_mask": Case(stomach(shifted), REFUSE, ("3.000",)),
    "flipped_mask": Case(stomach(flipped), EQUAL, voxels=4675),
    "origin_mismatch_STS_016": Case(
        on("sts_cohort_cropped/STS_016_ct.nii.gz", "sts_cohort_cropped/STS_016_gtv.nii.gz", None),
        NOTED,
        voxels=195277,
    ),
}


@pytest.fixture(scope="module")
def table(data: Path) -> dict[str, dict[str, str]]:
    """The rows of the table by case."""
    with (data / "ugly_expected.csv").open(newline="") as lines:
        return {row["case"]: row for row in csv.DictReader(lines)}


def test_every_row_of_the_table_has_a_case(table):
    """A row added to the table fails here until it is called, and none is called that the table does not know."""
    assert set(table) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_ugly_input_behaves_as_the_table_says(name, table, data, tmp_path):
    """A refusal matches the row's keywords and names whose fault it is; what is accepted has the row's figures."""
    row, case = table[name], CASES[name]
    assert case.outcome in [allowed.strip() for allowed in row["expected"].split("|")]
    if case.outcome == REFUSE:
        with pytest.raises((ScanError, MaskError)) as refusal:
            case.call(data, tmp_path)
        _check_words(str(refusal.value), row, case)
        return
    result = case.call(data, tmp_path)
    _check_figures(result, case)
    if case.outcome == NOTED:
        _check_words(" ".join(result.notes.repairs), row, case)
    elif not isinstance(result, np.ndarray):
        assert not [note for note in result.notes.repairs if "referenced SOP" not in note]


def _check_words(text: str, row: dict[str, str], case: Case) -> None:
    assert re.search(row["reason_keywords"], text, re.IGNORECASE)
    assert all(word in text for word in case.named)
    assert not re.search(r"(^|\s)/\w", text), "an absolute path"
    assert "\n" not in text


def _check_figures(result: CtScan | RoiMask | np.ndarray, case: Case) -> None:
    array = result
    if isinstance(result, CtScan):
        array = result.volume.array
        assert case.spacing is None or result.volume.grid.spacing_mm == pytest.approx(case.spacing, abs=1e-6)
    elif isinstance(result, RoiMask):
        array = result.mask.array
    assert case.sha256 in (None, hashlib.sha256(array.tobytes()).hexdigest())
    assert case.voxels in (None, np.count_nonzero(array))


def test_the_other_series_has_its_own_figures(data):
    """Every other slice, 100 HU higher: 11 slices, -900 to 1627 HU, mean -377.775."""
    array = read_ct(data / "ugly/derived_mixed_series", SECOND_UID).volume.array
    assert (len(array), array.min(), array.max()) == (11, -900, 1627)
    assert array.mean() == pytest.approx(-377.775, abs=5e-4)


@pytest.mark.parametrize(("name", "most"), [("CT2_J2KI", 402), ("CT2_JLSN", 4)])
def test_lossy_slices_differ_as_much_as_published(data, name, most):
    """The largest difference from the uncompressed slice is the table's, so the picture is the right one."""
    folder = data / "ugly/real_compressed_wg04"
    lossy, plain = read_slice_hu(folder / name).astype(int), read_slice_hu(folder / "CT2_UNC")
    assert np.abs(lossy - plain).max() == most


def test_a_name_that_is_not_there_lists_what_is(data):
    """Asked for GTV_Mass_CT where the region is called otherwise: refused, with the name present."""
    with pytest.raises(MaskError, match="ROI 'GTV_Mass_CT' not found; available: 1 = '  gtv mass'"):
        rtstruct("roi_name_spaces_case")(data, None)


def test_bad_objects_in_a_series_folder_are_refused_from_headers(data):
    """The survey alone tells: no pixel is read before a defective series is turned down."""
    for name in ("derived_missing_slices", "derived_truncated_file", "real_gantry_tilt_siemens"):
        with pytest.raises(ScanError):
            survey_ct(data / "ugly" / name)
    geometry = survey_ct(data / "ugly/derived_duplicate_slice")
    assert "duplicate" in geometry.notes.repairs[0]
    scan = read_ct(data / "ugly/derived_duplicate_slice")
    assert replace(scan.geometry, notes=Notes()) == replace(geometry, notes=Notes())
