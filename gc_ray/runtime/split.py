"""The clinical side of a study, settled once: table checked, rules counted, cohorts and folds drawn, all stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pandas as pd
import pyarrow as pa

from gc_ray import tables
from gc_ray.cohort.clinical import check_clinical
from gc_ray.cohort.coding import ARROW, coding_of, number_columns
from gc_ray.cohort.duplicates import clinical_duplicates
from gc_ray.cohort.eligibility import Eligibility, Step, apply_rules
from gc_ray.cohort.findings import SHOWN, Finding
from gc_ray.cohort.splits import draw_cohorts, draw_folds
from gc_ray.cohort_tables import CohortTables, clinical_table, store_cohort
from gc_ray.errors import StudyError, TableError
from gc_ray.run_records import write_record
from gc_ray.runtime.clinical_table import fetch_clinical
from gc_ray.runtime.joined import store_findings
from gc_ray.store import Store
from gc_ray.store_format import prepare, refuse_newer
from gc_ray.study import Study

ORDER = ("train", "internal", "external", "source")


@dataclass(frozen=True)
class Group:
    """Patients of a cohort or fold; events: how many have the outcome, None where nobody's is known (source)."""

    name: str
    n: int
    events: int | None


@dataclass(frozen=True)
class Split:
    """What ``split`` found and stored.

    new: False when the store held the same split already. notes: what the reader of the table decided or left out.
    """

    study_id: str
    hash: str
    new: bool
    findings: tuple[Finding, ...]
    flow: tuple[Step, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()


def split(clinical: str, study: Study, store: Store, run: str, encoding: str | None = None) -> Split:
    """Check, divide and store the clinical table of a study; the run record is written last.

    clinical: address of the table. run: the run's id. encoding: of a table that is neither UTF-8 nor UTF-16.
    StudyError when the study names no outcome; TableError when the table has an error, the cohorts cannot be drawn,
    or the store holds another split of this study.
    """
    if not study.clinical.outcome:
        raise StudyError(f"study {study.name}: split wants clinical.outcome; name the column in the study file")
    table = fetch_clinical(clinical, number_columns(study.clinical), encoding)
    text = table.cells
    values, findings = check_clinical(text, study.clinical)
    findings += clinical_duplicates(text, study.clinical)
    _refuse(table.name, findings)
    refuse_newer(store)
    findings += store_findings(store, study, site_of(text))
    cohort, eligibility = divide(values, site_of(text), study)
    prepare(store)
    digest, new = store_cohort(store, study.name, cohort)
    groups = _groups(cohort.splits.to_pandas().set_index("patient_id"), values[study.clinical.outcome])
    done = Split(study.name, digest, new, tuple(findings), eligibility.flow, groups, table.notes)
    record = {"run": run, "command": "split", "exit_code": 0, **asdict(done), "study": study.model_dump(mode="json")}
    write_record(store, run, record)
    return done


def site_of(text: pd.DataFrame) -> pd.Series:
    """Each patient's site; empty in a table of one centre that has no such column."""
    return text["site"] if "site" in text else pd.Series("", index=text.index, dtype=object)


def divide(values: pd.DataFrame, site: pd.Series, study: Study) -> tuple[CohortTables, Eligibility]:
    """The tables of a study's split, from checked values and sites indexed by patient_id.

    TableError when the cohorts or folds cannot be drawn.
    """
    eligibility = apply_rules(values, study.clinical)
    eligible = eligibility.reason == ""
    outcome = values[study.clinical.outcome]
    cohort = draw_cohorts(outcome[eligible], site[eligible], study.split)
    fold = draw_folds(outcome[cohort.index[cohort == "train"]], study.split)
    splits = [
        {
            "study_id": study.name,
            "patient_id": patient,
            "site": site[patient],
            "eligible": bool(eligible[patient]),
            "reason": eligibility.reason[patient],
            "cohort": cohort.get(patient, "source" if eligibility.source[patient] else ""),
            "fold": int(fold[patient]) if patient in fold.index else None,
        }
        for patient in values.index
    ]
    flow = [{"study_id": study.name, "number": i, **asdict(step)} for i, step in enumerate(eligibility.flow)]
    stored = CohortTables(
        _clinical(values, site, study),
        tables.sort_by_key(tables.SPLITS, tables.build(tables.SPLITS, splits)),
        tables.build(tables.FLOW, flow),
        coding_of(study.clinical),
    )
    return stored, eligibility


def _refuse(name: str, findings: list[Finding]) -> None:
    errors = [finding.text for finding in findings if finding.level == "error"]
    if errors:
        more = f" | and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
        raise TableError(f"{name}: {' | '.join(errors[:SHOWN])}{more}")


def _clinical(values: pd.DataFrame, site: pd.Series, study: Study) -> pa.Table:
    declared = study.clinical.declared
    contract = clinical_table(
        {name: ARROW[column.kind] for name, column in declared.items()},
        {name: getattr(column, "unit", "") for name, column in declared.items()},
    )
    frame = values.assign(site=site).rename_axis("patient_id").reset_index()
    table = pa.Table.from_pandas(frame, schema=contract.schema(), preserve_index=False).replace_schema_metadata()
    return tables.sort_by_key(contract, tables.check(contract, table))


def _groups(splits: pd.DataFrame, outcome: pd.Series) -> tuple[Group, ...]:
    groups = []
    for name in ORDER:
        members = splits[splits["cohort"] == name]
        if len(members):
            groups.append(_group(name, outcome[members.index]))
        if name == "train":
            groups += [_group(f"fold {k:g}", outcome[part.index]) for k, part in members.groupby("fold")]
    return tuple(groups)


def _group(name: str, outcome: pd.Series) -> Group:
    return Group(name, len(outcome), None if outcome.isna().all() else int(outcome.sum()))
