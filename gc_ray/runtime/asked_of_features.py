"""What a study's signatures ask of a features table, and where the table cannot give it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa

from gc_ray.cohort.choose_scans import choose_scans, nobody_text
from gc_ray.cohort.coding import coding_of
from gc_ray.cohort.findings import Finding, some
from gc_ray.errors import TableError
from gc_ray.models.cohort_data import COHORTS, TRAIN, Features
from gc_ray.models.outlined_again import KEY, Designs, find_designs
from gc_ray.runtime.joined import check_magnitudes, check_names, check_people
from gc_ray.study import Study
from gc_ray.study_signatures import DESIGNS, HEAD, SignatureSettings, Stability, set_name

FEW_EVENTS = 10  # events for each feature of a model, below which its coefficients are unstable (Peduzzi 1996)
SELECTING = {"lasso", "t_test", "stability", "variance", "spearman"}  # steps that leave an unknown number of features


def set_asked_for(study: Study) -> str:
    """The name by which a study reads its radiomics features; empty when it reads none, or does not say which."""
    sets = (study.tune.feature_set,) if study.tune.feature_set else study.extract.feature_sets
    return set_name(sets[0]) if study.signature and len(sets) == 1 else ""


def asked_of(
    keys: pd.DataFrame, values: pd.DataFrame, cohorts: pd.DataFrame | None, study: Study
) -> tuple[dict[str, str], list[Finding]]:
    """Whether a features table can serve a study.

    Parameters
    ----------
    keys : DataFrame
        scan_id, reader, repeat, roi, patient_id, site and phase of each row.
    values : DataFrame
        The features of the same rows, NaN for a gap.
    cohorts : DataFrame or None
        Cohort and outcome by patient_id, where they are known; otherwise every patient counts as training.
    study : Study

    Returns
    -------
    designs : dict of str to str
        What each design of an ICC would compare, or why it cannot be; empty where no row is the study's.
    findings : list of Finding
    """
    findings = [*_names(values, study), *_sources(study)]
    table = pa.Table.from_pandas(keys, preserve_index=False)
    try:
        rows = choose_scans(table, study.scans).select([*KEY, "patient_id"]).to_pandas()
    except TableError as error:
        return {}, [Finding("error", str(error)), *findings]
    if rows.empty:
        text = f"the features table: {nobody_text(table, study.scans)}; correct the study file or the table"
        return {}, [Finding("error", text), *findings]
    known = cohorts if cohorts is not None else pd.DataFrame({"cohort": TRAIN}, index=rows["patient_id"])
    train = set(known.index[known["cohort"] == TRAIN])
    who = "patients" if cohorts is None else "training patients"
    designs = find_designs(keys[KEY], rows, study.scans, train, who)
    using = [signature for signature in study.signature if "radiomics" in signature.families]
    for signature in using:
        findings += [Finding("error", text) for text in _unstable(signature, designs)]
    if using:
        at = pd.MultiIndex.from_frame(keys[KEY]).get_indexer(pd.MultiIndex.from_frame(rows[KEY]))
        findings += _people(rows["patient_id"], values.iloc[at], study)
        findings += _gaps(values.iloc[at], rows["patient_id"].map(known["cohort"]).to_numpy(), who)
    if cohorts is not None and "outcome" in cohorts:
        trained = cohorts.loc[sorted(train & set(rows["patient_id"])), "outcome"]
        findings += [Finding("warning", text) for text in _events(using, values.shape[1], trained)]
    return {design: designs.sentence(design) for design in DESIGNS}, findings


def _names(values: pd.DataFrame, study: Study) -> Iterator[Finding]:
    """Features that bear the name of something clinical."""
    try:
        check_names({"the features table": Features(tuple(values.columns), values.to_numpy())}, study)
    except TableError as error:
        yield Finding("error", str(error))
    said = study.clinical
    roles = {said.outcome, said.outcome_months, said.time_months, said.event}
    terms = {term for name, said in coding_of(study.clinical).items() for term in (name, *said["terms"])} - roles
    if study.signature and (held := [name for name in values if name in terms]):
        text = f"column(s) {some(held)} are also clinical columns of the study; drop them from the features"
        yield Finding("error", text)


def _people(patients: pd.Series, values: pd.DataFrame, study: Study) -> Iterator[Finding]:
    """Features too large or too small to compute with, and two patients who are one person by their features."""
    try:
        features = {"the features table": Features(tuple(values.columns), values.to_numpy())}
        check_magnitudes(features)
        check_people(features, patients, study)
    except TableError as error:
        yield Finding("error", str(error))


def _sources(study: Study) -> Iterator[Finding]:
    """What the signatures take beside a features table, and which features the study would read."""
    if not study.signature:
        return
    for signature in study.signature:
        wanted = [*(["deep features"] if "deep" in signature.families else [])]
        wanted += ["the score of the network head"] if HEAD in signature.scores_of else []
        if wanted:
            text = f"signature {signature.name} takes {' and '.join(wanted)}, which networks compute from scans"
            yield Finding("error", f"{text}: a features table has none; leave the signature out, or extract scans")
    if not any("radiomics" in signature.families for signature in study.signature):
        yield Finding("warning", 'no signature takes the features of a table; add "radiomics" to its families')
        return
    name = set_asked_for(study)
    if not name:
        text = f"the study does not say which features it reads ({some(study.extract.feature_sets) or 'none named'})"
        yield Finding("error", f"{text}; set tune.feature_set to the name that ingest gives them")
    elif not study.tune.feature_set:
        text = f"the study reads what extract computes from scans ({name}, of extract.feature_sets)"
        yield Finding("warning", f"{text}; set tune.feature_set to the name that ingest gives the table")


def _unstable(signature: SignatureSettings, designs: Designs) -> Iterator[str]:
    """Why a step ``stability`` of a signature cannot be done."""
    for step in signature.steps:
        if not isinstance(step, Stability) or "radiomics" not in (step.families or signature.families):
            continue
        if not designs.allow(step.designs):
            lost = [design for design in step.designs or DESIGNS if design in designs.lacking]
            why = "; ".join(f"no {design}-reader ICC: {designs.lacking[design]}" for design in lost)
            yield f"signature {signature.name}, step stability: {why}; outline more, change designs, or drop the step"


def _gaps(values: pd.DataFrame, cohort: np.ndarray, who: str) -> Iterator[Finding]:
    """Features that no signature can take, for a training patient has no value, and patients it could not score."""
    empty, training = values.isna(), int((cohort == TRAIN).sum())
    lost = empty[cohort == TRAIN].any()
    if lost.any():
        text = f"{lost.sum()} of {len(lost)} features have no value in at least one of {training} {who}"
        text = f"{text} ({some(lost.index[lost])}); they are not used: fill the gaps, or drop those rows"
        yield Finding("error" if lost.all() else "warning", text)
    for name in COHORTS[1:]:
        theirs = empty.loc[cohort == name, ~lost.to_numpy()]
        if theirs.any(axis=None):
            lacking, features = int(theirs.any(axis=1).sum()), theirs.columns[theirs.any()]
            text = f"{lacking} of {len(theirs)} {name} patients have no value of a feature that may be used"
            yield Finding("warning", f"{text} ({some(features)}); a model that takes it cannot score them")


def _events(signatures: list[SignatureSettings], features: int, outcome: pd.Series) -> Iterator[str]:
    """Signatures whose number of features is known beforehand and too large for the events."""
    if outcome.empty:
        return
    rarer = int(min((outcome == value).sum() for value in (0, 1)))
    for signature in signatures:
        numbers = [step.number for step in signature.steps if step.step == "strongest"]
        if not numbers and SELECTING & {step.step for step in signature.steps}:
            continue
        taken = min([features, *numbers])
        if rarer < FEW_EVENTS * taken:
            each = f"{rarer} training patients of the rarer outcome for {taken} features, {rarer / taken:.1f} each"
            yield f"signature {signature.name}: {each}; under {FEW_EVENTS}, expect overfitting"
