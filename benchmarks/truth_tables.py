"""Simulated tables with known truth: no signature beats the oracle, nulls stay at one half, nested AUC is honest.

    OMP_NUM_THREADS=1 python benchmarks/truth_tables.py --seeds 50

300 training patients, 60 features in correlated groups, two clinical factors; test sets of 20,000. The planted leaks
show that the checks can fail: a feature that holds the outcome, and a selection that saw the left-out patients.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from gc_ray.evaluate.delong import delong_test
from gc_ray.models.cohort_data import CohortData, Features
from gc_ray.models.nested import outer_parts, part_result
from gc_ray.models.recipe import Plan, fit_signatures
from gc_ray.models.signature import fit_signature
from gc_ray.study_signatures import SignatureSettings

TRAIN, TEST, FEATURES, GROUPS, FOLDS = 300, 20_000, 60, 15, 5
STANDARD_ERRORS = 3
CODING = {name: {"kind": "number", "missing": "complete_case", "terms": [name]} for name in ("age", "marker")}
LASSO = {"step": "lasso", "choose": "min", "folds": 5}
RECIPES = {
    "texture": {
        "families": ["radiomics"],
        "steps": [{"step": "spearman", "threshold": 0.9}, {"step": "t_test", "alpha": 0.2}, LASSO],
    },
    "factors": {"families": ["clinical"]},
    "fused": {"scores_of": ["texture"], "predictors_of": ["factors"]},
}
NULLS = {
    "lambda_min": {"families": ["radiomics"], "steps": [LASSO]},
    "top20": {"families": ["radiomics"], "steps": [{"step": "strongest", "number": 20}]},
    "stacked": {"scores_of": ["top20"]},
}


@dataclass(frozen=True)
class Judged:
    """One signature on one simulated study; reach: AUC minus oracle's, in paired standard errors."""

    large: float
    oracle: float
    reach: float
    nested: float
    slope: float


def plan_of(recipes: dict[str, dict], seed: int = 0) -> Plan:
    """The plan of recipes written as in a study file."""
    written = [json.dumps({"name": name, **recipe}) for name, recipe in recipes.items()]
    settings = [SignatureSettings.model_validate_json(text) for text in written]
    return Plan({s.name: s for s in settings}, FOLDS, lambda ratings, kind: np.ones(ratings.shape[2]), (seed,))


def simulated(seed: int, effect: float, test: int = TEST, leak: bool = False) -> tuple[CohortData, np.ndarray]:
    """A study and the true log odds of its patients; leak: the first feature holds the outcome, with noise."""
    rng = np.random.default_rng(seed)
    n = TRAIN + test
    groups = rng.normal(size=(n, GROUPS))
    x = groups[:, np.arange(FEATURES) % GROUPS] * 0.8 + 0.6 * rng.normal(size=(n, FEATURES))
    clinical = pd.DataFrame({"age": rng.normal(size=n), "marker": rng.normal(size=n)})
    truth = effect * (0.8 * x[:, 0] - 0.6 * x[:, 1] + 0.5 * x[:, 2] + 0.6 * clinical["age"].to_numpy()) - 0.7
    y = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(float)
    if leak:
        x[:, 0] = y + 0.3 * rng.normal(size=n)
    cohort = np.where(np.arange(n) < TRAIN, "train", "internal")
    fold = np.full(n, -1)
    for value in (0, 1):
        of = np.flatnonzero((y == value) & (cohort == "train"))
        fold[of] = np.arange(len(of)) % FOLDS
    ids = np.array([f"P{i:06d}" for i in range(n)])
    names = tuple(f"f{i:02d}" for i in range(FEATURES))
    data = CohortData(ids, y, np.full(n, "A"), cohort, fold, clinical, CODING, {"radiomics": Features(names, x)})
    return data, truth


def judged(seed: int, leak: bool = False) -> dict[str, Judged]:
    """Every recipe on one simulated study with an effect."""
    data, truth = simulated(seed, 1.0, leak=leak)
    plan = plan_of(RECIPES, seed)
    test = np.flatnonzero(data.cohort == "internal")
    fits = fit_signatures(plan, data, data.train)
    results = [part_result(plan, data, part, seed) for part in outer_parts(data, 1, seed)]
    found = {}
    for name, fit in fits.items():
        linear, y = fit.linear_predictor(data, test), data.y[test]
        compared = delong_test(y, linear, truth[test])
        slope = fit_signature("calibration", pd.DataFrame({"score": linear}), y)[1].coef[1]
        nested = float(np.mean([result[name]["auc_test"] for result in results]))
        found[name] = Judged(compared.auc_a, compared.auc_b, float(compared.z), nested, float(slope))
    return found


def null(seed: int, leak: bool = False) -> dict[str, float]:
    """Nested AUC of every null recipe where nothing is to be found; leak: features chosen on all patients."""
    data, _ = simulated(seed, 0.0, test=2)
    data = replace(data, y=np.where(np.arange(len(data.y)) < TRAIN, data.y, [0, 1] * (len(data.y) // 2)))
    plan = plan_of(NULLS, seed)
    if leak:
        kept = fit_signatures(plan, data, data.train, ("top20",))["top20"].predictors
        features = data.families["radiomics"]
        at = [features.names.index(name) for name in kept]
        data = replace(data, families={"radiomics": Features(kept, features.values[:, at])})
    found: dict[str, list[float]] = {}
    for part in outer_parts(data, 1, seed):
        for name, result in part_result(plan, data, part, seed).items():
            if "error" not in result:  # the LASSO kept nothing: no signature, no AUC
                found.setdefault(name, []).append(result["auc_test"])
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    """Simulate and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    seeds = parser.parse_args().seeds
    print("| signature | leak | AUC of 20,000 | oracle | largest reach, SE | nested - large | slope |")
    print("|---|---|---|---|---|---|---|")
    for leak in (False, True):
        runs = [judged(seed, leak) for seed in range(seeds)]
        for name in RECIPES:
            of = [run[name] for run in runs]
            large, nested = np.array([j.large for j in of]), np.array([j.nested for j in of])
            print(
                f"| {name} | {'planted' if leak else 'none'} | {large.mean():.4f} | "
                f"{np.mean([j.oracle for j in of]):.4f} | {max(j.reach for j in of):.1f} | "
                f"{(nested - large).mean():+.4f} +- {(nested - large).std(ddof=1) / np.sqrt(seeds):.4f} | "
                f"{np.mean([j.slope for j in of]):.2f} |",
                flush=True,
            )
    print("\n| null | leak | mean nested AUC | Monte Carlo SE | distance from 0.5, SE | seeds |")
    print("|---|---|---|---|---|---|")
    for leak in (False, True):
        runs = [null(1000 + seed, leak) for seed in range(seeds)]
        for name in NULLS:
            of = np.array([run[name] for run in runs if name in run])
            error = of.std(ddof=1) / np.sqrt(len(of))
            print(
                f"| {name} | {'planted' if leak else 'none'} | {of.mean():.4f} | {error:.4f} | "
                f"{(of.mean() - 0.5) / error:+.1f} | {len(of)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
