"""New scans scored by a bundle: each once for its content, whatever crashes or runs beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

import pandas as pd

from gc_ray import ledger
from gc_ray.cohort.clinical import check_clinical
from gc_ray.cohort.manifest import ScanRow, join_manifests
from gc_ray.errors import StudyError, TableError
from gc_ray.models.bundle import Bundle
from gc_ray.models.domain import REFUSED, geometry_of, judge
from gc_ray.models.frozen_sites import freed, known_sites
from gc_ray.models.scoring import INTERVAL, Scored, missing_clinical, score
from gc_ray.runtime import audit, cluster
from gc_ray.runtime.bundled import Computed, check_codes, compute_networks, products_of
from gc_ray.runtime.clinical_table import fetch_clinical
from gc_ray.runtime.drift import write_drift
from gc_ray.runtime.extract import Request as Extraction
from gc_ray.runtime.extract import compute_wave
from gc_ray.runtime.incoming import Waiting, find_series, pseudonym
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.plan import Done, plan_scan
from gc_ray.runtime.products import code_version, describe
from gc_ray.runtime.scan_work import Job, process_scan
from gc_ray.runtime.survey import Survey
from gc_ray.source import joint_stamp, list_source
from gc_ray.store import Store
from gc_ray.study import ExtractSettings, digest, load_study
from gc_ray.study_cohort import ClinicalSettings, ScansSettings
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
class _Scan:
    """An outline that has what it needs. clinical: one row with the bundle's columns, None where it needs none."""

    row: ScanRow
    clinical: pd.DataFrame | None
    stamp: str


@dataclass(frozen=True)
class _Todo:
    """A scan to be scored. rows: of the ledger, one for each product. input_hash: names what is scored."""

    scan: _Scan
    rows: list[dict]
    input_hash: str


def rescore(request: Request, watch: Watch, run: str) -> Rescored:
    """Score what the bundle has not scored yet with these inputs; the run record is written last.

    watch, run: as for ``extract``. TableError, StudyError or BundleError when tables, key or bundle do not fit.
    """
    bundle, store = request.bundle, request.store
    check_codes(bundle)
    rows, waiting = _rows(request)
    text = fetch_clinical(request.clinical) if request.clinical else None
    scans, more = _ready(request, rows, text)
    job = Job(store, products_of(bundle), code_version(), ExtractSettings().timeout_s)
    _extract(request, scans, job, watch)
    todo, failed, already = _unscored(request, scans, job)
    done, lost = _score(request, todo, watch, run)
    ledger.compact(store)
    audit.compact(store, bundle.bundle_id)
    drifted = write_drift(store, bundle, _outcomes(request, text), run, request.now)
    found = Rescored(
        run, bundle.bundle_id, len(rows), done["scored"], done["refused"], already + done["already"],
        (*waiting, *more), (*failed, *lost), drifted,
    )  # fmt: skip
    record = {"command": "rescore", "exit_code": 3 if found.failed else 0, **asdict(found)}
    store.put(f"runs/{run}.json", json.dumps(record, indent=1).encode())
    return found


def _rows(request: Request) -> tuple[list[ScanRow], list[Waiting]]:
    """The outlines that the bundle is about: of manifests those of its reader, repeat and region."""
    wanted = ScansSettings.model_validate(request.bundle.scoring["scans"])
    manifests = tuple(uri for uri in request.scans if uri.lower().endswith(MANIFESTS))
    rows = read_manifests(manifests) if manifests else []
    rows = [row for row in rows if (row.reader, row.repeat) == (wanted.reader, wanted.repeat)]
    rows = [row for row in rows if not wanted.roi or row.roi == wanted.roi]
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
        rows, waiting = [*rows, *found], [*waiting, *more]
    return join_manifests([rows]), waiting


def _ready(
    request: Request, rows: list[ScanRow], text: tuple[pd.DataFrame, str] | None
) -> tuple[list[_Scan], list[Waiting]]:
    """(scans with all that they need, scans that wait for a file or a clinical value)."""
    coding = request.bundle.scoring["coding"]
    clinical = text and _clinical(request, *text) if coding else None
    with ThreadPoolExecutor(THREADS) as pool:
        sources = list(pool.map(lambda row: (list_source(row.image_uri), list_source(row.mask_uri)), rows))
    ready, waiting = [], []
    for row, (image, mask) in zip(rows, sources, strict=True):
        own = None
        if clinical is not None and row.patient_id in clinical.index:
            own = clinical.loc[[row.patient_id]]
        lost = missing_clinical(request.bundle, None if own is None else own.iloc[0]) if coding else []
        if not image.parts or not mask.parts:
            waiting.append(
                Waiting(row.scan_id, "its image is not there" if not image.parts else "it has no mask yet")
            )
        elif lost:
            waiting.append(Waiting(row.scan_id, f"its patient has no {', '.join(lost[:5])} in the clinical table"))
        else:
            ready.append(_Scan(row, own, joint_stamp([image, mask])))
    return ready, waiting


def _clinical(request: Request, text: pd.DataFrame, name: str) -> pd.DataFrame:
    """The columns that the bundle needs, by the table's own patient id and, with a site's key, by its pseudonym."""
    coding = request.bundle.scoring["coding"]
    columns = {c: {k: v for k, v in said.items() if k not in ("codes", "terms")} for c, said in coding.items()}
    columns = {c: said | ({"not_after": ""} if "not_after" in said else {}) for c, said in columns.items()}
    settings = ClinicalSettings.model_validate_json(json.dumps({"predictors": list(columns), "columns": columns}))
    values, findings = check_clinical(text, settings)
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        raise TableError(f"{name}: {errors[0]}")
    return _by_pseudonym(request, values)


def _by_pseudonym(request: Request, values: pd.DataFrame | pd.Series) -> pd.DataFrame | pd.Series:
    if request.site_key is None:
        return values
    named = values.set_axis([pseudonym(request.site_key, f"patient {p}") for p in values.index])
    return pd.concat([values, named])


def _outcomes(request: Request, text: tuple[pd.DataFrame, str] | None) -> pd.Series | None:
    """The outcomes that have arrived, 0 or 1 by patient; None where the table has no such column."""
    outcome = request.bundle.card["outcome"]
    if text is None or outcome not in text[0]:
        return None
    values = pd.to_numeric(text[0][outcome], errors="coerce")
    return _by_pseudonym(request, values.where(values.isin((0, 1))))


def _extract(request: Request, scans: list[_Scan], job: Job, watch: Watch) -> None:
    """Bring the store up to date with the scans; nothing is started when it is."""
    if not job.products:
        return
    store = request.store
    rows = {(*_key(r), r["feature_set"]): r for r in ledger.read_ledger(store).to_pylist()}
    done = Done(rows, frozenset(ledger.known_contents(store)))
    plans = [plan_scan(scan.row, Survey(scan.stamp, 0), done, job, verify=False) for scan in scans]
    todo = [(scan.row, plan.task) for scan, plan in zip(scans, plans, strict=True) if plan]
    if not todo:
        return
    for product in job.products.values():
        describe(product, store)
    tell = watch(Counter(row.site for row, _ in todo for _ in job.products))
    if request.workers == 0:
        for row, task in todo:
            for outcome in process_scan(task, job):
                tell(row.site, outcome["status"])
        return
    extraction = Extraction((), store, load_study(None), request.workers)
    size = extraction.study.extract.wave_scans
    with cluster.session(request.workers):
        for start in range(0, len(todo), size):
            wave = [row for row, _ in todo[start : start + size]]
            for site, status in compute_wave(wave, job, extraction, process_scan):
                tell(site, status)


def _unscored(request: Request, scans: list[_Scan], job: Job) -> tuple[list[_Todo], list[Waiting], int]:
    """(scans not scored yet with these inputs, those that could not be extracted, how many are scored)."""
    bundle_id, store = request.bundle.bundle_id, request.store
    held = {(*_key(row), row["feature_set"]): row for row in ledger.read_ledger(store).to_pylist()}
    known, todo, failed = audit.committed(store, bundle_id), [], []
    for scan in scans:
        rows = [held[*scan.row.key, name] for name in job.products]
        reasons = [row["reason"] for row in rows if row["status"] == "failed"]
        work = _Todo(scan, rows, _input_hash(request.bundle, scan, rows))
        if reasons:
            failed.append(Waiting(scan.row.scan_id, reasons[0]))
        elif audit.audit_name(bundle_id, scan.row, work.input_hash) not in known:
            todo.append(work)
    return todo, failed, len(scans) - len(todo) - len(failed)


def _score(request: Request, todo: list[_Todo], watch: Watch, run: str) -> tuple[Counter, list[Waiting]]:
    """(scored, refused and, where another run was first, already; scans whose network input failed)."""
    if not todo:
        return Counter(), []
    bundle, store, done, failed = request.bundle, request.store, Counter(), []
    tell = watch(Counter(work.scan.row.site for work in todo))
    computed = compute_networks(bundle, store, [work.rows for work in todo], request.workers, run)
    for work in todo:
        row = work.scan.row
        result = _result(request, work, computed, run)
        if isinstance(result, Waiting):
            failed.append(result)
            continue
        new = audit.commit(store, audit.audit_name(bundle.bundle_id, row, work.input_hash), result)
        done[result["status"] if new else "already"] += 1
        tell(row.site, result["status"] if new else "unchanged")
    return done, failed


def _input_hash(bundle: Bundle, scan: _Scan, theirs: list[dict]) -> str:
    """A digest of what is scored: content of scan and mask, clinical values, phase, and site where it matters."""
    content = theirs[0]["source_sha256"] if theirs else scan.stamp
    clinical = {} if scan.clinical is None else {c: str(v) for c, v in scan.clinical.iloc[0].items()}
    site = [scan.row.site] if known_sites(bundle.harmonisation) else []
    return digest([content, clinical, scan.row.phase, *site])


def _result(request: Request, work: _Todo, computed: Computed, run: str) -> dict | Waiting:
    bundle, scan, row, theirs = request.bundle, work.scan, work.scan.row, work.rows
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
        return Waiting(row.scan_id, fault)
    features, site = freed(bundle.harmonisation, features, row.site)
    try:
        scored = score(bundle, features, scan.clinical, head)
    except TableError as error:
        return result | {"reasons": [str(error)]}
    geometry = geometry_of(json.loads(theirs[0]["geometry"]), theirs[0]["mask_voxels"]) if theirs else {}
    verdict, reasons = judge(bundle.reference, scored.values, geometry, row.phase, site)
    result |= {"verdict": verdict, "reasons": reasons, "predictors": json.dumps(scored.values | geometry)}
    return result if verdict == REFUSED else result | _risk(bundle, scored)


def _risk(bundle: Bundle, scored: Scored) -> dict:
    low, high = bundle.cutoff["names"]
    found = asdict(replace(scored, values={}))
    del found["values"]
    return found | {"status": "scored", "risk_group": high if scored.score > bundle.cutoff["cutoff"] else low}


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in SCAN_KEY)
