"""Outcomes of simulated patients from a stated model, and how well anybody could predict them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, ndtr
from scipy.stats import rankdata

from gc_ray.cohort.synthetic.population import DRAWS, clinical_of, scores_of
from gc_ray.cohort.synthetic.published import FOLLOW_UP_MONTHS, LIVER_METASTASIS_RATE, SYNCHRONOUS_SHARE
from gc_ray.cohort.synthetic.spec import CohortSpec

# Log odds ratios per SD of a normal score or per indicator (assumption: chosen so that the clinical terms alone,
# the image terms alone and both reach about the AUCs that the papers print).
RECURRENCE_TERMS = {
    "size": 0.5,
    "texture": 1.2,
    "age_years": -0.2,
    "cea_ng_ml": 0.3,
    "differentiation_low": 0.5,
    "ptnm_stage_iii": 0.9,
    "location_whole": 0.8,
}
LIVER_METASTASIS_TERMS = {"size": 0.5, "texture": 0.8, "cea_ng_ml": 0.5, "ca199_u_ml": 0.5}
SYNCHRONOUS_TERMS = {"texture": 0.7, "size": 0.3}
REGRESSION_CORRELATION = 0.7  # of the normal score behind the regression grade with texture (assumption)

SURVIVAL_5_YEARS = 0.72  # at the mean linear predictor (assumption)
WEIBULL_SHAPE = 1.2  # hazard that rises slowly (assumption)
LOST_SHARE = 0.04  # lost before the end of the study (assumption)
SYNCHRONOUS_MONTHS = 6.0
METACHRONOUS_MEAN_MONTHS = 12.0  # beyond the sixth month (assumption)
REGRESSION_SHARES = (0.10, 0.25, 0.35, 0.30)  # grades 0 (complete) to 3 (poor response) (assumption)
LARGE_SAMPLE = 200_000  # standard error of an AUC about .001
LARGE_SAMPLE_SEED = 20_240_620


@dataclass(frozen=True)
class Model:
    """A logistic model of one outcome.

    terms: log odds ratio of each feature. mean: mean over the population of the linear predictor without intercept.
    """

    terms: dict[str, float]
    intercept: float
    mean: float

    def linear_predictor(self, features: pd.DataFrame) -> np.ndarray:
        """Log odds of each patient."""
        return self.intercept + effect_of(self.terms, features)


@dataclass(frozen=True)
class Truth:
    """The models that outcomes are drawn from, and the AUC of each true linear predictor in a very large cohort."""

    recurrence: Model
    liver_metastasis: Model
    synchronous: Model
    large_sample_auc: dict[str, float | None]


def terms_of(terms: dict[str, float], spec: CohortSpec) -> dict[str, float]:
    """The terms under a specification's effect and strength; those that the effect leaves out are 0."""
    kept = {"size+texture+clinical": set(terms), "texture-only": {"texture"}, "none": set()}[spec.effect]
    return {name: spec.strength * value if name in kept else 0.0 for name, value in terms.items()}


def features_of(scores: pd.DataFrame, clinical: pd.DataFrame) -> pd.DataFrame:
    """What the models' terms refer to: normal scores, and indicators (0 or 1) of a clinical level."""
    indicators = {
        "differentiation_low": clinical["differentiation"] == "low",
        "ptnm_stage_iii": clinical["ptnm_stage"] == "III",
        "location_whole": clinical["location"] == "whole",
    }
    return scores.assign(**{name: value.astype(float) for name, value in indicators.items()})


def effect_of(terms: dict[str, float], features: pd.DataFrame) -> np.ndarray:
    """Sum of coefficient x feature."""
    total = np.zeros(len(features))
    for name, coefficient in terms.items():  # term by term: a matrix product may round otherwise for other row counts
        total += coefficient * features[name].to_numpy()
    return total


def truth_of(spec: CohortSpec) -> Truth:
    """The models under a specification, their intercepts set in a large simulated population to the wanted rates."""
    rng = np.random.default_rng(LARGE_SAMPLE_SEED)
    scores = scores_of(rng.standard_normal((LARGE_SAMPLE, len(DRAWS))))
    features = features_of(scores, clinical_of(scores))
    recurrence = _calibrated(terms_of(RECURRENCE_TERMS, spec), features, spec.recurrence_rate)
    metastasis = _calibrated(terms_of(LIVER_METASTASIS_TERMS, spec), features, LIVER_METASTASIS_RATE)
    drawn = {
        name: ndtr(scores[name].to_numpy()) < expit(model.linear_predictor(features))
        for name, model in (("recurrence", recurrence), ("liver_metastasis", metastasis))
    }
    affected = features[drawn["liver_metastasis"]]
    synchronous = _calibrated(terms_of(SYNCHRONOUS_TERMS, spec), affected, SYNCHRONOUS_SHARE)
    auc = {
        "recurrence": area_under_curve(drawn["recurrence"], recurrence.linear_predictor(features)),
        "liver_metastasis": area_under_curve(drawn["liver_metastasis"], metastasis.linear_predictor(features)),
    }
    return Truth(recurrence, metastasis, synchronous, auc)


def _calibrated(terms: dict[str, float], features: pd.DataFrame, rate: float) -> Model:
    """The model whose mean probability over these patients is ``rate``."""
    effect = effect_of(terms, features)
    intercept = brentq(lambda a: float(expit(a + effect).mean()) - rate, -30.0, 30.0)
    return Model(terms, round(intercept, 6), round(float(effect.mean()), 6))


def outcomes_of(truth: Truth, scores: pd.DataFrame, clinical: pd.DataFrame) -> pd.DataFrame:
    """Outcome columns: recurrence, overall survival and liver metastasis, drawn from the models.

    Overall survival follows a Weibull proportional hazards model whose log hazard is recurrence's linear predictor.
    Recurrence and liver metastasis belong to two studies and are independent given the patient's features.
    """
    features = features_of(scores, clinical)
    uniform = pd.DataFrame(ndtr(scores.to_numpy()), index=scores.index, columns=scores.columns)
    table = _survival(effect_of(truth.recurrence.terms, features) - truth.recurrence.mean, uniform)
    recurrence = uniform["recurrence"] < expit(truth.recurrence.linear_predictor(features))
    months = (table["time_months"] * (0.1 + 0.85 * uniform["recurrence_time"])).where(recurrence).round(1)
    table.insert(0, "recurrence", recurrence.astype(int))
    table.insert(1, "recurrence_months", months)
    early = (months < 2) | ((table["time_months"] < 2) & (table["event"] == 1))
    table["early_recurrence_or_death"] = early.astype(int)
    return pd.concat([table, _metastasis(truth, features, uniform, table["time_months"])], axis=1)


def _survival(log_hazard: np.ndarray, uniform: pd.DataFrame) -> pd.DataFrame:
    scale = 60 / (-np.log(SURVIVAL_5_YEARS)) ** (1 / WEIBULL_SHAPE)
    death = scale * (-np.log(uniform["survival"]) / np.exp(log_hazard)) ** (1 / WEIBULL_SHAPE)
    first, last = FOLLOW_UP_MONTHS
    end = first + (last - first) * uniform["censoring"]
    lost = uniform["lost"] < LOST_SHARE
    seen = end.where(~lost, end * uniform["lost"] / LOST_SHARE)
    return pd.DataFrame(
        {
            "time_months": np.minimum(death, seen).clip(lower=0.1).round(1),
            "event": (death <= seen).astype(int),
            "complete_follow_up": (~lost | (death <= seen)).astype(int),
        }
    )


def _metastasis(truth: Truth, features: pd.DataFrame, uniform: pd.DataFrame, time_months: pd.Series) -> pd.DataFrame:
    metastasis = uniform["liver_metastasis"] < expit(truth.liver_metastasis.linear_predictor(features))
    synchronous = uniform["synchronous"] < expit(truth.synchronous.linear_predictor(features))
    early = SYNCHRONOUS_MONTHS * uniform["interval"]
    late = SYNCHRONOUS_MONTHS - METACHRONOUS_MEAN_MONTHS * np.log(uniform["interval"])
    months = np.minimum(early.where(synchronous, late), time_months).where(metastasis).round(1)
    timing = np.where(months < SYNCHRONOUS_MONTHS, "synchronous", "metachronous")
    return pd.DataFrame(
        {
            "liver_metastasis": metastasis.astype(int),
            "liver_metastasis_months": months,
            "liver_metastasis_timing": pd.Series(timing, index=months.index).where(metastasis),
        }
    )


def regression_grade(spec: CohortSpec, scores: pd.DataFrame) -> np.ndarray:
    """Tumour regression grade, 0 to 3, of patients of the source task; the rougher the texture, the higher."""
    weight = 0.0 if spec.effect == "none" else REGRESSION_CORRELATION
    score = weight * scores["texture"] + np.sqrt(1 - weight**2) * scores["regression"]
    return np.searchsorted(np.cumsum(REGRESSION_SHARES)[:-1], ndtr(score))


def area_under_curve(event: np.ndarray, score: np.ndarray) -> float | None:
    """Probability that a patient with the event has the higher score, ties counting half; None without both kinds."""
    event = np.asarray(event, bool)
    with_event, without = int(event.sum()), int((~event).sum())
    if not with_event or not without:
        return None
    ranks = rankdata(score)[event].sum()
    return float((ranks - with_event * (with_event + 1) / 2) / (with_event * without))
