"""The inner split: stratified, by patient, and the same for the same generator."""

import numpy as np
import pytest

from gc_ray.errors import TableError
from gc_ray.models.inner_split import inner_split


@pytest.mark.parametrize(("events", "others", "share"), [(40, 160, 0.2), (3, 50, 0.2), (2, 2, 0.9), (2, 2, 0.01)])
def test_both_sides_hold_both_outcomes_in_the_asked_share(events, others, share):
    """Early stopping watches either outcome and fitting sees either, however few patients there are."""
    outcome = np.repeat([1.0, 0.0], [events, others])
    watched = inner_split(outcome, share, np.random.default_rng(1))
    for value, number in ((1, events), (0, others)):
        of_outcome = watched[outcome == value]
        assert 1 <= of_outcome.sum() <= number - 1
        assert abs(of_outcome.sum() - share * number) <= 1


def test_it_repeats_itself_and_follows_the_generator():
    """A seed is a split."""
    outcome = np.tile([0.0, 1.0], 50)
    one, again, other = (inner_split(outcome, 0.2, np.random.default_rng(s)) for s in (3, 3, 4))
    assert (one == again).all()
    assert (one != other).any()


def test_one_patient_with_an_outcome_cannot_be_fitted_and_watched():
    """The message names the outcome and what to do."""
    with pytest.raises(
        TableError, match="two patients or more with outcome 1 beside the scored fold, got 1; use fewer"
    ):
        inner_split(np.array([0.0, 0.0, 0.0, 1.0]), 0.2, np.random.default_rng(0))
