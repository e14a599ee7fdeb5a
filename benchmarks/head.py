"""How long does a head take? Five folds and the final one, at the size of the recurrence study, simulated features.

    python benchmarks/head.py                # 1,774 patients x 8 views x 2,048 numbers, settings of the study
    python benchmarks/head.py --threads 1

Early stopping falls as it falls: the effect is planted, the settings are those of the packaged study. The outcome is
as rare as the study's, the AUC of the planted log odds about the published one. Wanted: 10 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch
from scipy.special import expit
from scipy.stats import rankdata

from gc_ray.models.fit import FitSettings, Fitted, Objective, fit
from gc_ray.models.head import head_program
from gc_ray.models.head_data import HeadData
from gc_ray.study import load_study

TRAIN, OTHERS = 1774, 1039  # patients of Cao et al. 2024: training; internal and external validation
RATE = 275 / 1774
EFFECT = 1.4  # log odds per SD of the planted direction: AUC of the planted log odds .82
LATENT = 32  # backbone outputs are correlated: this many directions carry most of their variance
FOLDS = 5


def simulated(patients: int, train: int, views: int, width: int, seed: int) -> HeadData:
    """Outputs of a backbone (non-negative, correlated) whose first latent direction raises the risk."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((patients, LATENT), dtype=np.float32)
    mixing = rng.standard_normal((LATENT, width), dtype=np.float32) / np.sqrt(LATENT)
    features = np.empty((patients, views, width), np.float32)
    for view in range(views):
        features[:, view] = np.maximum(latent @ mixing + 0.3 * rng.standard_normal((patients, width)), 0)
    log_odds = EFFECT * latent[:, 0]
    intercept = np.log(RATE / (1 - RATE)) - EFFECT**2 / 4  # the spread of the log odds raises the mean risk
    outcome = (rng.random(patients) < expit(log_odds + intercept)).astype(float)
    fold = np.empty(patients, int)
    for value in (0, 1):
        rows = np.flatnonzero(outcome == value)
        fold[rows] = np.arange(len(rows)) % FOLDS
    ids = np.array([f"P{i:05d}" for i in range(patients)])
    return HeadData(ids, features, outcome, np.where(np.arange(patients) < train, "train", "internal"), fold)


def auc(outcome: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve by ranks."""
    n1 = outcome.sum()
    return (rankdata(score)[outcome == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * (len(outcome) - n1))


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=TRAIN, help="in the training cohort")
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = load_study("recurrence").head
    data = simulated(options.patients + OTHERS, options.patients, settings.views, options.width, seed=1)
    print("| head | epochs | best | s | ms per epoch |\n|---|---|---|---|---|")

    def timed(name: str, objective: Objective, fitting: FitSettings) -> Fitted:
        start = time.perf_counter()
        fitted = fit(objective, fitting)
        seconds = time.perf_counter() - start
        per_epoch = 1000 * seconds / fitted.epochs
        print(f"| {name} | {fitted.epochs} | {fitted.best_epoch} | {seconds:.1f} | {per_epoch:.0f} |", flush=True)
        return fitted

    start = time.perf_counter()
    scores = head_program(timed, data, settings).scores
    wall, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    train = data.cohort == "train"
    found = [auc(data.outcome[rows], scores["score"].to_numpy()[rows]) for rows in (train, ~train)]
    print(
        f"\nhead: {options.patients:,} patients x {settings.views} views x {options.width:,} numbers, {FOLDS} folds, "
        f"one final head, {options.threads} threads: {wall:.0f} s ({wall / 60:.1f} min of 10), {peak:.0f} MB; "
        f"AUC out of fold {found[0]:.3f}, other cohorts {found[1]:.3f}"
    )


if __name__ == "__main__":
    main()
