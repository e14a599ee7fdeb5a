"""Clinical values of new scans: who can be scored, and by which name a patient is found."""

import pandas as pd

from gc_ray.runtime.incoming import pseudonym
from gc_ray.runtime.incoming_clinical import lacking, numbers_of, outcomes_of

CODING = {"age": {"missing": "impute"}, "stage": {"missing": "complete_case"}}


def test_a_patient_lacks_what_no_rule_fills_and_a_stranger_lacks_everything():
    """An empty age is filled by the bundle, an empty stage by nobody."""
    clinical = pd.DataFrame({"age": [60, None, 61], "stage": ["I", "II", None]}, ["a", "b", "c"])
    assert lacking(clinical, CODING, ["a", "b", "c", "d"]) == {"c": ["stage"], "d": ["age", "stage"]}
    assert lacking(None, CODING, ["a"]) == {"a": ["age", "stage"]}


def test_the_columns_that_hold_numbers_are_the_bundles():
    """In those a decimal comma is read, in levels it is a letter."""
    coding = {"age": {"kind": "number"}, "her2": {"kind": "binary"}, "stage": {"kind": "ordinal"}}
    assert numbers_of(coding, "died") == {"age", "her2", "died"}


def test_outcomes_are_known_by_the_patient_and_by_the_pseudonym():
    """What is neither 0 nor 1 has not arrived; a table without the column knows none."""
    text = pd.DataFrame({"died": ["1", "0", "", "7", "1e2147483648"]}, ["a", "b", "c", "d", "e"])
    found = outcomes_of(text, "died", b"a key of this site alone")
    assert found.dropna().to_dict() == {
        "a": 1, "b": 0, **{pseudonym(b"a key of this site alone", f"patient {p}"): y for p, y in (("a", 1), ("b", 0))}
    }  # fmt: skip
    assert outcomes_of(text, "died", None).dropna().to_dict() == {"a": 1, "b": 0}
    assert outcomes_of(text, "recurred", None) is None
