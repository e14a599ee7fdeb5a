"""Which files make a CT series, and whether they agree."""

from copy import deepcopy

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import EnhancedCTImageStorage, SecondaryCaptureImageStorage, generate_uid

from gc_ray.errors import ScanError
from gc_ray.imaging.read import read_ct, survey_ct


def place(data, k):
    """A copy with another UID at the position of slice k."""
    data = deepcopy(data)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.ImagePositionPatient = [-10, 5, 100 + 2 * k]
    return data


def assert_refused(folder, pattern, **kwargs):
    with pytest.raises(ScanError, match=pattern) as refusal:
        survey_ct(folder, **kwargs)
    message = str(refusal.value)
    assert "PLANTED" not in message
    assert str(folder.parent) not in message
    assert "\n" not in message


def test_a_clean_series_gives_grid_uids_and_hu(slices, save):
    """Grid from headers, UIDs in slice order, HU = stored value + intercept, nothing to remark."""
    scan = read_ct(save(slices))
    assert scan.volume.grid.size == (20, 16, 6)
    assert scan.volume.grid.spacing_mm == (0.5, 0.75, 2.0)
    assert scan.volume.grid.origin_mm == (-10.0, 5.0, 100.0)
    assert scan.volume.array.dtype == np.int16
    assert scan.volume.array[3, 2, 1] == 1000 + 300 + 20 + 1 - 1024
    assert scan.geometry.sop_uids == tuple(s.SOPInstanceUID for s in slices)
    assert (scan.geometry.series_uid, scan.geometry.frame_of_reference_uid) == ("1.2.3.1", "1.2.3.3")
    assert scan.notes.repairs == scan.notes.remarks == ()


def test_file_names_and_their_order_do_not_matter(slices, save):
    """Shuffled, renamed and nested files give the same volume to the bit."""
    plain = read_ct(save(slices))
    order = np.random.default_rng(0).permutation(6)
    names = [f"sub{i % 2}/{n:02d}" for i, n in enumerate(np.random.default_rng(1).permutation(6))]
    mixed = read_ct(save([slices[i] for i in order], names, "mixed"))
    assert np.array_equal(plain.volume.array, mixed.volume.array)
    assert plain.geometry == mixed.geometry


@pytest.mark.parametrize(
    "name", ["sts_ct_rtstruct/STS_025/dicom", "dicom_seg/ct-3slice", "ugly/real_oblique_oriented", "ugly/derived_rle"]
)
def test_grid_and_hu_equal_itks_series_reader_to_the_bit(data, name):
    """On clean series we are ITK: size, spacing, origin, direction and every voxel."""
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(data / name))
    image = sitk.ReadImage(names)
    scan = read_ct(data / name)
    grid = scan.volume.grid
    assert grid.size == image.GetSize()
    assert grid.spacing_mm == image.GetSpacing()
    assert grid.origin_mm == image.GetOrigin()
    assert grid.direction == image.GetDirection()
    assert np.array_equal(scan.volume.array, sitk.GetArrayFromImage(image))


def test_other_objects_and_files_are_left_out_with_a_remark(slices, save):
    """A dose report, hidden files and text lie in many folders; they are counted, not read as slices."""
    other = place(slices[0], 0)
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    folder = save([*slices, other])
    for name in ("info.txt", ".hidden", "DICOMDIR", "README", "._000.dcm"):
        (folder / name).write_text("no DICOM")
    scan = read_ct(folder)
    assert scan.volume.grid.size[2] == 6
    assert scan.notes.remarks == (
        "skipped DICOM objects that are no CT images: Secondary Capture Image (modality CT) 1",
        "ignored files that are no DICOM: .txt 1, DICOMDIR 1, README 1, hidden 2",
    )


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", bytes(200)])
def test_a_file_that_should_be_dicom_and_is_not_is_named(slices, save, content):
    """A slice that lost its content must not vanish from the stack."""
    folder = save(slices)
    (folder / "006.dcm").write_bytes(content)
    assert_refused(folder, r"^006\.dcm: not a valid DICOM file")


@pytest.mark.parametrize("share", np.linspace(0.15, 0.99, 22).tolist())
def test_a_slice_cut_anywhere_never_leaves_the_stack_in_silence(slices, save, share):
    """The last slice is the one whose loss no gap would show, and a stated series must not sort it out."""
    folder = save(slices)
    whole = (folder / "005.dcm").read_bytes()
    (folder / "005.dcm").write_bytes(whole[: int(len(whole) * share)])
    assert_refused(folder, r"^005\.dcm: ", series_uid="1.2.3.1")


def test_names_of_usual_companions_do_not_swallow_slices(slices, save):
    """Only the plain name is ignored: a slice called version1.dcm is a slice."""
    assert survey_ct(save(slices, [f"version{k}.dcm" for k in range(6)])).grid.size[2] == 6


def test_pictures_stored_as_ct_in_another_series_are_left_out_with_a_repair_note(slices, save):
    """A dose report has no position, a screen in colour is no slice: they make no second series, unlike slices."""
    report, screen = place(slices[0], 0), place(slices[0], 0)
    report.SeriesInstanceUID, screen.SeriesInstanceUID = "1.2.8", "1.2.9"
    del report.ImagePositionPatient
    screen.SamplesPerPixel, screen.PhotometricInterpretation = 3, "RGB"
    scan = read_ct(save([*slices, report, screen]))
    assert scan.volume.grid.size[2] == 6
    assert scan.notes.repairs == ("left out 2 CT image(s) of other series without position or in colour",)
    assert_refused(save([report], folder="alone"), r"000\.dcm: a single slice")
    report.SeriesInstanceUID = slices[0].SeriesInstanceUID
    assert_refused(save([*slices, report]), r"006\.dcm: ImagePositionPatient is missing")


def test_empty_missing_and_foreign_folders_are_refused(tmp_path, slices, save):
    """Nothing there, nothing at all, and something else each have their own words."""
    assert_refused(tmp_path / "nowhere", "nowhere: no such file or folder")
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", "no CT images here, found: no file at all")
    slices[0].SOPClassUID, slices[0].Modality = "1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE"
    slices[1].SOPClassUID, slices[1].Modality = "1.2.840.10008.5.1.4.1.1.4", "PLANTED"
    assert_refused(save(slices[:2]), "found: MR Image 1, RT Dose 1; the image column must name a series of CT")


def test_two_series_are_refused_until_one_is_stated(slices, save):
    """The refusal lists the UIDs with their slice counts; a UID that is not there is refused with the same list."""
    second = [place(s, k) for k, s in enumerate(slices[:3])]
    for data in second:
        data.SeriesInstanceUID = "1.2.9"
    folder = save([*slices, *second])
    both = r"1\.2\.3\.1 \(6 slices\), 1\.2\.9 \(3 slices\)"
    assert_refused(folder, "2 CT series here.*" + both)
    assert_refused(folder, r"no series 1\.2\.8 here.*" + both, series_uid="1.2.8")
    assert survey_ct(folder, "1.2.9").grid.size[2] == 3
    assert survey_ct(folder, "1.2.3.1").grid.size[2] == 6


def test_localizers_are_left_out_with_a_repair_note(slices, save):
    """A scout in the folder, of the same or another series, is no slice and makes no second series."""
    for uid in ("1.2.3.1", "1.2.9"):
        scout = place(slices[0], 0)
        scout.ImageType, scout.SeriesInstanceUID = ["ORIGINAL", "PRIMARY", "LOCALIZER"], uid
        scout.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        scan = read_ct(save([*slices, scout]))
        assert scan.volume.grid.size[2] == 6
        assert scan.notes.repairs == ("left out 1 localizer image(s) that lay with the CT slices",)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("Rows", 8, r"003\.dcm: Rows x Columns differs from 000\.dcm \(1 of 6 slices differ\)"),
        ("PixelSpacing", [0.7, 0.5], r"003\.dcm: PixelSpacing differs"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0.999998, 0.002], "ImageOrientationPatient differs"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], r"003\.dcm: .*not two orthogonal unit vectors"),
        ("ImagePositionPatient", None, r"003\.dcm: ImagePositionPatient is missing"),
        ("ImageOrientationPatient", None, r"003\.dcm: ImageOrientationPatient is missing"),
        ("PixelSpacing", None, r"003\.dcm: PixelSpacing is missing"),
        ("PixelSpacing", [0.75], r"003\.dcm: PixelSpacing is invalid, wanted 2 number"),
        ("PixelSpacing", [0, 0], r"003\.dcm: PixelSpacing must be positive"),
        ("FrameOfReferenceUID", "1.2.99", "FrameOfReferenceUID differs between the slices"),
        ("PatientID", "PLANTED-OTHER", "PatientID differs between the slices of one series: several patients"),
        ("SamplesPerPixel", 3, r"003\.dcm: a colour image"),
        ("PhotometricInterpretation", "MONOCHROME1", r"003\.dcm: PhotometricInterpretation is not MONOCHROME2"),
        ("RescaleSlope", None, r"003\.dcm: RescaleSlope or RescaleIntercept is missing in 1 of 6 slices, so HU"),
        ("RescaleIntercept", None, "RescaleIntercept is missing"),
        ("RescaleSlope", 0, r"003\.dcm: RescaleSlope is 0"),
        ("RescaleType", "HU_MOD", r"003\.dcm: RescaleType is HU_MOD \(HU that were modified.*so values are not HU"),
        ("NumberOfFrames", 2, r"003\.dcm: several frames"),
        ("PixelData", None, r"003\.dcm: no pixel data"),
    ],
)
def test_one_slice_that_does_not_agree_refuses_the_series(slices, save, keyword, value, message):
    """Whatever would change the meaning of voxels in one slice turns the whole series down, naming that file."""
    if value is None:
        delattr(slices[3], keyword)
    else:
        setattr(slices[3], keyword, value)
    assert_refused(save(slices), message)


@pytest.mark.parametrize("text", [b"1A", b"PLANTED", b"nan", b"\xff\xfe", b"1\\2"])
def test_values_that_are_no_numbers_are_named_and_not_repeated(slices, save, text):
    """A damaged decimal string is a refusal without the header's own words, never a traceback."""
    folder = save(slices)
    path = folder / "002.dcm"
    path.write_bytes(path.read_bytes().replace(b"-1024.0 ", text.ljust(8)))
    assert_refused(folder, r"^002\.dcm: RescaleIntercept is invalid")


def test_damaged_names_appear_nowhere(slices, save):
    """Invalid bytes in a patient's name, and a name where a UID belongs, reach no message and no note."""
    folder = save(slices)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"PLANTED^PATIENT", b"PLANTED\xff\xfeATIENT"))
    scan = read_ct(folder)
    assert "PLANTED" not in str(scan.notes)
    slices[0].SeriesInstanceUID = "1.2.777"
    folder = save(slices)
    path = folder / "000.dcm"
    path.write_bytes(path.read_bytes().replace(b"1.2.777", b"PLANTED"))
    assert_refused(folder, r"2 CT series here.*\(no valid UID\) \(1 slices\)")


def test_a_single_slice_and_multi_frame_objects_are_refused(slices, save):
    """One slice has no spacing; enhanced CT must be converted first."""
    assert_refused(save(slices[:1]), r"000\.dcm: a single slice")
    slices[2].SOPClassUID = slices[2].file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    assert_refused(
        save(slices), r"002\.dcm: enhanced multi-frame CT is not read; .*one file per slice.*emf2sf of dcm4che"
    )


def test_two_phases_under_one_uid_are_refused_from_headers(slices, save):
    """Every position twice is seen before any pixel is read."""
    second = [place(s, k) for k, s in enumerate(slices)]
    assert_refused(
        save([*slices, *second]), "6 of 6 slice positions hold several images .*two phases or reconstructions"
    )


def test_survey_flags_a_doubled_position_and_read_settles_it(slices, save):
    """Equal pixels: the later copy is dropped with a note. Other pixels: refused. Both keep the survey's grid."""
    copy = place(slices[4], 4)
    folder = save([*slices, copy])
    surveyed, scan = survey_ct(folder), read_ct(folder)
    assert surveyed.grid == scan.volume.grid
    assert surveyed.sop_uids == scan.geometry.sop_uids == tuple(s.SOPInstanceUID for s in slices)
    assert "1 slice position(s) hold several files" in surveyed.notes.repairs[0]
    assert scan.notes.repairs == ("duplicate slice at z = 108.00 mm: 006.dcm equals 004.dcm, dropped",)
    copy.PixelData = slices[3].PixelData
    with pytest.raises(ScanError, match=r"004\.dcm and 006\.dcm: two different images at the same position"):
        read_ct(save([*slices, copy]))


def test_thick_slices_and_varying_rescale_are_remarked(slices, save):
    """Overlapping reconstruction and a rescale of its own per slice are fine, and told."""
    for k, data in enumerate(slices):
        data.SliceThickness = 3
        data.RescaleIntercept = -1024 - k
    scan = read_ct(save(slices))
    assert scan.notes.repairs == ()
    assert "varies between slices" in scan.notes.remarks[0]
    assert "overlapping reconstruction: slices 3 mm thick every 2 mm" in scan.notes.remarks[1]
    assert scan.volume.array[5, 0, 0] == 1000 + 500 - 1024 - 5


def test_slices_thinner_than_their_distance_are_remarked(slices, save):
    """An even stack with tissue left out between slices is a grid, but texture along z is not what it seems."""
    for data in slices:
        data.SliceThickness = 1
    notes = read_ct(save(slices)).notes
    assert notes.repairs == ()
    assert notes.remarks == ("tissue between slices was not imaged: slices 1 mm thick every 2 mm",)


def test_wg04_encodings_under_one_uid_are_refused(data):
    """Six encodings of one picture are no stack of six slices."""
    uid = "1.3.6.1.4.1.5962.1.3.2.1.20040826185059.5457"
    assert_refused(data / "ugly/real_compressed_wg04", "same position", series_uid=uid)
