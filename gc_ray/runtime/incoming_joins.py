"""New scans against what they are joined to: the bundle's reader, the clinical table, sites, and earlier scores."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gc_ray.cohort.choose_scans import asked_of, nobody_text
from gc_ray.cohort.findings import some
from gc_ray.cohort.manifest import Scans
from gc_ray.cohort.table_files.cells import gaps_in, number_or_nan
from gc_ray.errors import TableError
from gc_ray.models.bundle import Bundle
from gc_ray.models.frozen_sites import known_sites
from gc_ray.patients import change_text, meet, meeting_text, same_label, several_sites, several_sites_text
from gc_ray.runtime import audit
from gc_ray.runtime.incoming import SITE, Waiting
from gc_ray.runtime.incoming_clinical import by_pseudonym
from gc_ray.runtime.joined import SPLIT, site_pairs
from gc_ray.store import Store
from gc_ray.study_cohort import ScansSettings

NEW, BEFORE = "the scans table", "earlier scores"


def wanted_outlines(rows: Scans, wanted: ScansSettings, what: str = NEW) -> tuple[Scans, list[Waiting]]:
    """(outlines of the bundle's reader, repeat and region; scans that have none of them, which wait).

    what: what messages call the rows. TableError when no scan has such an outline.
    """
    wanted = wanted.model_copy(update={"phase": ""})  # another phase is judged by the domain
    asked = asked_of(wanted)
    kept = rows.table
    for name, value in asked:
        kept = kept.filter(pc.equal(kept[name], value))
    if not kept.num_rows:
        raise TableError(f"{what}: {nobody_text(rows.table, wanted)}; the bundle was made for these: correct {what}")
    without = sorted(set(rows.table["scan_id"].to_pylist()) - set(kept["scan_id"].to_pylist()))
    what = ", ".join(f"{name} {value}" for name, value in asked)
    return Scans(kept, rows.notes), [
        Waiting(scan, f"it has no outline of {what}, which the bundle wants") for scan in without
    ]


def with_sites(
    bundle: Bundle,
    store: Store,
    rows: Scans,
    text: pd.DataFrame | None,
    site_key: bytes | None,
    what: str = NEW,
) -> Scans:
    """The scans with their sites: of referred patients (shared ids) the clinical table's, where it has one.

    text: the clinical table. what: what messages call the rows. TableError when an id that is not shared is at two
    sites, in the new scans, in the clinical table and in what the store has scored before by this bundle; and when a
    site is typed in another way than in the bundle.
    """
    listed = None
    if text is not None and "site" in text:
        listed = by_pseudonym(text["site"].dropna(), site_key)
    if bundle.scoring.get("patient_ids", "unique") == "shared":
        rows = rows if listed is None else _of_clinical(rows, listed)
    elif found := _at_several(bundle, store, rows, listed, what):
        scored = any(BEFORE in sites.values() for sites in found.values())
        raise TableError(several_sites_text(found) + (", or score into another store" if scored else ""))
    _check_typing(bundle, rows, what)
    return rows


def _at_several(
    bundle: Bundle, store: Store, rows: Scans, listed: pd.Series | None, what: str
) -> dict[str, dict[str, str]]:
    pairs = [(patient, site) for patient, site in site_pairs(rows.table) if site != SITE]
    clinical = [] if listed is None else list(listed.items())
    # whom the table names also when not scored now: outcomes that have arrived are joined with earlier scores
    before = _scored_before(bundle, store, {patient for patient, _ in (*pairs, *clinical)})
    asked = {patient for patient, _ in (*pairs, *before)}
    return several_sites({what: pairs, BEFORE: before, SPLIT: [pair for pair in clinical if pair[0] in asked]})


def _of_clinical(rows: Scans, listed: pd.Series) -> Scans:
    """The scans with the site that the clinical table has for their patient."""
    table, known = rows.table, listed.to_dict()
    sites = [
        known.get(p, site) for p, site in zip(*(table[n].to_pylist() for n in ("patient_id", "site")), strict=True)
    ]
    place = table.column_names.index("site")
    return Scans(table.set_column(place, table.schema.field("site"), pa.array(sites, pa.string())))


def _check_typing(bundle: Bundle, rows: Scans, what: str) -> None:
    typed = {same_label(site): site for site in known_sites(bundle.harmonisation)}
    for site in sorted(rows.count("site")):
        if (meant := typed.get(same_label(site), site)) != site:
            raise TableError(
                f"{what}: site '{site}' differs from the bundle's '{meant}' only in case, blanks or Unicode form; "
                f"write '{meant}'"
            )


def clinical_notes(bundle: Bundle, rows: Scans, clinical: pd.DataFrame | None, what: str = NEW) -> tuple[str, ...]:
    """How the patients of new scans meet those of the clinical table; nothing where all are in it.

    what: what messages call the rows. TableError when none is and the bundle wants clinical predictors.
    """
    if clinical is None or not len(rows) or not len(clinical):
        return ()
    found = meet(rows.count("patient_id"), clinical.index)
    if not found.first:
        return ()
    if not found.both and bundle.scoring["coding"]:
        raise TableError(meeting_text(found, what, SPLIT))
    if not found.both:
        return (meeting_text(found, what, SPLIT),)
    hint = change_text(found)
    of = len(found.first) + found.both
    text = f"{SPLIT} lacks {len(found.first)} of {of} patients of {what} ({some(found.first)})"
    return (f"{text}; {hint}" if hint else text,)


def outcome_notes(text: pd.DataFrame, outcome: str) -> tuple[str, ...]:
    """That values of the outcome are not used; text: the clinical table."""
    if outcome not in text:
        return ()
    known = text[outcome].dropna()
    known = known[~gaps_in(known, of_numbers=True)]
    wrong = known[~known.map(number_or_nan).isin((0, 1))]
    said = some(wrong.drop_duplicates())
    return (f"{outcome}: {len(wrong)} values are neither 0 nor 1 and are not used: {said}",) if len(wrong) else ()


def _scored_before(bundle: Bundle, store: Store, patients: set[str]) -> list[tuple[str, str]]:
    held = audit.read_whole_scores(store, bundle.bundle_id, ("patient_id", "site"))
    held = held.filter(pc.is_in(held["patient_id"], pa.array(sorted(patients), pa.string())))
    return [pair for pair in site_pairs(held) if pair[1] != SITE]
