"""What mutations start from: small sound files of every format, written here, and the shared ugly ones."""

from __future__ import annotations

import bz2
import gzip
import io
import tempfile
import zlib
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow.csv
import pyarrow.parquet as pq
import pydicom
from fuzzing.mutate import SECRET, Files
from fuzzing.voxels import nifti, pair_header
from pydicom.dataset import Dataset

from gc_ray.cohort.synthetic.ct_dicom import ct_series, to_bytes
from gc_ray.cohort.synthetic.draw import draw
from gc_ray.cohort.synthetic.mask_dicom import rtstruct_of, seg_of
from gc_ray.cohort.synthetic.spec import SITES, CohortSpec
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.volume import Mask, Volume

SIZE = (40, 36, 4)  # x, y, z: a few kilobytes a slice, so that an input takes milliseconds
SLICES = 6  # of a shared series at most, from its ends
LARGEST = 300_000  # bytes of a shared file; larger ones cost time and show nothing more
SPEC = CohortSpec(patients=1)
KEY = b"a key of this site alone"
PERSONAL = ("PatientName", "PatientID", "InstitutionName", "ReferringPhysicianName", "SeriesDescription", "StudyID")
CT_SYNTAXES = ("explicit", "implicit", "jpeg-ls", "rle", "1.2.840.10008.1.2.4.90")
MANIFEST = """scan_id,patient_id,site,phase,image,mask,roi,reader,repeat
S1,P1,A,portal_venous,dicom/S1,masks/S1.dcm,tumour,R1,0
S1,P1,A,portal_venous,dicom/S1,masks/S1b.dcm,tumour,R2,0
S2,P2,A,portal_venous,s3://bucket/S2,/data/S2.nii.gz,1,R1,0
S3,P3,B,arterial,dicom/S3,masks/S3.dcm,,R1,
"""


def volume() -> Volume:
    """A small CT of noise."""
    hu = np.random.default_rng(0).integers(-1000, 1000, SIZE[::-1]).astype(np.int16)
    return Volume(hu, Grid(SIZE, (0.8, 0.8, 5.0), (-16.0, -14.0, 100.0)))


def mask() -> Mask:
    """A box of 8 x 6 x 2 voxels."""
    inside = np.zeros(SIZE[::-1], np.uint8)
    inside[1:3, 6:12, 8:16] = 1
    return Mask(inside, volume().grid)


def ct_datasets(syntax: str = "explicit") -> list[Dataset]:
    """The CT's slices in a transfer syntax, with planted identifiers."""
    plain = syntax if syntax in ("explicit", "implicit", "jpeg-ls", "rle") else "explicit"
    slices = ct_series(SPEC, 0, replace(SITES[0], transfer_syntax=plain), volume())
    for data in slices:
        if plain != syntax:
            data.compress(syntax, generate_instance_uid=False)
        _plant(data)
    return slices


def _plant(data: Dataset) -> None:
    for keyword in PERSONAL:
        setattr(data, keyword, SECRET)


def named(slices: list[Dataset]) -> Files:
    """Data sets as the files of a folder."""
    return {f"{k:03d}.dcm": to_bytes(data) for k, data in enumerate(slices)}


def series_seeds(data: Path | None) -> list[Files]:
    """CT series: five transfer syntaxes of our own, and the shared ugly ones, from their ends."""
    found = [named(ct_datasets(syntax)) for syntax in CT_SYNTAXES]
    if data is None:
        return found
    for folder in sorted(p for p in (data / "ugly").iterdir() if p.is_dir() and "rtstruct" not in p.name):
        paths = sorted(p for p in folder.iterdir() if p.is_file())
        ends = paths if len(paths) <= SLICES else paths[: SLICES // 2] + paths[-SLICES // 2 :]
        found.append({path.name: path.read_bytes() for path in ends if path.stat().st_size < LARGEST})
    for path in sorted((data / "ugly/real_compressed_wg04").glob("CT2_J*")):
        found.append(_doubled(path))
    return [files for files in found if files]


def _doubled(path: Path) -> Files:
    """One compressed slice as a series of two, so that it is decoded."""
    slices = []
    for k in range(2):
        one = pydicom.dcmread(path)
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"{one.SOPInstanceUID}.{k}"
        one.ImagePositionPatient = [*one.ImagePositionPatient[:2], float(one.ImagePositionPatient[2]) + 5 * k]
        slices.append(one)
    return named(slices)


def seg_seeds(data: Path | None) -> list[Files]:
    """SEG objects on the small CT: binary, fractional and a label map; and the shared ones."""
    binary = seg_of(SPEC, 0, ct_datasets(), mask(), 0)
    _plant(binary)
    found = [{"seg.dcm": to_bytes(binary)}]
    fractional = pydicom.dcmread(io.BytesIO(found[0]["seg.dcm"]))
    packed = np.unpackbits(np.frombuffer(fractional.PixelData, np.uint8), bitorder="little")
    fractional.SegmentationType, fractional.MaximumFractionalValue = "FRACTIONAL", 255
    fractional.SegmentationFractionalType = "PROBABILITY"
    fractional.BitsAllocated, fractional.BitsStored, fractional.HighBit = 8, 8, 7
    fractional.PixelData = (packed * 255).astype(np.uint8).tobytes()
    found.append({"seg.dcm": to_bytes(fractional)})
    squeezed = pydicom.dcmread(io.BytesIO(to_bytes(fractional)))
    frames = SIZE[0] * SIZE[1] * int(fractional.NumberOfFrames)
    squeezed.PixelData = squeezed.PixelData[:frames]
    squeezed.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    found.append({"seg.dcm": to_bytes(squeezed)})
    if data is not None:
        paths = sorted((data / "dicom_seg").glob("seg_image_ct*.dcm"))
        found += [{"seg.dcm": path.read_bytes()} for path in paths if path.stat().st_size < LARGEST]
    return found


def rtstruct_seeds(data: Path | None) -> list[Files]:
    """Structure sets on the small CT, and the shared ugly ones."""
    one = rtstruct_of(SPEC, 0, ct_datasets(), mask())
    _plant(one)
    found = [{"rs.dcm": to_bytes(one)}]
    if data is not None:
        found += [{"rs.dcm": p.read_bytes()} for p in sorted((data / "ugly/derived_rtstruct_cases").glob("*.dcm"))]
        found.append({"rs.dcm": (data / "ugly/real_pydicom/rtstruct.dcm").read_bytes()})
    return found


def contour_seeds(data: Path | None) -> list[Files]:
    """A structure set on the small CT."""
    return rtstruct_seeds(None)


def nifti_seeds(data: Path | None) -> list[Files]:
    """NIfTI volumes of integers, floats and labels, plain and gzipped."""
    array = volume().array
    plain = nifti(SIZE, array.tobytes())
    real = nifti(SIZE, array.astype("<f4").tobytes(), 16, 32)
    labels = nifti(SIZE, mask().array.tobytes(), 2, 8)
    found = [{"v.nii": plain}, {"v.nii": real}, {"v.nii": labels}]
    found += [{"v.nii.gz": gzip.compress(held, 1, mtime=0)} for held in (plain, real, labels)]
    found.append({"v.hdr": pair_header(labels), "v.img": labels[352:]})
    if data is not None:
        small = sorted((data / "totalseg_abdomen_nifti").rglob("*EMPTY.nii.gz")) + sorted(
            (data / "ibsi").rglob("mask.nii.gz")
        )
        found += [{"v.nii.gz": path.read_bytes()} for path in small if path.stat().st_size < 50_000]
    return found


def text_header_seeds(data: Path | None) -> list[Files]:
    """NRRD and MetaImage volumes, plain and compressed, in one file and with detached voxels."""
    array, labels = volume().array.tobytes(), mask().array.tobytes()
    size, mm = " ".join(map(str, SIZE)), "0.8 0.8 5"
    found = []
    for kind, nrrd_type, held in (("MET_SHORT", "short", array), ("MET_UCHAR", "uchar", labels)):
        head = f"NRRD0004\ntype: {nrrd_type}\ndimension: 3\nspace: left-posterior-superior\nsizes: {size}\n"
        head += "space directions: (0.8,0,0) (0,0.8,0) (0,0,5)\nkinds: domain domain domain\nendian: little\n"
        tail = "space origin: (-16,-14,100)\nSegment0_Name:=tumour\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n"
        tail += f"who:={SECRET}\n"
        found.append({"v.nrrd": f"{head}encoding: raw\n{tail}\n".encode() + held})
        found.append({"v.nrrd": f"{head}encoding: gzip\n{tail}\n".encode() + gzip.compress(held, 1, mtime=0)})
        found.append({"v.nhdr": f"{head}encoding: raw\n{tail}data file: v.raw\n".encode(), "v.raw": held})
        meta = f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = {size}\n"
        meta += f"ElementSpacing = {mm}\nOffset = -16 -14 100\nElementType = {kind}\n"
        found.append({"v.mha": f"{meta}ElementDataFile = LOCAL\n".encode() + held})
        packed = zlib.compress(held, 1)
        squeezed = f"{meta}CompressedData = True\nCompressedDataSize = {len(packed)}\n"
        found.append({"v.mha": f"{squeezed}ElementDataFile = LOCAL\n".encode() + packed})
        found.append({"v.mhd": f"{meta}ElementDataFile = v.raw\n".encode(), "v.raw": held})
    return found


def segmentation_seeds(data: Path | None) -> list[Files]:
    """3D Slicer's segmentations: with values and layers, as before 4.11 without, cropped, in bzip2, minimal."""
    labels = mask().array
    overlapping = np.stack([labels, np.roll(labels, 1, 1)], -1)
    size, steps = " ".join(map(str, SIZE)), "(0.8,0,0) (0,0.8,0) (0,0,5)"
    new = "Segment{0}_LabelValue:=1\nSegment{0}_Layer:={0}\n"
    keys = "Segment{0}_ID:=Segment_{0}\nSegment{0}_Name:=region {0}\nSegment{0}_Extent:=0 39 0 35 0 3\n"
    own = f"Segmentation_ReferenceImageExtentOffset:=0 0 0\nwho:={SECRET}\n"
    both = (keys + new).format(0) + (keys + new).format(1) + own
    old = keys.format(0) + keys.format(1) + own

    def head(sizes: str, place: str, encoding: str = "gzip", kinds: str = "list domain domain domain") -> str:
        first = f"NRRD0004\ntype: uchar\ndimension: {len(sizes.split())}\nspace: left-posterior-superior\n"
        return f"{first}sizes: {sizes}\nspace directions: {place}\nkinds: {kinds}\nencoding: {encoding}\n"

    layered, origin = head(f"2 {size}", f"none {steps}"), "space origin: (-16,-14,100)\n"
    one = {"kinds": "domain domain domain"}
    texts = [
        (f"{layered}{origin}{both}", gzip.compress(overlapping.tobytes(), 1, mtime=0)),
        (f"{layered}{origin}{old}", gzip.compress(overlapping.tobytes(), 1, mtime=0)),
        (f"{head(size, steps, 'bzip2', **one)}{origin}{keys.format(0)}", bz2.compress(labels.tobytes(), 1)),
        (f"{head(size, steps, 'raw', **one)}{origin}Segment0_Name:=region\n", labels.tobytes()),
    ]
    part = labels[1:3, 4:34, 2:38]
    cropped = head("36 30 2", steps, "raw", **one) + "space origin: (-14.4,-10.8,105)\n" + keys.format(0)
    texts.append((cropped, part.tobytes()))
    return [{"m.seg.nrrd": f"{text}\n".encode() + voxels} for text, voxels in texts]


def manifest_seeds(data: Path | None) -> list[Files]:
    """A scans table of four rows in every form that is read."""
    return _forms("scans", MANIFEST)


def clinical_seeds(data: Path | None) -> list[Files]:
    """A clinical table of the packaged study on recurrence, from the simulated cohort, in every form that is read."""
    text = draw(CohortSpec(patients=12, sites=2)).clinical.to_csv(index=False, lineterminator="\n")
    return _forms("clinical", text)


def features_seeds(data: Path | None) -> list[Files]:
    """A features table of twelve outlines, with what PyRadiomics writes beside the features."""
    rng = np.random.default_rng(0)
    head = (
        "patient_id,scan_id,reader,repeat,Image,diagnostics_Mask-original_VoxelNum,original_a,original_b,original_b.1"
    )
    rows = [
        f"P{i},S{i},R1,0,/d/{i}.nrrd,{rng.integers(9999)},{rng.normal()!r},{rng.normal():.3f},{'NA' if i % 5 else 1}"
        for i in range(12)
    ]
    return _forms("features", "\n".join([head, *rows]) + "\n")


def scores_seeds(data: Path | None) -> list[Files]:
    """A table of scores with outcome and follow-up."""
    rng = np.random.default_rng(1)
    head = "patient_id,score,outcome,cohort,site,time_months,event,age"
    rows = [
        f"P{i},{rng.random()!r},{i % 2},{'train' if i % 3 else 'internal'},A,{rng.random() * 60:.2f},{i % 2},{40 + i}"
        for i in range(24)
    ]
    return _forms("scores", "\n".join([head, *rows]) + "\n")


def _forms(name: str, text: str) -> list[Files]:
    """A table as CSV, with semicolons and in UTF-16, as a workbook and as Parquet."""
    rows = [line.split(",") for line in text.splitlines()]
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append([float(cell) if cell.replace(".", "", 1).isdigit() else cell for cell in row])
    sheet = io.BytesIO()
    book.save(sheet)
    german = (
        text.replace(".", "\0").replace(",", ";").replace("\0", ",") if name != "scans" else text.replace(",", ";")
    )
    plain = [text.encode(), text.encode(), german.encode(), text.encode("utf-16")]
    return [
        *({f"{name}.csv": form} for form in plain),
        {f"{name}.xlsx": sheet.getvalue()},
        {f"{name}.parquet": _parquet(text)},
    ]


def _parquet(text: str) -> bytes:
    out = io.BytesIO()
    pq.write_table(pyarrow.csv.read_csv(io.BytesIO(text.encode())), out)
    return out.getvalue()


def study_seeds(data: Path | None) -> list[Files]:
    """The packaged studies."""
    packaged = sorted(f for f in resources.files("gc_ray.studies").iterdir() if f.name.endswith(".toml"))
    return [{"study.toml": f.read_bytes()} for f in packaged]


def bundle_seeds(data: Path | None) -> list[Files]:
    """A bundle of two signatures and a network of a few weights, once sealed."""
    import torch

    from gc_ray.code_versions import library_versions
    from gc_ray.models.bundle import Bundle, Network, write_bundle
    from gc_ray.models.signature import Signature
    from gc_ray.store import LocalStore

    one = Signature("image", ("a", "b"), (0.0, 1.0), (1.0, 2.0), (0.5, -0.5), 0.1, ((1.0, 0.0, 0.0),) * 3)
    two = Signature("fused", ("image",), (0.0,), (1.0,), (1.0,), 0.0, None)
    card = {"model": "fused", "study": "x", "environment": library_versions(("numpy",)), "metrics": {"auc": 0.7}}
    scoring = {"order": ["image", "fused"], "networks": ["net"], "signatures": {"image": {}, "fused": {}}}
    network = Network("head", {"recipe": "cao2024"}, {"w": torch.ones(3, 4), "b": torch.zeros(3)})
    parts = ({"codes": {}, "volumes": [], "radiomics": None}, {"sites": {}}, {"youden": 0.5}, {"psi": [[0.1, 0.9]]})
    bundle = Bundle(card, {"image": one, "fused": two}, scoring, *parts, {"net": network})
    found = []
    for key in (None, KEY):
        with tempfile.TemporaryDirectory() as folder:
            write_bundle(LocalStore(folder), bundle, key)
            files = sorted(p for p in Path(folder).rglob("*") if p.is_file())
            found.append({p.relative_to(folder).as_posix(): p.read_bytes() for p in files})
    return found
