"""The latent vector of every network input: an autoencoder over all scans, committed scan by scan to the ledger."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import ledger, sealed
from gc_ray.code_versions import NETWORKS, code_version
from gc_ray.errors import StudyError, TableError
from gc_ray.exit_codes import exit_code
from gc_ray.models.autoencoder import EMBED_BATCH, Pair, autoencoder_network, encode
from gc_ray.models.model_folder import read_model
from gc_ray.names import check_name
from gc_ray.run_records import write_record
from gc_ray.runtime.inference import TRIES, Inference, Outcome, device_of, infer
from gc_ray.runtime.inputs import read_pair
from gc_ray.runtime.node import instruction_set, this_node
from gc_ray.runtime.summary import Summary, summarise
from gc_ray.store import Store
from gc_ray.store_format import prepare
from gc_ray.study import Study, digest
from gc_ray.tables import SCAN_KEY

AHEAD = 4  # forward passes handed over at a time: the next is read and the last one written while the network runs
THREADS = 4  # that read and write: they wait for the store; on a local disk eight cost a tenth of the throughput
FINAL = (*ledger.USABLE, "refused")  # a failed scan is tried again by the next run
SAME = (
    *SCAN_KEY,
    "patient_id",
    "site",
    "phase",
    "geometry",
    "mask_voxels",
    "source_stamp",
)  # taken over from the input's row
STAGED = (*SCAN_KEY, "patient_id", "site", "feature_set", "generation")
CURRENT = ("settings_hash", "code_version", "source_sha256")


@dataclass(frozen=True)
class Request:
    """What was asked for. model: the id of an autoencoder. limit: first N scans only. only: these scan keys."""

    model: str
    study: Study
    store: Store
    limit: int | None = None
    only: frozenset[tuple] | None = None


def embed(
    request: Request,
    watch: Callable[[dict[str, int]], Callable[[str, str], None]],
    run: str,
    clock: Callable[[], float],
) -> Summary:
    """Bring the deep table of a model up to date with the ledger's network inputs; the run record is written last.

    watch, run, clock: as for ``extract``. A scan whose input was refused or is gone ends as refused or failed, with
    the reason. BundleError when the model is not whole; StudyError when it is no autoencoder; TableError when the
    store has no network input.
    """
    check_name(request.model, "model", StudyError)
    begin, store, feature_set = clock(), request.store, f"deep/{request.model}"
    prepare(store)
    recipe, settings_hash = _describe(store, request.model)
    held = ledger.read_ledger(store)
    rows = held.to_pylist()
    inputs = [row for row in rows if row["feature_set"] == f"volumes/{recipe}"]
    if request.only is not None:
        inputs = [row for row in inputs if _key(row) in request.only]
    inputs = inputs[: request.limit]
    if not inputs:
        raise TableError(
            f"store {store.uri}: wanted network inputs {recipe} to embed, there is none; "
            f"run gc-ray extract --volumes {recipe} first"
        )
    before = {_key(row): row for row in rows if row["feature_set"] == feature_set}
    now = {"feature_set": feature_set, "settings_hash": settings_hash, "code_version": code_version(NETWORKS)}
    tell = watch(Counter(row["site"] for row in inputs))
    items = []
    for source in inputs:
        row = _planned(source, before.get(_key(source)), now)
        if row is None:
            tell(source["site"], "unchanged")
        else:
            items.append({"row": row, "source": {name: source[name] for name in ("scan_id", "object", "reason")}})
    inference = Inference(
        partial(Embedder, store, request.model, device_of(request.study.embed)),
        EMBED_BATCH * AHEAD,
        partial(_write_off, store),
        store,
    )
    for item, outcome in infer(items, inference, request.study.embed):
        tell(item["row"]["site"], outcome["status"])
    ledger.compact(store)
    summary = _finish(request, feature_set, {_key(row) for row in inputs}, len(items), (run, clock() - begin))
    summary = replace(summary, notes=inference.refused.notes)
    _record(request, summary, ledger.commits_since(store, held))
    return summary


class Embedder:
    """An autoencoder in one process: items to committed ledger rows."""

    def __init__(self, store: Store, model: str, device: str) -> None:
        self._store = store
        self._network = autoencoder_network(read_model(store, model)[0].weights).to(device)

    def __call__(self, items: list[dict]) -> list[Outcome]:
        """Read, encode, stage and commit; an outcome for each item. StoreError when the store cannot be written."""
        with ThreadPoolExecutor(THREADS) as pool:
            kept: list[Future] = []
            ahead: list[Future] = []
            for part in [*(items[i : i + EMBED_BATCH] for i in range(0, len(items), EMBED_BATCH)), []]:
                ready, ahead = ahead, [pool.submit(self._read, item) for item in part]
                done = [future.result() for future in ready]
                kept += [pool.submit(self._keep, *found) for found in self._encoded(done)]
            return [future.result() for future in kept]

    def _encoded(self, read: list[tuple[dict, Pair | None]]) -> Iterator[tuple[dict, list | None]]:
        """(ledger row, latent or None) of the scans of one forward pass."""
        begin = time.perf_counter()
        latents = iter(encode(self._network, [pair for _, pair in read if pair]).tolist())
        measured = {
            "seconds": (time.perf_counter() - begin) / max(len(read), 1),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "code_version": code_version(NETWORKS),  # of this process, as the two that follow
            "node": this_node(),
            "cpu": instruction_set(),
        }
        for row, pair in read:
            yield row | measured, next(latents) if pair else None

    def _keep(self, row: dict, latent: list[float] | None) -> Outcome:
        """Stage a latent, if there is one, and commit the scan's row; its outcome."""
        if latent is not None:
            whose = {name: row[name] for name in STAGED}
            row["object"] = ledger.stage_features(self._store, whose, row["settings_hash"], latent)
        ledger.commit(self._store, row)
        return {"status": row["status"]}

    def _read(self, item: dict) -> tuple[dict, Pair | None]:
        """(ledger row, input), or (what the row says of the fault, nothing)."""
        row, source = item["row"] | {"stage": "volumes"}, item["source"]
        if not source["object"]:
            return row | {"status": "refused", "reason": f"there is no network input: {source['reason']}"}, None
        try:
            pair = read_pair(self._store, source)
        except TableError as error:
            return row | {"status": "failed", "reason": str(error)}, None
        if not pair[1].any():
            return row | {"status": "refused", "reason": "the network input's region is empty"}, None
        return item["row"], pair


def _describe(store: Store, model: str) -> tuple[str, str]:
    """(recipe of the inputs, settings hash) of an autoencoder, whose settings are then stored beside its rows."""
    found, card = read_model(store, model)
    if card["kind"] != "autoencoder":
        raise StudyError(f"model {model}: embed wants an autoencoder, this is a {card['kind']}; name another model")
    weights = found.weights["to_latent.weight"]
    names = [f"deep_{i:03d}" for i in range(len(weights))]
    settings_hash = digest(card["parts"])
    content = {"settings": {"model_id": model, "parts": card["parts"]}, "names": names}
    sealed.put(store, f"{ledger.settings_folder(f'deep/{model}', settings_hash)}/settings.json", content)
    return card["identity"]["settings"]["recipe"], settings_hash


def _planned(source: dict, before: dict | None, now: dict) -> dict | None:
    """The ledger row that a scan will get when all goes well; None when it has a row that is up to date."""
    row = {name: source[name] for name in SAME} | now
    row |= {
        "status": "ok",
        "stage": "done",
        "reason": "",
        "notes": [],
        "missing": "{}",
        "object": "",
        # the input's object has the digest of its content in its name
        "source_sha256": digest([source[name] for name in ("object", "status", "reason")]),
        "generation": before["generation"] + 1 if before else 1,
        "seconds": 0.0,
        "peak_mb": 0.0,
    }
    current = before and before["status"] in FINAL and all(before[name] == row[name] for name in CURRENT)
    return None if current else row


def _write_off(store: Store, item: dict) -> Outcome:
    reason = f"the process that embedded it died in {TRIES} of {TRIES} tries; give it more memory"
    ledger.commit(store, item["row"] | {"status": "failed", "stage": "worker", "reason": reason})
    return {"status": "failed"}


def _finish(request: Request, feature_set: str, keys: set[tuple], computed: int, end: tuple[str, float]) -> Summary:
    run, seconds = end
    rows = ledger.read_ledger(request.store).filter(pc.field("feature_set") == feature_set)
    rows = rows.filter(pa.array([_key(row) in keys for row in rows.select(SCAN_KEY).to_pylist()], pa.bool_()))
    if rows.num_rows != len(keys):
        raise RuntimeError(f"{len(keys) - rows.num_rows} scans have no ledger row; report this bug")
    return summarise(rows, run, computed, request.study.embed.failure_budget, seconds)


def _record(request: Request, summary: Summary, commits: list[str]) -> None:
    record = {
        "run": summary.run,
        "command": "embed",
        "exit_code": exit_code(summary.problems),
        "model": request.model,
        "results": [{"site": site, "status": s, "n": n} for (site, s), n in sorted(summary.counts.items())],
        "computed": summary.computed,
        "seconds": summary.seconds,
        "study": request.study.model_dump(mode="json"),
        "limit": request.limit,
        "code_version": code_version(NETWORKS),
    }
    write_record(request.store, summary.run, record, commits)


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in SCAN_KEY)
