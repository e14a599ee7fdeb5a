"""DICOM objects by their SOP class: which are CT images, and how the others are called in messages."""

from __future__ import annotations

from collections import Counter

from pydicom.uid import UID, UID_dictionary

from gc_ray.imaging.dicom_files import DicomFile, blaming, printable_uid

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = (f"{CT_IMAGE}.1", f"{CT_IMAGE}.2")  # Enhanced CT, Legacy Converted Enhanced CT
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame forms below it
DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory, the DICOMDIR of a CD


def is_ct(file: DicomFile) -> bool:
    """Whether an object is a CT image; without SOP class, whether its modality says so."""
    return file.sop_class in (CT_IMAGE, *ENHANCED_CT) or (not file.sop_class and file.modality == "CT")


def is_directory(file: DicomFile) -> bool:
    """Whether an object is the index of a CD, whatever its name."""
    with blaming(file.name, "its file meta header is invalid; export it again"):
        stored_as = str(file.header.file_meta.get("MediaStorageSOPClassUID") or "")
    return DIRECTORY in (file.sop_class, stored_as)


def class_name(file: DicomFile) -> str:
    """Name an object for a message.

    Parameters
    ----------
    file : DicomFile
        Any object.

    Returns
    -------
    str
        The name of its SOP class as DICOM lists it, without "Storage"; a private class by its UID. The modality is
        added where it alone would say CT.

    References
    ----------
    DICOM PS3.6, annex A (registry of UIDs).
    """
    if is_directory(file):
        return "DICOMDIR"
    uid = file.sop_class
    if not uid:
        return f"no SOP class, modality {file.modality}"
    known = uid in UID_dictionary and UID_dictionary[uid][1] == "SOP Class"
    name = UID(uid).name.removesuffix(" Storage") if known else f"private SOP class {printable_uid(uid)}"
    return f"{name} (modality CT)" if file.modality == "CT" else name


def advice_on_objects(files: list[DicomFile]) -> str:
    """What to do about objects among which there is no CT image; empty when there is no particular advice."""
    if not files:
        return ""
    most = Counter(file.sop_class for file in files).most_common(1)[0][0]
    if most == SECONDARY_CAPTURE or most.startswith(f"{SECONDARY_CAPTURE}."):
        return "a secondary capture is a picture without assured HU and place in space; export the original CT images"
    if most == DIRECTORY or all(map(is_directory, files)):
        return "a DICOMDIR only lists the images of a CD; name the folder that holds them"
    return "the image column must name a series of CT Image Storage"
