"""Objects that are no CT images are named by their SOP class, with the fix."""

import pytest
from pydicom.uid import UID

from gc_ray.errors import ScanError
from gc_ray.imaging.read import survey_ct

STORAGE = "1.2.840.10008.5.1.4.1.1"


@pytest.mark.parametrize(
    ("sop_class", "modality", "found", "fix"),
    [
        (f"{STORAGE}.7", "CT", r"Secondary Capture Image \(modality CT\)", "export the original CT images"),
        (f"{STORAGE}.7", "OT", "Secondary Capture Image", "export the original CT images"),
        (f"{STORAGE}.7.3", "CT", r"Multi-frame Grayscale Word .* \(modality CT\)", "export the original CT images"),
        (f"{STORAGE}.7.4", "SC", "Multi-frame True Color Secondary Capture Image", "export the original CT images"),
        (f"{STORAGE}.4", "MR", "MR Image", "a series of CT Image Storage"),
        (f"{STORAGE}.128", "PT", "Positron Emission Tomography Image", "a series of CT Image Storage"),
        (f"{STORAGE}.12.1", "XA", "X-Ray Angiographic Image", "a series of CT Image Storage"),
        (f"{STORAGE}.13.1.1", "CT", r"X-Ray 3D Angiographic Image \(modality CT\)", "a series of CT Image Storage"),
        (f"{STORAGE}.88.67", "SR", "X-Ray Radiation Dose SR", "a series of CT Image Storage"),
        (f"{STORAGE}.66", "CT", r"Raw Data \(modality CT\)", "a series of CT Image Storage"),
        (f"{STORAGE}.481.3", "RTSTRUCT", "RT Structure Set", "a series of CT Image Storage"),
        ("1.3.46.670589.5.0.1", "CT", r"private SOP class 1\.3\.46\.670589\.5\.0\.1 \(modality CT\)", "CT Image"),
        ("1.2.840.10008.1.2", "CT", r"private SOP class 1\.2\.840\.10008\.1\.2 \(modality CT\)", "CT Image"),
        ("", "MR", "no SOP class, modality MR", "CT Image"),
    ],
)
def test_what_is_no_ct_image_is_named_by_its_sop_class(slices, save, sop_class, modality, found, fix):
    """The modality alone says CT of a screen capture, too: the message must not contradict itself."""
    for data in slices:
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = UID(sop_class or f"{STORAGE}.4")
        data.Modality = modality
        if not sop_class:
            del data.SOPClassUID
    with pytest.raises(ScanError, match=rf"^no CT images here, found: {found} 6; .*{fix}"):
        survey_ct(save(slices))


def test_text_where_the_sop_class_should_be_is_not_repeated(slices, save):
    """It could be about a patient."""
    folder = save(slices)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"PLANTED^PATIENT           "))
    with pytest.raises(ScanError, match=r"found: private SOP class \(no valid UID\) \(modality CT\) 6") as refusal:
        survey_ct(folder)
    assert "PLANTED" not in str(refusal.value)
