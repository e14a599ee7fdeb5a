"""What is known of a backbone's past, or of features' origin, in the words of cards and of every report."""

from __future__ import annotations

from collections.abc import Iterable

UNTRAINED = "the backbone is untrained: its features are random projections"
GIVEN = "the backbone's weights were given: what they were trained on, and on whom, is not known here"
ELSEWHERE = "made elsewhere and came in as a table"  # in the statement on such features


def made_elsewhere_text(name: str, features: int, settings: str) -> str:
    """The statement on a set of features that this software did not compute.

    Parameters
    ----------
    name : str
        The feature set in the store.
    features : int
        How many it has.
    settings : str
        Digest of their names.
    """
    return (
        f"feature set {name} ({features} columns, digest of their names {settings}) was {ELSEWHERE}: this software "
        "cannot know how its features were computed"
    )


def overlap(source_patients: Iterable[str], cohort_patients: Iterable[str]) -> dict[str, int | str]:
    """How many patients trained the backbone, how many of the study's own are among them, and a sentence for both.

    source_patients: fitted or watched in the source task. cohort_patients: of all cohorts of the study.
    """
    source, cohort = set(source_patients), set(cohort_patients)
    shared = len(source & cohort)
    statement = f"the backbone was trained on {len(source)} patients, none of them of this study's cohorts"
    if shared:
        statement = (
            f"the backbone was trained on {len(source)} patients, {shared} of them of this study's cohorts: "
            "their scores are not those of new patients"
        )
    return {"source_patients": len(source), "shared_patients": shared, "statement": statement}
