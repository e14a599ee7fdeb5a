"""Drift: silent where nothing moved, loud where something did, and quiet about too little."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gc_ray.evaluate.drift import calibration_drift, drift, ks, psi


def sketch(values: np.ndarray) -> dict:
    """Quantiles, as a bundle holds them."""
    return {"n": len(values), "quantiles": np.quantile(values, np.linspace(0, 1, 101)).tolist()}


def reference(rng: np.random.Generator, predictors: int) -> dict:
    """A training cohort of 300 with independent normal predictors."""
    held = {f"x{i}": sketch(rng.normal(size=300)) for i in range(predictors)}
    held["sex"] = {"n": 300, "levels": [0.0, 1.0], "shares": [0.5, 0.5]}
    return {"predictors": held, "score": sketch(rng.uniform(size=300))}


def window(rng: np.random.Generator, predictors: int, n: int, **shift: float) -> pd.DataFrame:
    """Recent scans, some predictors moved."""
    found = {f"x{i}": rng.normal(size=n) + shift.get(f"x{i}", 0.0) for i in range(predictors)}
    return pd.DataFrame(found | {"sex": (rng.random(n) < shift.get("sex", 0.5)).astype(float)})


def verdicts(rows: list[dict]) -> dict[str, str]:
    """By name."""
    return {row["name"]: row["verdict"] for row in rows}


def test_a_planted_shift_is_found_and_named():
    """One predictor moved by an SD, and one share changed: these alert, the others do not."""
    rng = np.random.default_rng(1)
    rows = drift(reference(rng, 10), window(rng, 10, 120, x3=1.0, sex=0.95), rng.uniform(size=120), 2, 120)
    found = verdicts(rows)
    assert {name for name, verdict in found.items() if verdict == "alert"} == {"x3", "sex"}
    assert found["refusals"] == "stable"


def test_without_a_shift_false_alerts_are_rare():
    """Of 100 windows without a shift, 12 comparisons each, no more alert than 5 % and chance allow."""
    alerts = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rows = drift(reference(rng, 10), window(rng, 10, 60), rng.uniform(size=60), 0, 60)
        alerts += any(row["verdict"] == "alert" for row in rows)
    assert alerts <= 8


def test_fewer_than_fifty_scans_are_too_few():
    """49 scans say nothing, whatever they look like."""
    rng = np.random.default_rng(2)
    rows = drift(reference(rng, 2), window(rng, 2, 49, x0=9.0), rng.uniform(size=49), 49, 49)
    assert set(verdicts(rows).values()) == {"too few"}


def test_refusals_alert_when_they_are_many():
    """A fifth refused is beyond what is put up with."""
    rng = np.random.default_rng(3)
    rows = drift(reference(rng, 1), window(rng, 1, 100), rng.uniform(size=80), 20, 100)
    assert verdicts(rows)["refusals"] == "alert"


def test_ks_agrees_with_scipy_on_the_sample_itself():
    """From 101 quantiles of a sample the distance is that of the sample, to a hundredth."""
    rng = np.random.default_rng(4)
    training, values = rng.normal(size=400), rng.normal(0.3, 1.2, size=150)
    distance, p_value = ks(sketch(training), values)
    expected = stats.ks_2samp(training, values, method="asymp")
    assert distance == pytest.approx(expected.statistic, abs=0.01)
    assert p_value == pytest.approx(expected.pvalue, abs=0.02)


def test_psi_by_hand():
    """Half and half against a fifth: the sum of (found - expected) log (found / expected)."""
    held = {"n": 100, "levels": [0.0, 1.0], "shares": [0.5, 0.5]}
    values = np.repeat([0.0, 1.0], [80, 20])
    assert psi(held, values) == pytest.approx(0.3 * np.log(1.6) - 0.3 * np.log(0.4), abs=1e-12)


def test_calibration_is_judged_when_outcomes_have_arrived():
    """True risks pass, halved risks alert, ten patients are too few."""
    rng = np.random.default_rng(5)
    risk = rng.uniform(0.1, 0.9, 300)
    outcome = (rng.random(300) < risk).astype(float)
    assert calibration_drift(risk, outcome)["verdict"] == "stable"
    assert calibration_drift(risk / 2, outcome)["verdict"] == "alert"
    assert calibration_drift(risk[:10], outcome[:10])["verdict"] == "too few"
