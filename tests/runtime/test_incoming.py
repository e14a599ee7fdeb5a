"""What lies below a scanned prefix is anybody's: looking at it is bounded."""

import time
import zlib

import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from gc_ray.runtime.incoming import find_series
from gc_ray.runtime.survey import volume_bytes
from gc_ray.source import list_source
from gc_ray.store import open_store
from gc_ray.study_cohort import ScansSettings

MB = 1 << 20
SOON_S = 10  # of this process, whatever else runs; without a bound each look takes minutes


@pytest.fixture(params=[40, 400])
def bomb(request, tmp_path):
    """A deflated file of so many megabytes of zeros: empty elements by the million, in 40 or 400 KB."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = DeflatedExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    out = pydicom.filebase.DicomBytesIO()
    write_file_meta_info(out, meta)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join(packer.compress(bytes(MB)) for _ in range(request.param)) + packer.flush()
    path = tmp_path / "incoming" / "ct" / "000.dcm"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(128) + b"DICM" + out.getvalue() + packed)
    return path


def test_a_deflate_bomb_below_a_prefix_is_no_series(bomb, tmp_path):
    """It is passed over in bounded time, and what else lies there is found."""
    began = time.process_time()
    found = find_series(str(tmp_path / "incoming"), open_store(str(tmp_path / "store")), b"key", ScansSettings())
    assert found == ([], [])
    assert time.process_time() - began < SOON_S


def test_the_first_look_at_a_deflate_bomb_is_bounded(bomb):
    """Its memory is then told from its size, as for any header that cannot be read."""
    began = time.process_time()
    assert volume_bytes(list_source(str(bomb))) == bomb.stat().st_size
    assert time.process_time() - began < SOON_S


@pytest.mark.parametrize(
    ("sop_class", "waiting"), [(CTImageStorage, 1), (SecondaryCaptureImageStorage, 0), (None, 1)]
)
def test_only_ct_images_wait_for_an_outline(tmp_path, sop_class, waiting):
    """A dose report saved as a picture has the modality CT, too; no outline will ever come for it."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = sop_class or CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
    data.Modality, data.SeriesInstanceUID, data.PatientID = "CT", "1.2.4", "1"
    if sop_class:
        data.SOPClassUID = sop_class
    path = tmp_path / "incoming" / "ct" / "000.dcm"
    path.parent.mkdir(parents=True)
    data.save_as(path, enforce_file_format=True)
    scans, waits = find_series(
        str(tmp_path / "incoming"), open_store(str(tmp_path / "store")), b"key", ScansSettings()
    )
    assert (len(scans), len(waits)) == (0, waiting)
