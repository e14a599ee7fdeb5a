"""One outline for each patient: phase, primary reader, repeat; two candidates left are an error that names them."""

import json

import pyarrow as pa
import pytest

from gc_ray.cohort.choose_scans import choose_scans, nobody_text, why_absent
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


def test_why_a_patient_was_not_chosen_is_the_first_thing_that_the_scans_lack():
    """No outline at all, another reader's, another repeat, another phase, or none that could be used."""
    rows = [
        row("a", "P1", reader="R2"),
        row("b", "P2", repeat=1),
        row("c", "P3", phase="arterial"),
        row("d", "P4", status="refused"),
        row("d", "P4", reader="R2"),
    ]
    patients = ["P1", "P2", "P3", "P4", "P5"]
    assert why_absent(pa.Table.from_pylist(rows), ScansSettings(phase="pv"), patients) == {
        "P1": "no outline of reader R1",
        "P2": "no outline of repeat 0",
        "P3": "no outline of phase pv",
        "P4": "its outlines were refused or failed",
        "P5": "not in the store",
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"reader": "reader1"},
            "wanted outlines of reader R1 (scans.reader), there are outlines of reader reader1 (2)",
        ),
        ({"repeat": 3}, "wanted outlines of repeat 0 (scans.repeat), there are outlines of repeat 3 (2)"),
        ({"phase": ""}, "wanted outlines of phase pv (scans.phase), there are outlines of phase none stated (2)"),
        ({"status": "failed"}, "every outline was refused or failed; gc-ray show says why"),
    ],
)
def test_where_nothing_can_be_chosen_what_was_wanted_and_what_there_is_are_named(changes, said):
    """A setting that names no reader of the table is seen at once."""
    rows = pa.Table.from_pylist([row("a", "P1", **changes), row("b", "P2", **changes)])
    assert nobody_text(rows, ScansSettings(phase="pv")) == said
