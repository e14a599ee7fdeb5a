"""The real scans beside the repository, as each program gets them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

ORGANS = {"1": "spleen", "2": "right kidney", "3": "left kidney", "4": "gallbladder", "5": "liver", "6": "stomach"}
ORGANS |= {"7": "pancreas", "19": "duodenum", "20": "colon"}


@dataclass(frozen=True)
class Case:
    """One outline of one scan.

    image, mask, roi: as gc_ray reads them. peer: image, mask and label as PyRadiomics reads them, None where the scan
    is DICOM and has no copy in another format.
    """

    name: str
    image: Path
    mask: Path
    roi: str
    peer: tuple[Path, Path, str] | None

    @property
    def mm3(self) -> float:
        """Volume of the region, which is its size in voxels of 1 mm; 0 where PyRadiomics has no mask of it."""
        if self.peer is None:
            return 0.0
        region = sitk.ReadImage(self.peer[1])
        return float((sitk.GetArrayViewFromImage(region) == int(self.peer[2])).sum() * np.prod(region.GetSpacing()))


def real_scans(data: Path, folder: Path) -> list[Case]:
    """Every real CT below ``data`` with its outlines, by size; masks moved for PyRadiomics go below ``folder``."""
    sarcoma, dicom, abdomen = data / "sts_ct_rtstruct/STS_025", data / "dicom_seg", data / "totalseg_abdomen_nifti"
    copy = (sarcoma / "CT_image.nii.gz", sarcoma / "CT_mask.nii.gz", "1")
    found = [
        _plain("lung1", *(data / f"pyradiomics_nrrd/lung1_{part}.nrrd" for part in ("image", "label")), "1"),
        _plain("IBSI phantom", *(data / f"ibsi/ct_phantom/{part}.nii.gz" for part in ("image", "mask")), "1"),
        _plain("STS_025", *copy),
        Case("STS_025, DICOM and RTSTRUCT", sarcoma / "dicom", sarcoma / "RS.dcm", "GTV_Mass_CT", copy),
        Case("liver, DICOM and SEG", dicom / "ct-3slice", dicom / "ct-3slice_liver_SEG.dcm", "Liver", None),
    ]
    for label, organ in ORGANS.items():
        found.append(_plain(organ, abdomen / "ct.nii.gz", abdomen / "seg_multilabel.nii.gz", label))
    for image in sorted((data / "sts_cohort_cropped").glob("*_ct.nii.gz")):
        mask, name = image.with_name(image.name.replace("_ct", "_gtv")), f"{image.name[:7]}, cropped"
        found.append(Case(name, image, mask, "1", (image, _aligned(mask, image, folder), "1")))
    return sorted(found, key=lambda case: case.mm3)


def _plain(name: str, image: Path, mask: Path, label: str) -> Case:
    return Case(name, image, mask, label, (image, mask, label))


def _aligned(mask: Path, image: Path, folder: Path) -> Path:
    """The mask with exactly the image's origin: PyRadiomics resamples on the mask's grid, gc_ray on the scan's.

    Of two scans the mask is 6e-5 and 1e-6 mm off, which moves voxels that lie midway between two others.
    """
    ct, region = sitk.ReadImage(image), sitk.ReadImage(mask)
    if ct.GetOrigin() == region.GetOrigin():
        return mask
    region.CopyInformation(ct)
    path = folder / mask.name
    sitk.WriteImage(region, path)
    return path
