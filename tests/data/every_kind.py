"""A small store with every kind of object, made in a few seconds without Ray; for tests and benchmarks of damage."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from gc_ray import ledger, sealed, tables
from gc_ray.code_versions import library_versions
from gc_ray.models.bundle import Bundle, Network, write_bundle
from gc_ray.models.checkpoints import StoredCheckpoints
from gc_ray.models.model_folder import read_model
from gc_ray.models.signature import Signature
from gc_ray.report.pictures import pictures_of
from gc_ray.report.publish import INDEX, PAGE, Report, publish, read_report
from gc_ray.runtime.views import Views
from gc_ray.shards import parquet
from gc_ray.store import Store
from gc_ray.store_format import prepare

sys.path.insert(0, str(Path(__file__).parent))
import make_store_0_1_0 as recipe

VOLUME = (6, 5, 4)


def fill(store: Store, folder: Path) -> None:
    """Everything that the kept old store has, by today's code, and what else a store may hold."""
    prepare(store)
    recipe.fill(store, folder)
    for i in range(2):
        ledger.commit(store, volume_row(store, f"v{i}", i))
    ledger.note_content(store, "0" * 24, "stamp", "1" * 64)
    sealed.put_files(store, "models/autoencoder-old", {"curve.png": b"\x89PNG of a curve"})
    views = Views(store, "backbone-old", 0)
    rows = [{"scan_id": "v0", "reader": "R1", "repeat": 0, "roi": "", "model_id": "backbone-old", "view": 0}]
    data = parquet(tables.build(tables.VIEWS, [row | {"values": [1.0, 2.0]} for row in rows]))
    item = {"scan_id": "v0", "reader": "R1", "repeat": 0, "roi": "", "object": "o", "views": 1}
    store.create(f"{views.name(item)}.{sealed.sha256(data)[:12]}.parquet", data)
    StoredCheckpoints(store, "head-unfinished/fold-0", 1).save(1, b"state")
    files = {"figures/a.svg": b"<svg/>", "tables/a.csv": b"a\n1\n", PAGE: b"<!doctype html>"}
    index = sealed.seal({"files": sealed.described(files)}, INDEX)
    publish(Report("old-1", files | {INDEX: index}), store, "reports")
    drift = {"rescore-1.parquet": b"rows", "rescore-1.html": b"page"}
    for name, data in drift.items():
        store.put(f"drift/bundle/{name}", data)
    sealed.put(store, "drift/bundle/rescore-1.json", {"verdict": "stable", "files": sealed.described(drift)})
    sealed.put(store, "drift/bundle/alert.json", {"verdict": "stable", "run": "rescore-1"})
    sealed.put(store, "incoming/0/a.json", {"facts": []})
    sealed.put(store, "controls/old/a-shuffled-outcome.json", {"found": {}})


def volume_row(store: Store, scan: str, seed: int) -> dict:
    """A ledger row whose network input is staged."""
    key = {"scan_id": scan, "reader": "R1", "repeat": 0, "roi": "", "patient_id": scan, "site": "a", "generation": 1}
    ct_hu = np.random.default_rng(seed).integers(-20, 20, VOLUME[::-1]).astype("<i2")
    volume = key | {
        "recipe": "tiny", "size": list(VOLUME), "spacing_mm": [1.0] * 3, "origin_mm": [0.0] * 3,
        "direction": [1.0, 0, 0, 0, 1, 0, 0, 0, 1], "ct_hu": ct_hu.tobytes(), "mask": bytes(len(ct_hu.ravel())),
    }  # fmt: skip
    return key | {
        "feature_set": "volumes/tiny", "phase": "pv", "status": "ok", "stage": "done", "reason": "", "notes": [],
        "missing": "{}", "geometry": "{}", "mask_voxels": 1, "object": ledger.stage_volume(store, volume, "h0"),
        "source_stamp": "", "source_sha256": "", "settings_hash": "h0", "code_version": "1", "seconds": 0.0,
        "peak_mb": 0.0,
    }  # fmt: skip


def fill_bundle(folder: Store, key: bytes | None = None) -> None:
    """A bundle of one signature and one small network, sealed when there is a key."""
    image = Signature("image", ("a", "b"), (0.0, 1.0), (1.0, 2.0), (0.5, -0.5), 0.1, ((1.0, 0.0, 0.0),) * 3)
    card = {"model": "image", "study": "x", "environment": library_versions(("numpy",)), "metrics": {}}
    scoring = {"order": ["image"], "networks": ["net"], "signatures": {"image": {}}}
    network = Network("head", {"recipe": "cao2024"}, {"w": torch.ones(3, 4)})
    write_bundle(folder, Bundle(card, {"image": image}, scoring, {"codes": {}}, {}, {}, {}, {"net": network}), key)


def scores(store: Store) -> list[dict]:
    """The scores of the tuning, as reports and bundles read them."""
    card = next(entry.key for entry in store.list("signatures") if entry.key.endswith("card.json"))
    study, tuning = card.split("/")[1:3]
    data = sealed.get_listed(store, f"scores/{study}/{tuning}.parquet", sealed.read(store, card)["objects"])
    return pq.read_table(io.BytesIO(data)).to_pylist()


def volumes(store: Store) -> list[dict]:
    """The network inputs."""
    rows = [row for row in ledger.read_ledger(store).to_pylist() if row["feature_set"] == "volumes/tiny"]
    return [ledger.read_volume(store, row) for row in rows]


def model(store: Store) -> list:
    """The weights of the model."""
    return [weights.tolist() for weights in read_model(store, "autoencoder-old")[0].weights.values()]


READERS = {
    **{name: lambda store, read=read: read(store).to_pylist() for name, read in recipe.READERS.items()},
    "scores": scores,
    "volumes": volumes,
    "model": model,
    "report": lambda store: sorted(read_report(store, "reports", "old-1").files.items()),
    "pictures": lambda store: [picture.png for picture in pictures_of(store, ["autoencoder-old"])],
    "states": lambda store: StoredCheckpoints(store, "head-unfinished/fold-0", 1).load(),
}


def values(store: Store) -> dict:
    """What every reader gives, as Python values."""
    return {name: read(store) for name, read in READERS.items()}
