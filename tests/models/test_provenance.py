"""What a backbone has seen: said in words that a reader of the report cannot miss."""

from gc_ray.models.provenance import UNTRAINED, overlap


def test_a_backbone_that_saw_no_patient_of_the_study_says_so():
    """Disjoint patients: the sentence says none."""
    found = overlap(["S1", "S2", "S2"], ["P1"])
    assert (found["source_patients"], found["shared_patients"]) == (2, 0)
    assert "none of them of this study's cohorts" in found["statement"]


def test_a_patient_on_both_sides_is_counted_and_warned_of():
    """One shared patient is enough for the warning; names are not in it."""
    found = overlap(["S1", "P7"], ["P1", "P7"])
    assert found["shared_patients"] == 1
    assert "1 of them of this study's cohorts" in found["statement"]
    assert "not those of new patients" in found["statement"]
    assert "P7" not in str(found)


def test_an_untrained_backbone_is_called_that():
    """Card and reports use these words."""
    assert UNTRAINED == "the backbone is untrained: its features are random projections"
