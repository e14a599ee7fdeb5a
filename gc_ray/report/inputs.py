"""What an evaluation starts from: scores, outcomes and what is known of the models, from a store or a scores file."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.special import logit

from gc_ray import cohort_tables, ledger, sealed, tables
from gc_ray.cohort.clinical import check_clinical, read_clinical
from gc_ray.cohort.coding import number_columns
from gc_ray.cohort.scores_table import parse_scores
from gc_ray.cohort.table_files.cells import number
from gc_ray.errors import StudyError, TableError
from gc_ray.models.signature import Signature
from gc_ray.names import check_name
from gc_ray.report.labels import check_patients, joined_notes, named_cohorts
from gc_ray.report.pictures import Picture, pictures_of
from gc_ray.source import parent_of, read_bytes
from gc_ray.store import Store
from gc_ray.study import Study, digest

NEAREST = 1e-12  # how near to 0 or 1 a score is taken for its log odds; the score itself stays as it is
ROLES = {"outcome": "outcome", "time": "time_months", "event": "event"}  # where no study names the columns
DEFAULTS = {"model_id": "score", "variant": "leak_free", "cohort": "scored", "scan_id": ""}


@dataclass(frozen=True, eq=False)
class Inputs:
    """All that an evaluation reads. Tables are None where the run has none.

    patients: indexed by patient_id; outcome (0 or 1), time and event (NaN where unknown), site, fold, and the
    clinical columns. scores: the table of that name, as a frame. card: what the step that made the scores says.
    notes: what the readers of tables made elsewhere decided or left out. doubts: severity, flag, about and text
    of what was seen when the tables were read.
    """

    study: Study
    scores: pd.DataFrame
    patients: pd.DataFrame
    identity: str
    card: dict = field(default_factory=dict)
    signatures: dict[str, Signature] = field(default_factory=dict)
    resampling: pd.DataFrame | None = None
    coefficients: pd.DataFrame | None = None
    selection: pd.DataFrame | None = None
    splits: pd.DataFrame | None = None
    flow: pd.DataFrame | None = None
    outlines: pd.DataFrame | None = None
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    doubts: tuple[tuple[str, str, str, str], ...] = ()

    @property
    def models(self) -> list[str]:
        """Models in the order of the scores table."""
        return list(dict.fromkeys(self.scores["model_id"]))

    @property
    def headline(self) -> str:
        """The model that comes first, of those with more than in-sample scores."""
        clean = self.scores.loc[self.scores["variant"] == "leak_free", "model_id"]
        return self._first_of(list(dict.fromkeys(clean)) or self.models)

    @property
    def wanted(self) -> str:
        """The model that should come first, whatever scores it has: the study's, else its last signature."""
        return self.study.evaluate.headline or self._first_of(self.models)

    def _first_of(self, models: list[str]) -> str:
        order = (self.study.evaluate.headline, *(s.name for s in reversed(self.study.signature)))
        return next((name for name in order if name in models), models[-1])


def from_store(store: Store, study: Study, tune_id: str | None) -> Inputs:
    """Everything of one tuning of a study.

    TableError when it is not there, not whole, or not named among several; StudyError as for ``from_file``.
    """
    if tune_id is not None:
        check_name(tune_id, "--tune")
    tune_id, card = _card(store, study.name, tune_id)
    objects = card.get("objects")
    place = f"{study.name}/{tune_id}.parquet"
    found = {name: _parquet(store, name, place, objects) for name in ("resampling", "coefficients", "selection")}
    scores = _parquet(store, "scores", place, objects)
    if scores is None:
        raise TableError(f"store {store.uri}: scores/{study.name}/{tune_id}.parquet is gone; run gc-ray tune again")
    folder = f"signatures/{study.name}/{tune_id}/"
    names = objects or [entry.key for entry in store.list(folder.rstrip("/"))]
    signatures = {
        name.removeprefix(folder).removesuffix(".json"): Signature.from_json(
            sealed.get_listed(store, name, objects).decode()
        )
        for name in sorted(names)
        if name.startswith(folder) and not name.endswith("card.json")
    }
    splits = cohort_tables.read_splits(store, study.name).to_pandas()
    clinical = cohort_tables.read_clinical(store, study.name).set_index("patient_id")
    patients = _patients(clinical, study, splits.set_index("patient_id")["fold"])
    return _known_headline(
        Inputs(
            study,
            _checked(scores, patients),
            patients,
            digest([tune_id, cohort_tables.split_hash(store, study.name)]),
            card,
            signatures,
            **found,
            splits=splits,
            flow=cohort_tables.read_flow(store, study.name).to_pandas(),
            outlines=_outlines(store, study),
            pictures=pictures_of(store, sorted(set(card.get("sources", {}).values()))),
        )
    )


def from_file(scores: str, clinical: str | None, study: Study, encoding: str | None = None) -> Inputs:
    """A table of scores made anywhere, with the outcome in it or in a clinical table.

    scores: a table (see ``read_table``) with patient_id and score; model_id, variant, cohort, kind, and the columns
    of outcome, time and event where they are known. Scores of a cohort called train, or Training and the like, count
    as in-sample unless ``kind`` says otherwise. encoding: of tables that are neither UTF-8 nor UTF-16. TableError
    when a column or value is missing, a patient has no outcome, rows of a patient contradict each other, a label of a
    cohort is unclear, or ids or sites of the two tables do not meet; StudyError when the study has no signatures and
    its headline is no model of these.
    """
    frame, notes = _table(scores, study, encoding)
    frame, renamed = named_cohorts(frame)
    patients, more, joined = _patients_of_file(frame, clinical, study, encoding)
    doubts = tuple(("note", "renamed", "scores", text) for text in renamed)
    doubts += tuple(("note", "joined_tables", "scores", text) for text in joined)
    for name, value in DEFAULTS.items():
        frame[name] = frame[name].where(frame[name] != "", value) if name in frame else value
    if "kind" not in frame:
        frame["kind"] = np.where(frame["cohort"] == "train", "apparent", "final")
    frame["study_id"] = study.name
    frame["score"] = _as_numbers(frame["score"], "score")
    if "linear_predictor" not in frame:
        frame["linear_predictor"] = logit(frame["score"].clip(NEAREST, 1 - NEAREST))
    frame["linear_predictor"] = _as_numbers(frame["linear_predictor"], "linear_predictor")
    kept = frame[[column.name for column in tables.SCORES.columns]]
    checked = _checked(kept, patients)
    said = {"made": "elsewhere: only a table of scores was given"}
    identity = digest([_fingerprint(checked), _fingerprint(patients)])
    return _known_headline(Inputs(study, checked, patients, identity, said, notes=(*notes, *more), doubts=doubts))


def tunings(store: Store, study_id: str) -> list[str]:
    """The ids of a study's tunings that are whole."""
    keys = [entry.key for entry in store.list(f"signatures/{study_id}")]
    return [key.split("/")[2] for key in keys if key.endswith("/card.json")]


def _known_headline(inputs: Inputs) -> Inputs:
    """The inputs; StudyError when the headline is neither a signature of the study nor a model of the scores."""
    headline = inputs.study.evaluate.headline
    if headline and not inputs.study.signature and headline not in inputs.models:
        known = ", ".join(inputs.models)
        raise StudyError(f"evaluate.headline: wanted one of the models {known}, got {headline}; correct it")
    return inputs


def _card(store: Store, study_id: str, tune_id: str | None) -> tuple[str, dict]:
    if tune_id is None:
        known = tunings(store, study_id)
        if not known:
            raise TableError(f"store {store.uri}: study {study_id} has no scores; run gc-ray tune for it first")
        if len(known) > 1:
            raise TableError(f"study {study_id}: scores of several tunings ({', '.join(known)}); name one by --tune")
        tune_id = known[0]
    try:
        return tune_id, sealed.read(store, f"signatures/{study_id}/{tune_id}/card.json")
    except FileNotFoundError as error:
        raise TableError(
            f"store {store.uri}: study {study_id} has no whole tuning {tune_id}; run it again"
        ) from error


def _parquet(store: Store, name: str, place: str, objects: dict[str, str] | None) -> pd.DataFrame | None:
    try:
        data = sealed.get_listed(store, f"{name}/{place}", objects)
    except FileNotFoundError:
        return None
    return tables.check(tables.TABLES[name], pq.read_table(io.BytesIO(data))).to_pandas()


def _outlines(store: Store, study: Study) -> pd.DataFrame:
    """What became of the outlines that the study's own features and network inputs were asked of."""
    found = ledger.read_ledger(store).filter(pc.field("feature_set").isin(sorted(study.own_sets)))
    return found.select([*tables.SCAN_KEY, "patient_id", "feature_set", "status"]).to_pandas()


def _patients(clinical: pd.DataFrame, study: Study, fold: pd.Series | None) -> pd.DataFrame:
    """The clinical table with the columns that have a role under the role's name."""
    roles = {"outcome": study.clinical.outcome, "time": study.clinical.time_months, "event": study.clinical.event}
    patients = clinical.copy()
    for role, column in roles.items():
        name = column or ROLES[role]
        patients[role] = _as_numbers(clinical[name], name) if name in clinical else np.nan
    if "site" not in patients:
        patients["site"] = ""
    patients["fold"] = fold if fold is not None else np.nan
    return patients


def _patients_of_file(
    scores: pd.DataFrame, clinical: str | None, study: Study, encoding: str | None
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """(patients of a scores table, notes of the clinical table's reader, how the patients of both meet)."""
    own = scores.drop_duplicates("patient_id").set_index("patient_id")
    said = study.clinical
    roles = zip(ROLES.values(), (said.outcome, said.time_months, said.event), strict=True)
    check_patients(scores, ("site", "fold", *(given or usual for usual, given in roles)))
    if clinical is None:
        return _patients(own, study, own.get("fold")), (), []
    name = parent_of(clinical)[1]
    try:
        table = read_clinical(read_bytes(clinical), name, encoding, _number_columns(study))
    except FileNotFoundError as error:
        raise TableError(f"{name}: wanted a clinical table, there is no such file") from error
    values = text = table.cells
    if study.clinical.declared:
        values, findings = check_clinical(text, study.clinical)
        wrong = [finding.text for finding in findings if finding.level == "error"]
        if wrong:
            raise TableError(f"{name}: {wrong[0]}")
        if "site" in text:
            values["site"] = text["site"]
    notes = joined_notes(own, values, study)
    if "site" not in values and "site" in own:
        values["site"] = own["site"].reindex(values.index).fillna("").astype(str)
    return _patients(values, study, own.get("fold")), table.notes, notes


def _number_columns(study: Study) -> frozenset[str]:
    """The columns of a table made elsewhere that must hold numbers."""
    roles = {"outcome": study.clinical.outcome, "time": study.clinical.time_months, "event": study.clinical.event}
    named = {column or ROLES[role] for role, column in roles.items()}
    return number_columns(study.clinical) | named | {"linear_predictor", "fold"}


def _table(uri: str, study: Study, encoding: str | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    name = parent_of(uri)[1]
    levels = {column: getattr(declared, "levels", ()) for column, declared in study.clinical.declared.items()}
    try:
        return parse_scores(read_bytes(uri), name, _number_columns(study), encoding, levels)
    except FileNotFoundError as error:
        raise TableError(f"{name}: wanted a table of scores, there is no such file; correct --scores") from error


def _as_numbers(column: pd.Series, name: str) -> pd.Series:
    """A column of numbers, or of the text of numbers, as float64 with NaN for a gap."""
    if column.dtype != object:
        return column.astype(float)
    try:
        return column.map(lambda cell: number(cell) if isinstance(cell, str) else cell).astype(float)
    except ValueError as error:
        text = error.args[0]
        raise TableError(f"{name}: wanted numbers, got text such as '{text}'; recode it") from error


def _checked(scores: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """The scores when each is a probability of a patient with a known outcome; TableError otherwise."""
    if not len(scores):
        raise TableError("scores: wanted at least one row, got none")
    schema = tables.SCORES.schema()
    try:
        found = pa.Table.from_pandas(scores, schema=schema, preserve_index=False).replace_schema_metadata()
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError) as error:
        raise TableError(f"scores: a value does not fit its column: {error}") from error
    frame = tables.check(tables.SCORES, found).to_pandas()
    outside = ~frame["score"].between(0, 1)
    if outside.any():
        raise TableError(
            f"scores: wanted risks from 0 to 1, got {frame['score'][outside].iloc[0]:.6g} "
            f"({int(outside.sum())} rows in all); give the predicted risk, not the linear predictor"
        )
    outcome = patients["outcome"].reindex(frame["patient_id"])
    if outcome.isna().any():
        raise TableError(
            f"scores: {outcome.index[outcome.isna()].nunique()} patients have a score and no known outcome, such as "
            f"{outcome.index[outcome.isna()][0]}; give a 0 or 1 for each, or leave them out"
        )
    if not outcome.isin((0, 1)).all():
        raise TableError("outcome: wanted 0 or 1, 1 = it happened; recode it")
    _check_follow_up(patients.reindex(frame["patient_id"].unique()))
    return frame


def _check_follow_up(patients: pd.DataFrame) -> None:
    """Raises TableError for a time below 0, and for an event that is neither 0 nor 1."""
    for role, fits, wanted in (
        ("time", patients["time"] >= 0, "0 or more months"),
        ("event", patients["event"].isin((0, 1)), "0 or 1, 1 = it happened"),
    ):
        wrong = patients[role][~fits & patients[role].notna()]
        if len(wrong):
            raise TableError(
                f"{role}: wanted {wanted}, {len(wrong)} patients have other values, such as {wrong.index[0]} "
                f"({wrong.iloc[0]:g}); correct them, or rename the column where it means something else"
            )


def _fingerprint(frame: pd.DataFrame) -> str:
    return digest(frame.reset_index().astype(str).to_csv(index=False))
