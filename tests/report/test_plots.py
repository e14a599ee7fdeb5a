"""Figures print an estimate as a reader may take it."""

from __future__ import annotations

import numpy as np
import pytest

from gc_ray.report.plots import interval


@pytest.mark.parametrize(
    ("value", "lower", "upper", "expected"),
    [
        (0.75, 0.5, 0.999, "0.75 (0.50-1.00)"),
        (0.75, np.nan, np.nan, "0.75"),
        (np.nan, np.nan, np.nan, "not estimable"),
        (np.inf, 0.0, np.inf, "infinite"),
    ],
)
def test_an_estimate_without_an_interval_shows_none(value, lower, upper, expected):
    """No figure prints nan for a limit; a hazard ratio without events in one group is infinite, in a word."""
    assert interval(value, lower, upper, 2) == expected
