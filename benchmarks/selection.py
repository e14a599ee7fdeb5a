"""The LASSO and the whole selection chain against R, on 701 patients x 2,437 features, one thread each.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/selection.py

Both sides get the same simulated table, folds and penalties, in alternation; the best of the repeats counts. R comes
with ``apt-get install r-cran-glmnet``; without it the lines say "peer missing". A time counts where results agree.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gc_ray.models.lasso import cv_lasso_logistic, lasso_path
from gc_ray.models.selection import spearman_filter, t_test_filter, variance_filter

ROWS, FEATURES, FACTORS, FOLDS = 701, 2437, 120, 10
AGREEMENT = 1e-8  # relative, of the deviance curves
R_PARTS = {
    "cv.glmnet, default": "m <- cv.glmnet(x, y, family='binomial', foldid=f); out <- m$cvm",
    "cv.glmnet, grid given": "m <- cv.glmnet(x, y, family='binomial', foldid=f, lambda=g); out <- m$cvm",
    "cv.glmnet, grid given, 1e-12": (
        "m <- cv.glmnet(x, y, family='binomial', foldid=f, lambda=g, thresh=1e-12); out <- m$cvm"
    ),
    "whole chain": """
        k <- which(apply(x, 2, var) > 1); x1 <- x[, k]
        r <- abs(cor(x1, method='spearman')); keep <- c(); out <- rep(FALSE, ncol(x1))
        for (i in seq_len(ncol(x1))) if (!out[i]) { keep <- c(keep, i); out <- out | r[i, ] >= 0.7 }
        x2 <- x1[, keep]
        p <- apply(x2, 2, function(v) t.test(v[y == 1], v[y == 0], var.equal=TRUE)$p.value)
        m <- cv.glmnet(x2[, p < 0.05], y, family='binomial', foldid=f); out <- m$cvm""",
}
R_SCRIPT = """
suppressMessages(library(glmnet))
n <- {rows}; p <- {features}
v <- readBin('{data}', 'double', n * p + 2 * n + {grid})
x <- matrix(v[1:(n * p)], n, p); y <- v[n * p + 1:n]; f <- v[n * p + n + 1:n]; g <- v[(n * p + 2 * n + 1):length(v)]
t <- proc.time()[['elapsed']]
{part}
cat(sprintf('%.17g', c(proc.time()[['elapsed']] - t, out)))
"""


def table(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features in correlated groups, as radiomics are, an outcome of a third, ten folds (1..10)."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(ROWS, FACTORS))
    loads = rng.normal(size=(FACTORS, FEATURES)) * (rng.random((FACTORS, FEATURES)) < 0.05)
    x = 3 * (factors @ loads + 0.7 * rng.normal(size=(ROWS, FEATURES)))
    risk = factors[:, :10] @ rng.normal(size=10) * 0.35 - 0.8
    y = (rng.random(ROWS) < 1 / (1 + np.exp(-risk))).astype(float)
    return x, y, rng.permutation(np.arange(ROWS) % FOLDS) + 1.0


def chain(x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Variance, Spearman, t-test, LASSO; the deviance curve."""
    x = x[:, variance_filter(x, 1.0).kept]
    x = x[:, spearman_filter(x, 0.7).kept]
    x = x[:, t_test_filter(x, y, 0.05).kept]
    return cv_lasso_logistic(x, y, folds).cvm


def in_r(part: str, data: Path, grid: int) -> tuple[float, np.ndarray]:
    """(seconds without reading the data, deviance curve) of one part in R."""
    script = R_SCRIPT.format(rows=ROWS, features=FEATURES, data=data, grid=grid, part=R_PARTS[part])
    done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=True)
    numbers = np.array(done.stdout.split(), dtype=float)
    return numbers[0], numbers[1:]


def timed(function: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """(seconds, result) of one call."""
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def peer_is_here() -> bool:
    """Whether R and its glmnet can be started."""
    command = ["Rscript", "-e", "library(glmnet)"]
    return shutil.which("Rscript") is not None and subprocess.run(command, capture_output=True).returncode == 0


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    x, y, folds = table(1)
    grid = lasso_path(x, y).lambdas
    parts = {
        "cv.glmnet, default": lambda: cv_lasso_logistic(x, y, folds).cvm,
        "cv.glmnet, grid given": lambda: cv_lasso_logistic(x, y, folds, grid, threshold=1e-7).cvm,
        "cv.glmnet, grid given, 1e-12": lambda: cv_lasso_logistic(x, y, folds, grid).cvm,
        "whole chain": lambda: chain(x, y, folds),
    }
    cv_lasso_logistic(x[:, :5], y, folds)  # compiled before anything is timed
    peer = peer_is_here()
    print("| part | ours s | R s | ratio | largest relative difference |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "table.bin"
        np.concatenate([x.T.ravel(), y, folds, grid]).tofile(data)
        for part, ours in parts.items():
            mine, theirs = [], []
            for _ in range(repeats):
                mine.append(timed(ours))
                if peer:
                    theirs.append(in_r(part, data, len(grid)))
            best = min(seconds for seconds, _ in mine)
            if not peer:
                print(f"| {part} | {best:.2f} | peer missing | | |", flush=True)
                continue
            apart = np.abs(mine[0][1] / theirs[0][1] - 1).max()
            assert apart < AGREEMENT, f"{part}: curves differ by {apart}"
            peer_best = min(seconds for seconds, _ in theirs)
            print(f"| {part} | {best:.2f} | {peer_best:.2f} | {best / peer_best:.2f} | {apart:.0e} |", flush=True)


if __name__ == "__main__":
    # both sides alone on one thread, also where their libraries would take more
    if os.environ.get("OMP_NUM_THREADS") != "1" or os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        raise SystemExit("run with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1")
    main()
