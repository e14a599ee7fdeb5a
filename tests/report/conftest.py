"""A simulated run of the recurrence study with known truth, as the steps before an evaluation leave it in a store."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

from gc_ray import tables
from gc_ray.cohort_tables import CohortTables, clinical_table, store_cohort
from gc_ray.models.signature import Signature, fit_signature
from gc_ray.store import Store, open_store
from gc_ray.study import Study, load_study

TUNE = "0123456789abcdef"
COLUMNS = {"age_years": pa.float64(), "cea_ng_ml": pa.float64(), "pn_stage": pa.string(), "sex": pa.string()}
MORE = {"preoperative_chemotherapy": pa.int8(), "postoperative_chemotherapy": pa.int8()}
ROLES = {"recurrence": pa.int8(), "time_months": pa.float64(), "event": pa.int8()}
LEVELS = ["N0", "N1", "N2", "N3"]


@dataclass(frozen=True)
class Run:
    """What a simulated run left behind: the store, its study and the signatures that scored."""

    store: Store
    study: Study
    signatures: dict[str, Signature]


def simulated(n: int, seed: int, models: int = 3) -> pd.DataFrame:
    """Patients with predictors, outcome, follow-up, cohort, fold and a latent score of each of ``models``."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"patient_id": [f"PAT{i:05d}" for i in range(n)]})
    frame["site"] = np.where(rng.random(n) < 0.8, rng.choice(["A", "C"], n), "B")
    frame["age_years"] = rng.normal(60, 10, n).clip(20, 95).round()
    frame["cea_ng_ml"] = rng.lognormal(1, 1, n).round(2)
    frame["pn_stage"] = rng.choice(LEVELS, n)
    frame["sex"] = rng.choice(["male", "female"], n)
    for name in MORE:
        frame[name] = rng.integers(0, 2, n)
    signal = rng.normal(size=n)
    stage = frame["pn_stage"].map(LEVELS.index)
    log_odds = -2.2 + 1.1 * signal + 0.03 * (frame["age_years"] - 60) + 0.35 * (stage - 1.5)
    frame["recurrence"] = (rng.random(n) < expit(log_odds)).astype(int)
    time = rng.exponential(60 * np.exp(-0.8 * log_odds - 1.8))
    censored = rng.uniform(12, 80, n)
    frame["time_months"] = np.minimum(time, censored).clip(0.1).round(1)
    frame["event"] = (time <= censored).astype(int)
    frame["cohort"] = np.where(frame["site"] == "B", "external", np.where(rng.random(n) < 0.7, "train", "internal"))
    for k in range(models):
        frame[f"latent_{k}"] = signal + rng.normal(scale=0.6 + 0.5 * k, size=n)
    fold = np.where(frame["cohort"] == "train", np.arange(n) % 5, -1)
    return frame.assign(fold=fold).set_index("patient_id")


def write_run(store: Store, patients: pd.DataFrame, models: int = 3, repeats: int = 20) -> Run:
    """Store ``patients`` as split and tuned: ``models`` signatures, the last of them with clinical predictors."""
    study = load_study("recurrence")
    study = study.model_copy(update={"clinical": _only_known_columns(study)})
    _store_split(store, patients, study)
    names = [*(f"latent_{k}" for k in range(models - 1)), "dlfs"]
    train = patients[patients["cohort"] == "train"]
    scores, signatures, coefficients = [], {}, []
    for name in names:
        x = _design(patients, name, names[0], signatures)
        y = train["recurrence"].to_numpy()
        whole, fit = fit_signature(name, x.loc[train.index], y)
        signatures[name] = whole
        coefficients += _coefficients(study.name, whole, fit, train)
        linear = pd.Series(whole.linear_predictor(x), index=x.index)
        for k in range(5):
            inside = train.index[train["fold"] != k]
            outside = train.index[train["fold"] == k]
            one, _ = fit_signature(name, x.loc[inside], train.loc[inside, "recurrence"].to_numpy())
            linear[outside] = one.linear_predictor(x.loc[outside])
        kinds = np.where(patients["cohort"] == "train", "oof", "final")
        scores += _scores(study.name, name, "leak_free", patients, linear, kinds)
        apparent = pd.Series(whole.linear_predictor(x.loc[train.index]), index=train.index)
        if name == names[-1]:
            scores += _scores(study.name, name, "as_published", train, apparent, np.full(len(train), "apparent"))
    _put(store, tables.SCORES, scores, study)
    _put(store, tables.COEFFICIENTS, coefficients, study)
    _put(store, tables.RESAMPLING, _resampling(study.name, names, repeats), study)
    _put(store, tables.SELECTION, _selection(study.name, names[0]), study)
    folder = f"signatures/{study.name}/{TUNE}"
    for name, signature in signatures.items():
        store.create(f"{folder}/{name}.json", signature.to_json().encode())
    card = {
        "tune_id": TUNE,
        "statements": ["the backbone is untrained: its features are random projections"],
        "sources": {"head": "head-0"},
    }
    store.create(f"{folder}/card.json", json.dumps(card).encode())
    return Run(store, study, signatures)


def _only_known_columns(study: Study):
    named = {*COLUMNS, *MORE}
    columns = {name: column for name, column in study.clinical.columns.items() if name in named}
    predictors = tuple(name for name in study.clinical.predictors if name in named)
    return study.clinical.model_copy(
        update={"columns": columns, "predictors": predictors, "rules": (), "source_label": "", "outcome_months": ""}
    )


def _store_split(store: Store, patients: pd.DataFrame, study: Study) -> None:
    contract = clinical_table(ROLES | COLUMNS | MORE, {})
    frame = patients.reset_index()[[column.name for column in contract.columns]]
    clinical = pa.Table.from_pandas(frame, schema=contract.schema(), preserve_index=False).replace_schema_metadata()
    splits = [
        {
            "study_id": study.name,
            "patient_id": name,
            "site": row.site,
            "eligible": True,
            "reason": "",
            "cohort": row.cohort,
            "fold": int(row.fold) if row.fold >= 0 else None,
        }
        for name, row in patients.iterrows()
    ]
    steps = [
        ("patients in the clinical table", len(patients) + 12, 0, ""),
        ("no R0 resection", len(patients), 12, ""),
    ]
    flow = [
        {"study_id": study.name, "number": i, "step": step, "n_left": left, "n_removed": lost, "reason": why}
        for i, (step, left, lost, why) in enumerate(steps)
    ]
    store_cohort(
        store,
        study.name,
        CohortTables(clinical, tables.build(tables.SPLITS, splits), tables.build(tables.FLOW, flow), {}),
    )


def _design(patients: pd.DataFrame, name: str, first: str, signatures: dict[str, Signature]) -> pd.DataFrame:
    """A network's own number; for the fusion the first signature's linear predictor and clinical columns."""
    if name != "dlfs":
        return patients[[name]].set_axis([f"feature_{name}"], axis="columns")
    score = signatures[first].linear_predictor(patients[[first]].set_axis([f"feature_{first}"], axis="columns"))
    ranks = patients["pn_stage"].map(LEVELS.index).astype(float)
    return patients[["age_years"]].assign(**{first: score}, pn_stage=ranks)


def _scores(study_id: str, name: str, variant: str, patients: pd.DataFrame, linear: pd.Series, kinds) -> list[dict]:
    return [
        {
            "study_id": study_id,
            "model_id": name,
            "variant": variant,
            "patient_id": patient,
            "scan_id": f"{patient}_PV",
            "cohort": patients.loc[patient, "cohort"],
            "kind": kind,
            "score": float(expit(linear[patient])),
            "linear_predictor": float(linear[patient]),
        }
        for patient, kind in zip(patients.index, kinds, strict=True)
    ]


def _coefficients(study_id: str, signature: Signature, fit, train: pd.DataFrame) -> list[dict]:
    terms = ["(Intercept)", *signature.predictors]
    with np.errstate(over="ignore"):
        columns = {
            "coef": fit.coef, "se": fit.se, "lower": fit.lower, "upper": fit.upper, "p_value": fit.p_value,
            "odds_ratio": np.exp(fit.coef), "or_lower": np.exp(fit.lower), "or_upper": np.exp(fit.upper),
        }  # fmt: skip
    same = {"study_id": study_id, "model_id": signature.name, "variant": "leak_free"}
    size = {"n": len(train), "events": int(train["recurrence"].sum())}
    return [
        same | {"term": term} | {name: float(values[i]) for name, values in columns.items()} | size
        for i, term in enumerate(terms)
    ]


def _resampling(study_id: str, names: list[str], repeats: int) -> list[dict]:
    """Resampling with an optimism of .04 by construction."""
    rng = np.random.default_rng(0)
    rows = []
    for name in names:
        for repeat in range(repeats):
            for fold in range(5):
                shift = rng.normal(scale=0.01)
                rows.append({
                    "study_id": study_id, "model_id": name, "repeat": repeat, "fold": fold, "n_train": 400,
                    "events_train": 80, "n": 100, "events": 20, "chosen": "{}",
                    "features": sorted(rng.choice([f"f{i}" for i in range(12)], 4, replace=False).tolist()),
                    "auc_train": 0.80 + shift, "auc_test": 0.76 + shift, "brier_test": 0.15, "deviance_test": 0.9,
                })  # fmt: skip
    return rows


def _selection(study_id: str, model: str) -> list[dict]:
    return [
        {
            "study_id": study_id,
            "model_id": model,
            "variant": "leak_free",
            "feature": f"wavelet-LLH_glcm_feature_{i}",
            "family": "radiomics",
            "step": "kept" if i < 8 else "lasso",
            "statistic": None,
            "p_value": 0.01 * (i + 1),
            "reason": "" if i < 8 else "coefficient 0",
            "stability": 1 - i / 12,
        }
        for i in range(12)
    ]


def _put(store: Store, table: tables.Table, rows: list[dict], study: Study) -> None:
    sink = io.BytesIO()
    pq.write_table(tables.build(table, rows), sink)
    store.create(f"{table.name}/{study.name}/{TUNE}.parquet", sink.getvalue())


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Run:
    """A run of 600 patients at three sites, three models; never written to by a test."""
    return write_run(open_store(str(tmp_path_factory.mktemp("run"))), simulated(600, seed=1))


@pytest.fixture(scope="session")
def quick(run: Run) -> Study:
    """The study of the run with few bootstrap samples."""
    return run.study.model_copy(update={"evaluate": run.study.evaluate.model_copy(update={"bootstrap": 50})})


def scores_csv(patients: pd.DataFrame, model: str = "latent_0") -> str:
    """A table of scores as another group would send it, with the outcome in it."""
    frame = patients.reset_index()
    table = frame[["patient_id", "cohort", "site", "time_months", "event"]]
    return table.assign(outcome=frame["recurrence"], score=expit(frame[model] - 1.5)).to_csv(index=False)


@pytest.fixture(scope="session")
def patients() -> pd.DataFrame:
    """The patients of ``run``."""
    return simulated(600, seed=1)


@pytest.fixture
def scores_file(tmp_path, patients):
    """Writes a table of scores of some patients and gives its path; change(frame) may spoil it first."""

    def write(rows: int | None = None, change=lambda frame: frame) -> str:
        frame = pd.read_csv(io.StringIO(scores_csv(patients.head(rows) if rows else patients)))
        path = tmp_path / "scores.csv"
        change(frame).to_csv(path, index=False)
        return str(path)

    return write


@pytest.fixture
def own_server(seaweed, tmp_path_factory, monkeypatch):
    """A server of this test alone, with ``store`` on it."""
    import boto3

    import gc_ray.store as module

    server = seaweed(tmp_path_factory.mktemp("own-weed"))
    server.start()
    for name, value in server.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the credentials that it first saw
    module._s3_client.cache_clear()
    boto3.client("s3").create_bucket(Bucket="own")
    server.store = open_store("s3://own/reports")
    yield server
    server.kill()
    module._s3_client.cache_clear()
