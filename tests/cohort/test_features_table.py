"""A features table holds features alone: ids, row numbers and what programs write beside them are set aside."""

import numpy as np
import pandas as pd
import pytest

from gc_ray.cohort.features_table import FeaturesTable, parse_features
from gc_ray.errors import TableError


def parse(text: str) -> FeaturesTable:
    """The table of this text."""
    return parse_features(text.encode(), "f.csv")


def with_column(name: str, values: list) -> FeaturesTable:
    """Three patients with a feature and one more column before it."""
    rows = "".join(f"P{i},{value},{i / 7}\n" for i, value in enumerate(values))
    return parse(f'patient_id,"{name}",f\n{rows}')


@pytest.mark.parametrize(
    "name",
    [
        *("Image", "Mask", "image", "Label", "Label_channel", "diagnostics_Mask-original_VoxelNum"),
        *("diagnostics_Versions_PyRadiomics", "general_info_VoxelNum", "ID", "id", "PatientID", "Patient ID", "MRN"),
        *("Case", "subject", "PatientName", "SeriesInstanceUID", "AccessionNumber", "patient_id_x", "patient_id2"),
    ],
)
@pytest.mark.parametrize("values", [[8520, 6405, 7], ["a", "b", "c"]])
def test_what_describes_the_run_or_the_patient_is_set_aside_by_name(name, values):
    """Numbers too: a voxel count of the diagnostics is no feature, and an id tells the order of the patients."""
    found = with_column(name, values)
    assert list(found.values) == ["f"]
    assert found.set_aside == (name,)
    assert found.notes == (f"f.csv: 1 column(s) are no features and are set aside: {name}",)


RISING, SHUFFLED, DOUBLED = (
    [[0, 1, 2], [1, 2, 3], [2, 0, 1], [4, 17, 90]],
    [[90, 17, 4], [7.0, 2.0, 0.0]],
    [[3, 3, 1]],
)


@pytest.mark.parametrize(
    ("name", "aside"),
    [
        *((name, RISING) for name in ("X", "X.1", "Number", "n")),
        *((name, RISING + SHUFFLED) for name in ("No.", "#", "obs", "Nr")),
        *((name, RISING + SHUFFLED + DOUBLED) for name in ("index", "序号", "row", "S.No", "case_no", "Row Number")),
    ],
)
def test_a_column_called_a_row_number_is_set_aside_when_it_is_one(name, aside):
    """An index in whatever order, as tables that were shuffled or put together have it; a measure is a feature."""
    for values in RISING + SHUFFLED + DOUBLED:
        assert (with_column(name, values).set_aside == (name,)) == (values in aside)
    for values in ([0.5, 1, 2], [-1, 0, 1]):
        assert list(with_column(name, values).values) == [name, "f"]


def test_a_column_that_counts_the_rows_is_no_feature_whatever_its_name():
    """R's fread calls a nameless index V1; in a few rows it may be chance, and the user is told."""
    found = with_column("V1", [1, 2, 3])
    assert list(found.values) == ["V1", "f"]
    assert found.notes == ("f.csv: column V1 counts the rows; if it is a row number and no feature, drop it",)
    for first in (0, 1, 0.0):
        counted = pd.DataFrame({"V1": np.arange(20) + first, "f": 0.5}, index=[f"P{i}" for i in range(20)])
        text = counted.to_csv(index_label="patient_id").encode()
        assert parse_features(text, "f.csv").set_aside == ("V1",)
    ranks = counted.assign(V1=np.random.default_rng(0).permutation(20)).to_csv(index_label="patient_id").encode()
    assert list(parse_features(ranks, "f.csv").values) == ["V1", "f"]


@pytest.mark.parametrize(
    ("written", "meant"), [("Scan_ID", "scan_id"), ("Reader", "reader"), ("ROI", "roi"), ("Site", "site")]
)
def test_a_column_of_the_scan_key_that_is_spelt_otherwise_is_refused(written, meant):
    """A repeat called Repeat would be a feature, and both readings of a scan one."""
    with pytest.raises(TableError, match=f"unknown column '{written}', did you mean '{meant}'[?] rename it"):
        with_column(written, [1, 2, 3])


@pytest.mark.parametrize(
    "gap", ["N/A", "NA", "None", "none", "null", "#N/A", "-", "未知", "", "nan", "?", "unknown", "/"]
)
def test_a_gap_is_nan(gap):
    """In the words of the clinical table."""
    values = with_column("g", ["1.5", gap, "-2"]).values["g"].tolist()
    assert values[0] == 1.5 and np.isnan(values[1]) and values[2] == -2.0


@pytest.mark.parametrize(
    "text",
    ["high", "#DIV/0!", "1e400", "1e2147483648", "inf", "0x10", "1_000", "<0.1", "5%", "2017-01-31", "1 000"],
)
def test_any_other_text_is_refused_with_its_row_and_column(text):
    """Which cell, as a spreadsheet shows it, and what to do."""
    with pytest.raises(TableError) as refusal:
        with_column("g", ["1", text, "2"])
    assert str(refusal.value).startswith(f"f.csv: row 3, column g (B): wanted a number, got '{text}'; leave the cell")


def test_a_number_of_thousands_of_digits_is_refused_in_a_short_line():
    """pandas' parser ends the process on some numbers; Python's reads them as infinite."""
    with pytest.raises(TableError, match="row 2, column g") as refusal:
        with_column("g", ["9" * 5000, "1", "2"])
    assert len(str(refusal.value)) < 300


def test_a_row_with_fewer_cells_than_features_is_refused():
    """A lost cell moves those behind it: a table of numbers shows nothing of it."""
    with pytest.raises(TableError, match=r"^f\.csv: row 3 has fewer cells than the header \(1 row\(s\) have\)"):
        parse("patient_id,f,g\nP1,1,2\nP2,3\nP3,4,5\n")


def test_a_second_row_of_an_outline_is_refused_with_both_rows():
    """Rows of another reader do not count."""
    with pytest.raises(TableError, match=r"scan P1 occurs twice \(rows 3 and 5\); give each outline its own reader"):
        parse("patient_id,reader,f\nP1,R1,1\nP1,R2,2\nP2,R1,3\nP1,R2,4\n")


def test_a_table_of_one_row_is_not_taken_for_a_numbered_one():
    """One patient to be scored: a count of 5 is a count, and two features may be equal."""
    assert list(parse("patient_id,n,f,f.1\nP1,5,2,2\n").values) == ["n", "f", "f.1"]


def test_keys_are_filled_in_and_text():
    """As in a manifest: reader R1, repeat 0, the patient's id for the scan; 007 keeps its zeros."""
    found = parse("patient_id,f,reader,repeat\n007,1,,\n007,2,R2,1.0\n")
    assert found.keys.to_dict("records") == [
        {"patient_id": "007", "scan_id": "007", "reader": r, "repeat": n, "roi": "", "site": "", "phase": ""}
        for r, n in (("R1", 0), ("R2", 1))
    ]
    assert found.values.to_dict("list") == {"f": [1.0, 2.0]}


def test_values_are_those_of_pandas_round_trip_reading():
    """To the last bit, on numbers of every size."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 5)) * 10.0 ** rng.integers(-300, 300, (200, 5))
    frame = pd.DataFrame(values, columns=list("abcde"))
    text = frame.assign(patient_id=[f"P{i}" for i in range(200)]).to_csv(index=False)
    assert (parse(text).values.to_numpy() == values).all()


def test_a_label_that_is_a_word_for_a_gap_is_left_out():
    """R writes NA where a site is not given: it is then that of the clinical table."""
    keys = parse("patient_id,site,reader,repeat,roi,f\nP1,NA,nan,NA,None,1\nP2,A,R2,1,liver,2\n").keys
    assert keys["site"].tolist() == ["", "A"]
    assert keys[["reader", "repeat", "roi"]].to_numpy().tolist() == [["R1", 0, ""], ["R2", 1, "liver"]]


def test_diagnostics_are_set_aside_behind_a_prefix_too():
    """Tables of several phases are joined with one before each name."""
    assert with_column("pv_diagnostics_Mask-original_VoxelNum", [8520, 6405, 7]).set_aside
