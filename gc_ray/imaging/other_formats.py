"""Files of formats that are not read: what they are, and a tool that converts them."""

from __future__ import annotations

from pathlib import Path

from gc_ray.imaging.file_kinds import kind_of_file

READ_IMAGES = "a DICOM series, NIfTI (.nii, .nii.gz, .hdr with .img), NRRD (.nrrd, .nhdr) or MetaImage (.mha, .mhd)"
READ_MASKS = (
    "NIfTI (.nii, .nii.gz, .hdr with .img), NRRD (.nrrd, .nhdr, .seg.nrrd), MetaImage (.mha, .mhd), DICOM SEG or "
    "RTSTRUCT"
)
_SNAP = "save it as NIfTI, for example with ITK-SNAP (Save Image or Save Segmentation, file format NIfTI)"
_SURFACE = "make a label map of it, for example with 3D Slicer (Segmentations: Export to labelmap)"
_SCENE = "save the segmentation as .seg.nrrd or NIfTI"
_PICTURE = "it has no geometry; export the image or mask as NIfTI, NRRD or DICOM"

# By the end of the name, the longest first: what such a file is, and the fix.
ENDINGS: dict[str, tuple[str, str]] = {
    **dict.fromkeys((".nii.bz2", ".nrrd.bz2"), ("packed with bzip2", "unpack it (bunzip2) or pack it with gzip")),
    **dict.fromkeys((".nii.xz", ".nrrd.xz", ".mha.xz"), ("packed with xz", "unpack it (unxz) or pack it with gzip")),
    **dict.fromkeys((".nii.zst", ".nii.zstd"), ("packed with Zstandard", "unpack it (unzstd) or pack it with gzip")),
    **dict.fromkeys((".nii.zip", ".nrrd.zip", ".dcm.zip"), ("a zip archive", "unpack it first")),
    **dict.fromkeys((".nrrd.gz", ".mha.gz", ".dcm.gz"), ("packed with gzip", "unpack it (gunzip)")),
    **dict.fromkeys((".img.gz", ".hdr.gz"), ("half of a packed NIfTI or Analyze pair", "save it as one .nii.gz")),
    **dict.fromkeys((".hdr", ".img"), ("an image whose .hdr file is absent or of another format", _SNAP)),
    **dict.fromkeys((".vtk", ".vti", ".vtp", ".vtu"), ("a VTK file", _SNAP)),
    **dict.fromkeys((".gipl", ".gipl.gz"), ("a GIPL image, which states no axes", _SNAP)),
    **dict.fromkeys((".mgz", ".mgh"), ("a FreeSurfer volume", "convert it: mri_convert in.mgz out.nii.gz")),
    **dict.fromkeys((".mnc", ".mnc.gz"), ("a MINC volume", "convert it: mnc2nii in.mnc out.nii")),
    **dict.fromkeys((".par", ".rec"), ("a Philips PAR/REC file", "convert it with dcm2niix")),
    **dict.fromkeys((".head", ".brik", ".brik.gz"), ("an AFNI volume", "convert it: 3dAFNItoNIFTI")),
    **dict.fromkeys((".stl", ".obj", ".ply"), ("a surface, not voxels", _SURFACE)),
    **dict.fromkeys((".mrml", ".mrb", ".vtm"), ("a 3D Slicer scene", _SCENE)),
    **dict.fromkeys(
        (".raw", ".zraw", ".raw.gz"), ("voxels without a header", "name the header: its .mhd or .nhdr file")
    ),
    **dict.fromkeys((".mat",), ("a MATLAB file", "save it with niftiwrite, with the CT's header")),
    **dict.fromkeys((".npy", ".npz"), ("a NumPy array", "save it as NIfTI with the CT's affine (nibabel)")),
    **dict.fromkeys((".h5", ".hdf5", ".nc", ".zarr"), ("an array container", "save the volume as NIfTI or NRRD")),
    **dict.fromkeys((".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif"), ("a picture", _PICTURE)),
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
