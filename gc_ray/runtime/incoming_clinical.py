"""The clinical values of new scans, by patient or pseudonym: predictors, what a patient lacks, outcomes that came."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pandas as pd

from gc_ray.cohort.clinical import ClinicalTable, check_clinical
from gc_ray.cohort.table_files.cells import number_or_nan
from gc_ray.errors import TableError
from gc_ray.runtime.incoming import pseudonym
from gc_ray.study_cohort import ClinicalSettings

Coding = Mapping[str, dict]  # of a bundle: how each clinical column becomes terms, and what is done about its gaps


def numbers_of(coding: Coding, outcome: str) -> frozenset[str]:
    """The columns of a clinical table that are to hold numbers: those of a bundle's coding, and the outcome."""
    return frozenset({outcome} | {c for c, said in coding.items() if said["kind"] in ("number", "binary")})


def predictors_of(table: ClinicalTable, coding: Coding, site_key: bytes | None) -> pd.DataFrame:
    """The columns that a bundle needs, by the table's own patient id and, with a site's key, by its pseudonym.

    TableError when a column is missing or a value is none of its kind.
    """
    columns = {c: {k: v for k, v in said.items() if k not in ("codes", "terms")} for c, said in coding.items()}
    columns = {c: said | ({"not_after": ""} if "not_after" in said else {}) for c, said in columns.items()}
    settings = ClinicalSettings.model_validate_json(json.dumps({"predictors": list(columns), "columns": columns}))
    values, findings = check_clinical(table.cells, settings)
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        raise TableError(f"{table.name}: {errors[0]}")
    return by_pseudonym(values, site_key)


def lacking(clinical: pd.DataFrame | None, coding: Coding, patients: Iterable[str]) -> dict[str, list[str]]:
    """The columns that are missing, by patient that cannot be scored; all for one not in the clinical table."""
    whole = list(coding)
    if clinical is None:
        return dict.fromkeys(patients, whole)
    strict = [name for name, said in coding.items() if said["missing"] == "complete_case"]
    gaps = clinical[strict].isna()
    gaps = gaps[gaps.any(axis="columns")]
    lost = {patient: gaps.columns[row].to_list() for patient, row in zip(gaps.index, gaps.to_numpy(), strict=True)}
    known = set(clinical.index)
    return lost | {patient: whole for patient in patients if patient not in known}


def outcomes_of(text: pd.DataFrame, outcome: str, site_key: bytes | None) -> pd.Series | None:
    """The outcomes that have arrived, 0 or 1 by patient; None where the table has no such column."""
    if outcome not in text:
        return None
    values = text[outcome].map(number_or_nan).astype("float64")
    return by_pseudonym(values.where(values.isin((0, 1))), site_key)


def by_pseudonym(values: pd.DataFrame | pd.Series, site_key: bytes | None) -> pd.DataFrame | pd.Series:
    """The rows by the table's own patient id and, with a site's key, once more by its pseudonym."""
    if site_key is None:
        return values
    named = values.set_axis([pseudonym(site_key, f"patient {p}") for p in values.index])
    return pd.concat([values, named])
