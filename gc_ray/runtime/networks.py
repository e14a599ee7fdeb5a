"""The three kinds of networks: on which stored data each is trained, and what its card says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa

from gc_ray.code_versions import NETWORKS, code_version
from gc_ray.cohort_tables import read_clinical, split_hash
from gc_ray.errors import BundleError, StudyError, TableError
from gc_ray.models.autoencoder import Tumours, autoencoder_program, fitted_cube
from gc_ray.models.backbone import SourcePatients, backbone_program, untrained_backbone
from gc_ray.models.fit import Fit
from gc_ray.models.head import head_program
from gc_ray.models.head_data import HeadData
from gc_ray.models.model_folder import Model, read_card
from gc_ray.models.provenance import GIVEN, UNTRAINED, overlap
from gc_ray.models.weights import load_given, read_weights
from gc_ray.runtime.inputs import StoredVolumes, identity_of, patients_of, read_pair, volume_rows
from gc_ray.runtime.train import Task
from gc_ray.runtime.views import Views, compute_views, read_views
from gc_ray.source import read_bytes
from gc_ray.store import Store
from gc_ray.study import AutoencoderSettings, BackboneSettings, HeadSettings, Study
from gc_ray.tables import SCAN_KEY

COHORTS = ("train", "internal", "external")
READ = 8  # network inputs read at a time: a few MB each


def autoencoder_task(store: Store, study: Study) -> Task:
    """The autoencoder, on the images of the training cohort alone; TableError when there is none to train on."""
    settings = study.autoencoder
    rows = volume_rows(store, study, settings.recipe, patients_of(store, study, ("train",)))
    identity = _identity(store, study, settings.model_dump(mode="json"), rows)
    return Task("autoencoder", identity, partial(_autoencoder, store=store, rows=rows, settings=settings))


def _autoencoder(fit: Fit, store: Store, rows: list[dict], settings: AutoencoderSettings) -> Model:
    with ThreadPoolExecutor(READ) as pool:
        cubes = list(pool.map(lambda row: fitted_cube(*read_pair(store, row), settings.input_voxels), rows))
    images, regions = (np.stack(arrays) for arrays in zip(*cubes, strict=True))
    result = autoencoder_program(fit, Tumours(_patients(rows), images, regions), settings)
    facts = {
        "patients": len(rows),
        "watched": list(result.watched_ids),
        "error_hu": result.error_hu,
        "best_epoch": result.fitted.best_epoch,
    }
    return Model(result.fitted.weights, facts, {"inputs": _inputs(rows)})


def backbone_task(store: Store, study: Study) -> Task:
    """The backbone: given weights, else trained on the study's source task, else untrained, and its card says which.

    BundleError for weights that do not fit; TableError when the source patients have no network input.
    """
    settings = study.backbone
    if settings.weights:
        data, name = _file(settings.weights)
        identity = {"depth": settings.depth, "seed": settings.seed, "weights": hashlib.sha256(data).hexdigest()}
        work = partial(_given, data=data, name=name, settings=settings)
    elif study.clinical.source_label:
        return _source_task(store, study)
    else:
        identity = {"depth": settings.depth, "seed": settings.seed}
        work = partial(_untrained, settings=settings)
    return Task("backbone", identity | {"code": code_version(NETWORKS)}, work, fitted=False)


def _given(fit: Fit, data: bytes, name: str, settings: BackboneSettings) -> Model:
    network = untrained_backbone(settings.depth, settings.seed)
    matched = load_given(read_weights(data, name), network, name)
    return Model(network.state_dict(), {"provenance": {"statement": GIVEN}, "weights": name, **matched.facts()})


def _untrained(fit: Fit, settings: BackboneSettings) -> Model:
    weights = untrained_backbone(settings.depth, settings.seed).state_dict()
    return Model(weights, {"provenance": {"statement": UNTRAINED}})


def source_patients(store: Store, study: Study) -> dict[str, dict]:
    """Patient to row of the splits, of those whom the backbone is trained on; empty where it is given or untrained.

    TableError when the study names a source label and no patient is of the source task.
    """
    label = study.clinical.source_label
    if study.backbone.weights or not label:
        return {}
    found = patients_of(store, study, ("source",))
    if not found:
        raise TableError(
            f"study {study.name}: wanted patients with {label} and without {study.clinical.outcome}, to train the "
            "backbone on; the clinical table has none; add them and their scans, or name weights (--set "
            "backbone.weights=FILE), or leave it untrained (--set clinical.source_label=)"
        )
    return found


def _source_task(store: Store, study: Study) -> Task:
    settings, source = study.backbone, source_patients(store, study)
    rows = volume_rows(store, study, settings.recipe, source)
    labels = _column(store, study, study.clinical.source_label, rows)
    provenance = overlap(_patients(rows), patients_of(store, study, COHORTS))
    wanted = settings.model_dump(mode="json", exclude={"weights"}) | {"label": study.clinical.source_label}
    work = partial(_source, store=store, rows=rows, labels=labels, settings=settings, provenance=provenance)
    return Task("backbone", _identity(store, study, wanted, rows), work)


def _source(
    fit: Fit, *, store: Store, rows: list[dict], labels: np.ndarray, settings: BackboneSettings, provenance: dict
) -> Model:
    patients = SourcePatients(_patients(rows), StoredVolumes(store, rows), labels)
    result = backbone_program(fit, patients, settings)
    facts = {
        "provenance": provenance,
        "labels": list(result.labels),
        "watched": list(result.watched_ids),
        "balanced_accuracy": result.balanced_accuracy,
        "best_epoch": result.fitted.best_epoch,
    }
    return Model(result.weights, facts, {"inputs": _inputs(rows)})


def head_task(store: Store, study: Study) -> Task:
    """The head on the study's backbone, which must be trained; TableError and StudyError as the data deserve."""
    if not study.clinical.outcome:
        raise StudyError(f"study {study.name}: the head wants clinical.outcome; name the column in the study file")
    backbone = backbone_task(store, study).model_id
    card = read_card(store, backbone)
    if card is None:
        raise BundleError(f"the head wants the study's backbone {backbone}; run gc-ray train backbone first")
    splits = patients_of(store, study, COHORTS)
    rows = volume_rows(store, study, study.backbone.recipe, splits)
    views = Views(store, backbone, study.head.seed)
    trained = [splits[row["patient_id"]]["cohort"] == "train" for row in rows]
    items = [_item(row, study.head.views if t else 1) for row, t in zip(rows, trained, strict=True)]
    frame = pd.DataFrame(
        {
            "patient_id": _patients(rows),
            "outcome": _column(store, study, study.clinical.outcome, rows),
            "cohort": [splits[row["patient_id"]]["cohort"] for row in rows],
            "fold": [-1 if (fold := splits[row["patient_id"]]["fold"]) is None else fold for row in rows],
        }
    )
    about = {
        "backbone": backbone,
        "provenance": card["facts"]["provenance"],
        "without_input": len(splits) - len(rows),
    }
    identity = _identity(store, study, study.head.model_dump(mode="json"), rows) | {
        "backbone": backbone,
        "outcome": study.clinical.outcome,
    }
    work = partial(_head, views=views, items=items, frame=frame, settings=study.head, about=about)
    return Task("head", identity, work, before=partial(compute_views, views, items, study.embed))


def _head(
    fit: Fit, *, views: Views, items: list[dict], frame: pd.DataFrame, settings: HeadSettings, about: dict
) -> Model:
    columns = {name: frame[name].to_numpy() for name in ("outcome", "cohort", "fold")}
    data = HeadData(frame["patient_id"].to_numpy(), read_views(views, items), **columns)
    result = head_program(fit, data, settings)
    facts = {
        **about,
        "patients": {name: int(n) for name, n in frame["cohort"].value_counts().sort_index().items()},
        "best_epochs": [fitted.best_epoch for fitted in result.folds],
        "epochs": result.final.epochs,
        "recalibration": asdict(result.recalibration),
    }
    frames = {"scores": result.scores, "as_published": result.as_published}
    tables = {name: pa.Table.from_pandas(scores, preserve_index=False) for name, scores in frames.items()}
    whose = [item | {"patient_id": patient} for item, patient in zip(items, frame["patient_id"], strict=True)]
    return Model(result.weights, facts, tables | {"inputs": _inputs(whose)})


TASKS: dict[str, Callable[[Store, Study], Task]] = {
    "autoencoder": autoencoder_task,
    "backbone": backbone_task,
    "head": head_task,
}


def _identity(store: Store, study: Study, settings: dict, rows: list[dict]) -> dict:
    """All that decides a model's weights: settings, inputs with their content, the split, and the code."""
    return {
        "settings": settings,
        "study": study.name,
        "split": split_hash(store, study.name),
        "inputs": identity_of(rows),
        "code": code_version(NETWORKS),
    }


def _column(store: Store, study: Study, name: str, rows: list[dict]) -> np.ndarray:
    """A clinical column of the patients of some rows, in their order."""
    return read_clinical(store, study.name).set_index("patient_id")[name].loc[_patients(rows)].to_numpy()


def _patients(rows: list[dict]) -> np.ndarray:
    return np.array([row["patient_id"] for row in rows])


def _inputs(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist([{name: row[name] for name in ("patient_id", *SCAN_KEY, "object")} for row in rows])


def _item(row: dict, views: int) -> dict:
    return {**{name: row[name] for name in (*SCAN_KEY, "object")}, "views": views}


def _file(uri: str) -> tuple[bytes, str]:
    name = uri.rpartition("/")[2]
    try:
        return read_bytes(uri), name
    except FileNotFoundError as error:
        raise StudyError(f"backbone.weights: wanted the file {name}, it is not there; correct the path") from error
