"""The door as a whole: what holds for every format."""

import logging
import random
import warnings

import pydicom
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.dicom_files import quiet_libraries
from gc_ray.imaging.read import list_rois, read_ct, read_mask, survey_ct, survey_mask


def test_masks_that_are_no_masks_are_refused(slices, save, tmp_path):
    """A CT slice, a folder, nothing, and text each get a plain word."""
    folder = save(slices)
    ct = survey_ct(folder)
    (tmp_path / "notes.dcm").write_text("not a mask")
    for path, pattern in (
        (folder / "000.dcm", r"000\.dcm: no mask \(modality CT\)"),
        (folder, "ct: a folder, wanted one mask file"),
        (tmp_path / "none.nii", "none.nii: no such file"),
        (tmp_path / "notes.dcm", r"notes\.dcm: a text file, wanted a label map \(NIfTI, .*DICOM SEG or an RTSTRUCT"),
    ):
        for call in (lambda p: read_mask(p, None, ct), list_rois):
            with pytest.raises(MaskError, match=pattern):
                call(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mask.zip", b"PK\3\4" + bytes(40), "a zip archive, wanted a label map .*; unpack it first"),
        ("mask.xlsx", b"PK\3\4" + bytes(22) + b"\x0b\0\0\0xl/workbook.", "an Excel workbook, wanted a label map"),
        ("mask.png", b"\x89PNG\r\n\x1a\n", "a PNG picture, .*; pictures hold no HU and no labels"),
        ("mask.vtk", b"# vtk DataFile Version 3.0\n", "a VTK file, .*; convert it to NIfTI, NRRD or MetaImage"),
        (
            "mask.dcm",
            b"\x08\0\x05\0CS\n\0ISO_IR 100",
            "DICOM data without preamble and file meta header, .*; add both",
        ),
        ("mask", b"NRRD0004\n", r"an NRRD file, .*; give it the suffix \.nrrd"),
        ("mask.img", bytes(500), r"of no known format, or empty; wanted a label map \(NIfTI"),
        ("RS.dcm", b"", "not a valid DICOM file"),
    ],
)
def test_a_mask_of_another_format_is_named_with_the_fix(slices, save, tmp_path, name, content, message):
    """The same recogniser as for images, in every way to look at a mask."""
    ct = survey_ct(save(slices))
    path = tmp_path / name
    path.write_bytes(content)
    for call in (lambda p: read_mask(p, None, ct), lambda p: survey_mask(p, None, ct), list_rois):
        with pytest.raises(MaskError, match=f"^{name}: {message}"):
            call(path)


def test_library_settings_come_back_after_reading(slices, save):
    """Being quiet is for the time of the call, also when it ends in a refusal."""
    before = pydicom.config.settings.reading_validation_mode, sitk.ProcessObject.GetGlobalWarningDisplay()
    read_ct(save(slices))
    with pytest.raises(ScanError):
        survey_ct(save(slices[:1], folder="one"))
    with pytest.raises(RuntimeError, match="inside"), quiet_libraries():
        warnings.warn("header value", stacklevel=1)
        raise RuntimeError("inside")
    assert before == (pydicom.config.settings.reading_validation_mode, sitk.ProcessObject.GetGlobalWarningDisplay())
    assert not logging.getLogger("pydicom").disabled


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_is_refused_or_harmless_never_a_traceback(slices, save, tmp_path, seed, capfd):
    """Bytes changed at random in a slice's header: one line without names or paths, or a clean read."""
    rng = random.Random(seed)
    folder = save(slices)
    path = folder / "003.dcm"
    content = bytearray(path.read_bytes())
    for _ in range(3):
        content[rng.randrange(132, len(content) - 640)] = rng.randrange(256)
    path.write_bytes(content)
    told = ""
    try:
        told = str(read_ct(folder).notes)
    except ScanError as refusal:
        told = str(refusal)
    out, err = capfd.readouterr()
    for text in (told, out, err):
        assert "PLANTED" not in text
        assert str(tmp_path) not in text
        assert len(text.splitlines()) <= 1
