"""The sites of a cohort's rows against the clinical table's: patients at two sites, sites typed in two ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gc_ray.cohort.findings import Finding, some
from gc_ray.patients import alike, several_sites, several_sites_text
from gc_ray.runtime.joined import SPLIT
from gc_ray.study import Study


def site_findings(
    study: Study, pairs: Iterable[tuple[str, str]], clinical: Mapping[str, str], rows: str
) -> list[Finding]:
    """What is wrong with the sites of some rows.

    Parameters
    ----------
    study : Study
        Whose ``clinical.patient_ids`` says whether two sites may share a patient id.
    pairs : iterable of (str, str)
        patient_id and site of the rows.
    clinical : mapping of str to str
        Site by patient_id in the clinical table; empty where it has none.
    rows : str
        What the rows are called, such as "the scans tables".
    """
    pairs, found = list(pairs), []
    theirs = {site for _, site in pairs}
    for labels in alike({*theirs, *clinical.values()}):
        named = " and ".join(f"'{label}'" for label in labels)
        several = len(theirs & set(labels)) > 1
        text = f"{rows} name one site in two ways" if several else "the site is that of the clinical table"
        text = f"site: {named} differ only in case, blanks or Unicode form: {text}; write one label"
        found.append(Finding("error" if several else "warning", text))
    text = several_sites_text(several_sites({SPLIT: clinical.items(), rows: pairs}))
    return [*found, Finding("error", text)] if text and study.clinical.patient_ids == "unique" else found


def unchecked(sites: Iterable[str], rows: str) -> list[Finding]:
    """That nobody can see whether the patients of several sites are those of a clinical table without sites."""
    sites = sorted({site for site in sites if site})
    text = (
        f"the clinical table has no column site, and the {rows} are of {len(sites)} sites ({some(sites)}): whether "
        "these are the same patients cannot be checked; add the column"
    )
    return [Finding("warning", text)] if len(sites) > 1 else []
