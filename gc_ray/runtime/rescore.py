"""New scans scored by a bundle: each once for its content, whatever crashes or runs beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import ledger
from gc_ray.cohort.manifest import STRETCH, ScanRow, Scans, join_manifests
from gc_ray.errors import StudyError, TableError
from gc_ray.joins import places
from gc_ray.models.bundle import Bundle
from gc_ray.models.domain import REFUSED, geometry_of, judge
from gc_ray.models.frozen_sites import freed, known_sites
from gc_ray.models.scoring import INTERVAL, Scored, score
from gc_ray.probe import probe
from gc_ray.run_records import write_record
from gc_ray.runtime import audit, cluster
from gc_ray.runtime.bundled import Computed, check_codes, compute_networks, products_of
from gc_ray.runtime.clinical_table import fetch_clinical
from gc_ray.runtime.drift import write_drift
from gc_ray.runtime.extract import Request as Extraction
from gc_ray.runtime.extract import look_and_compute
from gc_ray.runtime.incoming import Waiting, find_series
from gc_ray.runtime.incoming_clinical import lacking, outcomes_of, predictors_of
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.plan import Planned, plan_scan, read_history, results_of
from gc_ray.runtime.products import code_version, describe
from gc_ray.runtime.scan_work import Job, process_scan
from gc_ray.runtime.survey import Survey
from gc_ray.source import joint_stamp, list_source
from gc_ray.store import Store
from gc_ray.store_format import prepare
from gc_ray.study import ExtractSettings, digest, load_study
from gc_ray.study_cohort import ScansSettings
from gc_ray.tables import SCAN_KEY

MANIFESTS = (".csv", ".parquet")  # what ends otherwise is a prefix to be searched
THREADS = 16  # listings side by side
Watch = Callable[[dict[str, int]], Callable[[str, str], None]]


@dataclass(frozen=True)
class Request:
    """What the command was asked for.

    scans: manifests, or prefixes. site_key: names the series of prefixes. site: where these come from. workers: scans
    at a time, None for all CPUs, 0 for this process alone. now: UTC, ISO 8601.
    """

    bundle: Bundle
    scans: tuple[str, ...]
    store: Store
    now: str
    clinical: str | None = None
    site_key: bytes | None = None
    workers: int | None = None
    site: str = ""


@dataclass(frozen=True)
class Rescored:
    """What became of the scans.

    already: scored before with these inputs. failed: tried again by the next run. drift: alert, stable or too few.
    """

    run: str
    bundle_id: str
    scans: int
    scored: int
    refused: int
    already: int
    waiting: tuple[Waiting, ...]
    failed: tuple[Waiting, ...]
    drift: str


@dataclass(frozen=True)
class _Ready:
    """Outlines that have what they need. stamps: of their sources. clinical: by patient, None where none is used."""

    scans: Scans
    stamps: list[str]
    clinical: pd.DataFrame | None


@dataclass(frozen=True)
class _Todo:
    """A scan to be scored. rows: of the ledger, one for each product. input_hash: names what is scored."""

    row: ScanRow
    clinical: pd.DataFrame | None
    rows: list[dict]
    input_hash: str


def rescore(request: Request, watch: Watch, run: str) -> Rescored:
    """Score what the bundle has not scored yet with these inputs; the run record is written last.

    watch, run: as for ``extract``. TableError, StudyError or BundleError when tables, key or bundle do not fit.
    """
    bundle, store = request.bundle, request.store
    check_codes(bundle)
    probe(store)
    prepare(store)
    rows, waiting = _rows(request)
    text = fetch_clinical(request.clinical) if request.clinical else None
    ready, more = _ready(request, rows, text)
    job = Job(store, products_of(bundle), code_version(), ExtractSettings().timeout_s)
    _extract(request, ready, job, watch)
    todo, failed, already = _unscored(request, ready, job)
    done, lost = _score(request, todo, watch, run)
    ledger.compact(store)
    audit.compact(store, bundle.bundle_id)
    outcomes = outcomes_of(text[0], bundle.card["outcome"], request.site_key) if text else None
    drifted = write_drift(store, bundle, outcomes, run, request.now)
    found = Rescored(
        run, bundle.bundle_id, len(rows), done["scored"], done["refused"], already + done["already"],
        (*waiting, *more), (*failed, *lost), drifted,
    )  # fmt: skip
    record = {"command": "rescore", "exit_code": 3 if found.failed else 0, **asdict(found)}
    write_record(store, run, record)
    return found


def _rows(request: Request) -> tuple[Scans, list[Waiting]]:
    """The outlines that the bundle is about: of manifests those of its reader, repeat and region."""
    wanted = ScansSettings.model_validate(request.bundle.scoring["scans"])
    manifests = tuple(uri for uri in request.scans if uri.lower().endswith(MANIFESTS))
    parts: list[Scans] = []
    if manifests:
        asked = (pc.field("reader") == wanted.reader) & (pc.field("repeat") == wanted.repeat)
        asked &= (pc.field("roi") == wanted.roi) | (not wanted.roi)
        parts.append(Scans(read_manifests(manifests).table.filter(asked)))
    waiting: list[Waiting] = []
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


def _ready(request: Request, rows: Scans, text: tuple[pd.DataFrame, str] | None) -> tuple[_Ready, list[Waiting]]:
    """(scans with all that they need, scans that wait for a file or a clinical value)."""
    coding = request.bundle.scoring["coding"]
    clinical = predictors_of(*text, coding, request.site_key) if text and coding else None
    lost = lacking(clinical, coding, rows.count("patient_id")) if coding else {}
    kept, stamps, waiting = [], [], []
    with ThreadPoolExecutor(THREADS) as pool:
        looks = (look for part in rows.stretches() for look in pool.map(_stamp, part))
        for i, (row, (stamp, absent)) in enumerate(zip(rows, looks, strict=True)):
            if absent:
                waiting.append(Waiting(row.scan_id, absent))
            elif row.patient_id in lost:
                names = ", ".join(lost[row.patient_id][:5])
                waiting.append(Waiting(row.scan_id, f"its patient has no {names} in the clinical table"))
            else:
                kept.append(i)
                stamps.append(stamp)
    return _Ready(Scans(rows.table.take(pa.array(kept, pa.int64()))), stamps, clinical), waiting


def _stamp(row: ScanRow) -> tuple[str, str]:
    """(stamp of image and mask, which of them is not there)."""
    image, mask = list_source(row.image_uri), list_source(row.mask_uri)
    if not image.parts:
        return "", "its image is not there"
    return joint_stamp([image, mask]), "" if mask.parts else "it has no mask yet"


def _extract(request: Request, ready: _Ready, job: Job, watch: Watch) -> None:
    """Bring the store up to date with the scans; nothing is started when it is."""
    if not job.products:
        return
    plans = _plans(request.store, ready, job)
    if not plans:
        return
    for product in job.products.values():
        describe(product, request.store)
    todo = Scans.of(plan.task.row for plan in plans)
    tell = watch({site: n * len(job.products) for site, n in todo.count("site").items()})
    if request.workers == 0:
        for plan in plans:
            for outcome in process_scan(plan.task, job):
                tell(plan.task.row.site, outcome["status"])
        return
    extraction = Extraction((), request.store, load_study(None), request.workers)
    with cluster.session(request.workers):
        for site, status in look_and_compute(todo, job, extraction, tell, after=lambda: None):
            tell(site, status)


def _plans(store: Store, ready: _Ready, job: Job) -> list[Planned]:
    """The work that the store does not hold yet, going by stamps."""
    history, plans = read_history(store, ready.scans, job), []
    for first in range(0, len(ready.scans), STRETCH):
        done, last = history.part(first, first + STRETCH), first + STRETCH
        for row, stamp in zip(ready.scans[first:last], ready.stamps[first:last], strict=True):
            if plan := plan_scan(row, Survey(stamp, 0), done, job, verify=False):
                plans.append(plan)
    return plans


def _unscored(request: Request, ready: _Ready, job: Job) -> tuple[list[_Todo], list[Waiting], int]:
    """(scans not scored yet with these inputs, those that could not be extracted, how many are scored)."""
    bundle_id, store, scans = request.bundle.bundle_id, request.store, ready.scans
    held = ledger.read_ledger(store, ("status", "reason", "source_sha256"))
    found = results_of(scans, held, job)
    reasons = {}
    for where in reversed(found.values()):
        own = held.select(["status", "reason"]).take(where)
        for i in pc.indices_nonzero(pc.equal(own["status"], "failed")).to_pylist():
            reasons[i] = own["reason"][i].as_py()
    first = next(iter(found.values()), None)
    contents = ready.stamps if first is None else held["source_sha256"].take(first).to_pylist()
    hashes = _input_hashes(request.bundle, ready, contents)
    asked = scans.table.select(SCAN_KEY).append_column("input_hash", pa.array(hashes, pa.string()))
    known = places(asked, audit.read_whole_scores(store, bundle_id, ()), (*SCAN_KEY, "input_hash"))
    new = [i for i in pc.indices_nonzero(known.is_null()).to_pylist() if i not in reasons]
    rows = [
        ledger.read_commits(store, held.take(where.take(pa.array(new, pa.int64()))).to_pylist())
        for where in found.values()
    ]
    todo = []
    for n, i in enumerate(new):
        row = scans[i]
        clinical = None if ready.clinical is None else ready.clinical.loc[[row.patient_id]]
        todo.append(_Todo(row, clinical, [of_product[n] for of_product in rows], hashes[i]))
    failed = [Waiting(scans[i].scan_id, reason) for i, reason in sorted(reasons.items())]
    return todo, failed, len(scans) - len(todo) - len(failed)


def _score(request: Request, todo: list[_Todo], watch: Watch, run: str) -> tuple[Counter, list[Waiting]]:
    """(scored, refused and, where another run was first, already; scans whose inputs or result are damaged)."""
    if not todo:
        return Counter(), []
    bundle, store, done, failed = request.bundle, request.store, Counter(), []
    tell = watch(Counter(work.row.site for work in todo))
    computed = compute_networks(bundle, store, [work.rows for work in todo], request.workers, run)
    for work in todo:
        row = work.row
        try:
            result = _result(request, work, computed, run)
            new = audit.commit(store, audit.audit_name(bundle.bundle_id, row, work.input_hash), result)
        except TableError as error:
            failed.append(Waiting(row.scan_id, str(error)))
            tell(row.site, "failed")
            continue
        done[result["status"] if new else "already"] += 1
        tell(row.site, result["status"] if new else "unchanged")
    return done, failed


def _input_hashes(bundle: Bundle, ready: _Ready, contents: list[str]) -> list[str]:
    """For each scan a digest of what is scored: its content, clinical values, phase, and site where that matters."""
    clinical = {}
    if ready.clinical is not None:
        names, values = list(ready.clinical.columns), ready.clinical.to_numpy()
        clinical = {
            p: dict(zip(names, map(str, row), strict=True))
            for p, row in zip(ready.clinical.index, values, strict=True)
        }
    names = ("phase", "site") if known_sites(bundle.harmonisation) else ("phase",)
    patients, *more = (ready.scans.table[name].to_pylist() for name in ("patient_id", *names))
    return [
        digest([content, clinical.get(patient, {}), *whose])
        for content, patient, *whose in zip(contents, patients, *more, strict=True)
    ]


def _result(request: Request, work: _Todo, computed: Computed, run: str) -> dict:
    """A row of RESCORES; TableError when the scan's inputs could not be computed."""
    bundle, row, theirs = request.bundle, work.row, work.rows
    result = {name: getattr(row, name) for name in (*SCAN_KEY, "patient_id", "site", "phase")} | {
        "bundle_id": bundle.bundle_id, "study_id": bundle.card["study"], "model_id": bundle.model,
        "input_hash": work.input_hash, "status": "refused", "score": None, "linear_predictor": None,
        "lower": None, "upper": None, "interval": INTERVAL, "risk_group": "", "verdict": REFUSED,
        "predictors": "{}", "scored_at": request.now, "run": run,
    }  # fmt: skip
    refused = [f"{r['stage']}: {r['reason']}" for r in theirs if r["status"] == "refused"]
    if refused:
        return result | {"reasons": refused}
    features, head, fault = computed.of(row.key)
    if fault:
        raise TableError(fault)
    features, site = freed(bundle.harmonisation, features, row.site)
    try:
        scored = score(bundle, features, work.clinical, head)
    except TableError as error:
        return result | {"reasons": [str(error)]}
    geometry = geometry_of(json.loads(theirs[0]["geometry"]), theirs[0]["mask_voxels"]) if theirs else {}
    verdict, reasons = judge(bundle.reference, scored.values, geometry, row.phase, site)
    result |= {"verdict": verdict, "reasons": reasons, "predictors": json.dumps(scored.values | geometry)}
    return result if verdict == REFUSED else result | _risk(bundle, scored)


def _risk(bundle: Bundle, scored: Scored) -> dict:
    low, high = bundle.cutoff["names"]
    found = {name: getattr(scored, name) for name in ("score", "linear_predictor", "lower", "upper")}
    return found | {"status": "scored", "risk_group": high if scored.score > bundle.cutoff["cutoff"] else low}
