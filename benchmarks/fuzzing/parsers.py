"""The parsers of outside bytes by name: what they are fed with, how it is damaged, and how users reach them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from fuzzing import seeds
from fuzzing.against_pyradiomics import read_region
from fuzzing.bundles import spoil_bundle
from fuzzing.contours import draw_contours
from fuzzing.dicom import spoil_dicom
from fuzzing.mutate import Files, Rng, pick
from fuzzing.regions import random_region, region_seeds
from fuzzing.slow_contours import BorderlineError, read_slowly
from fuzzing.tables import spoil_table, spoil_toml
from fuzzing.voxels import spoil_segments, spoil_volume

from gc_ray.cohort.clinical import check_clinical, read_clinical
from gc_ray.cohort.coding import number_columns
from gc_ray.errors import MaskError
from gc_ray.imaging.read import list_rois, open_ct, read_mask, survey_mask
from gc_ray.imaging.scan import Notes, ScanGeometry
from gc_ray.runtime.ingest import read_features_table
from gc_ray.runtime.manifests import read_manifests
from gc_ray.study import load_study

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
ENCODING = "gb18030"  # of tables that are not UTF-8
DATA = SHARED if SHARED.is_dir() else None


@dataclass(frozen=True)
class Parser:
    """seeds: folders to start from, given the shared data or None. spoil: one mutation. read: the user's way in; it
    gives back what may reach the user beside the values. personal: whether messages must not repeat planted words."""

    seeds: Callable[[Path | None], list[Files]]
    spoil: Callable[[Files, Rng], Files]
    read: Callable[[Path], Notes]
    personal: bool = True


def build(name: str, number: int) -> Files:
    """The mutated input of a parser that has this number; the same on every machine that has the same seeds."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), number])
    return PARSERS[name].spoil(pick(rng, _seeds(name)), rng)


def write(files: Files, folder: Path) -> None:
    """An input as files in a folder that is there; text makes a symbolic link."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            path.symlink_to(data)


@cache
def _seeds(name: str) -> list[Files]:
    return PARSERS[name].seeds(DATA)


def _read_series(folder: Path) -> Notes:
    ct = open_ct(folder)
    notes = ct.geometry.notes
    scan = ct.read()
    assert np.isfinite(scan.volume.array).all()
    assert scan.volume.array.shape == ct.geometry.grid.shape
    part = ct.read(range(1))
    return notes + scan.notes + part.notes


@cache
def _small_ct() -> ScanGeometry:
    return _geometry(seeds.named(seeds.ct_datasets()))


def _contours_drawn(files: Files, rng: Rng) -> Files:
    return draw_contours(files, rng, seeds.volume().grid)


@cache
def _shared_ct() -> tuple[ScanGeometry, ...]:
    """The CT of the shared structure sets."""
    return () if DATA is None else (open_ct(DATA / "sts_ct_rtstruct/STS_025/dicom").geometry,)


def _geometry(files: Files) -> ScanGeometry:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(files, Path(folder))
        return open_ct(Path(folder)).geometry


def _read_mask(path: Path) -> Notes:
    """Whatever a mask answers for each CT and each of its own names; the last refusal when it answers nothing."""
    names = list_rois(path)
    notes, refusal = Notes(), None
    for ct in (_small_ct(), *_shared_ct()):
        for roi in (None, *names[:2]):
            try:
                survey_mask(path, roi, ct)
                found = read_mask(path, roi, ct)
            except MaskError as error:
                refusal = _kept(refusal, error)
                continue
            assert found.mask.voxels > 0
            notes += found.notes
    if refusal is not None and not notes.repairs + notes.remarks:
        raise refusal
    return notes


def _kept(refusals: MaskError | None, error: MaskError) -> MaskError:
    """All refusals in one, so that every message is looked at."""
    return error if refusals is None or str(error) in str(refusals) else MaskError(f"{refusals} | {error}")


def _read_contours(folder: Path) -> Notes:
    """A region of random contours, against a slow reading of the same file by the same rules."""
    path, ct = folder / "rs.dcm", _small_ct()
    found = read_mask(path, None, ct)
    assert survey_mask(path, None, ct).repairs == found.notes.repairs
    try:
        truth = read_slowly(path, np.array(ct.grid.origin_mm), np.array(ct.grid.spacing_mm), ct.grid.size)
    except BorderlineError:
        return found.notes
    wrong = int(((found.mask.array != truth.inside) & truth.sure).sum())
    assert wrong == 0, f"{wrong} voxels differ from a slow reading"
    return found.notes


def _read_volume(folder: Path) -> Notes:
    """A volume file as CT; when it is none, as a mask."""
    (path,) = (p for p in folder.iterdir() if p.suffix not in (".raw", ".img"))
    try:
        ct = open_ct(path)
        scan = ct.read()
        assert np.isfinite(scan.volume.array).all()
        notes = ct.geometry.notes + scan.notes
    finally:
        masked = _mask_or_refusal(path)
    return notes + masked


def _mask_or_refusal(path: Path) -> Notes:
    try:
        return _read_mask(path)
    except MaskError as error:
        return Notes(remarks=(str(error),))


def _read_manifest(folder: Path) -> Notes:
    (path,) = folder.iterdir()
    rows = read_manifests((str(path),), ENCODING)
    assert all(row.key_id and row.image_uri for row in rows)
    return Notes(remarks=rows.notes)


def _read_clinical(folder: Path) -> Notes:
    (path,) = folder.iterdir()
    settings = load_study("recurrence").clinical
    table = read_clinical(path.read_bytes(), path.name, ENCODING, number_columns(settings))
    _, findings = check_clinical(table.cells, settings, {"P00001"})
    return Notes(remarks=(*table.notes, *(finding.text for finding in findings)))


def _read_features(folder: Path) -> Notes:
    (path,) = folder.iterdir()
    table = read_features_table(str(path), ENCODING)
    assert not np.isinf(table.values.to_numpy()).any()
    assert (table.keys["patient_id"] != "").all()
    assert not {"Image", "diagnostics_Mask-original_VoxelNum", *table.keys} & set(table.values)
    return Notes(remarks=table.notes)


def _read_scores(folder: Path) -> Notes:
    from gc_ray.report.inputs import from_file

    (path,) = folder.iterdir()
    found = from_file(str(path), None, load_study(None), ENCODING)
    assert found.scores["score"].between(0, 1).all()
    assert found.patients["outcome"].dropna().isin((0, 1)).all()
    return Notes(remarks=found.notes)


def _read_study(folder: Path) -> Notes:
    with chdir(folder):  # a message repeats the path as the user wrote it
        load_study("study.toml")
    return Notes()


def _read_bundle(folder: Path) -> Notes:
    from gc_ray.models.bundle import SEAL, read_bundle
    from gc_ray.store import open_store

    read_bundle(open_store(str(folder)), seeds.KEY if (folder / SEAL).exists() else None)
    return Notes()


PARSERS = {
    "series": Parser(seeds.series_seeds, spoil_dicom, _read_series),
    "seg": Parser(seeds.seg_seeds, spoil_dicom, lambda folder: _read_mask(folder / "seg.dcm")),
    "rtstruct": Parser(seeds.rtstruct_seeds, spoil_dicom, lambda folder: _read_mask(folder / "rs.dcm")),
    "contours": Parser(seeds.contour_seeds, _contours_drawn, _read_contours),
    "nifti": Parser(seeds.nifti_seeds, spoil_volume, _read_volume),
    "nrrd-mha": Parser(seeds.text_header_seeds, spoil_volume, _read_volume),
    "seg-nrrd": Parser(seeds.segmentation_seeds, spoil_segments, lambda folder: _read_mask(folder / "m.seg.nrrd")),
    "manifest": Parser(seeds.manifest_seeds, spoil_table, _read_manifest, personal=False),
    "clinical": Parser(seeds.clinical_seeds, spoil_table, _read_clinical, personal=False),
    "features": Parser(seeds.features_seeds, spoil_table, _read_features, personal=False),
    "scores": Parser(seeds.scores_seeds, spoil_table, _read_scores, personal=False),
    "study": Parser(seeds.study_seeds, spoil_toml, _read_study, personal=False),
    "bundle": Parser(seeds.bundle_seeds, spoil_bundle, _read_bundle, personal=False),
    "numbers": Parser(region_seeds, random_region, read_region, personal=False),
}
