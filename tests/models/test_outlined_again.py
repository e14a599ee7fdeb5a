"""Which outlines an ICC compares: complete layouts, chosen by training patients, and a reason where there is none."""

import pandas as pd
import pytest

from gc_ray.models.outlined_again import Designs, find_designs
from gc_ray.study_cohort import ScansSettings

R1 = ScansSettings()


def designs(
    *parts: tuple[str, int, range], train: range = range(100), scans: ScansSettings = R1, **changes
) -> Designs:
    """The designs of a table in which (reader, repeat) outlined these patients; changes: of the rows of reader R2."""
    rows = [
        {"scan_id": f"P{i}", "reader": reader, "repeat": repeat, "roi": "", "patient_id": f"P{i}"}
        | (changes if reader == "R2" else {})
        for reader, repeat, patients in parts
        for i in patients
    ]
    frame = pd.DataFrame(rows)
    chosen = frame[(frame["reader"] == scans.reader) & (frame["repeat"] == scans.repeat)]
    return find_designs(frame, chosen[["scan_id", "roi", "patient_id"]], scans, {f"P{i}" for i in train})


def test_two_readers_without_repeats_allow_the_inter_reader_icc_alone():
    """The layout has both readers, the study's own first; the other design says why it is not there."""
    found = designs(("R1", 0, range(20)), ("R2", 0, range(8)))
    layout = found.layouts["inter"]
    assert (layout.outlines, layout.trained, set(found.lacking)) == ((("R1", 0), ("R2", 0)), 8, {"intra"})
    assert layout.rows.tolist() == [[i, 20 + i] for i in range(8)]
    assert found.described() == (
        "inter-reader ICC(2,1) of readers R1, R2 in 8 training patients; "
        "no intra-reader ICC: reader R1 outlined no scan again"
    )


def test_one_reader_with_repeats_allows_the_intra_reader_icc_alone():
    """Any number of repeats; a design that nobody asked for is not mentioned."""
    found = designs(("R1", 0, range(20)), ("R1", 1, range(5)), ("R1", 2, range(5)))
    assert found.layouts["intra"].outlines == (("R1", 0), ("R1", 1), ("R1", 2))
    assert found.lacking["inter"] == "reader R1 is the only reader of repeat 0"
    said = found.described(("intra",))
    assert said == "intra-reader ICC(3,1) of reader R1, repeats 0, 1, 2 in 5 training patients"
    assert found.allow(("intra",)) and not found.allow(("inter",)) and found.allow()


@pytest.mark.parametrize(
    ("third", "readers", "patients"),
    [
        (range(10), ("R1", "R2", "R3"), 10),  # as many as the second
        (range(8), ("R1", "R2", "R3"), 8),  # 24 outlines against 20
        (range(6), ("R1", "R2"), 10),  # 18 against 20
        (range(2), ("R1", "R2"), 10),
        (range(10, 14), ("R1", "R2"), 10),  # no patient in common with the second
    ],
)
def test_of_several_readers_those_are_compared_whose_complete_layout_has_most_outlines(third, readers, patients):
    """A reader of two patients does not cost the others theirs, and is named with what was left out."""
    found = designs(("R1", 0, range(20)), ("R2", 0, range(10)), ("R3", 0, third))
    layout = found.layouts["inter"]
    assert tuple(reader for reader, _ in layout.outlines) == readers
    assert layout.trained == patients
    common = len(set(third) & set(range(10)))
    assert (f"without reader R3 ({common} in common)" in found.described(("inter",))) == (len(readers) == 2)


def test_the_readers_are_chosen_by_training_patients():
    """A reader of many test patients and of few training patients is not preferred."""
    found = designs(("R1", 0, range(40)), ("R2", 0, range(10, 40)), ("R3", 0, range(5)), train=range(12))
    assert [reader for reader, _ in found.layouts["inter"].outlines] == ["R1", "R3"]
    assert found.layouts["inter"].trained == 5


def test_repeats_of_another_reader_are_no_repeats_of_the_study_s_reader():
    """The intra-reader ICC is of the reader whose outlines are used; who has repeats is named."""
    found = designs(("R1", 0, range(9)), ("R2", 0, range(9)), ("R2", 1, range(9)))
    assert found.lacking == {"intra": "reader R1 outlined no scan again (reader R2 has)"}
    assert found.layouts["inter"].outlines == (("R1", 0), ("R2", 0))


@pytest.mark.parametrize("changes", [{"roi": "GTV"}, {"scan_id": "another"}])
def test_outlines_of_another_scan_or_region_are_not_compared(changes):
    """What is compared is one region of one scan; that nobody has it twice is the reason."""
    found = designs(("R1", 0, range(9)), ("R2", 0, range(1)), **changes)
    assert found.lacking["inter"] == (
        "0 training patients have the same scan and roi outlined by readers R1, R2, 2 are needed"
    )
    assert not found.allow()


def test_repeats_may_be_numbered_from_one():
    """The study's repeat says which is the first; the readers of that repeat are compared."""
    scans = ScansSettings(repeat=1)
    found = designs(("R1", 1, range(9)), ("R1", 2, range(4)), ("R2", 1, range(6)), scans=scans)
    assert found.layouts["intra"].outlines == (("R1", 1), ("R1", 2))
    assert found.layouts["inter"].outlines == (("R1", 1), ("R2", 1))
    assert found.layouts["intra"].rows.tolist() == [[i, 9 + i] for i in range(4)]


def test_one_training_patient_is_no_layout():
    """An ICC wants two; patients of other cohorts do not count."""
    found = designs(("R1", 0, range(9)), ("R2", 0, range(4, 9)), train=range(5))
    assert found.lacking["inter"].startswith(
        "1 training patients have the same scan and roi outlined by readers R1, R2"
    )
