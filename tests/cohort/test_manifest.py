"""The scans table: what is asked of it, and that every fault names the table, the row or the column."""

import io

import pandas as pd
import pytest

from gc_ray.cohort.manifest import Scans, join_manifests, parse_manifest
from gc_ray.errors import TableError

HEAD = "scan_id,patient_id,site,phase,image,mask"
ROW = "007,P1,A,portal_venous,ct/007,seg/007.dcm"


def parse(*lines: str, folder: str = "/cohort") -> list:
    """Parse a CSV of these lines."""
    return parse_manifest("\n".join(lines).encode(), "scans.csv", folder)


def test_ids_stay_text_and_defaults_are_filled_in():
    """007 keeps its zeros, a site may be called NA, and reader, repeat, roi and series take their defaults."""
    (row,) = parse(HEAD, ROW.replace(",A,", ",NA,"))
    assert (row.scan_id, row.site) == ("007", "NA")
    assert (row.reader, row.repeat, row.roi, row.series_uid) == ("R1", 0, "", "")


def test_words_for_a_gap_are_empty_cells():
    """R writes NA, pandas nan, where a reader, repeat, region or series is not given."""
    (row,) = parse(f"{HEAD},reader,repeat,roi,series_uid", f"{ROW},NA,nan,None,<NA>")
    assert (row.reader, row.repeat, row.roi, row.series_uid) == ("R1", 0, "", "")


def test_paths_start_from_the_manifest_unless_they_are_absolute():
    """A manifest moves with its folder; absolute paths and s3:// addresses stay."""
    (row,) = parse(HEAD, "1,P1,A,pv,ct/1,s3://bucket/1.dcm", folder="s3://cohort/site")
    assert (row.image_uri, row.mask_uri) == ("s3://cohort/site/ct/1", "s3://bucket/1.dcm")
    (row,) = parse(HEAD, "1,P1,A,pv,/data/1,1.dcm", folder="")
    assert (row.image_uri, row.mask_uri) == ("/data/1", "1.dcm")


def test_csv_and_parquet_give_equal_rows():
    """Both formats are the same table."""
    frame = pd.DataFrame([ROW.split(",")], columns=HEAD.split(",")).assign(repeat=2)
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    assert parse_manifest(buffer.getvalue(), "s.parquet", "/cohort") == parse(f"{HEAD},repeat", f"{ROW},2")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["scan_id,patient_id,site,phase,image", "1,P,A,pv,x"],
            r"scans.csv: column\(s\) mask missing, found scan_id",
        ),
        (["scan_id,patient,site,phase,image,mask", ROW], "unknown column 'patient', did you mean 'patient_id'"),
        ([f"{HEAD},Reader", f"{ROW},R2"], "unknown column 'Reader', did you mean 'reader'"),
        ([HEAD], "wanted at least one scan, the table has no rows"),
        ([HEAD, ROW, "1,,A,pv,x,y"], "patient_id is empty in 1 row"),
        ([f"{HEAD},repeat", f"{ROW},first"], "repeat must be 0, 1, 2, .., row 2 has 'first'"),
        ([HEAD, ROW, ROW], "scan 007 reader R1 repeat 0 roi '' occurs twice"),
        ([f"{HEAD},reader", f"{ROW},R1", f"{ROW.replace('P1', 'P2')},R2"], "rows of scan 007 disagree on patient_id"),
        ([f"{HEAD},reader", f"{ROW},R1", f"{ROW.replace('ct/007', 'ct/8')},R2"], "disagree on image"),
    ],
)
def test_a_faulty_manifest_is_one_line_that_says_where(lines, message):
    """Wrong columns, empty values, odd repeats and doubled keys are named with what to do."""
    with pytest.raises(TableError, match=message) as caught:
        parse(*lines)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_table_is_refused():
    """A text that is called Parquet and an empty file are bad tables, not tracebacks."""
    with pytest.raises(TableError, match=r"x\.parquet: wanted a Parquet scans table, it is no Parquet file"):
        parse_manifest(b"scan_id", "x.parquet", "")
    with pytest.raises(TableError, match=r"x\.csv: wanted column names in the first row, the table is empty"):
        parse_manifest(b"", "x.csv", "")


def test_two_sites_may_not_share_a_scan_key():
    """One cohort of several manifests needs scan ids that are unique over sites."""
    a, b = parse(HEAD, ROW), parse(HEAD, ROW.replace(",A,", ",B,"))
    with pytest.raises(TableError, match=r"the manifests together: scan 007 .* occurs twice"):
        join_manifests([a, b])


def test_the_key_id_tells_keys_apart_whatever_their_parts():
    """('a', 'b1') and ('ab', '1') are different keys; equal keys of different files are one."""
    rows = parse(f"{HEAD},reader", "a,P1,A,pv,x,y,b1", "ab,P1,A,pv,z,y,1")
    assert rows[0].key_id != rows[1].key_id
    assert parse(HEAD, ROW)[0].key_id == parse(HEAD, ROW, folder="/moved")[0].key_id


def test_rows_kept_as_columns_are_a_sequence_of_rows():
    """Length, places from either end, slices, iteration and counts are those of a list of the same rows."""
    scans = parse(HEAD, *(f"{i},P{i % 2},A,pv,ct/{i},seg/{i}" for i in range(5)))
    rows = list(scans)
    assert len(scans) == 5 and scans[0] == rows[0] and scans[-1] == rows[4]
    assert list(scans[1:3]) == rows[1:3] and list(scans[4:9]) == rows[4:] and len(scans[:None]) == 5
    assert Scans.of(rows) == scans and len(Scans.of([])) == 0
    assert scans.count("patient_id") == {"P0": 3, "P1": 2}
    with pytest.raises(IndexError):
        scans[5]


def test_the_first_scan_whose_rows_disagree_is_named_however_many_there_are():
    """A slip in a long table is found by its name."""
    lines = [f"{i},P{i},A,pv,x,y,R{r}" for i in range(50) for r in (1, 2)]
    lines[61] = lines[61].replace("P30", "P31")
    with pytest.raises(TableError, match="rows of scan 30 disagree on patient_id"):
        parse(f"{HEAD},reader", *lines)


@pytest.mark.parametrize("place", ["../ct", "a/../../ct", "..", "a/..", "..\\ct", "a\\..\\ct"])
@pytest.mark.parametrize("column", ["image", "mask"])
def test_a_relative_path_may_not_climb_out_of_the_manifests_folder(column, place):
    """A manifest that is handed on reads nothing but what lies below it, or what it names in full."""
    row = {"scan_id": "1", "patient_id": "P", "site": "A", "phase": "pv", "image": "ct", "mask": "m", column: place}
    with pytest.raises(TableError, match=rf"{column} of row 2 leaves its folder by '\.\.'; write the whole path"):
        parse(",".join(row), ",".join(row.values()))


@pytest.mark.parametrize("place", ["http://x/ct", "gs://x/ct", "ftp://x/ct", "a://b"])
def test_a_place_of_another_scheme_is_refused(place):
    """Nothing is fetched from anywhere but S3 and the disk."""
    with pytest.raises(TableError, match="image of row 2: wanted a path, s3:// or file://, no other"):
        parse(HEAD, f"1,P,A,pv,{place},m")


def test_two_dots_inside_a_name_are_a_name():
    """Only a step of the path is one."""
    assert parse(HEAD, "1,P,A,pv,a..b/ct..,m")[0].image_uri.endswith("a..b/ct..")
