"""Files of formats that are not read: refused by what they are, with a tool, as image and as mask."""

import gzip
import locale

import numpy as np
import pytest
import SimpleITK as sitk

from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.other_formats import ENDINGS
from gc_ray.imaging.read import list_rois, open_ct, read_mask, survey_ct, survey_mask
from gc_ray.imaging.scan import ScanGeometry

CT = ScanGeometry(Grid((6, 5, 4), (1.0, 1.0, 1.0)))
TOOLS = {
    "m.vtk": "VTK.*ITK-SNAP",
    "M.VTK": "VTK",
    "m.vti": "VTK",
    "m.gipl": "GIPL.*ITK-SNAP",
    "m.gipl.gz": "GIPL.*ITK-SNAP",
    "m.mgz": "FreeSurfer.*mri_convert",
    "m.mnc": "MINC.*mnc2nii",
    "m.par": "dcm2niix",
    "m.brik.gz": "AFNI.*3dAFNItoNIFTI",
    "m.img.gz": r"one \.nii\.gz",
    "m.mat": "MATLAB.*niftiwrite",
    "m.npy": "NumPy.*nibabel",
    "m.npz": "NumPy.*nibabel",
    "m.stl": "surface.*3D Slicer",
    "m.mrb": "3D Slicer scene.*seg\\.nrrd",
    "m.raw": r"name the header: its \.mhd or \.nhdr file",
}


@pytest.mark.parametrize("name", TOOLS)
def test_a_format_that_is_not_read_is_named_with_those_that_are_and_a_tool(name, tmp_path):
    """Never called damaged or no DICOM."""
    (tmp_path / name).write_bytes(gzip.compress(bytes(400)) if name.endswith("z") else bytes(range(256)) * 2)
    for call in (lambda p: survey_mask(p, None, CT), lambda p: read_mask(p, None, CT), list_rois):
        with pytest.raises(MaskError, match=rf"^{name}: .*, wanted a label map .*RTSTRUCT; ") as refusal:
            call(tmp_path / name)
        assert str(tmp_path) not in str(refusal.value)
    for call in (survey_ct, open_ct):
        with pytest.raises(ScanError, match=rf"^{name}: .*wanted a folder of DICOM slices or a NIfTI"):
            call(tmp_path / name)
    with pytest.raises(MaskError, match=TOOLS[name]):
        list_rois(tmp_path / name)


@pytest.fixture
def same_locale():
    """ITK's VTK format leaves the process in the locale C, where text files are ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.usefixtures("same_locale")
@pytest.mark.parametrize("name", ["m.vtk", "m.gipl"])
def test_what_itk_itself_writes_is_refused_for_its_axes(name, tmp_path):
    """ITK reads both back without their axes: the mask would lie elsewhere."""
    image = sitk.GetImageFromArray(np.ones((4, 5, 6), np.uint8))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, tmp_path / name)
    assert sitk.ReadImage(tmp_path / name).GetDirection() != image.GetDirection()
    with pytest.raises(MaskError, match="convert it to NIfTI"):
        read_mask(tmp_path / name, None, CT)


@pytest.mark.parametrize("name", ["000.img", "000.raw", "000.rec"])
def test_dicom_under_such_a_name_is_read(name, slices, save, seg):
    """Some CDs name their slices .img; content decides."""
    folder = save(slices, [f"{k}{name[3:]}" for k in range(len(slices))])
    path = seg((np.arange(6 * 16 * 20).reshape(6, 16, 20) % 7 == 0).astype(np.uint8), slices, "BINARY", ["a"])
    mask = path.rename(path.with_name(f"mask{name[3:]}"))
    assert list_rois(mask) == ("a",)
    with pytest.raises(ScanError, match=r"1 slice|one slice|single"):
        survey_ct(folder / f"0{name[3:]}")


def test_every_ending_has_a_fix():
    """What it is, and what to do."""
    assert all(what and fix for what, fix in ENDINGS.values())
    assert all(ending.startswith(".") and ending == ending.lower() for ending in ENDINGS)
