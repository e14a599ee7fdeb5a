"""New scans scored by a bundle: each once for its content, whatever crashes or runs beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import ledger
from gc_ray.cohort.manifest import ScanRow
from gc_ray.errors import TableError, some
from gc_ray.exit_codes import DRIFT, SCANS_WAIT, Problem, exit_code
from gc_ray.joins import places
from gc_ray.models.bundle import Bundle
from gc_ray.models.domain import REFUSED, geometry_of, judge
from gc_ray.models.frozen_sites import freed, known_sites
from gc_ray.models.scoring import INTERVAL, Scored, score
from gc_ray.probe import probe
from gc_ray.run_records import write_record
from gc_ray.runtime import audit
from gc_ray.runtime.bundled import Computed, check_codes, compute_networks
from gc_ray.runtime.drift import write_drift
from gc_ray.runtime.incoming import Waiting
from gc_ray.runtime.incoming_clinical import outcomes_of
from gc_ray.runtime.plan import results_of
from gc_ray.runtime.rescore_input import Ready, Request, Watch, check_source, clinical_of, of_scans, of_table
from gc_ray.runtime.summary import over_budget
from gc_ray.store_format import refuse_newer
from gc_ray.study import ExtractSettings, digest
from gc_ray.tables import SCAN_KEY


@dataclass(frozen=True)
class Rescored:
    """What became of the scans.

    already: scored before with these inputs. failed: tried again by the next run. drift: alert, stable or too few.
    notes: what the reader of the tables decided or left out, how the tables meet, and what is not known of a table
    of features. failure_budget: share of the scans new in this run that may be refused.
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
    notes: tuple[str, ...] = ()
    failure_budget: float = ExtractSettings().failure_budget

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What an operator must know of the run. Scans that were refused by an earlier run are not counted again."""
        lost = {"refused": self.refused, "failed": len(self.failed)}
        new = self.scored + self.refused + len(self.failed)
        found = []
        if self.failed or self.refused > self.failure_budget * new:
            found.append(over_budget(lost, new))
        if self.waiting:
            text = f"{len(self.waiting)} scans wait: {some(scan.scan_id for scan in self.waiting)}"
            found.append(Problem(SCANS_WAIT, text, {"waiting": len(self.waiting)}))
        if self.drift == "alert":
            found.append(
                Problem(DRIFT, f"drift of bundle {self.bundle_id}: the latest scans differ from the training")
            )
        return tuple(found)


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
    check_source(request)
    probe(store)
    refuse_newer(store)
    before = ledger.read_ledger(store, ())
    table = clinical_of(request)
    found = of_table(request, table) if request.features else of_scans(request, table, watch)
    todo, failed, already = _unscored(request, found.ready, found.products)
    done, lost, results = _score(request, todo, watch, run)
    ledger.compact(store)
    audit.compact(store, bundle.bundle_id)
    outcomes = outcomes_of(table.cells, bundle.card["outcome"], request.site_key) if table else None
    drifted = write_drift(store, bundle, outcomes, run, request.now)
    ended = Rescored(
        run, bundle.bundle_id, found.asked, done["scored"], done["refused"], already + done["already"],
        found.waiting, (*failed, *lost), drifted, (*found.notes, *(table.notes if table else ()), *found.ready.notes),
        request.failure_budget,
    )  # fmt: skip
    record = {"command": "rescore", "exit_code": exit_code(ended.problems), **asdict(ended)}
    write_record(store, run, record, [*ledger.commits_since(store, before), *results])
    return ended


def _unscored(request: Request, ready: Ready, products: tuple[str, ...]) -> tuple[list[_Todo], list[Waiting], int]:
    """(scans not scored yet with these inputs, those that could not be extracted, how many are scored)."""
    bundle_id, store, scans = request.bundle.bundle_id, request.store, ready.scans
    held = ledger.read_ledger(store, ("status", "stage", "reason", "source_sha256"))
    found = results_of(scans, held, products)
    reasons = {}
    for where in reversed(found.values()):
        own = held.select(["status", "stage", "reason"]).take(where)
        # without a file there is nothing to judge: another node, or the next run, may see it
        lost = pc.or_(pc.equal(own["status"], "failed"), pc.equal(own["stage"], "source"))
        for i in pc.indices_nonzero(lost).to_pylist():
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


def _score(request: Request, todo: list[_Todo], watch: Watch, run: str) -> tuple[Counter, list[Waiting], list[str]]:
    """(scored, refused and, where another run was first, already; scans whose inputs or result are damaged; results).

    The results are the names of those that this run committed.
    """
    if not todo:
        return Counter(), [], []
    bundle, store, done, failed, results = request.bundle, request.store, Counter(), [], []
    sequence = audit.next_sequence(store, bundle.bundle_id)
    tell = watch(Counter(work.row.site for work in todo))
    computed = compute_networks(
        bundle, store, [work.rows for work in todo], request.workers, run, allow_mixed_cpu=request.allow_mixed_cpu
    )
    for work in todo:
        row = work.row
        try:
            result = _result(request, work, computed, run) | {"sequence": sequence}
            name = audit.audit_name(bundle.bundle_id, row, work.input_hash)
            new = audit.commit(store, name, result)
        except TableError as error:
            failed.append(Waiting(row.scan_id, str(error)))
            tell(row.site, "failed")
            continue
        results += [name] if new else []
        done[result["status"] if new else "already"] += 1
        tell(row.site, result["status"] if new else "unchanged")
    return done, failed, results


def _input_hashes(bundle: Bundle, ready: Ready, contents: list[str]) -> list[str]:
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
    refused = refused or [f"{name}: {why}" for name, why in _gaps(bundle, theirs)]
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


def _gaps(bundle: Bundle, rows: list[dict]) -> Iterator[tuple[str, str]]:
    """The predictors that have no value in some ledger rows, and why."""
    for row in rows:
        missing = json.loads(row["missing"])
        yield from ((name, missing[name]) for name in bundle.card["feature_order"] if name in missing)


def _risk(bundle: Bundle, scored: Scored) -> dict:
    low, high = bundle.cutoff["names"]
    found = {name: getattr(scored, name) for name in ("score", "linear_predictor", "lower", "upper")}
    return found | {"status": "scored", "risk_group": high if scored.score > bundle.cutoff["cutoff"] else low}
