"""One outline for each patient: phase, primary reader, repeat; two candidates left are an error that names them."""

import json

import pyarrow as pa
import pytest

from gc_ray.cohort.choose_scans import choose_scans
from gc_ray.errors import TableError
from gc_ray.study_cohort import ScansSettings


def row(scan: str, patient: str, **changes) -> dict:
    """A row of a manifest joined with its ledger."""
    sound = {"scan_id": scan, "patient_id": patient, "reader": "R1", "repeat": 0, "roi": "", "phase": "pv"}
    mm = changes.pop("mm", 5.0)
    geometry = json.dumps({"spacing_mm": [0.7, 0.7, mm]})
    return sound | {"status": "ok", "geometry": geometry} | changes


def chosen(rows: list[dict], **settings) -> list[str]:
    """The scans chosen, in the order of patients."""
    return choose_scans(pa.Table.from_pylist(rows), ScansSettings(**settings))["scan_id"].to_pylist()


def test_other_readers_repeats_phases_and_refused_scans_are_no_candidates():
    """What is left is the primary reader's first outline of a usable scan of the phase."""
    rows = [
        row("b", "P2"),
        row("a", "P1", reader="R2"),
        row("a", "P1", repeat=1),
        row("a", "P1"),
        row("c", "P1", phase="arterial"),
        row("d", "P1", status="refused"),
        row("e", "P3", status="failed"),
    ]
    assert chosen(rows, phase="pv") == ["a", "b"]


def test_two_candidates_are_an_error_that_names_them():
    """The software does not pick a patient's scan by accident."""
    with pytest.raises(
        TableError, match=r"patient P1: wanted one outline of reader R1, 2 are left \(a, b\); set scans"
    ):
        chosen([row("b", "P1"), row("a", "P1")])
    with pytest.raises(TableError, match=r"2 are left \(a roi node, a roi tumour\)"):
        chosen([row("a", "P1", roi="tumour"), row("a", "P1", roi="node")], several="first")
    assert chosen([row("a", "P1", roi="tumour"), row("a", "P1", roi="node")], roi="node") == ["a"]


def test_a_stated_rule_picks_one_of_several_scans():
    """Thinnest slices or first name; a tie is an error again."""
    rows = [row("a", "P1", mm=5.0), row("b", "P1", mm=1.0)]
    assert chosen(rows, several="first") == ["a"]
    assert chosen(rows, several="thinnest") == ["b"]
    with pytest.raises(TableError, match="2 are left"):
        chosen([row("a", "P1"), row("b", "P1")], several="thinnest")
    with pytest.raises(TableError, match="wants the slice spacing of the ledger, scan a has none"):
        chosen([row("a", "P1", geometry="{}"), row("b", "P1")], several="thinnest")


def test_no_scan_is_no_row():
    """A patient without a usable outline is missing, and an empty table stays one."""
    assert chosen([row("a", "P1", status="failed")]) == []


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        ({"reader": "reader1"}, {}, "wanted outlines of reader R1, the table has reader reader1; set scans.reader"),
        ({"repeat": 1}, {}, "wanted outlines of repeat 0, the table has repeat 1; set scans.repeat"),
        ({"roi": "GTV"}, {"roi": "tumour"}, "wanted outlines of roi tumour, the table has roi GTV; set scans.roi"),
        (
            {"phase": ""},
            {"phase": "pv"},
            r"wanted outlines of phase pv, the table has phase \(empty\); set scans.phase",
        ),
    ],
)
def test_a_reader_repeat_region_or_phase_that_no_outline_has_is_named_beside_those_there_are(changes, settings, said):
    """Every patient would be left out in silence: it is the study file and the table that do not fit."""
    with pytest.raises(TableError, match=said):
        chosen([row("a", "P1", **changes), row("b", "P2", **changes)], **settings)


def test_a_reader_and_a_repeat_that_never_are_together_are_both_named():
    """R1 has repeat 1 only, repeat 0 is by R2 only; the feature set is named where the rows are of one."""
    rows = [row("a", "P1", repeat=1, feature_set="f"), row("a", "P1", reader="R2", feature_set="f")]
    with pytest.raises(
        TableError, match="reader R1 and repeat 0, feature set f has reader and repeat R1 1, R2 0; set"
    ):
        chosen(rows)
