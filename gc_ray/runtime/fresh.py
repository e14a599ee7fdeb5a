"""Which scores of a study are judged, and whether the tables that they were made of are still the same."""

from __future__ import annotations

import json

from gc_ray.cohort_tables import split_hash
from gc_ray.errors import StudyError, TableError
from gc_ray.report.inputs import tunings
from gc_ray.runtime.gather import Gathered, gather
from gc_ray.runtime.tune import read_card, tuned_with
from gc_ray.store import Store
from gc_ray.study import Study
from gc_ray.study_cohort import ScansSettings
from gc_ray.study_signatures import SignatureSettings, TuneSettings

UNRECORDED = "whether the tables changed after these scores were made is not known: run gc-ray tune again to be sure"
Doubt = tuple[str, str, str, str]  # severity, flag, about, text


def tuning_to_judge(store: Store, study: Study, named: str | None) -> tuple[str | None, tuple[Doubt, ...]]:
    """The tuning whose scores are judged, and what speaks against it.

    Parameters
    ----------
    store : Store
    study : Study
    named : str or None
        The tuning that was asked for; None for the only one, or that of these settings.

    Returns
    -------
    tuple of (str or None, tuple of Doubt)
        None where the store has no tuning, or several none of which is that of these settings.

    Raises
    ------
    TableError
        When the scores are older than their tables and nobody asked for just these.
    """
    known = tunings(store, study.name)
    if named is None and len(known) > 1:
        return tuned_with(store, study, known), ()  # its name is a digest of the tables
    chosen = named or next(iter(known), None)
    if chosen not in known:
        return chosen, ()
    card = read_card(store, f"signatures/{study.name}/{chosen}")
    if "inputs" not in card:
        return chosen, (("note", "unknown_tables", "study", UNRECORDED),)
    stale = why_stale(store, study, chosen)
    if stale and named is None:
        raise TableError(
            f"study {study.name}: {stale}; run gc-ray tune again, or judge them as they are by --tune {chosen}"
        )
    return chosen, (("serious", "older_than_tables", "study", stale),) if stale else ()


def why_stale(store: Store, study: Study, tune_id: str) -> str:
    """What of the tables has changed since a tuning, in words; empty where it is all the same.

    The tables are read as the tuning read them, whatever the study file says now.
    """
    card = read_card(store, f"signatures/{study.name}/{tune_id}")
    made = card.get("inputs")
    if made is None:
        return ""
    older = f"scores {tune_id} are older than the tables that they were made of"
    if split_hash(store, study.name) != made["split"]:
        return f"{older}: the split is another one"
    try:
        now = gather(store, _as_tuned(study, card))
    except (TableError, StudyError) as error:
        return f"{older}, and these cannot be joined now: {error}"
    changed = _changed(made, now)
    return f"{older}: {', '.join(changed)} changed since" if changed else ""


def _changed(made: dict, now: Gathered) -> list[str]:
    """What differs between what scores were made of and what there is now."""
    others = [
        f"the model or feature set of {kind} ({source}, now {now.sources.get(kind, 'none')})"
        for kind, source in made["sources"].items()
        if now.sources.get(kind) != source
    ]
    before, after = made["data"], now.data.digests()
    parts = [part for part in {**before, **after} if before.get(part) != after.get(part)]
    return others or (parts[:1] if "patients" in parts else parts)  # of other patients everything is different


def _as_tuned(study: Study, card: dict) -> Study:
    """The study with the settings by which the tuning chose its tables."""
    scans = ScansSettings.model_validate_json(json.dumps(card["inputs"]["scans"]))
    signatures = tuple(SignatureSettings.model_validate_json(json.dumps(one)) for one in card["signature"])
    tuned = TuneSettings.model_validate_json(json.dumps(card["tune"]))
    if "radiomics" in card["sources"]:
        tuned = tuned.model_copy(update={"feature_set": card["sources"]["radiomics"]})
    return study.model_copy(update={"scans": scans, "signature": signatures, "tune": tuned})
