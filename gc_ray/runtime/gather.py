"""A study's tables brought together from the store: one row a patient, for signatures to be fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import ledger
from gc_ray.cohort.choose_scans import choose_scans
from gc_ray.cohort_tables import read_clinical, read_coding, read_splits
from gc_ray.errors import StudyError, TableError
from gc_ray.models.cohort_data import COHORTS, TRAIN, CohortData, Features, Ratings, checked
from gc_ray.models.design import complete_rows
from gc_ray.models.outlined_again import Designs, find_designs
from gc_ray.runtime.made_elsewhere import made_elsewhere
from gc_ray.store import Store
from gc_ray.study import Study
from gc_ray.study_signatures import DESIGNS, HEAD, SignatureSettings, Stability, changed
from gc_ray.tables import RADIOMICS, SCAN_KEY

NAMES = {column.name for column in RADIOMICS.columns} | {"model_id"}  # what is no feature in a features table


@dataclass(frozen=True, eq=False)
class Gathered:
    """The data, whoever of the cohorts is not in it and why (reason, patients, of them training), and the sources.

    tables: the folders of the store that the features of each family are from. statements: what the cards of the
    sources say that everything made of them has to repeat.
    """

    data: CohortData
    left_out: tuple[dict, ...]
    sources: dict[str, str]
    tables: dict[str, str]
    statements: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Family:
    """A features table in the order of its patients: one row each, and outlines of those outlined again.

    folder: where it lies in the store.
    """

    folder: str
    features: Features
    scans: dict[str, str]  # patient to scan
    between: Ratings | None
    within: Ratings | None
    designs: Designs


def gather(store: Store, study: Study) -> Gathered:
    """Everything that the study's signatures want, of the patients of its cohorts who have all of it.

    All signatures share their patients, so that they can be compared. TableError or StudyError as the tables deserve:
    no split, no features, several scans of a patient, mixed settings or versions.
    """
    kinds = kinds_of(study)
    splits = read_splits(store, study.name).to_pandas()
    splits = splits[splits["cohort"].isin(COHORTS)].sort_values("patient_id").set_index("patient_id")
    clinical = read_clinical(store, study.name).set_index("patient_id").loc[splits.index]
    coding = _coding(store, study) if "clinical" in kinds else {}
    sources = {kind: _source(store, study, kind) for kind in ("radiomics", "deep", HEAD) if kind in kinds}
    train = frozenset(splits.index[splits["cohort"] == TRAIN])
    families = {
        kind: _family(store, study, kind, sources[kind], train) for kind in ("radiomics", "deep") if kind in kinds
    }
    _check_names(study, families)
    head = _head(store, sources[HEAD]) if HEAD in kinds else {}
    kept, left_out = _complete(splits, clinical, coding, families, head)
    splits, clinical = splits[kept], clinical[kept]
    scans = next(iter(families.values())).scans if families else {}
    data = CohortData(
        patient_ids=splits.index.to_numpy(object).astype(str),
        y=clinical[study.clinical.outcome].to_numpy(np.float64),
        site=splits["site"].to_numpy(object).astype(str),
        cohort=splits["cohort"].to_numpy(object).astype(str),
        fold=splits["fold"].fillna(-1).to_numpy(int),
        clinical=clinical[list(coding)].reset_index(drop=True),
        coding=coding,
        families={kind: _rows(family, splits.index) for kind, family in families.items()},
        between={kind: family.between for kind, family in families.items() if family.between is not None},
        within={kind: family.within for kind, family in families.items() if family.within is not None},
        lacking={kind: family.designs.lacking for kind, family in families.items()},
        head={variant: scores.loc[splits.index].to_numpy() for variant, scores in head.items()},
        scan_id=np.array([scans.get(patient, "") for patient in splits.index]),
    )
    said = (*(_said(store, sources[HEAD]) if HEAD in kinds else ()), *_about_tables(store, families))
    said = (*said, *_compared(study, families))
    return Gathered(checked(data), left_out, sources, {kind: f.folder for kind, f in families.items()}, said)


def kinds_of(study: Study) -> set[str]:
    """The families that any signature, or any choice of the search, uses; head among them where its score is.

    StudyError when the study has no signature.
    """
    if not study.signature:
        raise StudyError(f"study {study.name}: tune wants signatures; add [[signature]] sections to the study file")
    kinds: set[str] = set()
    for signature in study.signature:
        for variant in _variants(signature):
            kinds |= {*variant.families} | ({HEAD} & {*variant.scores_of})
    return kinds


def _variants(signature: SignatureSettings) -> list[SignatureSettings]:
    changes = [{name: value} for name, values in signature.search.items() for value in values]
    return [signature, *(changed(signature, change) for change in changes)]


def _coding(store: Store, study: Study) -> dict[str, dict]:
    coding = read_coding(store, study.name)
    lost = [name for name in study.clinical.predictors if name not in coding]
    if lost:
        raise TableError(
            f"study {study.name}: predictors {', '.join(lost[:5])} are not in the stored split; split again under "
            "another name"
        )
    return {name: coding[name] for name in study.clinical.predictors}


def _source(store: Store, study: Study, kind: str) -> str:
    """The feature set or the model that a family comes from."""
    if kind == "radiomics":
        sets = (study.tune.feature_set,) if study.tune.feature_set else study.extract.feature_sets
        if len(sets) != 1:
            raise StudyError(
                f"study {study.name}: wanted one feature set, got {', '.join(sets)}; set tune.feature_set"
            )
        return PurePath(sets[0]).stem
    if given := study.tune.deep_model if kind == "deep" else study.tune.head_model:
        return given
    from gc_ray.runtime.networks import TASKS  # late: torch, which a study without networks does without

    return TASKS["autoencoder" if kind == "deep" else HEAD](store, study).model_id


def _family(store: Store, study: Study, kind: str, source: str, train: frozenset[str]) -> _Family:
    if kind == "deep":
        table, feature_set = ledger.read_deep(store, source), f"deep/{source}"
    else:
        table, feature_set = ledger.read_features(store, source, study.tune.settings_hash or None), source
    rows = ledger.read_ledger(store)
    rows = rows.filter(pc.equal(rows["feature_set"], feature_set))
    if study.tune.settings_hash and kind == "radiomics":
        rows = rows.filter(pc.equal(rows["settings_hash"], study.tune.settings_hash))
    chosen = choose_scans(rows, study.scans).select([*SCAN_KEY, "patient_id", "settings_hash"]).to_pandas()
    names = tuple(name for name in table.column_names if name not in NAMES)
    frame = _doubles(table, names)
    at = frame.index.get_indexer(pd.MultiIndex.from_frame(chosen[list(SCAN_KEY)]))
    features = Features(names, frame.to_numpy()[at])
    designs = find_designs(frame.index.to_frame(index=False), chosen, study.scans, train)
    between, within = (_ratings(frame, designs, design) for design in DESIGNS)
    scans = dict(zip(chosen["patient_id"], chosen["scan_id"], strict=True))
    settings = next(iter(chosen["settings_hash"]), "")  # one for all: features of several are not read
    return _Family(ledger.settings_folder(feature_set, settings), features, scans, between, within, designs)


def _check_names(study: Study, families: dict[str, _Family]) -> None:
    """TableError where a features table that was made elsewhere still holds a column of the outcome."""
    said = study.clinical
    for kind, family in families.items():
        held = {said.outcome, said.outcome_months, said.time_months, said.event} & {*family.features.names}
        if held:
            raise TableError(
                f"{kind}: {', '.join(sorted(held))} is the study's outcome and stands among the features; drop the "
                "column from the features table and ingest it under another name"
            )


def _doubles(table: pa.Table, names: tuple[str, ...]) -> pd.DataFrame:
    values = np.column_stack([table.column(name).to_numpy() for name in names])
    return pd.DataFrame(values, pd.MultiIndex.from_frame(table.select(SCAN_KEY).to_pandas()), list(names))


def _ratings(frame: pd.DataFrame, designs: Designs, design: str) -> Ratings | None:
    """The features of the patients outlined again, as the layout of a design has them."""
    if design not in designs.layouts:
        return None
    layout = designs.layouts[design]
    return Ratings(layout.patients, frame.to_numpy()[layout.rows])


def _about_tables(store: Store, families: dict[str, _Family]) -> tuple[str, ...]:
    """What is known of features that came in as a table."""
    found = (made_elsewhere(store, family.folder) for kind, family in families.items() if kind == "radiomics")
    return tuple(made.statement for made in found if made is not None)


def _compared(study: Study, families: dict[str, _Family]) -> tuple[str, ...]:
    """What every step ``stability`` of the study compares, in words; nothing where it cannot be done."""
    steps = [
        (step, kind)
        for signature in study.signature
        for variant in _variants(signature)
        for step in variant.steps
        if isinstance(step, Stability)
        for kind in step.families or variant.families
    ]
    return tuple(
        dict.fromkeys(
            f"step stability, {kind}: {families[kind].designs.described(step.designs)}"
            for step, kind in steps
            if kind in families and families[kind].designs.allow(step.designs)
        )
    )


def _rows(family: _Family, patients: pd.Index) -> Features:
    at = pd.Index(list(family.scans)).get_indexer(patients)
    return Features(family.features.names, family.features.values[at])


def _head(store: Store, model: str) -> dict[str, pd.Series]:
    """Log odds by patient, of each variant."""
    from gc_ray.models.model_folder import read_model

    tables, variants = read_model(store, model)[0].tables, {"leak_free": "scores", "as_published": "as_published"}
    return {
        variant: tables[name].to_pandas().set_index("patient_id")["linear_predictor"]
        for variant, name in variants.items()
    }


def _said(store: Store, model: str) -> tuple[str, ...]:
    """What is known of the backbone that a head stands on."""
    from gc_ray.models.model_folder import read_card

    return (read_card(store, model)["facts"]["provenance"]["statement"],)


def _complete(
    splits: pd.DataFrame,
    clinical: pd.DataFrame,
    coding: dict[str, dict],
    families: dict[str, _Family],
    head: dict[str, pd.Series],
) -> tuple[np.ndarray, tuple[dict, ...]]:
    wanted = (
        {"a clinical predictor whose policy is complete cases": complete_rows(coding, clinical)} if coding else {}
    )
    wanted |= {f"{kind} features": splits.index.isin(list(family.scans)) for kind, family in families.items()}
    if head:
        wanted["a score of the network head"] = splits.index.isin(head["leak_free"].index)
    kept, left_out = np.ones(len(splits), bool), []
    for what, there in wanted.items():
        lost = kept & ~there
        if lost.any():
            train = int((splits["cohort"][lost] == "train").sum())
            left_out.append({"reason": f"without {what}", "patients": int(lost.sum()), "train": train})
        kept &= there
    return kept, tuple(left_out)
