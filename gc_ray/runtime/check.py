"""A cohort looked at before any pixel is read: pairs, geometry, labels, duplicates and the clinical table."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from gc_ray.cohort.clinical import ClinicalTable
from gc_ray.cohort.coding import number_columns
from gc_ray.cohort.findings import Finding
from gc_ray.cohort.manifest import ScanRow, Scans
from gc_ray.errors import MaskError, ScanError
from gc_ray.imaging.read import survey_ct, survey_mask
from gc_ray.imaging.scan import Notes, ScanGeometry
from gc_ray.runtime import cluster
from gc_ray.runtime.check_clinical_table import check_clinical_table
from gc_ray.runtime.check_sites import site_findings, unchecked
from gc_ray.runtime.clinical_table import fetch_clinical
from gc_ray.runtime.joined import site_pairs
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.places import Demand
from gc_ray.runtime.preflight import RefusedNodes, checked_nodes
from gc_ray.runtime.scan_places import scan_places
from gc_ray.runtime.scan_source import Fetched, UnreadableError, check_refusal, local_sources, open_all
from gc_ray.runtime.scan_work import anonymous
from gc_ray.runtime.scratch import scratch
from gc_ray.study import Study

CHUNK = 4  # scans a task looks at; a scan's 300 headers take a quarter of a second


@dataclass(frozen=True)
class Verdict:
    """What headers say of one outline: ``ok``, ``repaired``, ``refused``, or ``failed`` where they could not be read.

    text: why, or what to do.
    """

    scan_id: str
    reader: str
    repeat: int
    roi: str
    site: str
    verdict: str
    text: str
    series_uid: str = ""


@dataclass(frozen=True)
class CohortCheck:
    """Verdicts per outline (empty with ``manifest_only``) and findings on the tables."""

    outlines: int
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]


def check(
    manifests: tuple[str, ...],
    clinical: str | None,
    study: Study,
    manifest_only: bool,
    workers: int | None,
    encoding: str | None = None,
) -> CohortCheck:
    """Check manifests, headers (unless ``manifest_only``) and, when given, the clinical table for a study.

    encoding: of tables that are neither UTF-8 nor UTF-16. TableError when a table cannot be read at all.
    """
    rows = read_manifests(manifests, encoding)
    findings = [Finding("note", note) for note in rows.notes]
    table = fetch_clinical(clinical, number_columns(study.clinical), encoding) if clinical else None
    findings += check_clinical_table(table, study, set(rows.count("patient_id")))[0] if table else []
    findings += _site_findings(study, rows, table)
    if manifest_only:
        return CohortCheck(len(rows), (), tuple(findings))
    refused = RefusedNodes(demand=Demand("check"))
    with cluster.session(workers), checked_nodes(refused, None, scan_places(rows), mixed_cpu=True):
        verdicts = cluster.map_chunks(check_scan, rows, CHUNK, _crashed, refused.others)
    findings += [Finding("note", note) for note in refused.notes]
    return CohortCheck(len(rows), tuple(verdicts), tuple(findings + _shared_series(verdicts, rows)))


def check_scan(row: ScanRow) -> Verdict:
    """The verdict of one outline from headers alone. Objects in S3 are fetched whole."""
    verdict = _verdict(row)
    with scratch() as folder:
        try:
            fetched = local_sources(row, folder)
            open_all(row, fetched)
            geometry, notes = _headers(row, fetched)
        except (ScanError, MaskError) as error:
            return replace(verdict, verdict="refused", text=str(error))
        except UnreadableError as error:
            return replace(verdict, verdict="failed", text=str(error))
        except Exception as error:  # noqa: BLE001 - one scan's fault must not end the check of the others
            return replace(verdict, verdict="failed", text=anonymous(error))
    text = "; ".join([*notes.repairs, *notes.remarks])
    return replace(
        verdict, verdict="repaired" if notes.repairs else "ok", text=text, series_uid=geometry.series_uid or ""
    )


def _headers(row: ScanRow, fetched: Fetched) -> tuple[ScanGeometry, Notes]:
    """(geometry of the CT, repairs and remarks); ScanError, MaskError or UnreadableError."""
    try:
        geometry = survey_ct(fetched.image, row.series_uid or None)
        return geometry, geometry.notes + survey_mask(fetched.mask, row.roi or None, geometry)
    except (ScanError, MaskError) as error:
        check_refusal(error, row, fetched)
        raise


def _verdict(row: ScanRow) -> Verdict:
    return Verdict(row.scan_id, row.reader, row.repeat, row.roi, row.site, "ok", "")


def _crashed(row: ScanRow) -> Verdict:
    text = "a reader crashed on its headers; the file is damaged in a way that no reader survives, export it again"
    return replace(_verdict(row), verdict="refused", text=text)


def _shared_series(verdicts: list[Verdict], rows: Scans) -> list[Finding]:
    """Scans that are one and the same series under two names."""
    patients = dict(zip(*(rows.table[name].to_pylist() for name in ("scan_id", "patient_id")), strict=True))
    scans = defaultdict(set)
    for verdict in verdicts:
        if verdict.series_uid:
            scans[verdict.series_uid].add(verdict.scan_id)
    found = []
    for names in scans.values():
        if len(names) > 1:
            several = len({patients[name] for name in names}) > 1
            whose = "of different patients" if several else "of one patient"
            text = f"scans {', '.join(sorted(names))} {whose} are the same series; keep one"
            found.append(Finding("error" if several else "warning", text))
    return found


def _site_findings(study: Study, rows: Scans, table: ClinicalTable | None) -> list[Finding]:
    """Patient ids at two sites, and sites that are typed in two ways."""
    pairs = site_pairs(rows.table)
    if table is None or "site" in table.cells:
        sites = {} if table is None else table.cells["site"].dropna().to_dict()
        return site_findings(study, pairs, sites, "the scans tables")
    return [*site_findings(study, pairs, {}, "the scans tables"), *unchecked(rows.count("site"), "scans")]
