"""Time and memory of the statistics at the sizes a report has, and at a million scores.

python benchmarks/evaluation.py      # about 5 s on one core
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

import gc_ray.evaluate as ev

PATIENTS, MANY = 3_000, 1_000_000
THRESHOLDS = np.arange(0.01, 1, 0.01)


def cases() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    rng = np.random.default_rng(1)
    p = rng.beta(2, 5, PATIENTS)
    y = rng.random(PATIENTS) < p
    event_time, censored = rng.exponential(1 / p), rng.exponential(5, PATIENTS)
    when, event = np.minimum(event_time, censored), event_time <= censored
    x = pd.DataFrame(rng.normal(size=(PATIENTS, 8))).add_prefix("x")
    many_y, many = rng.random(MANY) < 0.1, rng.normal(size=MANY)
    return {
        f"AUC with DeLong, {MANY:,} scores": lambda: ev.auc_ci(many_y, many),
        "AUC, 1,000 bootstrap samples": lambda: ev.bootstrap_ci(ev.auc, y, p, seed=1),
        "average precision, 1,000 bootstrap samples": lambda: ev.bootstrap_ci(
            lambda y, p: ev.precision_recall(y, p).average_precision, y, p, seed=1
        ),
        "calibration with smooth curve": lambda: ev.calibration(y, p),
        "net benefit, 99 thresholds": lambda: ev.net_benefit(y, p, THRESHOLDS),
        "net benefit with censoring, 99 thresholds": lambda: ev.net_benefit_survival(when, event, p, THRESHOLDS, 2),
        "Kaplan-Meier": lambda: ev.kaplan_meier(when, event),
        "Cox, 8 terms": lambda: ev.cox(when, event, x),
        "concordance": lambda: ev.concordance(when, event, p),
        "time-dependent AUC, 3 times": lambda: ev.time_dependent_auc(when, event, p, [1, 2, 3]),
        "optimal cutoff": lambda: ev.optimal_cutoff(when, event, p),
    }


if __name__ == "__main__":
    print(f"{PATIENTS:,} patients unless said otherwise")
    for name, call in cases().items():
        start = time.perf_counter()
        call()
        print(f"{time.perf_counter() - start:8.3f} s  {name}")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:8.0f} MB at most")
