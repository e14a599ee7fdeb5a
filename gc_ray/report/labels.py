"""What a table of scores made elsewhere says of its rows: cohort, kind and patient, as this package names them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import pandas as pd

from gc_ray.cohort.findings import some
from gc_ray.errors import TableError
from gc_ray.patients import meet, meeting_text, same_label, several_sites, several_sites_text
from gc_ray.study import Study

COHORTS = ("train", "internal", "external")
KINDS = ("oof", "final", "apparent")
VALIDATION, OWN = "validation", "own"  # of the same hospitals or of others; a word that says neither
# how the words begin by which papers and programs name a cohort
BEGINNINGS = {
    "train": ("train", "develop", "deriv", "discover", "训练", "开发"),
    "internal": ("intern", "内部"),
    "external": ("extern", "外部"),
    VALIDATION: ("valid", "test", "holdout", "验证", "测试"),
}
ABBREVIATED = {"dev": "train", "val": VALIDATION, "hold": VALIDATION}
FILLERS = ("set", "cohort", "group", "data", "dataset", "sample", "patients", "out")


def cohort_names(labels: Iterable[str]) -> dict[str, str]:
    """By label of a cohort, which cohort it is: train, internal, external, or the label itself.

    Raises
    ------
    TableError
        When a label may mean more than one of the three, such as Validation.
    """
    found = {label: _cohort(label) for label in dict.fromkeys(labels)}
    unclear = [label for label, name in found.items() if name is None]
    if unclear:
        raise TableError(
            f"scores: cohort {some(unclear)} may be patients of the same hospitals or of others; wanted "
            f"{', '.join(COHORTS)}, or a name of its own such as a hospital's; rename it"
        )
    return found


def named_cohorts(scores: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """(the scores with cohorts and kinds as this package names them, what was renamed in words).

    TableError as ``cohort_names``, and for a kind of score that is not one of ``KINDS``.
    """
    scores, notes = scores.copy(), []
    if "cohort" in scores:
        labels = scores["cohort"].astype(str)
        names = cohort_names(labels)
        scores["cohort"] = labels.map(names)
        notes = [f"cohort {label} is taken as {name}" for label, name in names.items() if label != name]
    if "kind" in scores:
        kinds = scores["kind"].astype(str).map(same_label)
        wrong = scores["kind"][~kinds.isin(KINDS)]
        if len(wrong):
            raise TableError(f"scores: kind {some(wrong.unique())}: wanted {', '.join(KINDS)}; rename it")
        scores["kind"] = kinds
    return scores, notes


def check_patients(scores: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raises TableError when rows of one patient disagree on a column, or a model has a patient in two cohorts.

    columns: of those that are about the patient, not about the score.
    """
    for name in columns:
        if name in scores:
            values = scores.groupby("patient_id")[name].nunique()
            if (values > 1).any():
                raise TableError(
                    f"scores: patient {values.idxmax()} has several values of {name} in different rows; correct them"
                )
    models = [name for name in ("model_id", "variant") if name in scores]
    if "cohort" in scores:
        cohorts = scores.groupby([*models, "patient_id"])["cohort"].unique()
        twice = cohorts[cohorts.map(len) > 1]
        if len(twice):
            patient = twice.index[0][-1] if models else twice.index[0]
            raise TableError(
                f"scores: {len(twice)} patients are in several cohorts of one model, such as {patient} in "
                f"{' and '.join(sorted(twice.iloc[0]))}; a patient belongs to one cohort, correct the table"
            )


def joined_notes(scores: pd.DataFrame, clinical: pd.DataFrame, study: Study) -> list[str]:
    """What is worth knowing of how scores meet the clinical table that is given with them.

    Parameters
    ----------
    scores, clinical : DataFrame
        A row for each patient, indexed by patient_id; site where it is known.
    study : Study

    Raises
    ------
    TableError
        When a patient with a score is not in the clinical table, or is at two sites.
    """
    found = meet(scores.index, clinical.index)
    text = meeting_text(found, "the scores", "the clinical table")
    if found.first:
        raise TableError(f"{text}; wanted the outcome of every patient with a score")
    sites = {
        name: frame["site"].dropna().astype(str).items()
        for name, frame in (("the scores", scores), ("the clinical table", clinical.loc[scores.index]))
        if "site" in frame
    }
    if study.clinical.patient_ids == "unique" and (told := several_sites_text(several_sites(sites))):
        raise TableError(told)
    return [text] if found.second else []


def _cohort(label: str) -> str | None:
    """The cohort that a label names, the label itself where it is a name of its own, None where it is unclear."""
    text = unicodedata.normalize("NFKC", label).casefold()
    words = {_word(word) for word in re.findall(r"[^\W\d_]+", text) if word not in FILLERS}
    named, own = words & set(COHORTS), OWN in words or any(c.isdigit() for c in text)
    if len(named) > 1 or {"train", VALIDATION} <= words:
        return None
    if "train" in named:
        return "train"
    if own or not words:
        return label  # External 1 and External 2 stay apart
    return named.pop() if named else None


def _word(word: str) -> str:
    if word in ABBREVIATED:
        return ABBREVIATED[word]
    return next((name for name, starts in BEGINNINGS.items() if word.startswith(starts)), OWN)
