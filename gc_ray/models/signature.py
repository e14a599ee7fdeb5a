"""Logistic signatures: the fit with its intervals, and the frozen object that scores new patients."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Self

import numpy as np
import pandas as pd
from scipy import linalg, optimize, special

from gc_ray.errors import BundleError, TableError
from gc_ray.models.inputs import column_names, named, outcome, predictors

CONFIDENCE = 0.95
MAX_STEPS = 50  # of Newton's method; a fit that exists takes fewer than 10
CONVERGED = 1e-20  # Newton decrement, in log-likelihood, that ends it: the next step would change nothing
NEAR_CERTAIN = 1e-8  # fitted p (1 - p) under this raises the suspicion of separation
COLLINEAR = 1e-9  # share of a standardised column that the others leave unexplained, below which they determine it
SEPARATING = 1e-6  # signed margin, of coefficients within -1 and 1, that counts as more than rounding
EVENTS_PER_VARIABLE = 10.0  # fewer is flagged (Peduzzi et al., J Clin Epidemiol 1996; 49:1373)


@dataclass(frozen=True)
class LogisticFit:
    """A multivariable logistic regression; arrays hold the intercept first, then the predictors.

    ``lower`` and ``upper`` are Wald's 95 % limits of ``coef`` (log odds); their exponentials are those of the odds
    ratio. ``separation`` is "" or says that the outcome is separated: then no finite estimate exists, ``converged``
    is False and every number is NaN.
    """

    coef: np.ndarray
    se: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p_value: np.ndarray
    odds_ratio: np.ndarray
    covariance: np.ndarray
    converged: bool
    separation: str
    log_likelihood: float
    events_per_variable: float

    @property
    def few_events(self) -> bool:
        """Whether there are fewer than 10 of the rarer outcome per predictor."""
        return self.events_per_variable < EVENTS_PER_VARIABLE


@dataclass(frozen=True)
class Signature:
    """A frozen linear model: risk = logistic(intercept + sum coefficients (predictor - centre) / scale)."""

    name: str
    predictors: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    covariance: tuple[tuple[float, ...], ...] | None  # intercept first; None where the fit has none, as the LASSO

    def linear_predictor(self, table: pd.DataFrame) -> np.ndarray:
        """Log odds of each row; TableError for missing columns, missing values or text."""
        z = self._standardised(table)
        linear = np.full(len(z), self.intercept)
        for i, coefficient in enumerate(self.coefficients):  # a product of matrices has other bits for other rows
            linear += coefficient * z[:, i]
        return linear

    def standard_error(self, table: pd.DataFrame) -> np.ndarray:
        """Standard error of each row's linear predictor; TableError where the signature has no covariance."""
        if self.covariance is None:
            raise TableError(f"signature {self.name}: wanted the covariance of its coefficients, it has none")
        z = self._standardised(table)
        design = np.column_stack([np.ones(len(z)), z])
        return np.sqrt(np.einsum("ij,jk,ik->i", design, np.array(self.covariance), design))

    def score(self, table: pd.DataFrame) -> np.ndarray:
        """Risk of each row, 0..1; TableError for missing columns, missing values or text."""
        return special.expit(self.linear_predictor(table))

    def to_json(self) -> str:
        """All fields as JSON; numbers to the last bit."""
        return json.dumps(asdict(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The signature that ``to_json`` wrote; BundleError when the text is not such a one."""
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise BundleError(f"signature: wanted JSON, it cannot be read at line {error.lineno}") from error
        except (ValueError, RecursionError) as error:
            raise BundleError(
                "signature: wanted JSON, its numbers are too long or it is nested too deeply"
            ) from error
        wanted = {field.name for field in fields(cls)}
        if not isinstance(found, dict) or set(found) != wanted:
            raise BundleError(f"signature: wanted an object with {', '.join(sorted(wanted))}; write it anew")
        lists = ("predictors", "centre", "scale", "coefficients")
        if not all(isinstance(found[name], list) for name in lists) or not isinstance(found["name"], str):
            raise BundleError(f"signature: wanted a name and lists of {', '.join(lists)}; write it anew")
        if len({len(found[name]) for name in lists}) != 1:
            raise BundleError(f"signature {found['name']}: {', '.join(lists)} differ in length; write it anew")
        if not _sound(found):
            raise BundleError(f"signature {found['name']}: wanted names and finite numbers only; write it anew")
        covariance = found["covariance"]
        found |= {name: tuple(found[name]) for name in lists}
        return cls(**found | {"covariance": covariance and tuple(tuple(row) for row in covariance)})

    def _standardised(self, table: pd.DataFrame) -> np.ndarray:
        lost = [name for name in self.predictors if name not in table]
        if lost:
            more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
            raise TableError(f"signature {self.name}: wanted columns {', '.join(lost[:5])}{more}, not in the table")
        if not self.predictors:
            return np.empty((len(table), 0))
        x = (
            predictors(table[list(self.predictors)], self.predictors)
            if len(table)
            else np.empty((0, len(self.centre)))
        )
        return (x - np.array(self.centre)) / np.array(self.scale)


def _sound(found: dict) -> bool:
    """Whether predictors are text, and all else finite numbers in the shapes that belong together."""
    size, covariance = len(found["predictors"]), found["covariance"]
    numbers = [found["intercept"], *found["centre"], *found["scale"], *found["coefficients"]]
    if covariance is not None:
        if not isinstance(covariance, list) or not all(
            isinstance(r, list) and len(r) == size + 1 for r in covariance
        ):
            return False
        numbers += [value for row in covariance for value in row]
    # an int of hundreds of digits is finite to Python and no float
    finite = all(type(value) in (int, float) and abs(value) <= sys.float_info.max for value in numbers)
    return finite and all(isinstance(name, str) for name in found["predictors"])


def fit_logistic(x: np.ndarray, y: np.ndarray, names: Sequence[str] | None = None) -> LogisticFit:
    """The maximum likelihood fit of y (n,) in 0 and 1 on x (n, p) and an intercept, with Wald's intervals and P.

    names: of the columns, for messages, where x is no data frame. Separation is reported in the result. Raises
    TableError for text, missing values, one class only, constant columns, and columns that the others determine, by
    name. Source: for separation, Konis' linear programme, University of Oxford 2007.
    """
    names = column_names(x, names)
    x = predictors(x, names)
    y = outcome(y, len(x))
    centre, scale = _scaling(x, names)
    design = np.column_stack([np.ones(len(x)), (x - centre) / scale])
    _check_rank(design, names)
    coef, converged = _newton(design, y)
    p = special.expit(design @ coef)
    separation = ""
    if not converged or (p * (1 - p)).min() < NEAR_CERTAIN:
        separation = _separation(design, y)
    rarer = min(y.sum(), len(y) - y.sum())
    if separation or not converged:
        coef, covariance = np.full(len(coef), np.nan), np.full((len(coef), len(coef)), np.nan)
        log_likelihood = np.nan
    else:
        covariance = linalg.inv(design.T @ (design * (p * (1 - p))[:, None]))
        log_likelihood = float(_log_likelihood(design, y, coef))
    back = _unscaled(centre, scale)
    return _result(back @ coef, back @ covariance @ back.T, separation, log_likelihood, float(rarer / x.shape[1]))


def fit_signature(name: str, table: pd.DataFrame, y: np.ndarray) -> tuple[Signature, LogisticFit]:
    """The signature on all columns of ``table`` and the fit behind it, on the original scale.

    Raises TableError as ``fit_logistic`` does, and for a fit that does not exist or did not converge.
    """
    columns = tuple(map(str, table.columns))
    fit = fit_logistic(table, y, columns)
    if not fit.converged:
        why = fit.separation or f"no convergence in {MAX_STEPS} steps"
        raise TableError(f"signature {name}: wanted a logistic fit, there is none: {why}; drop or merge predictors")
    x = predictors(table, columns)
    centre, scale = _scaling(x, columns)
    forth = linalg.inv(_unscaled(centre, scale))
    coef, covariance = forth @ fit.coef, forth @ fit.covariance @ forth.T
    signature = Signature(
        name,
        columns,
        tuple(centre.tolist()),
        tuple(scale.tolist()),
        tuple(coef[1:].tolist()),
        float(coef[0]),
        tuple(tuple(row) for row in covariance.tolist()),
    )
    return signature, fit


def _scaling(x: np.ndarray, names: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    constant = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if len(constant):
        raise TableError(f"logistic regression: {named(constant, names)} constant; drop them")
    return x.mean(axis=0), x.std(axis=0)


def _unscaled(centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The matrix from coefficients of standardised predictors, intercept first, to those of the original ones."""
    back = np.diag(np.concatenate([[1.0], 1 / scale]))
    back[0, 1:] = -centre / scale
    return back


def _check_rank(design: np.ndarray, names: Sequence[str] | None) -> None:
    r, order = linalg.qr(design, mode="r", pivoting=True)
    own = np.abs(np.diag(r[: min(r.shape)])) / np.sqrt(len(design))
    extra = np.sort(order[np.flatnonzero(np.concatenate([own, np.zeros(len(order) - len(own))]) < COLLINEAR)])
    if len(extra):
        raise TableError(
            f"logistic regression: {named([c - 1 for c in extra if c], names)} determined by the other columns, or "
            f"more than the {len(design)} rows can tell apart; drop them"
        )


def _newton(design: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, bool]:
    """Coefficients, and whether the steps came to rest. A step that lowers the likelihood is halved."""
    coef = np.zeros(design.shape[1])
    here = _log_likelihood(design, y, coef)
    for _ in range(MAX_STEPS):
        p = special.expit(design @ coef)
        gradient = design.T @ (y - p)
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", linalg.LinAlgWarning)  # a sign of separation, reported by the caller
                step = linalg.solve(hessian, gradient, assume_a="pos")
        except (linalg.LinAlgError, linalg.LinAlgWarning):
            return coef, False
        if not np.isfinite(step).all():
            return coef, False
        there = _log_likelihood(design, y, coef + step)
        while there < here - abs(here) * np.finfo(float).eps * len(y):
            step = step / 2
            there = _log_likelihood(design, y, coef + step)
        coef, here = coef + step, there
        if gradient @ step < CONVERGED * len(y):
            return coef, True
    return coef, False


def _log_likelihood(design: np.ndarray, y: np.ndarray, coef: np.ndarray) -> float:
    return -np.logaddexp(0, np.where(y == 1, -1, 1) * (design @ coef)).sum()


def _separation(design: np.ndarray, y: np.ndarray) -> str:
    """Whether a direction never contradicts an outcome, and all outcomes or only some agree with it: "" if none."""
    margins = design * np.where(y == 1, 1.0, -1.0)[:, None]
    rows, columns = margins.shape
    total = optimize.linprog(-margins.sum(axis=0), A_ub=-margins, b_ub=np.zeros(rows), bounds=(-1, 1))
    least = optimize.linprog(
        np.append(np.zeros(columns), -1.0),
        A_ub=np.column_stack([-margins, np.ones(rows)]),
        b_ub=np.zeros(rows),
        bounds=(-1, 1),
    )
    if total.status != 0 or least.status != 0:
        return "separation of the outcome cannot be excluded"
    if -least.fun > SEPARATING:
        return "complete separation of the outcome"
    return "quasi-complete separation of the outcome" if -total.fun > SEPARATING else ""


def _result(
    coef: np.ndarray, covariance: np.ndarray, separation: str, log_likelihood: float, events_per_variable: float
) -> LogisticFit:
    se = np.sqrt(np.diag(covariance))
    with np.errstate(over="ignore"):  # per unit of a tiny one the odds ratio may exceed any float: infinite
        odds_ratio = np.exp(coef)
    reach = special.ndtri((1 + CONFIDENCE) / 2) * se
    return LogisticFit(
        coef,
        se,
        coef - reach,
        coef + reach,
        2 * special.ndtr(-np.abs(coef / se)),
        odds_ratio,
        covariance,
        bool(np.isfinite(coef).all()),
        separation,
        log_likelihood,
        events_per_variable,
    )
