"""What the ledger says about the contours of a region."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gc_ray.imaging.contour_slices import FilledSlice, Finding
from gc_ray.imaging.scan import Notes

MAX_RANGES = 10  # of slices or contours in one note
OPEN = ("POINT", "OPENPLANAR", "OPENNONPLANAR")  # Contour Geometric Type (DICOM PS3.3, C.8.8.6.1) without "_"


def contour_notes(slices: Sequence[FilledSlice], traced: bool, what: str) -> Notes:
    """Repairs and remarks on a region's contours, with their numbers, from 1, and slices, from 0 along the grid.

    slices: all that hold contours. traced: whether the contours were traced from voxels. what: the region.
    """
    repairs = [_finding_note(finding, slices, what) for finding in Finding]
    repairs += [_centres_note(slices, what), _gap_note([one.slice for one in slices], what)]
    remark = (
        f"{what}: its contours run from voxel centre to voxel centre, as traced from voxels: the voxels on their "
        "lines belong to the region"
    )
    return Notes(tuple(filter(None, repairs)), (remark,) if traced else ())


def dropped_notes(dropped: Sequence[tuple[int, str]], what: str) -> Notes:
    """Repairs for contours that enclose no area, given as (number of points, geometric type)."""
    return Notes(tuple(f"{what}: {n} contour(s) dropped: {why}" for why, n in _reasons(dropped).items()))


def dropped_words(dropped: Sequence[tuple[int, str]]) -> str:
    """Why contours enclose no area, for a refusal: "2 open, not closed; 1 a point or fewer than 3 points"."""
    return "; ".join(f"{n} {why}" for why, n in _reasons(dropped).items())


def _reasons(dropped: Sequence[tuple[int, str]]) -> dict[str, int]:
    """How many contours enclose no area for which reason."""
    reasons = {
        "a point or fewer than 3 points": sum(points < 3 for points, _ in dropped),
        "open, not closed": sum(points >= 3 and kind in OPEN for points, kind in dropped),
        "of no known geometric type": sum(points >= 3 and kind not in OPEN for points, kind in dropped),
    }
    return {why: n for why, n in reasons.items() if n}


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers as text: "3-7, 9"."""
    held = set(numbers)
    starts = sorted(n for n in held if n - 1 not in held)
    ends = sorted(n for n in held if n + 1 not in held)
    found = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    return ", ".join(found[:MAX_RANGES] + ["..."] * (len(found) > MAX_RANGES))


def _where(contours: Sequence[int], slices: Sequence[int]) -> str:
    """Contours and their slices: "contour 3 on slice 7"."""
    plural = "s" * (len(contours) > 1), "s" * (len(slices) > 1)
    return f"contour{plural[0]} {ranges(contours)} on slice{plural[1]} {ranges(slices)}"


def _finding_note(finding: Finding, slices: Sequence[FilledSlice], what: str) -> str:
    found = [one for one in slices if one.seen.get(finding)]
    contours = [n for one in found for n in one.seen[finding]]
    return f"{what}: {_where(contours, [one.slice for one in found])} {finding.value}" if found else ""


def _centres_note(slices: Sequence[FilledSlice], what: str) -> str:
    found = [one for one in slices if one.centred]
    if not found:
        return ""
    on_lines = sum(one.on_lines for one in found)
    lost = on_lines - sum(one.counted for one in found)
    where = _where([n for one in found for n in one.centred], [one.slice for one in found])
    return f"{what}: {where} through voxel centres: {lost} of the {on_lines} voxels on the line not counted"


def _gap_note(held: Sequence[int], what: str) -> str:
    span = max(held) - min(held) + 1
    gaps = span - len(held)
    return f"{what}: contours missing on {gaps} of {span} slices (gaps), not interpolated" if gaps else ""
