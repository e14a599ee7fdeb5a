"""The choice among a signature's candidates: its steps one after the other, and why each feature left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from gc_ray.errors import TableError
from gc_ray.models.cohort_data import FEWEST_RATED, CohortData, Ratings
from gc_ray.models.design import Design, fit_design
from gc_ray.models.outlined_again import FORMS
from gc_ray.models.sites import Harmonised, fit_sites
from gc_ray.models.steps import STEPS, Found, Work
from gc_ray.study_signatures import DESIGNS, INTER, INTRA, SignatureSettings, Stability

Agreement = Callable[[np.ndarray, str], np.ndarray]
CLINICAL = "clinical"
SEPARATES = "separates the outcome completely"  # in a warning on a feature that may be the outcome by another name


@dataclass(frozen=True, eq=False)
class Chosen:
    """What the steps left of the candidates.

    terms: names of those kept, with their family. design: of the clinical columns, None without them. penalised:
    terms, intercept and slopes of the last LASSO, on the features' own scale. log: feature, family, step, statistic,
    p_value, reason. warnings: sentences for a report.
    """

    terms: tuple[tuple[str, str], ...]
    design: Design | None
    penalised: tuple[tuple[str, ...], float, np.ndarray] | None
    log: pd.DataFrame
    warnings: tuple[str, ...]
    harmonised: dict[str, Harmonised]  # by family

    def table(self, data: CohortData, rows: np.ndarray) -> pd.DataFrame:
        """The chosen terms of the patients in ``rows``."""
        return pd.DataFrame(dict(self._columns(data, rows)))

    def _columns(self, data: CohortData, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        coded = self.design.apply(data.clinical.iloc[rows]) if self.design is not None else None
        cleaned = {}
        for family, sites in self.harmonised.items():
            at = pd.Index(data.families[family].names).get_indexer(sites.names)
            x = sites.apply(data.families[family].values[:, at], data.site, rows)
            cleaned |= {(family, name): x[:, i] for i, name in enumerate(sites.names)}
        for name, family in self.terms:
            if family == CLINICAL:
                yield name, coded[name].to_numpy()
            elif (family, name) in cleaned:
                yield name, cleaned[family, name]
            else:
                features = data.families[family]
                yield name, features.values[rows, features.names.index(name)]


@dataclass(eq=False)
class _State:
    """The candidates on their way through the steps."""

    names: np.ndarray
    family: np.ndarray
    factor: np.ndarray
    x: np.ndarray
    alive: np.ndarray
    scale: np.ndarray  # what x was divided by, for each feature
    step: np.ndarray
    reason: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    warnings: list[str] = field(default_factory=list)
    penalised: tuple[tuple[str, ...], float, np.ndarray] | None = None

    def leave(self, at: np.ndarray, step: str, reason: str) -> None:
        """The candidates ``at`` leave at a step."""
        self.alive[at] = False
        self.step[at] = step
        self.reason[at] = reason


def choose(
    settings: SignatureSettings,
    data: CohortData,
    rows: np.ndarray,
    agreement: Agreement,
    rng: np.random.Generator,
    looks: bool,
) -> Chosen:
    """The terms that a signature's steps keep, learnt from the patients in ``rows`` alone.

    looks: whether steps that are published to look at the internal cohort do so. Features without a value in one of
    the patients, and constant ones, leave first. TableError that names signature and step when a step leaves a family
    empty, or the last one nothing at all.
    """
    design, state, harmonised = _begin(settings, data, rows)
    for step in settings.steps:
        concerned = np.flatnonzero(state.alive & np.isin(state.family, step.families or settings.families))
        work = _work(state, concerned, data, rows, rng)
        if isinstance(step, Stability):
            work = _with_agreement(work, step, state.family[concerned], data, data.patient_ids[rows], agreement)
        if looks and getattr(step, "also_internal", False):
            work = _with_internal(work, design, data)
        _apply(state, concerned, STEPS[step.step](work, step), step.step, settings.name)
    state.warnings += _separation(state, data.y[rows])
    return Chosen(
        tuple(zip(state.names[state.alive].tolist(), state.family[state.alive].tolist(), strict=True)),
        design,
        state.penalised,
        _log(state),
        tuple(state.warnings),
        harmonised,
    )


def harmonise(settings: SignatureSettings, data: CohortData, rows: np.ndarray) -> dict[str, Harmonised]:
    """By family, what ``choose`` frees the features of their sites with."""
    return _begin(settings, data, rows)[2]


def _begin(
    settings: SignatureSettings, data: CohortData, rows: np.ndarray
) -> tuple[Design | None, _State, dict[str, Harmonised]]:
    """The candidates before the first step, with the coding of clinical ones and what freed the others of sites."""
    design = fit_design(data.coding, data.clinical.iloc[rows]) if CLINICAL in settings.families else None
    state = _candidates(settings, design, data, rows)
    _leave_unusable(state, settings.name, data)
    return design, state, _harmonise(state, settings, data.site[rows])


def _candidates(settings: SignatureSettings, design: Design | None, data: CohortData, rows: np.ndarray) -> _State:
    names, family, factor, blocks = [], [], [], []
    for kind in settings.families:
        if kind == CLINICAL:
            coded = design.apply(data.clinical.iloc[rows])
            names += list(coded.columns)
            factor += [design.factors[term] for term in coded.columns]
            blocks.append(coded.to_numpy())
        elif kind in data.families:
            names += data.families[kind].names
            factor += data.families[kind].names
            blocks.append(data.families[kind].values[rows])
        else:
            raise TableError(f"signature {settings.name}: wanted {kind} features, there are none; extract or embed")
        family += [kind] * blocks[-1].shape[1]
    x = np.concatenate(blocks, axis=1)
    p = x.shape[1]
    text = [np.full(p, "", object) for _ in range(2)]
    numbers = [np.full(p, np.nan) for _ in range(2)]
    return _State(
        np.array(names, object), np.array(family, object), np.array(factor, object),
        x, np.ones(p, bool), np.ones(p), *text, *numbers,
    )  # fmt: skip


def _leave_unusable(state: _State, name: str, data: CohortData) -> None:
    gaps = np.isnan(state.x).any(axis=0)
    for family, features in data.families.items():
        of = state.family == family
        if of.any():  # of the whole training cohort, so that left-out patients can be scored; no outcome is looked at
            gaps[of] |= np.isnan(features.values[data.train]).any(axis=0)
    state.leave(gaps, "missing", "no value in at least one training patient")
    state.leave(state.alive & (np.ptp(state.x, axis=0) == 0), "constant", "the same in all patients")
    _check_left(state, np.arange(len(state.names)), "missing and constant values", name)


def _harmonise(state: _State, settings: SignatureSettings, site: np.ndarray) -> dict[str, Harmonised]:
    """ComBat of each family that is to be harmonised, on all of its features that vary; the candidates change."""
    found = {}
    for family in settings.harmonise.families if settings.harmonise is not None else ():
        at = np.flatnonzero(state.alive & (state.family == family))
        found[family] = fit_sites(settings.harmonise, tuple(state.names[at]), state.x[:, at], site)
        state.x[:, at] = found[family].apply(state.x[:, at], site, np.arange(len(site)))
    return found


def _work(state: _State, concerned: np.ndarray, data: CohortData, rows: np.ndarray, rng) -> Work:
    unknown = np.full(len(concerned), np.nan)
    return Work(
        state.x[:, concerned],
        data.y[rows],
        tuple(state.names[concerned]),
        tuple(state.factor[concerned]),
        unknown,
        None,
        rng,
    )


def _with_agreement(
    work: Work, step: Stability, families: np.ndarray, data: CohortData, patient_ids: np.ndarray, agreement: Agreement
) -> Work:
    """The work with the least ICC of each feature over the designs that the step asks for."""
    least, used = np.full(len(families), np.inf), {}
    for family in dict.fromkeys(families):
        at = np.flatnonzero(families == family)
        columns = pd.Index(data.families[family].names).get_indexer([work.names[i] for i in at])
        for design, held in _rated(step, family, data).items():
            ratings = _ratings(held, patient_ids, family, design)[:, :, columns]
            least[at] = np.minimum(least[at], agreement(ratings, FORMS[design]))  # NaN where either is
            used[design] = True
    return replace(work, agreement=least, designs=tuple(design for design in DESIGNS if design in used))


def _rated(step: Stability, family: str, data: CohortData) -> dict[str, Ratings]:
    """The ratings of the designs that a step uses of a family: those it names, or else all that there are."""
    held = {INTER: data.between.get(family), INTRA: data.within.get(family)}
    found = {design: ratings for design, ratings in held.items() if ratings is not None}
    lost = [design for design in step.designs or (() if found else DESIGNS) if design not in found]
    if lost:
        reasons = data.lacking.get(family, {})
        why = "; ".join(reasons.get(design, f"{family} features have no such outlines") for design in lost)
        raise TableError(
            f"step stability: wanted {family} features for the {' and the '.join(lost)}-reader ICC: {why}; outline "
            "more, change designs, or drop the step"
        )
    return {design: ratings for design, ratings in found.items() if design in (step.designs or DESIGNS)}


def _ratings(held: Ratings, patient_ids: np.ndarray, family: str, design: str) -> np.ndarray:
    found = held.of(patient_ids)
    if len(found) < FEWEST_RATED:
        raise TableError(
            f"step stability: wanted {FEWEST_RATED} or more of these {len(patient_ids)} training patients outlined "
            f"for the {design}-reader ICC, {family} features have {len(found)}; outline more, or drop the step"
        )
    return found


def _with_internal(work: Work, design: Design | None, data: CohortData) -> Work:
    rows = np.flatnonzero(data.cohort == "internal")
    if design is None or not len(rows):
        return work
    coded = design.apply(data.clinical.iloc[rows])[list(work.names)]
    known = coded.notna().all(axis=1).to_numpy()  # a level that training has not seen says nothing of the factor
    return replace(work, internal=(coded[known].to_numpy(), data.y[rows[known]]))


def _apply(state: _State, concerned: np.ndarray, found: Found, step: str, name: str) -> None:
    state.statistic[concerned], state.p_value[concerned] = found.statistic, found.p_value
    state.scale[concerned] *= found.divisor
    state.x[:, concerned] /= found.divisor
    state.leave(concerned[~found.kept], step, found.reason)
    if found.warning:
        state.warnings.append(found.warning)
    if found.penalised is not None:
        intercept, slopes = found.penalised
        used = slopes != 0
        terms = tuple(state.names[concerned[used]].tolist())
        state.penalised = (terms, intercept, (slopes / state.scale[concerned])[used])
    _check_left(state, concerned, step, name)


def _separation(state: _State, y: np.ndarray) -> list[str]:
    """A warning on each kept feature of which one value tells all patients with the event from all without."""
    x = state.x[:, state.alive]
    apart = x[y == 1].min(axis=0) > x[y == 0].max(axis=0)
    apart |= x[y == 1].max(axis=0) < x[y == 0].min(axis=0)
    return [
        f"{name} {SEPARATES} in {len(y)} patients: it may be the outcome by another name, or made of it"
        for name in state.names[state.alive][apart]
    ]


def _check_left(state: _State, concerned: np.ndarray, step: str, name: str) -> None:
    """A family is empty after a filter: an error. The LASSO chooses among families, and errs when nothing is left."""
    for family in dict.fromkeys(state.family[concerned]):
        of = concerned[state.family[concerned] == family]
        if state.alive[of].any():
            continue
        if step == "lasso" and state.alive[concerned].any():
            state.warnings.append(f"the LASSO chose none of {len(of)} {family} features")
            continue
        whose = f"{len(concerned)}" if step == "lasso" else f"{len(of)} {family}"
        advice = "choose = min, or fewer folds" if step == "lasso" else "relax it, or leave them out"
        raise TableError(f"signature {name}: step {step} left none of {whose} features; {advice}")


def _log(state: _State) -> pd.DataFrame:
    step = np.where(state.alive, "kept", state.step)
    return pd.DataFrame(
        {
            "feature": state.names,
            "family": state.family,
            "step": step,
            "statistic": state.statistic,
            "p_value": state.p_value,
            "reason": np.where(state.alive, "", state.reason),
        }
    )
