"""One simulated two-site study as tables, judged against its truth: what ``truth.py`` repeats over seeds.

The signatures are those of the packaged study liver_metastasis, as its file has them, on 120 radiomics-like and 40
deep-like features in groups that correlate, outlined again for ICC, and four clinical factors. Seven features and two
factors carry the outcome. Site A trains and validates; site B has the same patients behind another scanner: every
image feature is shifted and stretched. Follow-up has the outcome's linear predictor as its log hazard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from gc_ray.evaluate.calibrate import calibration
from gc_ray.evaluate.cox_model import cox
from gc_ray.evaluate.cutoff import optimal_cutoff
from gc_ray.evaluate.delong import auc
from gc_ray.evaluate.drift import ALERT, drift
from gc_ray.evaluate.risk_group import risk_groups
from gc_ray.features.stability import icc
from gc_ray.models.cohort_data import CohortData, Features, Ratings, checked
from gc_ray.models.controls import shuffled_outcome
from gc_ray.models.domain import judge, reference_of
from gc_ray.models.nested import outer_parts, part_result
from gc_ray.models.plans import Book
from gc_ray.models.recipe import KEPT, Fitted, fit_each
from gc_ray.study import load_study
from gc_ray.study_signatures import Harmonise, SignatureSettings, Strongest

STUDY = "liver_metastasis"
FOLDS = 5
LOADING = 0.9  # of a group's common part on its features: two of a group correlate at 0.81
PLANTED = {"radiomics": (0.6, -0.5, 0.45, 0.4), "deep": (0.6, -0.5, 0.4)}  # log odds ratio per SD
FACTORS = {"marker": 0.6, "age": 0.4, "albumin": 0.0, "height": 0.0}
INTERCEPT = -1.0  # about a third of the patients have the outcome
RATED = 100  # patients outlined again, as in the study
SHAKY = 0.25  # share of the groups without effect that readers do not agree on
SHIFT_SD, STRETCH = (0.5, 0.5), (0.2, 0.15)  # site B: mean and SD over features of shift and log stretch
SURVIVAL_5_YEARS, SHAPE, FOLLOW_UP_MONTHS = 0.72, 1.2, (24.0, 84.0)  # as in the simulated cohorts of ``gc-ray synth``
LENIENT, STRONGEST = 0.99, 5  # P and number of features where outcomes are shuffled
WINDOW = 200  # scans that drift and domain look at
SCORED = ("clinical", "radiomics", "dl", "dl_radiomics", "fused")
SHAPES = {"radiomics": (120, 30), "deep": (40, 20)}  # features, groups


@dataclass(frozen=True)
class Size:
    """Patients of a simulated study: training, internal and external."""

    train: int = 700  # as many as the study had
    test: int = 1000


@dataclass(frozen=True, eq=False)
class Simulated:
    """A study with what nobody knows of a real one: true log odds, and the follow-up drawn from them."""

    data: CohortData
    truth: np.ndarray
    time: np.ndarray
    event: np.ndarray

    def rows(self, cohort: str) -> np.ndarray:
        """The patients of a cohort."""
        return np.flatnonzero(self.data.cohort == cohort)


def simulated(seed: int, size: Size) -> Simulated:
    """A study drawn from a seed."""
    rng, n = np.random.default_rng([seed, 1]), size.train + 2 * size.test
    cohort = np.repeat(["train", "internal", "external"], [size.train, size.test, size.test])
    clinical = pd.DataFrame({name: rng.normal(size=n) for name in FACTORS})
    truth = INTERCEPT + clinical.to_numpy() @ np.array(list(FACTORS.values()))
    families, between, within = {}, {}, {}
    ids = np.array([f"P{i:05d}" for i in range(n)])
    for family, (features, groups) in SHAPES.items():
        z, again = _features(rng, n, features, groups)
        truth = truth + z[:, : len(PLANTED[family])] @ np.array(PLANTED[family])
        scale, centre = np.exp(rng.normal(2.0, 0.5, features)), rng.normal(0, 20, features)
        if family == "deep":  # a latent's scale is arbitrary
            scale, centre = 0.01 * np.exp(rng.normal(0, 0.2, features)), np.zeros(features)
        shifted = z * np.exp(rng.normal(*STRETCH, features)) + rng.normal(*SHIFT_SD, features)
        seen = np.where((cohort == "external")[:, None], shifted, z)
        names = tuple(f"{family}_{i:03d}" for i in range(features))
        families[family] = Features(names, centre + scale * seen)
        first = families[family].values[:RATED]
        between[family], within[family] = (
            Ratings(ids[:RATED], np.stack([first, first + scale * error], 1)) for error in again
        )
    y = (rng.random(n) < expit(truth)).astype(float)
    site = np.where(cohort == "external", "B", "A")
    coding = {name: {"kind": "number", "missing": "complete_case", "terms": [name]} for name in FACTORS}
    data = CohortData(
        ids, y, site, cohort, _folds(y, cohort), clinical, coding, families, between, within
    )  # fmt: skip
    return Simulated(checked(data), truth, *_follow_up(rng, truth))


def judged(seed: int, size: Size) -> dict:
    """Everything that is measured on one simulated study, as JSON types."""
    study = simulated(seed, size)
    book = book_of()
    fits = fit_each(book.plan(), study.data, study.data.train)
    results = [part_result(book.plan(), study.data, part, seed) for part in outer_parts(study.data, 1, seed)]
    brought = fit_each(book_of(bring=True).plan(), study.data, study.data.train)
    rows = {name: study.rows(name) for name in ("internal", "external")}
    return {
        "auc": {
            "nested": {name: _mean([r[name].get("auc_test") for r in results]) for name in SCORED},
            "internal": _aucs(fits, study, rows["internal"]),
            "external": _aucs(fits, study, rows["external"]),
            "brought": _aucs(brought, study, rows["external"]),
        },
        "log_hazard_ratio": _hazards(fits, results, study, seed),
        "selection": {name: _found(fits[name]) for name in ("radiomics", "dl", "dl_radiomics")},
        "calibration": {
            "internal": _calibrated(fits, study, rows["internal"]),
            "external": _calibrated(fits, study, rows["external"]),
            "brought": _calibrated(brought, study, rows["external"]),
        },
        "shift": {
            "internal": _shift(fits, study, rows["internal"]),
            "external": _shift(fits, study, rows["external"]),
            "brought": _shift(brought, study, rows["external"]),
        },
        "shuffled": _shuffled(study, seed),
    }


def book_of(bring: bool = False, lenient: bool = False) -> Book:
    """The packaged study's signatures.

    bring: image features of a site without training patients are brought to the training patients'. lenient:
    something is kept also where nothing is to be found.
    """
    settings = load_study(STUDY)
    signatures = settings.signature
    if lenient:
        signatures = tuple(_lenient(signature) for signature in signatures)
    if bring:
        signatures = tuple(_harmonised(signature) for signature in signatures)
    return Book(signatures, FOLDS, settings.tune.seed, lambda ratings, kind: icc(ratings, kind).icc)


def _lenient(signature: SignatureSettings) -> SignatureSettings:
    """The same filters with thresholds that all but pass everything, and the strongest features for the LASSO."""
    loose = {"t_test": {"alpha": LENIENT}, "univariable": {"alpha": LENIENT}}
    steps = tuple(step.model_copy(update=loose.get(step.step, {})) for step in signature.steps)
    strongest = Strongest(step="strongest", number=STRONGEST)
    return signature.model_copy(update={"steps": tuple(strongest if s.step == "lasso" else s for s in steps)})


def _harmonised(signature: SignatureSettings) -> SignatureSettings:
    images = tuple(family for family in signature.families if family != "clinical")
    if not images:
        return signature
    return signature.model_copy(update={"harmonise": Harmonise(families=images, external="reference")})


def _features(rng: np.random.Generator, n: int, features: int, groups: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Standard normal features in groups, and what a second outline adds to them, by another reader and the same."""
    group = np.arange(features) % groups
    z = LOADING * rng.normal(size=(n, groups))[:, group] + np.sqrt(1 - LOADING**2) * rng.normal(size=(n, features))
    shaky = (group >= groups * (1 - SHAKY)).astype(float)
    error = 0.2 + 0.8 * shaky
    return z, [share * error * rng.normal(size=(RATED, features)) for share in (1.0, 0.7)]


def _folds(y: np.ndarray, cohort: np.ndarray) -> np.ndarray:
    fold = np.full(len(y), -1)
    for value in (0, 1):
        of = np.flatnonzero((y == value) & (cohort == "train"))
        fold[of] = np.arange(len(of)) % FOLDS
    return fold


def _follow_up(rng: np.random.Generator, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = 60 / (-np.log(SURVIVAL_5_YEARS)) ** (1 / SHAPE)
    death = scale * (-np.log(rng.random(len(truth))) / np.exp(truth - truth.mean())) ** (1 / SHAPE)
    end = rng.uniform(*FOLLOW_UP_MONTHS, len(truth))
    return np.minimum(death, end), (death <= end).astype(int)


def _fitted(fits: dict, name: str) -> Fitted | None:
    return fits[name] if isinstance(fits[name], Fitted) else None


def _aucs(fits: dict, study: Simulated, rows: np.ndarray) -> dict[str, float | None]:
    """AUC of each signature and of the truth; None for a signature that could not be fitted."""
    y, found = study.data.y[rows], {"oracle": auc(study.data.y[rows], study.truth[rows])}
    for name in SCORED:
        fit = _fitted(fits, name)
        found[name] = None if fit is None else auc(y, fit.linear_predictor(study.data, rows))
    return found


def _hazards(fits: dict, results: list[dict], study: Simulated, seed: int) -> dict[str, float | None]:
    """Log hazard ratio, internally, of risk above a cutoff learned on training scores (out of fold, or the truth)."""
    train, rows = study.data.train, study.rows("internal")
    scores = {"oracle": (expit(study.truth[train]), expit(study.truth[rows]))}
    for name in SCORED:
        if (fit := _fitted(fits, name)) and (oof := _out_of_fold(results, study, name, seed)) is not None:
            scores[name] = oof, expit(fit.linear_predictor(study.data, rows))
    found = dict.fromkeys(SCORED)
    for name, (learnt, applied) in scores.items():
        cutoff = optimal_cutoff(study.time[train], study.event[train], learnt).cutoff
        high = (risk_groups(applied, cutoff) == "high").astype(float)
        both = 0 < high.sum() < len(high)
        found[name] = float(cox(study.time[rows], study.event[rows], high).table["coef"][0]) if both else None
    return found


def _out_of_fold(results: list[dict], study: Simulated, name: str, seed: int) -> np.ndarray | None:
    """The training cohort's scores by fits without the patient; None where a fold had no signature."""
    linear = np.full(len(study.data.y), np.nan)
    for part, result in zip(outer_parts(study.data, 1, seed), results, strict=True):
        linear[part.left_out] = result[name].get("linear_predictor", np.nan)
    found = linear[study.data.train]
    return None if np.isnan(found).any() else expit(found)


def _found(fit: Fitted | Exception) -> dict[str, float] | None:
    """Share of planted features kept, and kept or stood for by one of their group; share of null among the kept."""
    if not isinstance(fit, Fitted):
        return None
    kept = fit.log.loc[fit.log["step"] == KEPT, ["family", "feature"]]
    families = [family for family in PLANTED if family in set(fit.log["family"])]
    itself, stood_for, null = [], [], 0
    for family in families:
        at = np.array([int(name[-3:]) for name in kept.loc[kept["family"] == family, "feature"]], int)
        planted = np.arange(len(PLANTED[family]))
        groups = at % SHAPES[family][1]
        itself += np.isin(planted, at).tolist()
        stood_for += np.isin(planted, groups).tolist()
        null += int((groups >= len(planted)).sum())
    return {
        "planted": float(np.mean(itself)),
        "stood_for": float(np.mean(stood_for)),
        "kept": float(len(kept)),
        "null": null / len(kept),
    }


def _calibrated(fits: dict, study: Simulated, rows: np.ndarray) -> dict[str, float] | None:
    if (fit := _fitted(fits, "fused")) is None:
        return None
    found = calibration(study.data.y[rows], expit(fit.linear_predictor(study.data, rows)))
    return {"intercept": found.intercept, "slope": found.slope, "ici": found.ici}


def _shift(fits: dict, study: Simulated, rows: np.ndarray) -> dict[str, float] | None:
    """What drift and domain say of the first scans of a cohort, against the training cohort."""
    fit, of_images = _fitted(fits, "fused"), _fitted(fits, "dl_radiomics")
    if fit is None:
        return None
    train, window = study.data.train, rows[:WINDOW]

    def values(of: np.ndarray) -> pd.DataFrame:
        return fit.feature_table(study.data, of).join(of_images.feature_table(study.data, of))

    reference = reference_of(values(train), pd.DataFrame(), expit(fit.linear_predictor(study.data, train)), "")
    seen = values(window)
    said = drift(reference, seen, expit(fit.linear_predictor(study.data, window)), 0, len(window))
    verdicts = [judge(reference, dict(row), {}, "")[0] for _, row in seen.iterrows()]
    images = [row for row in said if row["name"] in of_images.predictors]
    return {
        "alert": float(any(row["verdict"] == ALERT for row in said)),
        "alerts": float(np.mean([row["verdict"] == ALERT for row in images])),
        "in_domain": float(np.mean([verdict == "in-domain" for verdict in verdicts])),
        "refused": float(np.mean([verdict == "refused" for verdict in verdicts])),
    }


def _shuffled(study: Simulated, seed: int) -> dict[str, dict[str, float | None]]:
    """Nested AUC of each signature once outcomes are dealt anew, and the share of outer folds that have it."""
    plan, data = book_of(lenient=True).plan(), shuffled_outcome(study.data, seed)
    results = [part_result(plan, data, part, seed) for part in outer_parts(data, 1, seed)]
    aucs = {name: [r[name]["auc_test"] for r in results if "auc_test" in r[name]] for name in SCORED}
    return {name: {"auc": _mean(of), "share": len(of) / len(results)} for name, of in aucs.items()}


def _mean(values: list[float | None]) -> float | None:
    """The mean; None when a value is missing or there is none."""
    return float(np.mean(values)) if values and None not in values else None
