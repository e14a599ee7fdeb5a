"""Cohorts and folds: stratified, by site, the same for the same patients, and refused where a class is missing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gc_ray.cohort.splits import draw_cohorts, draw_folds
from gc_ray.errors import TableError
from gc_ray.study_cohort import SplitSettings


def patients(without: int, events: int) -> tuple[pd.Series, pd.Series]:
    """Outcome and site of patients P000, ..: every third is at site B."""
    outcome = pd.Series([0.0] * without + [1.0] * events)
    outcome.index = [f"P{i:03d}" for i in range(len(outcome))]
    site = pd.Series(["B" if i % 3 == 2 else "A" for i in range(len(outcome))], index=outcome.index)
    return outcome, site


def test_seven_to_three_holds_in_each_class():
    """The cohorts of Guo et al.: 689 without and 312 with metastasis."""
    cohort = draw_cohorts(*patients(689, 312), SplitSettings(train_share=0.7))
    outcome = patients(689, 312)[0]
    counts = pd.crosstab(cohort, outcome)
    assert counts.loc["train"].to_list() == [482, 218]
    assert counts.loc["internal"].to_list() == [207, 94]


def test_an_external_site_is_external_as_a_whole():
    """The other sites are divided; without an internal cohort they all train."""
    outcome, site = patients(200, 100)
    cohort = draw_cohorts(outcome, site, SplitSettings(external_sites=("B",), train_share=0.7))
    assert set(cohort[site == "B"]) == {"external"}
    assert set(cohort[site == "A"]) == {"train", "internal"}
    by_site = draw_cohorts(outcome, site, SplitSettings(external_sites=("B",), train_share=1.0))
    assert set(by_site[site == "A"]) == {"train"}


@given(st.integers(10, 60), st.integers(10, 60), st.sampled_from([5, 10]), st.integers(0, 2**40))
def test_folds_are_even_in_each_class_and_as_a_whole(without, events, folds, seed):
    """Sizes differ by at most one patient; every training patient has one fold."""
    outcome, _ = patients(without, events)
    fold = draw_folds(outcome, SplitSettings(folds=folds, seed=seed))
    assert sorted(fold.index) == sorted(outcome.index)
    for part in (fold, fold[outcome == 0], fold[outcome == 1]):
        sizes = part.value_counts().reindex(range(folds), fill_value=0)
        assert sizes.max() - sizes.min() <= 1


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(random):
    """Cohorts and folds follow from who is there, not from how the table is sorted."""
    outcome, site = patients(120, 60)
    settings = SplitSettings(external_sites=("B",), seed=7)
    order = list(outcome.index)
    random.shuffle(order)
    cohort = draw_cohorts(outcome, site, settings)
    assert draw_cohorts(outcome[order], site[order], settings).equals(cohort)
    train = cohort.index[cohort == "train"]
    shuffled = [p for p in order if p in set(train)]
    assert draw_folds(outcome[shuffled], settings).equals(draw_folds(outcome[train], settings))


def test_a_seed_is_a_split_and_folds_do_not_move_cohorts():
    """Another seed draws anew; another number of folds leaves the cohorts as they are."""
    outcome, site = patients(120, 60)
    drawn = [draw_cohorts(outcome, site, SplitSettings(seed=s)) for s in (1, 1, 2)]
    assert drawn[0].equals(drawn[1])
    assert not drawn[0].equals(drawn[2])
    assert draw_cohorts(outcome, site, SplitSettings(seed=1, folds=10)).equals(drawn[0])


def test_membership_is_chance():
    """Over 400 seeds every patient trains about 7 times in 10, whatever its place in the table."""
    outcome, site = patients(40, 20)
    share = np.mean([draw_cohorts(outcome, site, SplitSettings(seed=s)).eq("train") for s in range(400)], axis=0)
    assert share == pytest.approx(np.full(60, 0.7), abs=5 * np.sqrt(0.21 / 400))


@pytest.mark.parametrize(
    ("events", "options", "message"),
    [
        (0, {}, "cohort train: wanted patients with and without the outcome, 0 of 84 have it; change split.external"),
        (1, {}, "cohort internal: wanted patients with and without the outcome, 0 of 36 have it"),
        (2, {"external_sites": ("B",), "train_share": 1.0}, "cohort external: wanted patients with and without"),
        (
            5,
            {"external_sites": ("C",)},
            "names C, of which no patient is eligible; the table's sites are A, B; correct",
        ),
    ],
)
def test_a_cohort_of_one_class_or_a_site_nobody_is_at_is_refused(events, options, message):
    """No statistic can be computed there, so it is said before anything is trained."""
    outcome, site = patients(120, events)
    if events == 2:
        site[outcome == 1] = "A"
    with pytest.raises(TableError, match=message):
        draw_cohorts(outcome, site, SplitSettings(**options))


def test_fewer_events_than_folds_are_refused():
    """A fold of one class cannot be scored."""
    with pytest.raises(
        TableError, match=r"in each of 10 folds, the smaller class has 9 of 59 patients; lower split\.folds"
    ):
        draw_folds(patients(50, 9)[0], SplitSettings(folds=10))


@pytest.mark.parametrize(
    ("named", "hint"), [("b", "write B as the table does"), ("B ", "write B"), ("C", "correct split")]
)
def test_an_external_site_that_no_patient_has_is_refused_with_the_sites_there_are(named, hint):
    """A site typed in another way would leave its patients in the training cohort."""
    with pytest.raises(TableError) as error:
        draw_cohorts(*patients(60, 30), SplitSettings(external_sites=(named,)))
    assert f"split.external_sites names {named}, of which no patient is eligible; the table's sites are A, B" in str(
        error.value
    )
    assert hint in str(error.value)
