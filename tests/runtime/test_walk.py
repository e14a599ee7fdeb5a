"""From a number of a report back to the scan that it stands on: every link is a name in the store."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gc_ray.cohort_tables import read_clinical
from gc_ray.evaluate.delong import auc
from gc_ray.report.compute import evaluate_all
from gc_ray.report.files import report_of
from gc_ray.report.inputs import from_store
from gc_ray.runtime.manifests import read_manifests
from gc_ray.source import content_sha256
from gc_ray.study import load_study

pytestmark = pytest.mark.slow

UNIT = {"model_id": "image", "variant": "leak_free", "cohort": "internal", "kind": "final"}


def rows_of(frame: pd.DataFrame, wanted: dict) -> pd.DataFrame:
    """The rows that have these values."""
    return frame[(frame[list(wanted)] == pd.Series(wanted)).all(axis=1)]


def test_a_number_of_a_report_leads_back_to_its_scan(frozen):
    """As docs/store.md tells it: AUC, scores, signature, features, ledger row, and the content of the files."""
    store, study = frozen.training, load_study(frozen.study)

    def parquet(name: str) -> pd.DataFrame:
        return pd.read_parquet(io.BytesIO(store.get(name)))

    def shards(folder: str) -> pd.DataFrame:
        names = [entry.key for entry in store.list(folder) if "/shard-" in entry.key]
        return pd.concat([parquet(name) for name in names])

    report = report_of(evaluate_all(from_store(store, study, None))).files
    index = json.loads(report["report.json"])
    metrics = pd.read_csv(io.BytesIO(report["tables/metrics.csv"]))
    number = rows_of(metrics, {**UNIT, "subset": "all", "metric": "auc"}).iloc[0]
    scores = rows_of(parquet(f"scores/{index['study_id']}/{index['tune_id']}.parquet"), UNIT)
    clinical = read_clinical(store, index["study_id"]).set_index("patient_id")
    died = clinical.loc[scores["patient_id"], index["study"]["clinical"]["outcome"]]
    assert (len(scores), died.sum()) == (number["n"], number["events"])
    assert auc(died.to_numpy(), scores["score"].to_numpy()) == pytest.approx(number["estimate"], abs=1e-12)

    score = scores.iloc[0]
    folder = f"signatures/{index['study_id']}/{index['tune_id']}"
    card = json.loads(store.get(f"{folder}/card.json"))
    signature = json.loads(store.get(f"{folder}/{score['model_id']}.json"))
    outline = {"scan_id": score["scan_id"], **{k: index["study"]["scans"][k] for k in ("reader", "repeat")}}
    (features,) = rows_of(shards(card["tables"]["radiomics"]), outline).to_dict("records")
    z = (np.array([features[name] for name in signature["predictors"]]) - signature["centre"]) / signature["scale"]
    linear = signature["intercept"] + z @ signature["coefficients"]
    assert linear == pytest.approx(score["linear_predictor"], abs=1e-9)

    same = {name: features[name] for name in ("scan_id", "reader", "repeat", "roi", "feature_set", "generation")}
    (row,) = rows_of(shards("ledger/shards"), same).to_dict("records")
    assert card["tables"]["radiomics"].endswith(row["settings_hash"])
    files = {content_sha256([Path(r.image_uri), Path(r.mask_uri)]) for r in read_manifests(frozen.manifests)}
    assert row["source_sha256"] in files
