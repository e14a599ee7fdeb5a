"""From chosen predictors to a signature: multivariable logistic regression, and what is done where there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg, special

from gc_ray.errors import TableError
from gc_ray.models.signature import EVENTS_PER_VARIABLE, LogisticFit, Signature, fit_logistic, fit_signature

DETERMINED = 1e-8  # share of a standardised column that those before it leave unexplained, below which it is dropped
# Normal prior of a log odds per SD, where maximum likelihood has no maximum; one SD of it is an odds ratio of 12.
PRIOR_SD = 2.5
STEPS, TOLERANCE = 100, 1e-10  # of Newton's method on a strictly concave function; it takes about ten


@dataclass(frozen=True, eq=False)
class Model:
    """A signature and how it came about.

    fit: the maximum likelihood fit behind it, None where there is none. dropped: columns that earlier ones determine.
    warnings: separation, few events per variable; sentences for a report.
    """

    signature: Signature
    fit: LogisticFit | None
    dropped: tuple[str, ...]
    warnings: tuple[str, ...]


def fit_model(name: str, table: pd.DataFrame, y: np.ndarray) -> Model:
    """The logistic signature on the columns of ``table``, in their order.

    Columns that those before them determine are dropped. Where the outcome is separated no maximum exists: then the
    mode under a normal prior of SD 2.5 for each log odds per SD is taken, without intervals, and a warning says so.
    TableError when no column is left.
    """
    independent = _independent(table.to_numpy(np.float64))
    dropped = tuple(table.columns[~independent])
    table = table.loc[:, independent]
    if table.empty:
        raise TableError(f"signature {name}: wanted predictors that vary, none is left; relax its steps")
    warnings = [f"{', '.join(dropped[:5])}: determined by other predictors, dropped"] if dropped else []
    fit = fit_logistic(table, y)
    if fit.few_events:
        warnings.append(f"{fit.events_per_variable:.1f} events per variable, under {EVENTS_PER_VARIABLE:g}")
    if fit.converged:
        signature, fit = fit_signature(name, table, y)
        return Model(signature, fit, dropped, tuple(warnings))
    why = fit.separation or "no convergence"
    warnings.append(f"{why}: no maximum likelihood fit; mode under a normal prior of SD {PRIOR_SD}, no intervals")
    return Model(_under_prior(name, table, y), None, dropped, tuple(warnings))


def lasso_model(name: str, terms: tuple[str, ...], intercept: float, slopes: np.ndarray) -> Model:
    """The signature that a LASSO itself is, of the terms that it kept; it has no intervals."""
    signature = Signature(
        name, terms, (0.0,) * len(terms), (1.0,) * len(terms), tuple(map(float, slopes)), float(intercept), None
    )
    return Model(signature, None, (), ())


def as_it_is(name: str, score: str) -> Model:
    """The signature that hands on one score."""
    return lasso_model(name, (score,), 0.0, np.ones(1))


def _independent(x: np.ndarray) -> np.ndarray:
    """Which columns vary and are not a linear combination of the intercept and the kept ones before them, bool."""
    kept = np.zeros(x.shape[1], bool)
    directions = np.empty((len(x), 0))
    for i, column in enumerate(x.T):
        centred = column - column.mean()
        length = linalg.norm(centred)
        if length <= DETERMINED * linalg.norm(column) or directions.shape[1] >= len(x) - 1:
            continue
        rest = centred / length
        for _ in range(2):  # once more against rounding
            rest = rest - directions @ (directions.T @ rest)
        if linalg.norm(rest) > DETERMINED:
            kept[i] = True
            directions = np.column_stack([directions, rest / linalg.norm(rest)])
    return kept


def _under_prior(name: str, table: pd.DataFrame, y: np.ndarray) -> Signature:
    x = table.to_numpy(np.float64)
    centre, scale = x.mean(axis=0), x.std(axis=0)
    design = np.column_stack([np.ones(len(x)), (x - centre) / scale])
    precision = np.diag([0.0, *[PRIOR_SD**-2] * x.shape[1]])

    def penalised(coef: np.ndarray) -> float:
        linear = design @ coef
        return float(np.sum(np.logaddexp(0, linear) - y * linear) + coef @ precision @ coef / 2)

    coef = np.zeros(design.shape[1])
    for _ in range(STEPS):
        p = special.expit(design @ coef)
        gradient = design.T @ (p - y) + precision @ coef
        step = linalg.solve(design.T @ (design * (p * (1 - p))[:, None]) + precision, gradient, assume_a="pos")
        here = penalised(coef)
        while np.abs(step).max() > TOLERANCE and penalised(coef - step) > here:
            step /= 2
        coef = coef - step
        if np.abs(step).max() <= TOLERANCE:
            break
    terms = tuple(map(str, table.columns))
    return Signature(
        name, terms, tuple(centre.tolist()), tuple(scale.tolist()), tuple(coef[1:].tolist()), float(coef[0]), None
    )
