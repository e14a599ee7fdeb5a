"""Recent results of a bundle against its training reference: a table, a page, and an alert for a scheduler."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from gc_ray import sealed, tables
from gc_ray.evaluate.drift import ALERT, TOO_FEW, calibration_drift, drift
from gc_ray.models.bundle import Bundle
from gc_ray.report.drift_page import drift_page
from gc_ray.runtime import audit
from gc_ray.shards import parquet
from gc_ray.store import Store

WINDOW = 200  # latest scans that are compared: a shift of half an SD among ten predictors alerts in 88 % (simulated)


def write_drift(store: Store, bundle: Bundle, outcomes: pd.Series | None, run: str, now: str) -> str:
    """``alert``, ``stable`` or ``too few``: what ``drift/<bundle_id>/`` now says of the window of latest scans.

    outcomes: 0 or 1 by patient_id, NaN where it has not arrived; None where none is known. Writes
    ``<run>.parquet`` (DRIFT), ``<run>.html`` and, replacing the last one, ``alert.json``.
    """
    window = _window(store, bundle.bundle_id)
    rows = _rows(bundle, window, outcomes)
    alerts = [row["name"] for row in rows if row["verdict"] == ALERT]
    verdict = "alert" if alerts else TOO_FEW if all(row["verdict"] == TOO_FEW for row in rows) else "stable"
    folder = f"drift/{bundle.bundle_id}"
    table = tables.build(tables.DRIFT, [{"bundle_id": bundle.bundle_id, **row} for row in rows])
    about = {"bundle": bundle.bundle_id, "model": bundle.model, "at": now, "scans": str(len(window))}
    files = {f"{run}.parquet": parquet(table), f"{run}.html": drift_page(rows, about).encode()}
    for name, data in files.items():
        store.put(f"{folder}/{name}", data)
    alert = {"verdict": verdict, "alerts": alerts, "scans": len(window), "run": run, "at": now}
    sealed.put(store, f"{folder}/{run}.json", alert | {"files": sealed.described(files)})
    sealed.put(store, f"{folder}/alert.json", alert)
    return verdict


def _window(store: Store, bundle_id: str) -> pd.DataFrame:
    """The latest result of each of the latest scans: by the number of their run, since a clock may be wrong."""
    found = audit.read_whole_scores(store, bundle_id).to_pandas()
    found = found.sort_values(["sequence", "scored_at", *tables.SCAN_KEY], kind="stable")
    return found.drop_duplicates(list(tables.SCAN_KEY), keep="last").tail(WINDOW)


def _rows(bundle: Bundle, window: pd.DataFrame, outcomes: pd.Series | None) -> list[dict]:
    names = list(bundle.reference["predictors"])
    known = [json.loads(text) for text in window["predictors"]]
    values = pd.DataFrame([{name: row.get(name, np.nan) for name in names} for row in known], columns=names)
    scored = window[window["status"] == "scored"]
    rows = drift(bundle.reference, values, scored["score"].to_numpy(float), len(window) - len(scored), len(window))
    arrived = pd.Series(dtype=float) if outcomes is None else scored["patient_id"].map(outcomes).dropna()
    return [*rows, calibration_drift(scored.loc[arrived.index, "score"].to_numpy(float), arrived.to_numpy(float))]
