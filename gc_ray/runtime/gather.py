"""A study's tables brought together from the store: one row a patient, for signatures to be fitted on."""

from __future__ import annotations

from dataclasses import dataclass, field

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
from gc_ray.runtime.joined import (
    LeftOut,
    Side,
    absences,
    check_magnitudes,
    check_names,
    check_people,
    check_sites,
    join_notes,
    left_out,
)
from gc_ray.runtime.made_elsewhere import made_elsewhere
from gc_ray.store import Store
from gc_ray.study import Study
from gc_ray.study_signatures import HEAD, INTER, INTRA, SignatureSettings, Stability, changed, set_name
from gc_ray.tables import RADIOMICS, SCAN_KEY

NAMES = {column.name for column in RADIOMICS.columns} | {"model_id"}  # what is no feature in a features table


@dataclass(frozen=True, eq=False)
class Gathered:
    """The data, whoever of the cohorts is not in it and why, and the sources.

    tables: the folders of the store that the features of each family are from. statements: what the cards of the
    sources say that everything made of them has to repeat. notes: what is worth knowing of how the tables meet.
    sizes: patients of each cohort of the split.
    """

    data: CohortData
    left_out: tuple[LeftOut, ...]
    sources: dict[str, str]
    tables: dict[str, str]
    statements: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Family:
    """A features table in the order of its patients: one row each, and outlines of those outlined again.

    folder: where it lies in the store. side: how it is joined to the split. frame: every outline's features, by scan
    key. chosen: the ledger row of the one outline of each patient.
    """

    folder: str
    features: Features
    side: Side
    frame: pd.DataFrame
    chosen: pd.DataFrame


def gather(store: Store, study: Study) -> Gathered:
    """Everything that the study's signatures want, of the patients of its cohorts who have all of it.

    All signatures share their patients, so that they can be compared. TableError or StudyError as the tables deserve:
    no split, no features, several scans of a patient, mixed settings or versions, ids of tables that do not meet, an
    id at two sites, one person under two ids.
    """
    kinds = kinds_of(study)
    whole = read_splits(store, study.name).to_pandas().sort_values("patient_id").set_index("patient_id")
    splits = whole[whole["cohort"].isin(COHORTS)]
    sizes = {str(name): int(n) for name, n in splits["cohort"].value_counts().items()}
    clinical = read_clinical(store, study.name).set_index("patient_id").loc[splits.index]
    coding = _coding(store, study) if "clinical" in kinds else {}
    sources = {kind: _source(store, study, kind) for kind in ("radiomics", "deep", HEAD) if kind in kinds}
    rows = {kind: _ledger_rows(store, study, kind, sources[kind]) for kind in ("radiomics", "deep") if kind in kinds}
    check_sites({_called(kind, sources[kind]): of for kind, of in rows.items()}, whole, study)
    families = {kind: _family(store, study, (kind, sources[kind]), of, splits) for kind, of in rows.items()}
    sides = [family.side for family in families.values()]
    check_names({family.side.name: family.features for family in families.values()}, study)
    notes = join_notes(sides, whole, study)
    head = _head(store, sources[HEAD]) if HEAD in kinds else {}
    reasons = _reasons(splits, clinical, coding, sides, head, study)
    lost = left_out(splits, reasons)
    splits, clinical = splits[reasons == ""], clinical[reasons == ""]
    features = {kind: _rows(family, splits.index) for kind, family in families.items()}
    check_magnitudes({families[kind].side.name: held for kind, held in features.items()})
    check_people({families[kind].side.name: held for kind, held in features.items()}, splits.index, study)
    scans = sides[0].chosen if sides else {}
    train = frozenset(splits.index[splits["cohort"] == TRAIN])
    designs = {
        kind: find_designs(family.frame.index.to_frame(index=False), family.chosen, study.scans, train)
        for kind, family in families.items()
    }
    data = CohortData(
        patient_ids=splits.index.to_numpy(object).astype(str),
        y=clinical[study.clinical.outcome].to_numpy(np.float64),
        site=splits["site"].to_numpy(object).astype(str),
        cohort=splits["cohort"].to_numpy(object).astype(str),
        fold=splits["fold"].fillna(-1).to_numpy(int),
        clinical=clinical[list(coding)].reset_index(drop=True),
        coding=coding,
        families=features,
        between=_ratings(families, designs, INTER),
        within=_ratings(families, designs, INTRA),
        lacking={kind: held.lacking for kind, held in designs.items()},
        head={variant: scores.loc[splits.index].to_numpy() for variant, scores in head.items()},
        scan_id=np.array([scans.get(patient, "") for patient in splits.index]),
    )
    said = (*(_said(store, sources[HEAD]) if HEAD in kinds else ()), *_about_tables(store, families))
    said = (*said, *_compared(study, designs))
    folders = {kind: family.folder for kind, family in families.items()}
    return Gathered(checked(data), lost, sources, folders, said, notes, sizes)


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
        return _exact(store, sets[0])
    if given := study.tune.deep_model if kind == "deep" else study.tune.head_model:
        return given
    from gc_ray.runtime.networks import TASKS  # late: torch, which a study without networks does without

    return TASKS["autoencoder" if kind == "deep" else HEAD](store, study).model_id


def _exact(store: Store, given: str) -> str:
    """The set of that very name, or else the one that a parameter file of that name makes."""
    name = set_name(given)
    if name == given:
        return given
    held = set(ledger.read_ledger(store, ())["feature_set"].to_pylist())
    return given if given in held else name


def _called(kind: str, source: str) -> str:
    return f"{kind} features {source}"


def _ledger_rows(store: Store, study: Study, kind: str, source: str) -> pa.Table:
    """The ledger rows of a family's feature set, of every status."""
    rows = ledger.read_ledger(store)
    rows = rows.filter(pc.equal(rows["feature_set"], f"deep/{source}" if kind == "deep" else source))
    if study.tune.settings_hash and kind == "radiomics":
        rows = rows.filter(pc.equal(rows["settings_hash"], study.tune.settings_hash))
    return rows


def _family(store: Store, study: Study, called: tuple[str, str], rows: pa.Table, splits: pd.DataFrame) -> _Family:
    kind, source = called
    if kind == "deep":
        table, feature_set = ledger.read_deep(store, source), f"deep/{source}"
    else:
        table, feature_set = ledger.read_features(store, source, study.tune.settings_hash or None), source
    own = rows.filter(pc.is_in(rows["patient_id"], pa.array(splits.index, pa.string())))
    chosen = choose_scans(own, study.scans).select([*SCAN_KEY, "patient_id", "settings_hash"]).to_pandas()
    names = tuple(name for name in table.column_names if name not in NAMES)
    frame = _doubles(table, names)
    at = frame.index.get_indexer(pd.MultiIndex.from_frame(chosen[list(SCAN_KEY)]))
    features = Features(names, frame.to_numpy()[at])
    scans = dict(zip(chosen["patient_id"], chosen["scan_id"], strict=True))
    settings = next(iter(chosen["settings_hash"]), "")  # one for all: features of several are not read
    side = Side(_called(kind, source), rows, scans)
    return _Family(ledger.settings_folder(feature_set, settings), features, side, frame, chosen)


def _doubles(table: pa.Table, names: tuple[str, ...]) -> pd.DataFrame:
    values = np.column_stack([table.column(name).to_numpy() for name in names])
    return pd.DataFrame(values, pd.MultiIndex.from_frame(table.select(SCAN_KEY).to_pandas()), list(names))


def _ratings(families: dict[str, _Family], designs: dict[str, Designs], design: str) -> dict[str, Ratings]:
    """By family, the features of the patients outlined again as a design compares them; no family without it."""
    layouts = {kind: held.layouts[design] for kind, held in designs.items() if design in held.layouts}
    return {
        kind: Ratings(layout.patients, families[kind].frame.to_numpy()[layout.rows])
        for kind, layout in layouts.items()
    }


def _about_tables(store: Store, families: dict[str, _Family]) -> tuple[str, ...]:
    """What is known of features that came in as a table."""
    found = (made_elsewhere(store, family.folder) for kind, family in families.items() if kind == "radiomics")
    return tuple(made.statement for made in found if made is not None)


def _compared(study: Study, designs: dict[str, Designs]) -> tuple[str, ...]:
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
            f"step stability, {kind}: {designs[kind].described(step.designs)}"
            for step, kind in steps
            if kind in designs and designs[kind].allow(step.designs)
        )
    )


def _rows(family: _Family, patients: pd.Index) -> Features:
    at = pd.Index(list(family.side.chosen)).get_indexer(patients)
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


def _reasons(
    splits: pd.DataFrame,
    clinical: pd.DataFrame,
    coding: dict[str, dict],
    sides: list[Side],
    head: dict[str, pd.Series],
    study: Study,
) -> pd.Series:
    """Why patients cannot be analysed, the first of several reasons; empty where they can."""
    found: dict[str, str] = {}
    if coding:
        lost = splits.index[~complete_rows(coding, clinical)]
        found |= dict.fromkeys(lost, "no value of a clinical predictor whose policy is complete cases")
    for side in sides:
        found = absences(side, splits, study) | found
    if head:
        found = (
            dict.fromkeys(splits.index.difference(head["leak_free"].index), "no score of the network head") | found
        )
    return pd.Series([found.get(patient, "") for patient in splits.index], index=splits.index, dtype=object)
