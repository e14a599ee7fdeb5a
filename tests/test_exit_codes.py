"""Exit codes: what each stands for, and which one counts."""

import pytest

from gc_ray.exit_codes import DRIFT, KINDS, OVER_BUDGET, SCANS_WAIT, Problem, exit_code


@pytest.mark.parametrize(
    ("codes", "ends_with"), [((), 0), ((SCANS_WAIT,), 4), ((OVER_BUDGET, SCANS_WAIT), 4), ((DRIFT, OVER_BUDGET), 5)]
)
def test_the_highest_code_counts(codes, ends_with):
    """A run without problems ends with 0."""
    assert exit_code(Problem(code, "") for code in codes) == ends_with


def test_the_numbers_of_the_codes_are_what_schedulers_know():
    """A scheduler's configuration names them: they never change."""
    names = {1: "failed", 2: "bad_input", 3: "over_budget", 4: "scans_wait", 5: "drift", 6: "stuck_run"}
    assert names == KINDS
    assert [Problem(code, "").kind for code in names] == list(names.values())
