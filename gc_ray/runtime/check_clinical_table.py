"""The clinical table against a study, and the cohorts that ``split`` would draw of it."""

from __future__ import annotations

import pandas as pd

from gc_ray.cohort.clinical import ClinicalTable, check_clinical
from gc_ray.cohort.duplicates import clinical_duplicates
from gc_ray.cohort.findings import Finding
from gc_ray.errors import TableError
from gc_ray.runtime.split import divide, site_of
from gc_ray.study import Study


def check_clinical_table(
    table: ClinicalTable, study: Study, scanned: set[str] | None = None
) -> tuple[list[Finding], pd.DataFrame | None]:
    """What is wrong with a clinical table for a study, and who would be in which cohort.

    Parameters
    ----------
    table : ClinicalTable
    study : Study
    scanned : set of str or None
        Patients with a scan, where they are known.

    Returns
    -------
    findings : list of Finding
        What the reader of the table decided or left out first, as notes.
    cohorts : DataFrame or None
        Indexed by patient_id, with the columns cohort and outcome; None where no cohort can be drawn.
    """
    values, findings = check_clinical(table.cells, study.clinical, scanned)
    findings = [*(Finding("note", note) for note in table.notes), *findings]
    findings += clinical_duplicates(table.cells, study.clinical)
    if not study.clinical.outcome or any(finding.level == "error" for finding in findings):
        return findings, None
    try:
        splits = divide(values, site_of(table.cells), study)[0].splits.to_pandas().set_index("patient_id")
    except TableError as error:
        return [*findings, Finding("warning", f"gc-ray split will refuse: {error}")], None
    return findings, splits[["cohort"]].assign(outcome=values[study.clinical.outcome])
