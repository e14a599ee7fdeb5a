"""The slices that a region needs: the same features and network inputs, to the bit, as from the whole scan."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless

from gc_ray import ledger
from gc_ray.code_versions import EXTRACTION, code_version
from gc_ray.cohort.manifest import ScanRow
from gc_ray.features.extract import extract_features
from gc_ray.imaging import voxels
from gc_ray.imaging.read import open_ct, read_mask
from gc_ray.imaging.voi import cut_voi
from gc_ray.imaging.volume import Mask, Slab, Volume
from gc_ray.runtime.products import NetworkInput, describe, planes_read, products_of
from gc_ray.runtime.scan_work import Job, ScanTask, Wanted, process_scan
from gc_ray.store import open_store
from gc_ray.study import ExtractSettings

SIZE, SPACING = (30, 28, 150), (0.9, 0.8, 1.1)  # x, y, z; the spline's margin is 40 slices
REGIONS = {"middle": (70, 78), "first slice": (0, 7), "last slice": (142, 150)}

ALL_FILTERS = {
    **{name: {} for name in ("Original", "Wavelet", "Square", "SquareRoot", "Logarithm", "Exponential", "Gradient")},
    "LoG": {"sigma": [1.0, 2.0]},
    "LBP3D": {},
}
TO_1_MM = {"resampledPixelSpacing": [1, 1, 1], "interpolator": "sitkBSpline", "binWidth": 25}
FEW = {"shape": ["MeshVolume"], "firstorder": ["Mean", "Energy"], "glcm": ["Contrast"], "glszm": None}
CUSTOM = {
    "as_it_is": {"imageType": {"Original": {}}, "featureClass": FEW, "setting": {"binWidth": 25}},
    "padded": {"imageType": {"Square": {}}, "featureClass": FEW, "setting": {"preCrop": True, "padDistance": 3}},
    "cropped": {"imageType": ALL_FILTERS, "featureClass": FEW, "setting": {"preCrop": True, "padDistance": 5}},
    "uncropped": {"imageType": {"Square": {}}, "featureClass": FEW, "setting": {"binWidth": 25}},
    "normalized": {"imageType": {"Original": {}}, "featureClass": FEW, "setting": TO_1_MM | {"normalize": True}},
    "all_filters": {"imageType": ALL_FILTERS, "featureClass": FEW, "setting": TO_1_MM | {"binWidth": 200}},
    "slices_kept": {
        "imageType": {"Original": {}},
        "featureClass": FEW,
        "setting": TO_1_MM | {"resampledPixelSpacing": [1, 1, 0], "padDistance": 3},
    },
    "linear": {
        "imageType": ALL_FILTERS,
        "featureClass": FEW,
        "setting": TO_1_MM | {"interpolator": "sitkLinear", "binWidth": 200},
    },
}
WHOLE_IMAGE = ("uncropped", "normalized")


def hu_of(k: int) -> np.ndarray:
    """Smooth and noisy tissue, different in every slice."""
    rng = np.random.default_rng(k)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    smooth = 80 * np.sin(0.3 * x + 0.1 * k) * np.cos(0.25 * y - 0.07 * k)
    return smooth + rng.normal(40, 25, (SIZE[1], SIZE[0]))


def ct_slice(k: int, slope: float, step_mm: float) -> Dataset:
    """One slice of 16 signed bits whose header allows values beyond int16, as many scanners write."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"1.2.3.4.{k + 1}"
    data.Modality, data.SeriesInstanceUID, data.FrameOfReferenceUID = "CT", "1.2.3.1", "1.2.3.3"
    data.Rows, data.Columns, data.SamplesPerPixel = SIZE[1], SIZE[0], 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 1
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelSpacing = [SPACING[1], SPACING[0]]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient = [-10.3, 5.7, round(100.1 + k * step_mm, 6)]
    data.RescaleSlope, data.RescaleIntercept = slope, -1024
    data.PixelData = np.rint((hu_of(k) + 1024) / slope).astype("<i2").tobytes()
    return data


def write_series(folder: Path, slope: float = 1, step_mm: float = SPACING[2]) -> Path:
    """A series of 150 slices."""
    folder.mkdir()
    for k in range(SIZE[2]):
        ct_slice(k, slope, step_mm).save_as(folder / f"{k:03d}.dcm", enforce_file_format=True)
    return folder


def spoil(path: Path) -> None:
    """Make a slice's pixels undecodable and leave the file's structure whole."""
    import pydicom

    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.PixelData = encapsulate([bytes(range(250))])
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> dict[str, Path]:
    """Folders of series: whole-numbered HU, fractions (float64), and slices 3 mm apart, whose points meet voxels."""
    root = tmp_path_factory.mktemp("series")
    return {
        "int16": write_series(root / "int16"),
        "float64": write_series(root / "float64", slope=0.5),
        "thick": write_series(root / "thick", step_mm=3.0),
    }


def region(ct, first: int, stop: int) -> Mask:
    """A round region in the slices from ``first`` to before ``stop``."""
    array = np.zeros(ct.geometry.grid.shape, np.uint8)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    array[first:stop] = ((x - 14) / 8) ** 2 + ((y - 13) / 7) ** 2 < 1
    return Mask(array, ct.geometry.grid)


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """name -> product: a preset, a set of CUSTOM, or a network input."""
    folder = tmp_path_factory.mktemp("sets")

    def make(name):
        if name.startswith("volumes/"):
            return products_of(ExtractSettings(feature_sets=(), volumes=(name[8:],)))[name]
        if name in CUSTOM:
            path = folder / f"{name}.json"
            path.write_text(json.dumps(CUSTOM[name]))
            name = str(path)
        (made,) = products_of(ExtractSettings(feature_sets=(name,), volumes=())).values()
        return made

    return make


def result(product, volume, mask) -> tuple[bytes, ...]:
    """All that a product computes, as bytes."""
    if isinstance(product, NetworkInput):
        voi, inside = cut_voi(volume, mask, product.recipe)
        return voi.array.tobytes(), inside.array.tobytes(), repr(voi.grid).encode()
    row = extract_features(volume, mask, product.features)
    return row.values.tobytes(), json.dumps(row.missing).encode(), str(row.mask_voxels).encode()


def assert_equal_from_part(product, ct, mask) -> range:
    """The product computed from the slices it says it reads equals the one from the whole scan."""
    planes = planes_read([product], ct, mask)
    part, whole = ct.read(planes), ct.read()
    assert result(product, part.volume, mask) == result(product, whole.volume, mask)
    assert isinstance(part.volume, Slab) == (len(planes) < ct.geometry.grid.size[2])
    return planes


SETS = ("pyradiomics-ct", "guo2025", "ibsi-ct", "ibsi-a", "ibsi-e", *CUSTOM, "volumes/guo2025", "volumes/cao2024")


@pytest.mark.parametrize("where", REGIONS)
@pytest.mark.parametrize("name", SETS)
def test_the_slices_a_region_needs_give_what_the_scan_gives(series, product, name, where):
    """Bit for bit, wherever the region lies, for every way of preparing a scan; most slices stay unread."""
    ct = open_ct(series["int16"])
    planes = assert_equal_from_part(product(name), ct, region(ct, *REGIONS[where]))
    if name in WHOLE_IMAGE:
        assert planes == range(SIZE[2])
    else:
        assert len(planes) < (130 if where == "middle" else 75)


@pytest.mark.parametrize("kind", ["float64", "thick"])
@pytest.mark.parametrize("name", ["pyradiomics-ct", "guo2025", "ibsi-ct", "volumes/guo2025"])
def test_other_series_need_other_slices(series, product, name, kind):
    """Fractions of HU keep every bit, and 3 mm to 1 mm is decided by rounding: then the low side is read whole."""
    ct = open_ct(series[kind])
    planes = assert_equal_from_part(product(name), ct, region(ct, *REGIONS["middle"]))
    assert len(planes) < SIZE[2]


@pytest.mark.parametrize("name", ["all_filters", "linear", "as_it_is"])
def test_int16_and_int32_give_the_same_features(series, product, name):
    """Up to ``SAME_IN_BOTH_HU``, so that a slice nobody needs may widen the scan without a result that shows it."""
    ct = open_ct(series["int16"])
    mask, narrow = region(ct, *REGIONS["middle"]), ct.read().volume
    largest = np.abs(narrow.array).max()
    scaled = (narrow.array.astype(float) * (voxels.SAME_IN_BOTH_HU / largest)).astype(np.int16)
    results = [result(product(name), Volume(scaled.astype(kind), narrow.grid), mask) for kind in (np.int16, np.int32)]
    assert results[0] == results[1]


def test_planes_are_the_union_of_all_products(series, product):
    """One reading serves every product of the job; one that wants the whole image makes it the whole image."""
    ct = open_ct(series["int16"])
    mask = region(ct, 70, 78)
    assert planes_read([product("as_it_is")], ct, mask) == range(70, 78)
    assert planes_read([product("as_it_is"), product("padded")], ct, mask) == range(67, 81)
    assert planes_read([product("as_it_is"), product("normalized")], ct, mask) == range(SIZE[2])


def test_a_product_that_cannot_be_planned_costs_no_other(series, product, tmp_path):
    """A spacing larger than the scan meets no voxel: refused in its own row, the other product is computed."""
    path = tmp_path / "coarse.json"
    path.write_text(json.dumps(CUSTOM["linear"] | {"setting": TO_1_MM | {"resampledPixelSpacing": [5000] * 3}}))
    ct = open_ct(series["int16"])
    products = [product("as_it_is"), *products_of(ExtractSettings(feature_sets=(str(path),), volumes=())).values()]
    assert planes_read(products, ct, region(ct, 70, 78)) is None


@pytest.mark.parametrize(
    ("image", "mask", "roi"),
    [
        ("sts_ct_rtstruct/STS_025/dicom", "sts_ct_rtstruct/STS_025/RS.dcm", "GTV_Mass_CT"),
        ("dicom_seg/ct-3slice", "dicom_seg/ct-3slice_liver_SEG.dcm", "Liver"),
    ],
)
def test_real_scans_in_parts(data, product, image, mask, roi):
    """A sarcoma and a part of a liver, with and without resampling."""
    ct = open_ct(data / image)
    roi = read_mask(data / mask, roi, ct.geometry).mask
    read = {name: assert_equal_from_part(product(name), ct, roi) for name in ("as_it_is", "volumes/guo2025")}
    _, (*_, deep) = roi.bounding_box()
    assert len(read["as_it_is"]) == deep


@pytest.fixture
def job(tmp_path, product) -> Job:
    """A job of two products that need slices 67 to 80 for the region in the middle."""
    products = {p.name: p for p in map(product, ("as_it_is", "padded"))}
    store = open_store(str(tmp_path / "store"))
    for made in products.values():
        describe(made, store)
    return Job(store, products, code_version(EXTRACTION), timeout_s=600.0)


@pytest.fixture
def spoilt(tmp_path, job):
    """(indices of slices to spoil) -> the ledger's rows after the job went over a fresh series with its mask."""

    def run(*broken, wanted=()):
        folder = write_series(tmp_path / "ct")
        for k in broken:
            spoil(folder / f"{k:03d}.dcm")
        ct = open_ct(folder)
        mask = region(ct, 70, 78)
        image = sitk.GetImageFromArray(mask.array)
        image.SetSpacing(mask.grid.spacing_mm)
        image.SetOrigin(mask.grid.origin_mm)
        sitk.WriteImage(image, str(tmp_path / "mask.nrrd"))
        paths = str(folder), str(tmp_path / "mask.nrrd")
        row = ScanRow("s", "R1", 0, "", "p", "a", "v", "ct", "mask.nrrd", "", *paths)
        process_scan(ScanTask(row, "stamp", tuple(Wanted(name, 1) for name in wanted or job.products)), job)
        return ledger.read_ledger(job.store).to_pylist()

    return run


TOLD = "pixels of 14 of 150 slices read (67-80): the region and its margin need no others"


def test_the_job_decodes_the_slices_needed_and_the_ledger_says_so(spoilt, monkeypatch):
    """14 of 150, through the real decoder; the scan is ok and both rows tell which slices were read."""
    names, decode = [], voxels.decode
    monkeypatch.setattr(voxels, "decode", lambda file, *rest: names.append(file.name) or decode(file, *rest))
    rows = spoilt()
    assert sorted(names) == [f"{k:03d}.dcm" for k in range(67, 81)]
    assert [(row["status"], row["notes"].count(TOLD)) for row in rows] == 2 * [("ok", 1)]
    assert {json.loads(row["geometry"])["pixel_type"] for row in rows} == {"int16"}
    assert json.loads(rows[0]["geometry"])["size"] == list(SIZE)


def test_the_remark_does_not_hang_on_what_is_computed_already(spoilt):
    """A resumed run with one product left over tells of the same slices: tables are equal after a kill."""
    (row,) = spoilt(wanted=("as_it_is",))
    assert TOLD in row["notes"]


def test_broken_pixels_far_from_the_region_do_no_harm(spoilt):
    """Nobody looks at them, and the ledger says which slices were looked at."""
    rows = spoilt(66, 81, 149)
    assert [(row["status"], TOLD in row["notes"]) for row in rows] == 2 * [("ok", True)]


def test_broken_pixels_near_the_region_refuse_the_scan_by_name(spoilt):
    """At the stage that reads images, although the mask was read before."""
    for row in spoilt(67):
        assert (row["status"], row["stage"]) == ("refused", "image")
        assert row["reason"].startswith("067.dcm: its pixel data cannot be decoded")
