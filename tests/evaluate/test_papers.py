"""What can be recomputed from the printed tables of the two studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import gc_ray.evaluate as ev

# cases and others that fit; then ACC, SENS, SPEC, PPV, NPV of Guo et al. 2025, each with its printed limits
GUO = {
    "training, clinical": (227, 473, ".723 .690 .756 .476 .411 .541 .841 .809 .874 .590 .519 .661 .770 .734 .806"),
    "training, radiomics": (227, 473, ".700 .666 .734 .559 .495 .624 .767 .729 .806 .536 .472 .599 .784 .747 .822"),
    "training, DL": (227, 473, ".640 .604 .676 .749 .692 .805 .588 .543 .632 .466 .415 .517 .830 .790 .870"),
    "training, DL-radiomics": (
        227,
        473,
        ".699 .665 .733 .705 .646 .764 .696 .654 .737 .526 .470 .582 .831 .794 .868",
    ),
    "training, fused": (227, 473, ".733 .700 .766 .731 .674 .789 .734 .694 .773 .568 .512 .625 .850 .816 .885"),
    "test, clinical": (84, 216, ".703 .652 .755 .452 .346 .559 .801 .748 .854 .469 .360 .578 .790 .736 .844"),
    "test, radiomics": (84, 216, ".607 .551 .662 .750 .657 .843 .551 .485 .617 .394 .318 .469 .850 .791 .909"),
    "test, DL": (84, 216, ".703 .652 .755 .536 .429 .642 .769 .712 .825 .474 .373 .574 .810 .756 .863"),
    "test, DL-radiomics": (84, 216, ".663 .610 .717 .702 .605 .800 .648 .584 .712 .437 .353 .521 .848 .794 .903"),
    "test, fused": (84, 216, ".683 .631 .736 .679 .579 .778 .685 .623 .747 .456 .369 .543 .846 .792 .899"),
    "metachronous": (120, 191, ".608 .553 .662 .725 .645 .805 .534 .463 .605 .494 .420 .568 .756 .683 .828"),
}
PRINTED = 0.0005 + 1e-6  # half of the last printed digit, and what z = 1.96 for 1.95996 can move a limit


def of_counts(cases, others, sensitivity, specificity):
    """Outcomes and scores whose confusion matrix at one half has the counts nearest to these shares."""
    tp, tn = round(sensitivity * cases), round(specificity * others)
    y = np.repeat([1, 1, 0, 0], [tp, cases - tp, tn, others - tn])
    return y, np.repeat([0.9, 0.1, 0.1, 0.9], [tp, cases - tp, tn, others - tn])


def misfit(cases, others, printed, interval):
    """The largest distance of the 15 numbers of a row from those printed."""
    printed = np.array(printed.split(), dtype=float)
    y, score = of_counts(cases, others, printed[3], printed[6])
    found = ev.confusion_metrics(y, score, 0.5, interval)
    return np.abs(np.concatenate([found.ACC, found.SENS, found.SPEC, found.PPV, found.NPV]) - printed).max()


def test_cao_sex_row_is_pearson_without_continuity_correction():
    """200/75 against 1,092/407 gives P = .967; Yates' correction and Fisher give 1."""
    frame = pd.DataFrame(
        {
            "recurrence": np.repeat([1, 1, 0, 0], [200, 75, 1092, 407]),
            "sex": np.repeat(["male", "female", "male", "female"], [200, 75, 1092, 407]),
        }
    )
    row = ev.table_one(frame, "recurrence", {"sex": "categorical"}).table.iloc[0]
    assert row["test"] == "Pearson chi-square"
    assert round(row["p_value"], 3) == 0.967
    assert round(ev.table_one(frame, "recurrence", {"sex": "fisher"}).table.loc[0, "p_value"], 3) == 1.0


@pytest.mark.parametrize("row", GUO)
def test_guo_metrics_reproduce_with_wald_intervals(row):
    """Every printed number of Tables 2 and 3 follows from whole counts and Wald intervals, and not from Wilson's."""
    assert misfit(*GUO[row], "wald") <= PRINTED
    assert misfit(*GUO[row], "wilson") > PRINTED


@pytest.mark.parametrize("row", [row for row in GUO if row.startswith("test")])
def test_guo_test_rows_do_not_fit_the_printed_cohort(row):
    """With the 86 / 214 of the text no row reproduces: 311 patients with metastasis were scored, not 312."""
    assert misfit(86, 214, GUO[row][2], "wald") > PRINTED


def test_guo_fused_model_has_the_known_counts():
    """TP 57, FN 27, TN 148, FP 68; and Table 3 has TP 87, TN 102 with the metachronous as positives."""
    y, score = of_counts(84, 216, 0.679, 0.685)
    found = ev.confusion_metrics(y, score, 0.5, "wald")
    assert (found.tp, found.fn, found.tn, found.fp, found.n, found.events) == (57, 27, 148, 68, 300, 84)
    y, score = of_counts(120, 191, 0.725, 0.534)
    found = ev.confusion_metrics(y, score, 0.5, "wald")
    assert (found.tp, found.tn) == (87, 102)
