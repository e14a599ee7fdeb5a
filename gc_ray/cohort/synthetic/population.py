"""Latent variables and clinical columns: a one-factor Gaussian copula with published margins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtr

from gc_ray.cohort.synthetic.published import (
    CATEGORICAL,
    CONTINUOUS,
    PT_PN_COUNTS,
    PTNM_STAGE,
    THICKNESS_MM,
    Levels,
    Quartiles,
)
from gc_ray.cohort.synthetic.spec import CohortSpec, generator

# Correlation of each variable with the burden of disease, the one factor they share (assumption: signs as in the
# published tables, sizes moderate). Independent of it: sex, age, location, HER2, texture, grain, eligibility.
LOADINGS = {
    "tumour_length_cm": 0.7,
    "tumour_thickness_mm": 0.7,
    "stage": 0.7,
    "ct_stage": 0.6,
    "cn_stage": 0.5,
    "vascular_thrombus": 0.4,
    "nerve_invasion": 0.4,
    "postoperative_chemotherapy": 0.4,
    "differentiation": 0.3,
    "ca199_u_ml": 0.3,
    "cea_ng_ml": 0.2,
    "ca125_u_ml": 0.2,
    "ca724_u_ml": 0.2,
    "lauren": 0.2,
    "preoperative_chemotherapy": 0.2,
}

# One standard normal number each; another order or a new name is another cohort for every seed.
DRAWS = (
    "burden",
    "texture",
    "grain",
    "stage",
    "tumour_thickness_mm",
    *CATEGORICAL,
    *CONTINUOUS,
    "r0_resection",
    "d2_dissection",
    "prior_treatment",
    "other_tumour",
    "days_ct_to_surgery",
    "recurrence",
    "survival",
    "censoring",
    "lost",
    "recurrence_time",
    "liver_metastasis",
    "synchronous",
    "interval",
    "regression",
)

QUARTILE_Z = 0.6744897501960817  # upper quartile of the standard normal distribution
AGE_YEARS = (18.0, 95.0)
LENGTH_CM = (1.5, 14.0)  # smaller has too few voxels on 5 mm slices, longer does not fit the stomach
THICKNESS_RANGE_MM = (8.0, 40.0)
# Shares that fail an eligibility rule (assumption: the papers print no such numbers).
FAILS = {"r0_resection": 0.02, "d2_dissection": 0.02, "prior_treatment": 0.02, "other_tumour": 0.01}
LATE_CT = 0.03  # share whose CT is more than a week before surgery (assumption)


def normals_of(spec: CohortSpec, indices: Sequence[int]) -> np.ndarray:
    """Independent standard normal numbers (patients, len(DRAWS)); row i depends on the seed and indices[i] alone."""
    return np.stack([generator(spec, i, "clinical").standard_normal(len(DRAWS)) for i in indices])


def scores_of(normals: np.ndarray) -> pd.DataFrame:
    """Standard normal scores, one column per name in DRAWS and ``size``, correlated through the burden of disease.

    size: the standardised logarithm of length x length x thickness.
    """
    scores = pd.DataFrame(normals, columns=list(DRAWS))
    for name, loading in LOADINGS.items():
        scores[name] = loading * scores["burden"] + np.sqrt(1 - loading**2) * scores[name]
    length, thickness = "tumour_length_cm", "tumour_thickness_mm"
    low, _, high = np.log(CONTINUOUS[length].pooled)
    of_length, of_thickness = (high - low) / QUARTILE_Z, _log_moments()[1]  # SDs of 2 log length and log thickness
    covariance = LOADINGS[length] * LOADINGS[thickness] * of_length * of_thickness
    spread = np.sqrt(of_length**2 + of_thickness**2 + 2 * covariance)
    scores["size"] = (of_length * scores[length] + of_thickness * scores[thickness]) / spread
    return scores


def clinical_of(scores: pd.DataFrame) -> pd.DataFrame:
    """The clinical columns, without outcomes, of patients with these scores; margins as published."""
    table = pd.DataFrame(index=scores.index)
    for name, row in CATEGORICAL.items():
        table[name] = _level(row, scores[name])
    table = pd.concat([table, _stages(scores["stage"])], axis=1)
    for name, row in CONTINUOUS.items():
        table[name] = _quantile(row, scores[name]).round(2)
    table["age_years"] = table["age_years"].clip(*AGE_YEARS).round().astype(int)
    table["tumour_length_cm"] = table["tumour_length_cm"].clip(*LENGTH_CM).round(1)
    mean, sd = _log_moments()
    thickness = np.exp(mean + sd * scores["tumour_thickness_mm"])
    table["tumour_thickness_mm"] = thickness.clip(*THICKNESS_RANGE_MM).round(1)
    return pd.concat([table, _eligibility(scores)], axis=1)


def _level(row: Levels, score: pd.Series) -> np.ndarray:
    steps = np.cumsum(row.shares)[:-1]
    return np.asarray(row.levels)[np.searchsorted(steps, ndtr(score))]


def _quantile(row: Quartiles, score: pd.Series) -> np.ndarray:
    """A two-piece log-normal: its median and both quartiles are the printed ones."""
    low, middle, high = np.log(row.pooled)
    spread = np.where(score < 0, middle - low, high - middle) / QUARTILE_Z
    return np.exp(middle + spread * score)


def _log_moments() -> tuple[float, float]:
    """Mean and SD of the logarithm of tumour thickness: the log-normal of the printed mean and SD."""
    mean, sd = THICKNESS_MM.pooled
    variance = np.log1p((sd / mean) ** 2)
    return float(np.log(mean) - variance / 2), float(np.sqrt(variance))


def _stages(score: pd.Series) -> pd.DataFrame:
    """pT, pN and pTNM drawn together, the cells ordered from the least advanced to the most."""
    cells = [
        (PTNM_STAGE[t][n], f"N{n}", t, count) for t, counts in PT_PN_COUNTS.items() for n, count in enumerate(counts)
    ]
    cells.sort(key=lambda cell: (len(cell[0]), *cell[1:3]))  # I, II, III sort by their length
    steps = np.cumsum([cell[3] for cell in cells]) / sum(cell[3] for cell in cells)
    drawn = np.searchsorted(steps[:-1], ndtr(score))
    ptnm, pn, pt = (np.array([cell[k] for cell in cells])[drawn] for k in range(3))
    early = np.isin(pt, ("T1", "T2"))
    grouped = {"pt_stage": np.where(early, "T1/T2", "T3/T4"), "pn_stage": pn, "ptnm_stage": ptnm}
    return pd.DataFrame(grouped, index=score.index)


def _eligibility(scores: pd.DataFrame) -> pd.DataFrame:
    """What the papers' inclusion and exclusion rules ask for."""
    failed = {name: (ndtr(scores[name]) < share).astype(int) for name, share in FAILS.items()}
    u = ndtr(scores["days_ct_to_surgery"])
    days = np.where(u < LATE_CT, 8 + np.floor(20 * u / LATE_CT), np.floor(8 * (u - LATE_CT) / (1 - LATE_CT)))
    return pd.DataFrame(
        {
            "r0_resection": 1 - failed["r0_resection"],
            "d2_dissection": 1 - failed["d2_dissection"],
            "prior_treatment": failed["prior_treatment"],
            "other_tumour": failed["other_tumour"],
            "days_ct_to_surgery": days.astype(int),
        },
        index=scores.index,
    )
