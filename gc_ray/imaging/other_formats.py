"""Files of formats that are not read: what they are, and a tool that converts them."""

from __future__ import annotations

from pathlib import Path

from gc_ray.imaging.file_kinds import kind_of_file

READ_IMAGES = (
    "a folder of DICOM slices or a NIfTI (.nii, .nii.gz, .hdr with .img), NRRD (.nrrd, .nhdr) or MetaImage "
    "(.mha, .mhd) file"
)
READ_MASKS = (
    "a label map (NIfTI .nii, .nii.gz, .hdr with .img; NRRD .nrrd, .nhdr, .seg.nrrd; MetaImage .mha, .mhd), a DICOM "
    "SEG or an RTSTRUCT"
)
_CONVERT = "convert it to NIfTI, NRRD or MetaImage"
_SNAP = f"{_CONVERT}, for example with ITK-SNAP (Save Image or Save Segmentation, file format NIfTI)"
_SURFACE = "make a label map of it, for example with 3D Slicer (Segmentations: Export to labelmap)"

# By the end of the name: what such a file is, and the fix. Files that their first bytes tell are not listed.
ENDINGS: dict[str, tuple[str, str]] = {
    **dict.fromkeys((".img.gz", ".hdr.gz"), ("half of a packed pair of .hdr and .img", "save it as one .nii.gz")),
    **dict.fromkeys((".vtk", ".vti", ".vtp", ".vtu"), ("a VTK file", _SNAP)),
    **dict.fromkeys((".gipl", ".gipl.gz"), ("a GIPL file, which states no axes", _SNAP)),
    **dict.fromkeys((".mgz", ".mgh"), ("a FreeSurfer volume", f"{_CONVERT}: mri_convert in.mgz out.nii.gz")),
    **dict.fromkeys((".mnc", ".mnc.gz"), ("a MINC volume", f"{_CONVERT}: mnc2nii in.mnc out.nii")),
    **dict.fromkeys((".par", ".rec"), ("a Philips PAR/REC file", f"{_CONVERT}, for example with dcm2niix")),
    **dict.fromkeys((".head", ".brik", ".brik.gz"), ("an AFNI volume", f"{_CONVERT}: 3dAFNItoNIFTI")),
    **dict.fromkeys((".stl", ".obj", ".ply"), ("a surface, not voxels", _SURFACE)),
    **dict.fromkeys((".mrml", ".mrb", ".vtm"), ("a 3D Slicer scene", "save the segmentation as .seg.nrrd or NIfTI")),
    **dict.fromkeys(
        (".raw", ".zraw", ".raw.gz"), ("voxels without a header", "name the header: its .mhd or .nhdr file")
    ),
    **dict.fromkeys((".mat",), ("a MATLAB file", f"{_CONVERT}: niftiwrite, with the CT's header")),
    **dict.fromkeys(
        (".npy", ".npz"), ("a NumPy array without geometry", f"{_CONVERT}: nibabel, with the CT's affine")
    ),
    **dict.fromkeys((".h5", ".hdf5", ".nc"), ("an array container", _CONVERT)),
}


def unread_format(path: Path) -> tuple[str, str] | None:
    """What a file is that is of a format that is not read, and what to do about it.

    Parameters
    ----------
    path : Path
        A file whose name is not that of a volume file that is read.

    Returns
    -------
    (what, fix) or None
        None when the name tells nothing, or the file is DICOM under such a name.
    """
    name = path.name.lower()
    found = next((ENDINGS[end] for end in sorted(ENDINGS, key=len, reverse=True) if name.endswith(end)), None)
    if found is None or not path.is_file():
        return None
    kind = kind_of_file(path)
    return None if kind is not None and kind.group == "dicom" else found
