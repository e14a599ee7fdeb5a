"""What a store holds, how complete it is and what failed: from the ledger, cards and run records, no value read."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from gc_ray import ledger, sealed
from gc_ray.cohort_tables import read_splits, split_hash
from gc_ray.errors import DamagedError, TableError
from gc_ray.runtime import audit
from gc_ray.runtime.active_runs import ActiveRun, active_runs
from gc_ray.runtime.made_elsewhere import CODE, made_elsewhere
from gc_ray.runtime.split import ORDER
from gc_ray.runtime.summary import LOST
from gc_ray.store import Store
from gc_ray.store_format import refuse_newer
from gc_ray.tables import SCAN_KEY

RUNS = 10  # latest run records that are read; a scheduled service leaves thousands
STATUSES = ("ok", "repaired", "refused", "failed")
WHEN = re.compile(r"\d{8}T\d{6}Z")  # in the name of a run


@dataclass(frozen=True)
class Product:
    """How the outlines of a site stand for a feature set, a network input (volumes/..) or a deep table (deep/..).

    absent: outlines of the site that have a row of another feature set and none of this.
    """

    feature_set: str
    site: str
    ok: int
    repaired: int
    refused: int
    failed: int
    absent: int


@dataclass(frozen=True)
class Ingested:
    """Features made elsewhere that came in as a table. settings: digest of their names."""

    feature_set: str
    rows: int
    patients: int
    features: int
    settings: str


@dataclass(frozen=True)
class Reason:
    """Why results were refused or failed, how many, and the id of one of the scans."""

    status: str
    reason: str
    results: int
    example: str


@dataclass(frozen=True)
class CohortSize:
    """A cohort of a split; events: None where no record of the split tells them."""

    name: str
    n: int
    events: int | None


@dataclass(frozen=True)
class StoredSplit:
    """The split of a study."""

    study_id: str
    hash: str
    patients: int
    cohorts: tuple[CohortSize, ...]
    folds: int


@dataclass(frozen=True)
class StoredModel:
    """A model's folder. whole: False where its card, written last, is not there. backbone: what a head stands on."""

    model_id: str
    kind: str
    whole: bool
    study_id: str = ""
    backbone: str = ""
    statement: str = ""


@dataclass(frozen=True)
class StoredTuning:
    """The signatures of a study. whole: as of a model. trials: kept results of single trials. failed: and why."""

    study_id: str
    tune_id: str
    whole: bool
    trials: int
    models: tuple[str, ...]
    failed: dict[str, str]
    sources: dict[str, str]


@dataclass(frozen=True)
class StoredPage:
    """A report or a reproduction. whole: whether its page, written last, is there."""

    folder: str
    whole: bool


@dataclass(frozen=True)
class StoredScores:
    """What a bundle scored here. waiting, failed: of its last run; None where that is not among the latest runs."""

    bundle_id: str
    study_id: str
    model_id: str
    scored: int
    refused: int
    waiting: int | None
    failed: int | None
    drift: str


@dataclass(frozen=True)
class StoredRun:
    """A run that came to its end, or was found cut off. seconds: None where its record does not tell."""

    run: str
    command: str
    exit_code: int
    seconds: float | None
    cut_off: bool = False


@dataclass(frozen=True)
class Contents:
    """What is in a store."""

    store: str
    outlines: int
    products: tuple[Product, ...]
    reasons: tuple[Reason, ...]
    splits: tuple[StoredSplit, ...]
    models: tuple[StoredModel, ...]
    tunings: tuple[StoredTuning, ...]
    pages: tuple[StoredPage, ...]
    bundles: tuple[StoredScores, ...]
    runs: tuple[StoredRun, ...]
    ingested: tuple[Ingested, ...] = ()
    active: tuple[ActiveRun, ...] = ()


def show(store: Store, now: float | None = None) -> Contents:
    """What is in the store; TableError when nothing of ours is there, or a split was damaged by hand."""
    refuse_newer(store)
    records = _latest(store, "")
    outlines, products, reasons = _results(store)
    found = Contents(
        store.uri,
        outlines,
        products,
        reasons,
        tuple(_splits(store)),
        tuple(_models(store)),
        tuple(_tunings(store)),
        tuple(_pages(store)),
        tuple(_bundles(store)),
        tuple(_run(record) for record in records),
        tuple(_ingested(store)),
        tuple(active_runs(store, time.time() if now is None else now)),
    )
    if not any((products, found.splits, found.models, found.tunings, found.pages, found.bundles, found.runs)):
        raise TableError(
            f"store {store.uri}: wanted what gc-ray wrote, nothing is there; check the address, or run gc-ray "
            "extract into it first"
        )
    return found


def _results(store: Store) -> tuple[int, tuple[Product, ...], tuple[Reason, ...]]:
    names = [*SCAN_KEY, "site", "feature_set", "status", "stage", "reason"]
    rows = ledger.read_ledger(store).select(names).to_pandas()
    sizes = rows.drop_duplicates([*SCAN_KEY, "site"]).groupby("site").size()
    products = []
    for (feature_set, site), mine in rows.groupby(["feature_set", "site"]):
        counts = [int((mine["status"] == status).sum()) for status in STATUSES]
        products.append(Product(feature_set, site, *counts, absent=int(sizes[site]) - len(mine)))
    for feature_set in rows["feature_set"].unique():  # a site that was never asked for it lacks all of it
        asked = {product.site for product in products if product.feature_set == feature_set}
        products += [Product(feature_set, site, 0, 0, 0, 0, int(sizes[site])) for site in set(sizes.index) - asked]
    return int(sizes.sum()), tuple(sorted(products, key=lambda p: (p.feature_set, p.site))), _reasons(rows)


def _ingested(store: Store) -> Iterator[Ingested]:
    rows = ledger.read_ledger(store, ("patient_id", "settings_hash", "code_version")).to_pandas()
    for (name, settings), mine in rows[rows["code_version"] == CODE].groupby(["feature_set", "settings_hash"]):
        made = made_elsewhere(store, ledger.settings_folder(name, settings))
        yield Ingested(name, len(mine), mine["patient_id"].nunique(), made.features if made else 0, settings)


def _reasons(rows: pd.DataFrame) -> tuple[Reason, ...]:
    lost = rows[rows["status"].isin(LOST)]
    found = [
        Reason(status, reason, len(mine), min(mine["scan_id"]))
        for (status, reason), mine in lost.groupby(["status", "reason"])
    ]
    return tuple(sorted(found, key=lambda r: (-r.results, r.status, r.reason)))


def _splits(store: Store) -> Iterator[StoredSplit]:
    events = {}  # the outcome is a column that only the study file names: its counts stand in the split's run record
    for entry in store.list("runs"):
        if entry.key.startswith("runs/split-") and "groups" in (record := _json(store, entry.key) or {}):
            events |= {(record["hash"], group["name"]): group["events"] for group in record["groups"]}
    whole = {study_id for study_id, files in _folders(store, "splits").items() if "card.json" in files}
    for study_id in sorted(whole):
        name, rows = split_hash(store, study_id), read_splits(store, study_id).to_pandas()
        sizes = Counter(rows["cohort"])
        cohorts = tuple(CohortSize(c, sizes[c], events.get((name, c))) for c in ORDER if sizes[c])
        yield StoredSplit(study_id, name, len(rows), cohorts, rows["fold"].nunique())


def _models(store: Store) -> Iterator[StoredModel]:
    begun = set(_folders(store, "models")) | set(_folders(store, "checkpoints"))
    for name in sorted(begun):
        card = _json(store, f"models/{name}/card.json")
        kind = name.partition("-")[0]
        if card is None:
            yield StoredModel(name, kind, False)
            continue
        facts = card["facts"]
        statement = facts.get("provenance", {}).get("statement", "")
        study_id = card["identity"].get("study", "")
        yield StoredModel(name, card["kind"], True, study_id, facts.get("backbone", ""), statement)


def _tunings(store: Store) -> Iterator[StoredTuning]:
    trials, begun = Counter(), set()
    for entry in store.list("tune"):
        trials[tuple(entry.key.split("/")[1:3])] += 1
    for entry in store.list("signatures"):
        begun.add(tuple(entry.key.split("/")[1:3]))
    for study_id, tune_id in sorted(begun | set(trials)):
        card = _json(store, f"signatures/{study_id}/{tune_id}/card.json")
        control = _json(store, f"controls/{study_id}/{tune_id}.json")  # whose trials lie beside those of the study
        said = card or {}
        models = (*(line["model_id"] for line in said.get("lines", ())), *(control["found"] if control else ()))
        kept = trials[study_id, tune_id]
        whole = card is not None or control is not None
        yield StoredTuning(study_id, tune_id, whole, kept, models, said.get("failed", {}), said.get("sources", {}))


def _pages(store: Store) -> Iterator[StoredPage]:
    for name, files in sorted(_folders(store, "reports").items()):
        yield StoredPage(f"reports/{name}", "index.html" in files)
    for study_id, files in sorted(_folders(store, "reproductions").items()):
        for name in sorted({file.partition("/")[0] for file in files}):
            yield StoredPage(f"reproductions/{study_id}/{name}", f"{name}/index.html" in files)


def _bundles(store: Store) -> Iterator[StoredScores]:
    # a run that was cut off, whose record another run wrote, names no bundle
    last = {record["bundle_id"]: record for record in _latest(store, "rescore-") if "bundle_id" in record}
    for bundle_id in sorted(set(_folders(store, "audit")) | set(last)):
        rows = audit.read_scores(store, bundle_id).select(["study_id", "model_id", "status"]).to_pylist()
        whose = rows[0] if rows else {"study_id": "", "model_id": ""}
        counts = Counter(row["status"] for row in rows)
        run = last.get(bundle_id)
        drift = _json(store, f"drift/{bundle_id}/alert.json") or {"verdict": ""}
        yield StoredScores(
            bundle_id, whose["study_id"], whose["model_id"], counts["scored"], counts["refused"],
            run and len(run["waiting"]), run and len(run["failed"]), drift["verdict"],
        )  # fmt: skip


def _latest(store: Store, command: str) -> list[dict]:
    """The latest run records of a command, or of all, latest last."""
    names = [entry.key for entry in store.list("runs") if entry.key.startswith(f"runs/{command}")]
    names.sort(key=lambda name: (*WHEN.findall(name), name))
    found = [_json(store, name) for name in names[-RUNS:] if name.endswith(".json")]
    return [record for record in found if record is not None and "lost" not in record]


def _run(record: dict) -> StoredRun:
    return StoredRun(
        record["run"], record["command"], record["exit_code"], record.get("seconds"), "cut_off" in record
    )


def _folders(store: Store, table: str) -> dict[str, list[str]]:
    """The files of each folder of a table, as names below that folder."""
    found = defaultdict(list)
    for entry in store.list(table):
        folder, _, file = entry.key.removeprefix(f"{table}/").partition("/")
        found[folder].append(file)
    return found


def _json(store: Store, key: str) -> dict | None:
    """A card or record; None where it is not there, or was damaged."""
    try:
        return sealed.read(store, key)
    except (FileNotFoundError, DamagedError):
        return None
