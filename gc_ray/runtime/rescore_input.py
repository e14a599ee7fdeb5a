"""What a rescoring run is asked for: scans or rows of a features table, brought to where they can be scored."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from gc_ray.code_versions import EXTRACTION, code_version
from gc_ray.cohort.clinical import ClinicalTable
from gc_ray.cohort.findings import some
from gc_ray.cohort.manifest import STRETCH, ScanRow, Scans, join_manifests
from gc_ray.errors import StoreError, StudyError
from gc_ray.models.bundle import Bundle
from gc_ray.models.frozen_sites import known_sites
from gc_ray.runtime.bundled import features_of, products_of
from gc_ray.runtime.clinical_table import fetch_clinical
from gc_ray.runtime.extract_scans import Extracted, Extraction, extract_here, extract_scans
from gc_ray.runtime.incoming import Waiting, find_series
from gc_ray.runtime.incoming_clinical import by_pseudonym, lacking, numbers_of, predictors_of
from gc_ray.runtime.incoming_features import read_incoming
from gc_ray.runtime.incoming_joins import NEW, clinical_notes, outcome_notes, wanted_outlines, with_sites
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.plan import Planned, plan_scan, read_history
from gc_ray.runtime.scan_work import Job
from gc_ray.runtime.survey import Survey
from gc_ray.source import joint_stamp, list_source
from gc_ray.store import Store
from gc_ray.store_format import set_format
from gc_ray.study import ExtractSettings, load_study
from gc_ray.study_cohort import ScansSettings
from gc_ray.watch import Watch

# a table by its name; what ends otherwise is a prefix to be searched
MANIFESTS = (".csv", ".tsv", ".txt", ".gz", ".xlsx", ".xlsm", ".xls", ".ods", ".parquet", ".pq")
THREADS = 16  # listings side by side
FEATURES = "the features table"  # what messages call it
Look = Callable[[ScanRow], tuple[str, str]]  # stamp of a scan's files, and which of them is not there


@dataclass(frozen=True)
class Request:
    """What the command was asked for.

    scans: manifests, or prefixes. features: instead of them a table, for a bundle of features made elsewhere.
    site_key: names the series of prefixes. site: where these, or rows of the table, come from. workers: scans
    at a time, None for all CPUs, 0 for this process alone. now: UTC, ISO 8601. encoding: of tables that are neither
    UTF-8 nor UTF-16. failure_budget: share of new scans that may be refused. allow_mixed_cpu: nodes of several
    instruction sets may compute.
    """

    bundle: Bundle
    scans: tuple[str, ...]
    store: Store
    now: str
    clinical: str | None = None
    site_key: bytes | None = None
    workers: int | None = None
    site: str = ""
    encoding: str | None = None
    features: str | None = None
    failure_budget: float = ExtractSettings().failure_budget
    allow_mixed_cpu: bool = False


@dataclass(frozen=True)
class Ready:
    """Outlines that have what they need.

    stamps: of their sources. clinical: by patient, None where none is used. notes: of how patients meet that table.
    """

    scans: Scans
    stamps: list[str]
    clinical: pd.DataFrame | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Looked:
    """What a run is asked for. asked: outlines. products: names of what the store now holds of the ready ones."""

    asked: int
    ready: Ready
    products: tuple[str, ...]
    waiting: tuple[Waiting, ...]
    notes: tuple[str, ...] = ()


def check_source(request: Request) -> None:
    """StudyError when the bundle cannot score what is given."""
    bundle, given = request.bundle, [name for name in ("scans", "features") if getattr(request, name)]
    made = bundle.features.get("elsewhere")
    wanted = "features" if made else "scans"
    if given == [wanted]:
        return
    if len(given) != 1:
        got = "both" if given else "neither"
        raise StudyError(f"rescore: wanted --scans or --features, got {got}; this bundle takes --{wanted}")
    if made:
        raise StudyError(
            f"rescore: the features of this bundle ({made['name']}) were made elsewhere, this software cannot "
            "compute them from scans; give --features TABLE with the columns "
            f"{some(made['names']) or 'patient_id'}, not --scans"
        )
    name = features_of(bundle)
    raise StudyError(
        f"rescore: what this bundle takes {f'({name}) ' if name else ''}is computed from scans by this software, and "
        "values made elsewhere are not the same numbers; give --scans, not --features"
    )


def clinical_of(request: Request) -> ClinicalTable | None:
    """The clinical table that the run was given."""
    if not request.clinical:
        return None
    numbers = numbers_of(request.bundle.scoring["coding"], request.bundle.card["outcome"])
    return fetch_clinical(request.clinical, numbers, request.encoding)


def of_scans(request: Request, table: ClinicalTable | None, watch: Watch) -> Looked:
    """The scans of manifests and prefixes, extracted as far as they have what they need."""
    set_format(request.store)
    rows, waiting = _rows(request)
    rows = with_sites(request.bundle, request.store, rows, table.cells if table else None, request.site_key)
    ready, more = _ready(request, rows, table, _stamp)
    job = Job(request.store, products_of(request.bundle), code_version(EXTRACTION), ExtractSettings().timeout_s)
    done = _extract(request, ready, job, watch)
    return Looked(len(rows), ready, tuple(job.products), (*waiting, *more), (*rows.notes, *done.notes))


def of_table(request: Request, table: ClinicalTable | None) -> Looked:
    """The rows of a features table, committed as extraction commits its own."""
    bundle, store, listed = request.bundle, request.store, table.cells if table else None
    incoming = read_incoming(request.features, bundle, request.site, listed, request.encoding)
    wanted = ScansSettings.model_validate(bundle.scoring["scans"])
    rows, waiting = wanted_outlines(incoming.scans, wanted, FEATURES)
    rows = with_sites(bundle, store, rows, listed, request.site_key, FEATURES)
    ready, more = _ready(request, rows, table, lambda row: ("", ""))
    set_format(store)
    incoming.commit(store, bundle, rows)
    return Looked(len(rows), ready, (features_of(bundle),), (*waiting, *more), incoming.notes)


def _rows(request: Request) -> tuple[Scans, list[Waiting]]:
    """The outlines that the bundle is about: of manifests those of its reader, repeat and region."""
    wanted = ScansSettings.model_validate(request.bundle.scoring["scans"])
    manifests = tuple(uri for uri in request.scans if uri.lower().endswith(MANIFESTS))
    parts: list[Scans] = []
    waiting: list[Waiting] = []
    if manifests:
        kept, waiting = wanted_outlines(read_manifests(manifests, request.encoding), wanted)
        parts.append(kept)
    for prefix in (uri for uri in request.scans if uri not in manifests):
        if request.site_key is None:
            raise StudyError(
                "--scans names a prefix: wanted the site's key, which makes scan ids of series; give --site-key FILE"
            )
        if not request.site and (known := known_sites(request.bundle.harmonisation)):
            raise StudyError(
                "--scans names a prefix: wanted the site of its scans, by which the bundle harmonises features; "
                f"give --site, one of {', '.join(known)} or another name for a new site"
            )
        found, more = find_series(prefix.rstrip("/"), request.store, request.site_key, wanted, request.site)
        parts.append(Scans.of(found))
        waiting += more
    return join_manifests(parts), waiting


def _ready(request: Request, rows: Scans, table: ClinicalTable | None, look: Look) -> tuple[Ready, list[Waiting]]:
    """(scans with all that they need, scans that wait for a file or a clinical value)."""
    coding = request.bundle.scoring["coding"]
    clinical = predictors_of(table, coding, request.site_key) if table and coding else None
    lost = lacking(clinical, coding, rows.count("patient_id")) if coding else {}
    by_patient = by_pseudonym(table.cells, request.site_key) if table else None
    notes = clinical_notes(request.bundle, rows, by_patient, FEATURES if request.features else NEW)
    notes += outcome_notes(table.cells, request.bundle.card["outcome"]) if table else ()
    kept, stamps, waiting = [], [], []
    with ThreadPoolExecutor(THREADS) as pool:
        looks = (seen for part in rows.stretches() for seen in pool.map(look, part))
        for i, (row, (stamp, absent)) in enumerate(zip(rows, looks, strict=True)):
            if absent:
                waiting.append(Waiting(row.scan_id, absent))
            elif row.patient_id in lost:
                names = ", ".join(lost[row.patient_id][:5])
                waiting.append(Waiting(row.scan_id, f"its patient has no {names} in the clinical table"))
            else:
                kept.append(i)
                stamps.append(stamp)
    return Ready(Scans(rows.table.take(pa.array(kept, pa.int64()))), stamps, clinical, notes), waiting


def _stamp(row: ScanRow) -> tuple[str, str]:
    """(stamp of image and mask, which of them is not there); no stamp where they cannot be read: extraction fails."""
    try:
        image, mask = list_source(row.image_uri), list_source(row.mask_uri)
    except (OSError, StoreError):
        return "", ""
    if not image.parts:
        return "", "its image is not there"
    return joint_stamp([image, mask]), "" if mask.parts else "it has no mask yet"


def _extract(request: Request, ready: Ready, job: Job, watch: Watch) -> Extracted:
    """Bring the store up to date with the scans; nothing is started when it is."""
    plans = _plans(request.store, ready, job) if job.products else []
    if not plans:
        return Extracted()
    todo = Scans.of(plan.task.row for plan in plans)
    tell = watch({site: n * len(job.products) for site, n in todo.count("site").items()})
    if request.workers == 0:
        return extract_here(plans, job, tell)
    settings = load_study(None, ("extract.allow_mixed_cpu=true",) if request.allow_mixed_cpu else ()).extract
    return extract_scans(todo, Extraction(job, settings, request.workers), tell)


def _plans(store: Store, ready: Ready, job: Job) -> list[Planned]:
    """The work that the store does not hold yet, going by stamps."""
    history, plans = read_history(store, ready.scans, job), []
    for first in range(0, len(ready.scans), STRETCH):
        done, last = history.part(first, first + STRETCH), first + STRETCH
        for row, stamp in zip(ready.scans[first:last], ready.stamps[first:last], strict=True):
            if plan := plan_scan(row, Survey(stamp, 0, bool(stamp)), done, job, verify=False):
                plans.append(plan)
    return plans
