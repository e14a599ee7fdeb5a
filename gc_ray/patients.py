"""Patients of two tables: ids that do not meet, one id at two sites, labels that differ only in their typing."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from gc_ray.errors import SHOWN, some

MOST_LOOKED_AT = 2000  # ids in which a prefix or suffix is looked for
EXPONENT = re.compile(r"\d+(\.\d*)?[eE]\+?\d{1,2}")
SEPARATORS = re.compile("[-\\s_./\\\\:'\"=\u2010-\u2015\u2212]+")
INVISIBLE = "Cf"  # Unicode's category of what has no width: byte order marks, zero-width blanks


@dataclass(frozen=True)
class Meeting:
    """How the ids of two tables meet: how many are in both, and those in one of them alone, sorted."""

    both: int
    first: tuple[str, ...]
    second: tuple[str, ...]


def plain(text: str) -> str:
    """The text in one Unicode form, without blanks and characters that have no width."""
    composed = unicodedata.normalize("NFKC", text)
    return "".join(c for c in composed if not c.isspace() and unicodedata.category(c) != INVISIBLE)


def same_label(text: str) -> str:
    """Equal for labels that differ only in case, in blanks or in their Unicode form."""
    return plain(plain(text).casefold())


def alike(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of different labels that differ only in case, in blanks or in their Unicode form."""
    groups = defaultdict(set)
    for label in labels:
        groups[same_label(label)].add(label)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def meet(first: Iterable[str], second: Iterable[str]) -> Meeting:
    """How the ids of two tables meet."""
    a, b = set(first), set(second)
    return Meeting(len(a & b), tuple(sorted(a - b)), tuple(sorted(b - a)))


def meeting_text(found: Meeting, first: str, second: str) -> str:
    """The meeting in words: how many ids meet, examples of those that do not, and in what these differ.

    Parameters
    ----------
    found : Meeting
    first, second : str
        What the two tables are called, such as "the clinical table".
    """
    sides = [
        f"{len(ids)} only in {name} ({some(ids)})"
        for ids, name in ((found.first, first), (found.second, second))
        if ids
    ]
    many = f"{found.both} patient ids are" if found.both != 1 else "1 patient id is"
    both = f"{many if found.both else 'no patient id is'} in both {first} and {second}"
    hint = change_text(found)
    return "; ".join([both, *sides, *([hint] if hint else [])])


def change_text(found: Meeting) -> str:
    """In what most of the ids that do not meet differ, in words; empty where it is nothing simple."""
    changes = [(pairs, f"in {words}") for words, change in CHANGES if (pairs := _pairs(found, change))]
    changes += _affixes(found)
    pairs, words = max(changes, key=lambda one: len(one[0]), default=([], ""))
    if not pairs or len(pairs) < min(len(found.first), len(found.second)) // 2:
        return ""
    a, b = map(_visible, pairs[0])
    return f"{len(pairs)} of them differ only {words} ({a} and {b}): write each id the same way in both tables"


def several_sites(tables: Mapping[str, Iterable[tuple[str, str]]]) -> dict[str, dict[str, str]]:
    """By patient id at more than one site: the sites, and the first table in which each was met.

    Parameters
    ----------
    tables : mapping of str to iterable of (patient id, site)
        By what a table is called. An empty site says nothing. Sites are compared as ``same_label`` does.
    """
    sites: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for table, rows in tables.items():
        for patient, site in rows:
            if site:
                sites[patient].setdefault(same_label(site), (site, table))
    return {patient: dict(found.values()) for patient, found in sorted(sites.items()) if len(found) > 1}


def several_sites_text(found: Mapping[str, Mapping[str, str]]) -> str:
    """What ``several_sites`` found, in words, with the fix; empty where it found nothing."""
    if not found:
        return ""
    named = [
        f"{patient} ({', '.join(f'{site} in {table}' for site, table in sites.items())})"
        for patient, sites in list(found.items())[:SHOWN]
    ]
    more = ", .." if len(found) > SHOWN else ""
    patient, sites = next(iter(found.items()))
    return (
        f"site: wanted each patient id at one site, {len(found)} are at several: {', '.join(named)}{more}; "
        "correct the site, or, where two hospitals gave one number to two patients, put the site before the id in "
        f"every table ({next(iter(sites))}-{patient}); where patients were referred, set clinical.patient_ids = "
        '"shared"'
    )


def _pairs(found: Meeting, change: Callable[[str], str]) -> list[tuple[str, str]]:
    """Ids of either side that are equal after a change."""
    changed = {change(b): b for b in reversed(found.second)}
    return [(a, changed[change(a)]) for a in found.first if change(a) in changed]


def _whole(text: str) -> str:
    """100000.0 and 1e5 as 100000; zeros in front stay."""
    if EXPONENT.fullmatch(text):
        value = Decimal(text)
        return f"{value:.0f}" if value == value.to_integral_value() else text
    return re.sub(r"^(\d+)\.0*$", r"\1", text)


def _without_zeros(text: str) -> str:
    """0001 as 1, P007 as P7."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)


def _without_separators(text: str) -> str:
    return SEPARATORS.sub("", text)


def _all_changes(text: str) -> str:
    return _without_separators(_without_zeros(_whole(same_label(text))))


CHANGES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("blanks, invisible characters or their Unicode form", plain),
    ("upper and lower case", str.casefold),
    ("decimals", _whole),
    ("leading zeros", _without_zeros),
    ("dashes, underscores and the like", _without_separators),
    ("case, blanks, zeros and separators", _all_changes),
)


def _affixes(found: Meeting) -> Iterator[tuple[list[tuple[str, str]], str]]:
    """(pairs that meet without it, words) of a prefix or suffix that the ids of one side have alone."""
    for change in (plain, _all_changes):
        sides = ({change(a): a for a in found.first}, {change(b): b for b in found.second})
        for where, cuts in (("prefix", _prefixes), ("suffix", _suffixes)):
            affix, pairs = _commonest(*sides, cuts)
            yield pairs, f"in the {where} '{affix}'"
            affix, pairs = _commonest(*sides[::-1], cuts)
            yield [pair[::-1] for pair in pairs], f"in the {where} '{affix}'"


def _prefixes(text: str) -> Iterable[tuple[str, str]]:
    return ((text[:i], text[i:]) for i in range(1, len(text)))


def _suffixes(text: str) -> Iterable[tuple[str, str]]:
    return ((text[i:], text[:i]) for i in range(1, len(text)))


def _commonest(
    longer: Mapping[str, str], shorter: Mapping[str, str], cuts: Callable[[str], Iterable[tuple[str, str]]]
) -> tuple[str, list[tuple[str, str]]]:
    """(affix, pairs of ids) of the affix without which most ids of ``longer`` are ids of ``shorter``."""
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for text in list(longer)[:MOST_LOOKED_AT]:
        for affix, rest in cuts(text):
            if rest in shorter:
                pairs[affix].append((longer[text], shorter[rest]))
    return max(pairs.items(), key=lambda item: len(item[1]), default=("", []))


def _visible(text: str) -> str:
    """The text, with blanks other than the plain one and what has no width as escapes, quoted where it has any."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return f"'{shown}'" if shown != text or " " in text else text
