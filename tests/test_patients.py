"""Ids and sites of two tables: what does not meet is counted, shown, and explained where the cause is simple."""

import pytest

from gc_ray.patients import alike, change_text, meet, meeting_text, same_label, several_sites, several_sites_text

NUMBERS = range(1, 61)


def of(pattern: str) -> list[str]:
    """Sixty ids by a pattern."""
    return [pattern.format(n) for n in NUMBERS]


def test_a_meeting_counts_both_sides_and_shows_examples_of_both():
    """Who reads it sees how the ids are written in either table."""
    text = meeting_text(meet(["a", "b", "x1"], ["a", "y1", "y2"]), "the scores", "the clinical table")
    assert text == (
        "1 patient id is in both the scores and the clinical table; 2 only in the scores (b, x1); 2 only in the "
        "clinical table (y1, y2)"
    )


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("{}.0", "{}", "decimals (1.0 and 1)"),
        ("10000{}.0", "10000{}", "decimals"),
        ("{}E+05", "{}00000", "decimals"),
        ("{:04d}", "{}", "leading zeros (0001 and 1)"),
        ("P{:03d}", "P{}", "leading zeros"),
        ("00{}.0", "00{}", "decimals"),
        ("00{}.0", "{}", "case, blanks, zeros and separators"),
        ("P{}", "p{}", "upper and lower case (P1 and p1)"),
        ("P{} ", "P{}", "blanks, invisible characters or their Unicode form ('P1 ' and P1)"),
        ("P{}\u200b", "P{}", "blanks, invisible characters or their Unicode form ('P10\\u200b' and P10)"),
        ("\ufeffP{}", "P{}", "blanks, invisible characters or their Unicode form"),
        ("M\u00fcller{}", "Mu\u0308ller{}", "blanks, invisible characters or their Unicode form"),
        ("P-{}", "P{}", "dashes, underscores and the like"),
        ("P\u2013{}", "P-{}", "dashes, underscores and the like"),
        ("p_{:03d}", "P{}", "case, blanks, zeros and separators"),
        ("sub-{:03d}", "{:03d}", "the prefix 'sub-' (sub-001 and 001)"),
        ("{}", "A_{}", "the prefix 'A_' (1 and A_1)"),
        ("{}_CT", "{}", "the suffix '_CT'"),
        ("'{}", "{}", "dashes, underscores and the like"),
    ],
)
def test_a_simple_change_that_makes_ids_meet_is_named(first, second, words):
    """Excel, R and a careful colleague each write one id in their own way."""
    found = meet(of(first), of(second))
    assert words in change_text(found)
    assert change_text(found).endswith("write each id the same way in both tables")


@pytest.mark.parametrize("second", ["Q{}Z", "{}{}"])
def test_ids_of_other_patients_are_not_explained(second):
    """A wrong hint is worse than none."""
    assert change_text(meet([f"X{7 * n}" for n in NUMBERS], [second.format(11 * n, n) for n in NUMBERS])) == ""


def test_a_change_that_explains_a_few_of_many_is_no_explanation():
    """Of 60 ids two happen to be equal without their zeros."""
    assert change_text(meet([*of("X{}"), "01", "02"], [*of("Q{}Z"), "1", "2"])) == ""


def test_labels_that_differ_only_in_typing_are_one_group():
    """Case, blanks inside and around, and the two ways of Unicode to write an accent."""
    assert alike(["A", "a ", "B", "S\u00e3o", "Sa\u0303o", "Site 1", "SITE1", "C"]) == [
        ("A", "a "), ("SITE1", "Site 1"), ("Sa\u0303o", "S\u00e3o"),
    ]  # fmt: skip
    assert same_label("site-a") != same_label("site b")


def test_one_id_at_two_sites_is_found_within_and_between_tables_and_an_empty_site_says_nothing():
    """The sites are compared as labels, so that 'a' is A."""
    tables = {
        "the clinical table": [("1", "A"), ("2", "A"), ("3", ""), ("4", "A")],
        "the scans": [("1", "a "), ("2", "B"), ("3", "B"), ("4", "A"), ("4", "C")],
    }
    found = several_sites(tables)
    assert found == {
        "2": {"A": "the clinical table", "B": "the scans"}, "4": {"A": "the clinical table", "C": "the scans"},
    }  # fmt: skip
    text = several_sites_text(found)
    assert text.startswith(
        "site: wanted each patient id at one site, 2 are at several: 2 (A in the clinical table, B"
    )
    assert "put the site before the id in every table (A-2)" in text
    assert 'set clinical.patient_ids = "shared"' in text
    assert several_sites_text(several_sites({"the scans": [("1", "A"), ("2", "B")]})) == ""
