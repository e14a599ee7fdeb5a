"""The job over real scans: values equal PyRadiomics' own, and a ledger that adds up, defects included."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from gc_ray import ledger
from gc_ray.store import open_store

pytestmark = pytest.mark.slow

SOUND = {
    "lung1": ("pyradiomics_nrrd/lung1_image.nrrd", "pyradiomics_nrrd/lung1_label.nrrd", ""),
    "STS_025_dicom": ("sts_ct_rtstruct/STS_025/dicom", "sts_ct_rtstruct/STS_025/RS.dcm", "GTV_Mass_CT"),
    "STS_025": ("sts_ct_rtstruct/STS_025/CT_image.nii.gz", "sts_ct_rtstruct/STS_025/CT_mask.nii.gz", ""),
    "totalseg_stomach": ("totalseg_abdomen_nifti/ct.nii.gz", "totalseg_abdomen_nifti/seg_multilabel.nii.gz", "6"),
    "liver": ("dicom_seg/ct-3slice", "dicom_seg/ct-3slice_liver_SEG.dcm", "Liver"),
}
DEFECTIVE = {
    "missing_slices": ("ugly/derived_missing_slices", "sts_ct_rtstruct/STS_025/RS.dcm", "missing slice"),
    "truncated_file": ("ugly/derived_truncated_file", "sts_ct_rtstruct/STS_025/RS.dcm", "010.dcm"),
    "mixed_series": ("ugly/derived_mixed_series", "sts_ct_rtstruct/STS_025/RS.dcm", "2 CT series here"),
    "gantry_tilt": ("ugly/real_gantry_tilt_siemens", "sts_ct_rtstruct/STS_025/RS.dcm", "gantry tilt"),
    "localizer": ("ugly/real_localizer_philips", "sts_ct_rtstruct/STS_025/RS.dcm", "localizer"),
    "outside": ("sts_ct_rtstruct/STS_025/dicom", "ugly/derived_rtstruct_cases/outside_volume.dcm", "outside"),
    "other_patient": ("ugly/derived_rle", "totalseg_abdomen_nifti/seg_multilabel.nii.gz", "size"),
}


@pytest.fixture(scope="module")
def real_store(data, ray_session, tmp_path_factory):
    """The store after one run over sound and defective real scans, and the run's summary."""
    from gc_ray.runtime.extract import Request, extract
    from gc_ray.study import load_study

    folder = tmp_path_factory.mktemp("real")
    with (folder / "scans.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(["scan_id", "patient_id", "site", "phase", "image", "mask", "roi"])
        for name, (image, mask, roi) in SOUND.items():
            table.writerow([name, name, "sound", "venous", data / image, data / mask, roi])
        for name, (image, mask, _) in DEFECTIVE.items():
            table.writerow([name, name, "defective", "venous", data / image, data / mask, ""])
    store = open_store(str(folder / "store"))
    settings = ('extract.feature_sets=["pyradiomics-ct", "guo2025"]',)
    request = Request((str(folder / "scans.csv"),), store, load_study(None, settings))
    ticks = iter(range(1000))
    return store, extract(request, lambda totals: lambda *_: None, "real", lambda: float(next(ticks)))


def oracle(data: Path, name: str, mode: str) -> dict[str, float]:
    """Expected features: plain PyRadiomics in the scan's own pixel type, or windowed in float32."""
    path = data / "oracle" / f"{name}_{mode}.json"
    if mode == "windowed" and name != "STS_025":  # that scan is float32 as it is
        path = data / "oracle" / "dtype_variants" / f"{name}_windowed_sitkFloat32.json"
    return json.loads(path.read_text())["features"]


@pytest.mark.parametrize(
    ("name", "feature_set"),
    [
        *((name, "pyradiomics-ct") for name in ("lung1", "STS_025_dicom", "STS_025", "totalseg_stomach")),
        *((name, "guo2025") for name in ("lung1", "STS_025", "totalseg_stomach")),
    ],
)
def test_the_job_stores_what_pyradiomics_computes(real_store, data, name, feature_set):
    """From DICOM, NIfTI and NRRD to the table: 1e-6 relative on 99.9 % of the features, LBP3D 1e-3 on 99 %."""
    expected = oracle(data, name, "plain" if feature_set == "pyradiomics-ct" else "windowed")
    table = ledger.read_features(real_store[0], feature_set)
    (row,) = [r for r in table.to_pylist() if r["scan_id"] == name]
    assert list(expected) == table.column_names[-1925:]
    found, wanted = (np.array([values[n] for n in expected]) for values in (row, expected))
    lbp = np.char.startswith(list(expected), "lbp")
    near = np.isclose(found, wanted, rtol=np.where(lbp, 1e-3, 1e-6), atol=1e-9)
    assert near[~lbp].mean() >= 0.999
    assert near[lbp].mean() >= 0.99


def test_the_ledger_adds_up(real_store):
    """Every outline of the manifest has a row for each feature set, and the summary counts them."""
    store, summary = real_store
    rows = ledger.read_ledger(store).to_pylist()
    assert len(rows) == 2 * (len(SOUND) + len(DEFECTIVE)) == sum(summary.counts.values())
    assert summary.over_budget
    assert {r["scan_id"] for r in rows if r["site"] == "sound" and r["status"] not in ("ok", "repaired")} == set()


@pytest.mark.parametrize("name", DEFECTIVE)
def test_a_defective_scan_is_refused_with_its_cause(real_store, name):
    """The reason stands in the ledger; no feature row exists for the scan."""
    rows = [r for r in ledger.read_ledger(real_store[0]).to_pylist() if r["scan_id"] == name]
    assert [r["status"] for r in rows] == ["refused", "refused"]
    assert DEFECTIVE[name][2] in rows[0]["reason"]
    assert name not in ledger.read_features(real_store[0], "guo2025").column("scan_id").to_pylist()


def test_a_filter_that_cannot_run_leaves_nan_with_a_reason(real_store):
    """Three slices are too few for LoG: its 455 columns are there, empty, and the ledger says why."""
    store, _ = real_store
    rows = {(r["scan_id"], r["feature_set"]): r for r in ledger.read_ledger(store).to_pylist()}
    missing = json.loads(rows["liver", "guo2025"]["missing"])
    (features,) = [r for r in ledger.read_features(store, "guo2025").to_pylist() if r["scan_id"] == "liver"]
    assert {name for name, value in features.items() if isinstance(value, float) and np.isnan(value)} == set(missing)
    assert sum(name.startswith("log-sigma") for name in missing) == 5 * 91
    assert "too small to apply LoG" in missing["log-sigma-1-0-mm-3D_firstorder_Mean"]
