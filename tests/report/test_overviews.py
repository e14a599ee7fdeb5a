"""The flow figure says who went and why, and leaves out no number that the table has."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from gc_ray.report.overviews import draw_flow

ROWS = (
    ("outlines", "in the store", 62, 0, ""),
    ("outlines", "with all that was asked of them", 60, 2, "2 refused"),
    ("patients", "patients in the clinical table", 50, 0, ""),
    ("patients", "patient of the backbone's source task", 40, 10, "trg"),
    ("patients", "outcome not recorded", 40, 0, "recurrence"),
    ("patients", "no R0 resection", 39, 1, ""),
    ("patients", "with a score", 37, 2, "no usable scan"),
    ("cohort", "train", 25, 2, "patients without a score"),
    ("cohort", "external", 12, 0, ""),
)


def _words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


@pytest.fixture
def words() -> list[str]:
    return _words(draw_flow(pd.DataFrame(ROWS, columns=["unit", "step", "n_left", "n_removed", "reason"])))


def test_what_stands_beside_an_arrow_is_why_somebody_went(words):
    """Two patients "with a score" beside an arrow that leads away said the opposite of what happened."""
    beside = [text for text in words if text.startswith("- ")]
    assert beside == [
        "- 2: 2 refused",
        "- 10: patient of the backbone's source task (trg)",
        "- 1: no R0 resection",
        "- 2: no usable scan",
    ]


def test_a_rule_that_ruled_out_nobody_has_no_box(words):
    """Ten equal boxes in a row hide the three steps that count; the table holds all of them."""
    assert sum(text.startswith("40 patients") for text in words) == 1
    assert not any("outcome not recorded" in text for text in words)


def test_first_and_last_boxes_and_cohorts_say_what_they_count(words):
    """Each number is of outlines or of patients, and the last one is split into the cohorts."""
    assert "62 outlines\nin the store" in words
    assert "50 patients\nin the clinical table" in words
    assert "37 patients\nwith a score" in words
    assert "train\n25 patients\n(2 without a score)" in words
    assert "external\n12 patients" in words
