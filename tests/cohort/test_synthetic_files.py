"""The files of a simulated cohort: the same bytes for the same seed, and what other readers see in them."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from io import BytesIO

import highdicom as hd
import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from scipy.stats import spearmanr

from gc_ray.cohort.manifest import parse_manifest
from gc_ray.cohort.synthetic.case import case_of
from gc_ray.cohort.synthetic.defects import EXPECTED, defect_of
from gc_ray.cohort.synthetic.draw import draw
from gc_ray.cohort.synthetic.patient import patient_files, scan_rows
from gc_ray.cohort.synthetic.spec import (
    SITES,
    SOURCE_FIRST,
    CohortSpec,
    grid_of,
    is_reread,
    patient_indices,
    site_of,
)
from gc_ray.cohort.synthetic.write import write_cohort
from gc_ray.errors import StoreError
from gc_ray.imaging.itk import grid_of as grid_of_image
from gc_ray.imaging.phantom import ABDOMEN, MOVABLE, VARIED_HU, Ellipsoid, dice_of, inside
from gc_ray.imaging.read import read_ct, read_mask

SPEC = CohortSpec(5, sites=4, seed=3, source_patients=1, reread_share=0.6, matrix=96)
SPOILT = CohortSpec(len(EXPECTED), sites=3, seed=3, defects=1.0, matrix=64)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort")
    return out, write_cohort(out, SPEC)


def digest(spec: CohortSpec, index: int) -> str:
    total = hashlib.sha256()
    for name, data in patient_files(spec, index).items():
        total.update(name.encode() + data)
    return total.hexdigest()


def digests(folder) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_same_seed_writes_the_same_bytes(cohort, tmp_path):
    """Every file of a cohort, tables and README included, is the same when written again."""
    write_cohort(tmp_path, SPEC)
    assert digests(tmp_path) == digests(cohort[0])


def test_a_cohort_that_is_there_is_left_and_one_that_was_cut_off_begun_anew(cohort, tmp_path):
    """The same settings again write nothing; other settings, or a folder with other files, are refused."""
    told = []
    assert write_cohort(cohort[0], SPEC, lambda *progress: told.append(progress)) == cohort[1]
    assert not told
    with pytest.raises(StoreError, match="wanted a new or empty folder"):
        write_cohort(cohort[0], replace(SPEC, seed=4))
    small, out = replace(SPEC, patients=1, source_patients=0, matrix=64), tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        write_cohort(out, small, interrupted)
    assert not out.exists()
    write_cohort(out, small)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def interrupted(done: int, patients: int) -> None:
    raise KeyboardInterrupt


def test_later_patients_are_those_of_a_longer_cohort():
    """New patients of the same hospitals: the same people, numbers and rows as if they had come at once."""
    later = draw(replace(SPEC, first=3, patients=2, source_patients=0)).clinical
    whole = draw(SPEC).clinical
    assert later["patient_id"].tolist() == ["P0004", "P0005"]
    assert later["age_years"].tolist() == whole["age_years"][3:5].tolist()


def test_another_process_writes_the_same_bytes():
    """Nothing depends on the process: not on hash randomisation, not on the clock."""
    code = (
        "import hashlib; from gc_ray.cohort.synthetic.patient import patient_files; "
        "from gc_ray.cohort.synthetic.spec import CohortSpec; total = hashlib.sha256(); "
        f"[total.update(n.encode() + d) for n, d in patient_files({SPEC!r}, 1).items()]; "
        "print(total.hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.strip() == digest(SPEC, 1)


def test_patients_files_do_not_depend_on_the_cohort():
    """More patients, other outcome models: the images of a patient stay as they are."""
    assert digest(SPEC, 1) == digest(replace(SPEC, patients=50, source_patients=9, effect="none"), 1)
    assert digest(SPEC, 1) != digest(replace(SPEC, seed=4), 1)


def test_uids_are_unique(cohort):
    """No two files of a cohort share a SOP Instance UID, and each series has one frame of reference."""
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in cohort[0].rglob("*.dcm")]
    assert len({h.SOPInstanceUID for h in headers}) == len(headers)
    frames = {h.SeriesInstanceUID: h.FrameOfReferenceUID for h in headers if h.Modality == "CT"}
    assert len(set(frames.values())) == len(frames) == SPEC.patients + SPEC.source_patients


@pytest.mark.parametrize("index", patient_indices(SPEC))
def test_simpleitk_reads_the_ct(cohort, index):
    """SimpleITK alone sees the drawn voxels on the site's grid, for every transfer syntax."""
    folder = cohort[0] / scan_rows(SPEC, index)[0]["image"]
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    site = site_of(SPEC, index)
    assert np.array_equal(sitk.GetArrayFromImage(image), case_of(SPEC, index).volume.array)
    assert grid_of_image(image).corner_distance_mm(grid_of(SPEC, site)) < 1e-3
    assert image.GetSpacing() == pytest.approx((site.fov_mm / 96, site.fov_mm / 96, site.slice_mm), abs=1e-5)


def test_organs_have_their_hu(cohort):
    """Mean HU about each organ's centre is the organ's, within the variation between persons."""
    volume = read_ct(cohort[0] / scan_rows(SPEC, 1)[0]["image"]).volume
    for organ in (o for o in ABDOMEN if o.name in MOVABLE | {"gastric air", "gastric water"}):
        core = inside(Ellipsoid(organ.name, 0.0, organ.centre_mm, (5.0, 5.0, 15.0)), volume.grid)
        assert volume.array[core].mean() == pytest.approx(organ.hu, abs=4 * VARIED_HU), organ.name


def test_every_outline_decodes_to_the_drawn_mask(cohort):
    """SEG and RTSTRUCT give the intended masks voxel for voxel, on the CT's grid."""
    out, files = cohort
    rows = parse_manifest(files.scans.read_bytes(), "scans.csv", str(out))
    cases = {scan_rows(SPEC, i)[0]["patient_id"]: case_of(SPEC, i) for i in patient_indices(SPEC)}
    assert {(r.reader, r.repeat) for r in rows} == {("R1", 0), ("R2", 0), ("R1", 1)}
    for row in rows:
        ct = read_ct(out / row.image)
        roi = read_mask(out / row.mask, row.roi, ct.geometry)
        assert np.array_equal(roi.mask.array, cases[row.patient_id].masks[row.reader, row.repeat].array)
        assert ct.notes.repairs == roi.notes.repairs == ()


def test_highdicom_reads_the_seg_by_source_image(cohort):
    """The SEG refers to the CT's slices, so that a reader by SOP Instance UID finds the mask too."""
    row = scan_rows(SPEC, 0)[0]
    slices = [pydicom.dcmread(p, stop_before_pixels=True) for p in sorted((cohort[0] / row["image"]).iterdir())]
    pixels = hd.seg.segread(cohort[0] / row["mask"]).get_pixels_by_source_instance(
        [s.SOPInstanceUID for s in slices], assert_missing_frames_are_empty=True
    )
    assert np.array_equal(pixels[..., 0], case_of(SPEC, 0).masks["R1", 0].array)


def test_readings_overlap_as_readers_do():
    """Dice with the first outline: about .89 for the second reader and .93 for the repeat, never the same outline."""
    spec = CohortSpec(12, sites=2, reread_share=1.0)
    cases = [case_of(spec, i) for i in range(12)]
    for reading, expected in ((("R2", 0), 0.89), (("R1", 1), 0.93)):
        dice = [dice_of(c.masks["R1", 0].array == 1, c.masks[reading].array == 1) for c in cases]
        assert np.mean(dice) == pytest.approx(expected, abs=0.03)
        assert max(dice) < 1


def test_latents_show_in_the_image():
    """Measured heterogeneity ranks with texture, volume with size, on 24 patients of two scanners."""
    spec = CohortSpec(24, sites=2, seed=8)
    truth = draw(spec).truth
    cases = [case_of(spec, i) for i in range(24)]
    tumours = [c.volume.array[c.masks["R1", 0].array == 1] for c in cases]
    volumes = [c.masks["R1", 0].voxels * c.volume.grid.voxel_mm3 for c in cases]
    assert spearmanr(truth["texture"], [t.std() for t in tumours]).statistic > 0.8
    assert spearmanr(truth["size"], volumes).statistic > 0.9


def test_drawn_tumour_has_the_recorded_length():
    """The longest diameter of the mask is about the table's tumour length."""
    spec = CohortSpec(8, seed=2)
    table = draw(spec).clinical
    for i in range(8):
        mask = case_of(spec, i).masks["R1", 0]
        points = mask.grid.index_to_mm(np.argwhere(mask.array)[:, ::-1])
        longest = max(np.linalg.norm(points - p, axis=1).max() for p in points[::3]) / 10
        assert longest == pytest.approx(table["tumour_length_cm"][i], rel=0.3)


def test_manifests_and_tables_fit_together(cohort):
    """Site manifests and the source manifest make up scans.csv; clinical.csv and truth.csv have the same patients."""
    _, files = cohort
    scans = pd.read_csv(files.scans)
    parts = pd.concat([pd.read_csv(p) for p in (*files.site_scans, files.source_scans)])
    assert sorted(parts["mask"]) == sorted(scans["mask"])
    assert [pd.read_csv(p)["site"].unique().tolist() for p in files.site_scans] == [[s.name] for s in SITES]
    clinical, truth = pd.read_csv(files.clinical), pd.read_csv(files.truth_table)
    assert clinical["patient_id"].tolist() == truth["patient_id"].tolist() == scans["patient_id"].unique().tolist()
    assert pd.read_csv(files.defects).empty


def test_a_folder_in_use_is_left_alone(tmp_path):
    """Files of another cohort would mix with the new ones, so a folder that holds any is refused."""
    (tmp_path / "scans.csv").write_text("")
    with pytest.raises(StoreError, match="empty folder"):
        write_cohort(tmp_path, SPEC)


def test_share_of_rereadings_is_the_asked_for_one():
    """30 % of ten patients are three, 10 % of 200 are twenty."""
    assert sum(is_reread(CohortSpec(10), i) for i in range(10)) == 3
    assert sum(is_reread(CohortSpec(200, reread_share=0.1), i) for i in range(200)) == 20


def test_the_folder_says_that_it_is_simulated(cohort):
    """README and truth state it plainly, and DICOM names are synthetic."""
    out, files = cohort
    truth = json.loads(files.truth.read_text())
    assert "simulated" in (out / "README.txt").read_text()
    assert "nothing about real patients" in truth["statement"]
    assert truth["specification"]["seed"] == SPEC.seed
    for path in out.rglob("*.dcm"):
        assert str(pydicom.dcmread(path, stop_before_pixels=True).PatientName).startswith("SYNTHETIC^")


def test_progress_is_told_after_each_patient(tmp_path):
    """The callback counts up to all patients."""
    calls = []
    write_cohort(tmp_path, CohortSpec(2, matrix=64, source_patients=1), lambda *done: calls.append(done))
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("index", range(len(EXPECTED)))
def test_a_defect_does_what_its_record_says(tmp_path, index):
    """A careful reader refuses or repairs the scan as defects.csv expects; a repaired one has the intended voxels."""
    for name, data in patient_files(SPOILT, index).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (row,) = scan_rows(SPOILT, index)
    if EXPECTED[defect_of(SPOILT, index)] == "refused":
        with pytest.raises(ValueError, match=r"\w"):
            read_mask(tmp_path / row["mask"], row["roi"], read_ct(tmp_path / row["image"]).geometry)
        return
    ct = read_ct(tmp_path / row["image"])
    assert ct.notes.repairs
    assert np.array_equal(ct.volume.array, case_of(SPOILT, index).volume.array)


def test_each_kind_of_defect_occurs_in_turn():
    """A share of 1 in 5 spoils every fifth patient, each with the next kind."""
    spec = CohortSpec(40, defects=0.2)
    spoilt = [defect_of(spec, i) for i in range(40)]
    assert [d for d in spoilt if d] == list(EXPECTED)
    assert spoilt[4::5] == list(EXPECTED)


def test_a_defect_touches_nothing_else():
    """A missing slice leaves all other files byte for byte as they were."""
    sound, spoilt = (patient_files(spec, 0) for spec in (replace(SPOILT, defects=0.0, reread_share=0.0), SPOILT))
    assert defect_of(SPOILT, 0) == "missing_slice"
    assert len(sound) == len(spoilt) + 1
    assert all(sound[name] == data for name, data in spoilt.items())


def test_large_series_can_be_asked_for():
    """Matrix, slices and thickness are settings; the grid follows them."""
    spec = CohortSpec(1, matrix=512, slices=300, slice_mm=1.0)
    assert grid_of(spec, SITES[0]).size == (512, 512, 300)
    assert grid_of(spec, SITES[0]).spacing_mm == (0.703125, 0.703125, 1.0)


def test_source_patients_are_scanned_too():
    """A source patient's files are those of its own index, outside every study's numbering."""
    files = patient_files(SPEC, SOURCE_FIRST)
    image = pydicom.dcmread(BytesIO(next(iter(files.values()))), stop_before_pixels=True)
    assert image.PatientID == "S0001"
