"""The LASSO path and its cross-validation are glmnet's, are optimal, and refuse what cannot be fitted."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from gc_ray.errors import TableError
from gc_ray.models import lasso_kernels
from gc_ray.models.lasso import cv_lasso_logistic, lasso_path

DATASETS = ["lasso_breast_cancer", "lasso_mdrr"]


def simulated(seed: int, n: int = 120, p: int = 30, signal: float = 1.0):
    """Correlated predictors, an outcome that the first five decide, ten folds."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) + rng.normal(size=(n, 1))
    x *= rng.uniform(0.1, 50, size=p)
    risk = signal * (x[:, :5] / x[:, :5].std(axis=0)).sum(axis=1)
    y = (rng.random(n) < 1 / (1 + np.exp(-risk + risk.mean()))).astype(int)
    return x, y, rng.permutation(np.arange(n) % 10)


def from_file(reference, name: str):
    found, data = reference(name)
    columns = found["columns"]
    x = data[columns["features"]].to_numpy(float)
    return found["values"], x, data[columns["outcome"]].to_numpy(), data[columns["foldid"]].to_numpy(), columns


def vector(coefficients: dict, features: list[str]) -> np.ndarray:
    dense = dict(zip(coefficients["terms"], coefficients["coef"], strict=True))
    return np.array([dense.get(name, 0.0) for name in features])


def assert_coefficients(found, wanted: dict, at: float, columns: dict, sd: np.ndarray, atol: float) -> None:
    row = np.flatnonzero(found.lambdas == at)[0]
    np.testing.assert_allclose(found.coef[row] * sd, vector(wanted, columns["features"]) * sd, atol=atol)
    assert found.intercept[row] == pytest.approx(wanted["intercept"], abs=atol * 10)


@pytest.mark.parametrize("name", DATASETS)
def test_given_penalties_give_glmnets_exact_solution(reference, name):
    """R glmnet 4.1-6 at thresh 1e-12 with one grid for all folds, to the tolerance in the file."""
    values, x, y, folds, columns = from_file(reference, name)
    wanted = values["exact"]
    found = cv_lasso_logistic(x, y, folds, wanted["lambda"])
    np.testing.assert_allclose(found.lambdas, wanted["lambda"], rtol=1e-12)
    np.testing.assert_allclose(found.cvm, wanted["cvm"], rtol=1e-6)
    np.testing.assert_allclose(found.cvsd, wanted["cvsd"], rtol=1e-6)
    assert found.lambda_min == pytest.approx(wanted["lambda_min"], rel=1e-12)
    assert found.lambda_1se == pytest.approx(wanted["lambda_1se"], rel=1e-12)
    for which in ("min", "1se"):
        at = getattr(found, f"lambda_{which}")
        assert_coefficients(found, wanted[f"coef_{which}"], at, columns, x.std(axis=0), 1e-5)
    path = lasso_path(x, y, wanted["lambda"])
    np.testing.assert_allclose(path.deviance_ratio, wanted["dev_ratio"], atol=1e-6)
    np.testing.assert_array_equal((path.coef != 0).sum(axis=1)[1:], wanted["df"][1:])


@pytest.mark.parametrize("name", DATASETS)
def test_by_default_it_is_cv_glmnet_by_default(reference, name):
    """Own grids inside folds, interpolated; glmnet's early stops and threshold: far inside the file's 1e-3."""
    values, x, y, folds, columns = from_file(reference, name)
    wanted = values["default"]
    found = cv_lasso_logistic(x, y, folds, ratio=wanted["lambda_min_ratio"])
    np.testing.assert_allclose(found.lambdas, wanted["lambda"], rtol=1e-12)
    np.testing.assert_allclose(found.cvm, wanted["cvm"], rtol=1e-9)
    np.testing.assert_allclose(found.cvsd, wanted["cvsd"], rtol=1e-9)
    np.testing.assert_array_equal((found.coef != 0).sum(axis=1), wanted["nzero"])
    assert found.lambda_min == pytest.approx(wanted["lambda_min"], rel=1e-12)
    assert found.lambda_1se == pytest.approx(wanted["lambda_1se"], rel=1e-12)
    for which in ("min", "1se"):
        at = getattr(found, f"lambda_{which}")
        assert_coefficients(found, wanted[f"coef_{which}"], at, columns, x.std(axis=0), 1e-9)


@pytest.mark.parametrize("shape", [(120, 30), (60, 200)])
@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_every_solution_holds_the_conditions_of_the_optimum(shape, alpha):
    """No direction lowers the penalised deviance: gradients are lambda alpha sign(b) + ridge, or smaller at 0."""
    x, y, _ = simulated(1, *shape)
    grid = lasso_path(x, y, alpha=alpha).lambdas[:60]
    path = lasso_path(x, y, grid, alpha=alpha)
    z, sd = (x - x.mean(axis=0)) / x.std(axis=0), x.std(axis=0)
    for penalty, intercept, coef in zip(path.lambdas, path.intercept, path.coef, strict=True):
        residual = y - 1 / (1 + np.exp(-intercept - x @ coef))
        gradient = z.T @ residual / len(y) - (1 - alpha) * penalty * coef * sd
        used = coef != 0
        np.testing.assert_allclose(gradient[used], alpha * penalty * np.sign(coef[used]), atol=2e-6)
        assert np.abs(gradient[~used]).max(initial=0) <= alpha * penalty + 2e-6
        assert residual.mean() == pytest.approx(0, abs=2e-6)


def test_an_independent_solver_finds_the_same_optimum():
    """scikit-learn's saga, which leaves the intercept unpenalised too, on standardised predictors."""
    x, y, _ = simulated(2, 80, 8)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for penalty, l1_ratio in ((0.05, 1.0), (0.05, 0.5)):
        model = LogisticRegression(
            C=1 / (len(y) * penalty), l1_ratio=l1_ratio, solver="saga", tol=1e-12, max_iter=200_000
        ).fit(z, y)
        path = lasso_path(z, y, [penalty], alpha=l1_ratio)
        np.testing.assert_allclose(path.coef[0], model.coef_[0], atol=2e-6)
        assert path.intercept[0] == pytest.approx(model.intercept_[0], abs=2e-6)


def test_products_of_predictors_take_the_same_steps_as_residuals(monkeypatch):
    """Past enough sweeps the descent goes on over a Gram matrix: the same solution to rounding."""
    x, y, _ = simulated(3, 60, 200)
    z = np.ascontiguousarray(((x - x.mean(axis=0)) / x.std(axis=0)).T)
    grid = lasso_path(x, y).lambdas[:40]
    _, by_both, _, passes = lasso_kernels.fit_path(z, y.astype(float), grid, 1.0, 1e-12, False)
    monkeypatch.setattr(lasso_kernels, "FEWEST_SWEEPS", lasso_kernels.MAX_PASSES)
    for name in ("_descend", "_solve", "fit_path"):
        monkeypatch.setattr(lasso_kernels, name, getattr(lasso_kernels, name).py_func)
    _, by_residuals, _, again = lasso_kernels.fit_path(z, y.astype(float), grid, 1.0, 1e-12, False)
    np.testing.assert_allclose(by_both, by_residuals, atol=1e-10)
    assert passes == again


def test_units_and_order_of_predictors_and_rows_do_not_matter():
    """Scores are the same in other units, another order of columns, and another order of rows with their folds."""
    x, y, folds = simulated(4)
    grid = lasso_path(x, y).lambdas[:50]
    one = cv_lasso_logistic(x, y, folds, grid)
    columns, rows = np.random.default_rng(0).permutation(x.shape[1]), np.random.default_rng(1).permutation(len(y))
    other = cv_lasso_logistic((x * 1000 + 5)[rows][:, columns], y[rows], folds[rows], grid[::-1])
    np.testing.assert_allclose(other.cvm, one.cvm, rtol=1e-6)
    np.testing.assert_allclose(other.coef * 1000, one.coef[:, columns], atol=1e-5)
    assert (other.lambda_min, other.lambda_1se) == (one.lambda_min, one.lambda_1se)


def test_the_same_bits_come_out_twice():
    """Nothing depends on time or chance."""
    x, y, folds = simulated(5)
    one, other = cv_lasso_logistic(x, y, folds), cv_lasso_logistic(x, y, folds)
    assert one.coef.tobytes() == other.coef.tobytes()
    assert one.cvm.tobytes() == other.cvm.tobytes()


def test_constant_columns_get_no_coefficient_and_copies_share_theirs():
    """A constant column is 0 throughout; of a column and its copy only the sum is determined, and it is right."""
    x, y, folds = simulated(6)
    grid = lasso_path(x, y).lambdas[:40]
    alone = cv_lasso_logistic(x, y, folds, grid)
    more = cv_lasso_logistic(np.column_stack([x, np.full(len(y), 7.0), x[:, 0]]), y, folds, grid)
    assert not more.coef[:, -2].any()
    np.testing.assert_allclose(more.coef[:, 0] + more.coef[:, -1], alone.coef[:, 0], atol=1e-5)
    np.testing.assert_allclose(more.cvm, alone.cvm, rtol=1e-5)


def test_a_separated_outcome_ends_the_path_early():
    """Fewer events than predictors and perfect separation: glmnet's stop, not an endless descent."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(40, 100))
    y = (x[:, 0] > 0.8).astype(int)
    path = lasso_path(x, y)
    assert path.converged
    assert len(path.lambdas) < 100 or path.deviance_ratio[-1] < 0.999
    assert np.isfinite(path.coef).all()


def test_without_signal_the_score_is_a_coin():
    """Null data: the LASSO at lambda_min has a mean AUC of 0.5 on new rows; a leak of the outcome shows."""
    aucs, leaked = [], []
    for seed in range(20):
        x, y, folds = simulated(100 + seed, 100, 40, signal=0.0)
        new_x, new_y, _ = simulated(900 + seed, 2000, 40, signal=0.0)
        found = cv_lasso_logistic(x, y, folds)
        coef = found.coef[found.lambdas == found.lambda_min][0]
        aucs.append(roc_auc_score(new_y, new_x @ coef))
        x[:, 0] = y + 0.1 * x[:, 0] / x[:, 0].std()
        leak = cv_lasso_logistic(x, y, folds)
        leaked.append(leak.cvm.min())
    error = np.std(aucs, ddof=1) / np.sqrt(len(aucs))
    assert abs(np.mean(aucs) - 0.5) < 3 * max(error, 1e-3)
    assert np.mean(leaked) < 0.2  # of 1.39 for a coin


def test_with_signal_the_true_predictors_enter_first():
    """The five that decide are found; the score on new rows comes near the oracle's but not over it."""
    x, y, folds = simulated(8, 600, 100)
    found = cv_lasso_logistic(x, y, folds)
    coef = found.coef[found.lambdas == found.lambda_1se][0]
    assert set(np.flatnonzero(coef)) >= set(range(5))
    new_x, new_y, _ = simulated(9, 5000, 100)
    new_x *= x.std(axis=0) / new_x.std(axis=0)  # the seeds draw other units
    oracle = roc_auc_score(new_y, (new_x[:, :5] / new_x[:, :5].std(axis=0)).sum(axis=1))
    assert oracle - 0.03 < roc_auc_score(new_y, new_x @ coef) < oracle + 0.003


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"x": a["x"].astype(object).astype(str) + "mm"}, "some are text"),
        (lambda a: a | {"x": np.where(np.eye(120, 30) > 0, np.nan, a["x"])}, "columns 0, 1, 2, 3, 4 and 25 more"),
        (lambda a: a | {"x": a["x"] * 0}, "all are constant"),
        (lambda a: a | {"y": a["y"] * 0}, "both 0 and 1"),
        (lambda a: a | {"y": a["y"] + 1}, "0 and 1 only"),
        (lambda a: a | {"fold_ids": a["fold_ids"][1:]}, "one for each of 120"),
        (lambda a: a | {"fold_ids": a["fold_ids"] * 0}, "at least 3, got 1"),
        (lambda a: a | {"fold_ids": np.where(a["y"] == 1, 0, a["fold_ids"] + 1)}, "outside fold 0 have 0 events"),
        (lambda a: a | {"lambdas": [-1.0]}, "none below 0"),
        (lambda a: a | {"alpha": 0.0}, "mixing alpha"),
    ],
)
def test_bad_input_is_one_clear_line(change, message):
    """What was wanted, what came, what to do."""
    x, y, folds = simulated(10)
    with pytest.raises(TableError, match=message) as caught:
        cv_lasso_logistic(**change({"x": x, "y": y, "fold_ids": folds}))
    assert "\n" not in str(caught.value)
