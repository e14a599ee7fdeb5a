"""Which outlines an ICC compares: several readers of one scan, or one reader's repeats; and why there are none.

A design needs a complete layout: each patient that counts is outlined by every reader (or in every repeat) of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gc_ray.models.cohort_data import FEWEST_RATED
from gc_ray.study_cohort import ScansSettings
from gc_ray.study_signatures import DESIGNS, INTER, INTRA

FORMS = {INTER: "2,1", INTRA: "3,1"}  # Shrout and Fleiss 1979: absolute agreement of readers, consistency of one
KEY = ["scan_id", "reader", "repeat", "roi"]
Outline = tuple[str, int]  # reader and repeat


@dataclass(frozen=True, eq=False)
class Layout:
    """A complete layout of patients by outlines.

    Attributes
    ----------
    outlines : tuple of (str, int)
        Reader and repeat of each column, the study's own first.
    rows : ndarray of int, shape (patients, outlines)
        Row of each outline in the table of features.
    patients : ndarray of str, shape (patients,)
    trained : int
        How many of the patients are training patients, whom alone an ICC is computed on.
    left_out : dict of str to int
        Readers (or repeats) that the layout leaves out, and with how many of the training patients they have an
        outline in common.
    """

    outlines: tuple[Outline, ...]
    rows: np.ndarray
    patients: np.ndarray
    trained: int
    left_out: dict[Outline, int]


@dataclass(frozen=True, eq=False)
class Designs:
    """The layouts that a table allows, by design, and for every other design the reason why it has none.

    who: what the patients are called in messages.
    """

    layouts: Mapping[str, Layout]
    lacking: Mapping[str, str]
    who: str

    def allow(self, asked: tuple[str, ...] = ()) -> bool:
        """Whether the asked designs are there, or any where none is asked for by name."""
        return all(design in self.layouts for design in asked) and bool(self.layouts)

    def described(self, asked: tuple[str, ...] = ()) -> str:
        """What the asked designs (all when empty) compare, in words; a design that is not there says why."""
        return "; ".join(self.sentence(design) for design in asked or DESIGNS)

    def sentence(self, design: str) -> str:
        """What one design compares, or why it is not there."""
        if design in self.layouts:
            return _described(design, self.layouts[design], self.who)
        return f"no {design}-reader ICC: {self.lacking[design]}"


def find_designs(
    outlines: pd.DataFrame,
    chosen: pd.DataFrame,
    scans: ScansSettings,
    train: Collection[str],
    who: str = "training patients",
) -> Designs:
    """The ICC designs of a table of features.

    Parameters
    ----------
    outlines : DataFrame
        Scan key (scan_id, reader, repeat, roi) of each row of the table.
    chosen : DataFrame
        scan_id, roi and patient_id of the one outline of each patient that the study uses.
    scans : ScansSettings
        The study's reader and repeat: ``inter`` compares all readers of this repeat, ``intra`` all repeats of this
        reader.
    train : collection of str
        The training patients, on whom the ICC is computed: which readers are compared is decided by them alone.
    who : str
        What messages call them.

    Returns
    -------
    Designs
        Of the readers (repeats) those whose complete layout holds the most outlines of training patients, at least
        two of them and of two patients.
    """
    own = (scans.reader, scans.repeat)
    pairs = set(outlines[["reader", "repeat"]].drop_duplicates().itertuples(index=False, name=None))
    others = {
        INTER: sorted(pair for pair in pairs if pair[1] == scans.repeat and pair != own),
        INTRA: sorted(pair for pair in pairs if pair[0] == scans.reader and pair != own),
    }
    layouts, lacking = {}, {}
    for design, more in others.items():
        found = _largest([own, *more], outlines, chosen, train) if more else None
        if found is not None and found.trained >= FEWEST_RATED:
            layouts[design] = found
        else:
            lacking[design] = _why_not(design, scans, pairs, found, who)
    return Designs(layouts, lacking, who)


def _largest(
    candidates: list[Outline], outlines: pd.DataFrame, chosen: pd.DataFrame, train: Collection[str]
) -> Layout:
    """The layout with the most outlines of training patients, of the first candidate and at least one other."""
    at = _rows_of(candidates, outlines, chosen)
    patients = chosen["patient_id"].to_numpy(object).astype(str)
    trained = np.isin(patients, list(train))
    there = at >= 0
    taken, best, most = [0], [0], -1
    while len(taken) < len(candidates):
        # the reader who shares most patients with those taken comes next; each set on the way is a possible layout
        shared = there[:, taken].all(axis=1) & trained
        common = {i: int((shared & there[:, i]).sum()) for i in range(len(candidates)) if i not in taken}
        following = max(common, key=lambda i: (common[i], -i))
        taken = [*taken, following]
        if common[following] * len(taken) > most:
            best, most = taken, common[following] * len(taken)
    whole = there[:, best].all(axis=1)
    left = {
        candidates[i]: int((whole & trained & there[:, i]).sum()) for i in range(len(candidates)) if i not in best
    }
    columns = sorted(best)
    names = tuple(candidates[i] for i in columns)
    return Layout(names, at[whole][:, columns], patients[whole], int((whole & trained).sum()), left)


def _rows_of(candidates: list[Outline], outlines: pd.DataFrame, chosen: pd.DataFrame) -> np.ndarray:
    """Row of each patient's outline by each candidate, (patients, candidates); -1 where there is none."""
    index = pd.MultiIndex.from_frame(outlines[KEY])
    found = np.full((len(chosen), len(candidates)), -1)
    for i, (reader, repeat) in enumerate(candidates):
        wanted = chosen.assign(reader=reader, repeat=repeat)[KEY]
        found[:, i] = index.get_indexer(pd.MultiIndex.from_frame(wanted)) if len(wanted) else []
    return found


def _why_not(design: str, scans: ScansSettings, pairs: set[Outline], found: Layout | None, who: str) -> str:
    if found is not None:
        names = _names(design, found.outlines)
        return f"{found.trained} {who} have the same scan and roi outlined by {names}, {FEWEST_RATED} are needed"
    if design == INTER:
        return f"reader {scans.reader} is the only reader of repeat {scans.repeat}"
    again = sorted({reader for reader, _ in pairs if len([1 for other, _ in pairs if other == reader]) > 1})
    hint = f" (reader {', '.join(again)} has)" if again else ""
    return f"reader {scans.reader} outlined no scan again{hint}"


def _described(design: str, layout: Layout, who: str) -> str:
    names = _names(design, layout.outlines)
    said = f"{design}-reader ICC({FORMS[design]}) of {names} in {layout.trained} {who}"
    if layout.left_out:
        shares = (f"{_name(design, outline)} ({n} in common)" for outline, n in layout.left_out.items())
        said += f", without {', '.join(shares)}"
    return said


def _names(design: str, outlines: tuple[Outline, ...]) -> str:
    if design == INTER:
        return f"readers {', '.join(reader for reader, _ in outlines)}"
    return f"reader {outlines[0][0]}, repeats {', '.join(str(repeat) for _, repeat in outlines)}"


def _name(design: str, outline: Outline) -> str:
    return f"reader {outline[0]}" if design == INTER else f"repeat {outline[1]}"
