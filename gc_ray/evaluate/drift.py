"""Do recent scans still look like the training cohort: PSI, KS and BH over predictors, refusals, calibration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

FEWEST = 50  # scans of a window below which nothing is said
FEWEST_EVENTS = 10  # events and non-events below which calibration is not judged
SHIFTED = 0.2  # PSI from which a shift is called large (Siddiqi, Credit Risk Scorecards 2006: 0.1 and 0.25)
LEVEL = 0.05  # of false alerts, over all predictors and the score together
REFUSALS = 0.05  # share of refused scans that is put up with: assumption
STABLE, WATCH, ALERT, TOO_FEW = "stable", "watch", "alert", "too few"


def drift(reference: Mapping, window: pd.DataFrame, score: np.ndarray, refused: int, scans: int) -> list[dict]:
    """A row for each predictor, for the score and for refusals: name, n, statistic, psi, p_value, q_value, verdict.

    reference: ``predictors`` and ``score`` as sketches (n with quantiles, or with levels and shares). window: a row a
    scan, a column a predictor. score: of those that have one. refused of scans: the whole window. A shift alerts when
    it is both beyond chance (KS after Benjamini and Hochberg, JRSS B 1995; 57:289) and large (PSI); with one of the
    two it is watched: PSI alone is 0.2 by chance in 50 scans. Fewer than 50 values are too few.
    """
    samples = {name: (held, window[name].to_numpy(float)) for name, held in reference["predictors"].items()}
    samples["score"] = (reference["score"], np.asarray(score, float))
    rows = [_shift(name, held, values[np.isfinite(values)]) for name, (held, values) in samples.items()]
    judged = [row for row in rows if row["verdict"] != TOO_FEW]
    if judged:
        q_values = stats.false_discovery_control([row["p_value"] for row in judged])
        for row, q_value in zip(judged, q_values, strict=True):
            beyond, large = q_value < LEVEL, row["psi"] >= SHIFTED
            row |= {"q_value": float(q_value)}
            row["verdict"] = ALERT if beyond and large else WATCH if beyond or large else STABLE
    return [*rows, _refusals(refused, scans)]


def calibration_drift(score: np.ndarray, outcome: np.ndarray) -> dict:
    """Observed over expected events of scans whose outcome (0 or 1) is known, and whether chance explains it.

    Spiegelhalter's kind of test in the large: events less their expectation, in standard deviations.
    """
    score, outcome = np.asarray(score, float), np.asarray(outcome, float)
    events = int(outcome.sum())
    row = _row("calibration", len(score))
    if len(score) < FEWEST or min(events, len(score) - events) < FEWEST_EVENTS:
        return row
    z = (events - score.sum()) / np.sqrt((score * (1 - score)).sum())
    p_value = float(2 * stats.norm.sf(abs(z)))
    verdict = ALERT if p_value < LEVEL else STABLE
    return row | {"statistic": float(events / score.sum()), "p_value": p_value, "verdict": verdict}


def psi(held: Mapping, values: np.ndarray) -> float:
    """Population stability index of ``values`` against a sketch: by deciles of training, or by its levels."""
    if "levels" in held:
        levels = np.array(held["levels"])
        expected = np.append(held["shares"], 0.0)  # the last bin: levels that training had not
        found = np.array([*((values == level).mean() for level in levels), (~np.isin(values, levels)).mean()])
    else:
        edges = np.unique(np.array(held["quantiles"])[10:100:10])
        expected = np.diff([0.0, *_cdf(held, edges)[1], 1.0])
        found = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) / len(values)
    least = 0.5 / len(values)  # an empty bin would be an infinite shift
    expected, found = np.maximum(expected, least), np.maximum(found, least)
    return float(np.sum((found - expected) * np.log(found / expected)))


def ks(held: Mapping, values: np.ndarray) -> tuple[float, float]:
    """(distance, p) of Kolmogorov and Smirnov between a sketch and ``values``; with ties p is too large.

    The sketch counts as a sample of its n, so that p comes from n m / (n + m) observations.
    """
    places, counts = np.unique(values, return_counts=True)
    right = np.cumsum(counts) / len(values)
    left = right - counts / len(values)
    before, after = _cdf(held, places)
    distance = float(max(np.abs(right - after).max(), np.abs(left - before).max()))
    size = max(round(len(values) * held["n"] / (len(values) + held["n"])), 1)
    return distance, float(stats.kstwo.sf(distance, size))


def _cdf(held: Mapping, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of training below, and at or below, each place."""
    if "levels" in held:
        total = np.concatenate([[0.0], np.cumsum(held["shares"])])
        return tuple(total[np.searchsorted(held["levels"], places, side=side)] for side in ("left", "right"))
    points, first = np.unique(held["quantiles"], return_index=True)
    shares = np.linspace(0, 1, len(held["quantiles"]))
    last = np.append(first[1:], len(shares)) - 1
    at_or_below = np.interp(places, points, shares[last], left=0.0, right=1.0)
    below = np.interp(places, points, shares[first], left=0.0, right=1.0)
    return np.where(np.isin(places, points), below, at_or_below), at_or_below


def _shift(name: str, held: Mapping, values: np.ndarray) -> dict:
    row = _row(name, len(values))
    if len(values) < FEWEST or held["n"] < FEWEST:
        return row
    distance, p_value = ks(held, values)
    return row | {"statistic": distance, "p_value": p_value, "psi": psi(held, values), "verdict": STABLE}


def _refusals(refused: int, scans: int) -> dict:
    row = _row("refusals", scans)
    if scans < FEWEST:
        return row
    p_value = float(stats.binomtest(refused, scans, REFUSALS, alternative="greater").pvalue)
    return row | {
        "statistic": refused / scans,
        "p_value": p_value,
        "verdict": ALERT if p_value < LEVEL else STABLE,
    }


def _row(name: str, n: int) -> dict:
    empty = {"statistic": None, "psi": None, "p_value": None, "q_value": None}
    return {"name": name, "n": int(n), **empty, "verdict": TOO_FEW}
