"""New DICOM series below a prefix: found by their headers, paired with the SEG or RTSTRUCT that references them."""

from __future__ import annotations

import hashlib
import hmac
import io
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pydicom
from pydicom import Dataset

from gc_ray import sealed
from gc_ray.cohort.manifest import ScanRow
from gc_ray.errors import DamagedError, StoreError
from gc_ray.imaging.dicom_files import PARSER_ERRORS, bounded, printable_uid, quiet_libraries
from gc_ray.imaging.sop_classes import CT_IMAGE, ENHANCED_CT
from gc_ray.runtime.scan_source import reason_of
from gc_ray.source import head_bytes, read_bytes, search_source
from gc_ray.store import Entry, Store
from gc_ray.study import digest
from gc_ray.study_cohort import ScansSettings

THREADS = 16  # folders looked at side by side; latency is what they cost
LEAST_BYTES = 132  # preamble and DICM; a server may refuse to give the first bytes of an empty object
HEAD_BYTES = 1 << 16  # of a slice, which hold its header in practice
SERIES_OF = (  # where a SEG or an RTSTRUCT names the series that it was drawn on
    ("ReferencedSeriesSequence",),
    ("ReferencedFrameOfReferenceSequence", "RTReferencedStudySequence", "RTReferencedSeriesSequence"),
)
SLICES_OF = (  # .. and the slices, for those that name no series
    ("ReferencedSeriesSequence", "ReferencedInstanceSequence"),
    ("SharedFunctionalGroupsSequence", "DerivationImageSequence", "SourceImageSequence"),
    ("PerFrameFunctionalGroupsSequence", "DerivationImageSequence", "SourceImageSequence"),
    ("ROIContourSequence", "ContourSequence", "ContourImageSequence"),
)
TAGS = ["SOPClassUID", "Modality", "SeriesInstanceUID", "SOPInstanceUID", "PatientID"]
TAGS += sorted({path[0] for path in (*SERIES_OF, *SLICES_OF)})
FORM = 3  # of what is kept of a folder; raised when it says other things
SHORT = 12  # hex digits kept of a slice's pseudonym: two of a million slices are the same in one of 560 cases
MASKS = ("SEG", "RTSTRUCT")
CT_CLASSES = ("", CT_IMAGE, *ENHANCED_CT)  # no secondary captures and dose reports, whose modality is CT, too
SITE = "incoming"  # where nobody says which


@dataclass(frozen=True)
class Waiting:
    """A scan that cannot be scored yet, and what it waits for."""

    scan_id: str
    reason: str


def pseudonym(key: bytes, text: str) -> str:
    """The name that a site's key gives to a UID or a patient: nobody without the key can tell whose it is."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]


def find_series(
    prefix: str, store: Store, key: bytes, scans: ScansSettings, site: str = ""
) -> tuple[list[ScanRow], list[Waiting]]:
    """(scans with their outline, scans that wait for one) of all CT series below ``prefix``, sorted by scan.

    A series is expected in one folder. An outline belongs to the series that it references or, where it names none,
    to those that hold slices it references. What headers said is kept in ``store`` by the folder's listing, so that
    only changed folders are read again; it holds pseudonyms and series UIDs, nothing else of a header. key, site: of
    the hospital that all of them come from. A file or folder that cannot be read, or is moved away meanwhile, waits
    under a name of its own and costs nothing else.
    """
    source, faults = search_source(prefix)
    folders = defaultdict(list)
    for part in source.parts:
        folders[part.key.rpartition("/")[0]].append(part)
    if prefix.startswith("s3://"):
        base = f"s3://{prefix.removeprefix('s3://').partition('/')[0]}"
    else:
        base = str(Path(prefix).expanduser().absolute().parent)
    look = partial(_facts, prefix, base, store, key)
    with ThreadPoolExecutor(THREADS) as pool, quiet_libraries():
        found = [fact for facts in pool.map(look, folders.items()) for fact in facts]
    unread = [_unread(key, str(fault.filename), fault) for fault in faults]
    unread += [fact["unread"] for fact in found if "unread" in fact]
    rows, waiting = _paired(
        [fact for fact in found if "unread" not in fact], partial(_row, base, scans, site or SITE)
    )
    return rows, waiting + unread


def _unread(key: bytes, path: str, error: Exception) -> Waiting:
    reason = f"a file or folder below the prefix cannot be read: {reason_of(error)}; check rights and disk"
    return Waiting(pseudonym(key, f"path {path}"), reason)


def _facts(prefix: str, base: str, store: Store, key: bytes, folder: tuple[str, list[Entry]]) -> list[dict]:
    """What the DICOM files of one folder are: a fact for each CT series and each mask."""
    place, parts = folder
    listing = [[part.key, part.size, part.stamp] for part in parts]
    name = f"incoming/{pseudonym(key, 'key')[:8]}/{digest([FORM, base, place, listing])}.json"
    try:
        facts = sealed.read(store, name)["facts"]
    except (FileNotFoundError, DamagedError):  # a damaged entry spares nothing, and costs nothing
        headers, unread = _headers(prefix, base, parts, key)
        facts = _told(headers, key)
        if unread:  # the next run looks again
            return [{"unread": one} for one in unread] + _placed(facts, parts, place)
        sealed.put(store, name, {"facts": facts})
    return _placed(facts, parts, place)


def _headers(prefix: str, base: str, parts: list[Entry], key: bytes) -> tuple[list[Dataset | None], list[Waiting]]:
    """(the header of each file or None, the files that could not be read)."""
    headers: list[Dataset | None] = []
    unread = []
    for part in parts:
        try:
            headers.append(_header(prefix, f"{base}/{part.key}", part))
        except (OSError, StoreError) as error:
            headers.append(None)
            unread.append(_unread(key, part.key, error))
    return headers, unread


def _placed(facts: list[dict], parts: list[Entry], place: str) -> list[dict]:
    # paths are put in here, not kept: a folder may bear a patient's name
    return [fact | ({"mask": parts[fact["mask"]].key} if "mask" in fact else {"folder": place}) for fact in facts]


def _told(headers: list[Dataset | None], key: bytes) -> list[dict]:
    """A fact for each CT series with its slices, and for each mask; one that cannot be understood is left out."""
    images: dict[tuple[str, str], list[str]] = defaultdict(list)
    facts = []
    for number, header in enumerate(headers):
        if header is None:
            continue
        try:
            modality, series = str(header.get("Modality", "")), str(header.get("SeriesInstanceUID", ""))
            if modality == "CT" and series and str(header.get("SOPClassUID") or "") in CT_CLASSES:
                images[series, str(header.get("PatientID", ""))].append(_short(key, header.get("SOPInstanceUID", "")))
            elif modality in MASKS:
                facts.append({"mask": number} | _referenced(header, key))
        except PARSER_ERRORS:
            continue
    for (series, patient), slices in images.items():
        whose = {"scan_id": pseudonym(key, series), "patient_id": pseudonym(key, f"patient {patient}".strip())}
        facts.append({"series": printable_uid(series), **whose, "slices": slices})
    return facts


def _short(key: bytes, uid: object) -> str:
    return pseudonym(key, str(uid))[:SHORT]


def _header(prefix: str, uri: str, part: Entry) -> Dataset | None:
    """The tags that pair series and masks; None where the file is no DICOM. Of a slice only the head is fetched.

    OSError or StoreError when the file cannot be read.
    """
    if part.size < LEAST_BYTES:
        return None
    head = head_bytes(prefix, part, HEAD_BYTES)
    if head[128:132] != b"DICM":
        return None
    found, whole = _parsed(head), part.size <= HEAD_BYTES
    if found is not None and (whole or _modality(found) not in MASKS):
        return found
    return _parsed(read_bytes(uri))  # a header longer than the head, or a mask, whose references stand further on


def _parsed(data: bytes) -> Dataset | None:
    try:
        return _tags(data)
    except PARSER_ERRORS:
        return None


def _modality(header: Dataset) -> str:
    try:
        return str(header.get("Modality", ""))
    except PARSER_ERRORS:
        return ""


def _tags(data: bytes) -> Dataset:
    """The tags of ``TAGS``; PARSER_ERRORS, which a file that inflates beyond bounds raises, too."""
    return pydicom.dcmread(bounded(io.BytesIO(data), "file"), stop_before_pixels=True, specific_tags=TAGS)


def _referenced(header: Dataset, key: bytes) -> dict[str, list[str]]:
    """of: the series that a SEG or an RTSTRUCT was drawn on; on: its slices, where it names no series."""
    series = {str(item.get("SeriesInstanceUID", "")) for path in SERIES_OF for item in _items(header, path)} - {""}
    if series:
        return {"of": sorted(pseudonym(key, uid) for uid in series), "on": []}
    slices = {str(item.get("ReferencedSOPInstanceUID", "")) for path in SLICES_OF for item in _items(header, path)}
    return {"of": [], "on": sorted(_short(key, uid) for uid in slices - {""})}


def _items(header: Dataset, path: tuple[str, ...]) -> list[Dataset]:
    """The items at the end of a path of nested sequences."""
    items = [header]
    for name in path:
        items = [child for item in items for child in item.get(name) or []]
    return items


def _paired(facts: list[dict], row: Callable[[dict, str], ScanRow]) -> tuple[list[ScanRow], list[Waiting]]:
    masks, images = defaultdict(list), defaultdict(list)
    for fact in facts:
        if "mask" not in fact:
            images[fact["scan_id"]].append(fact)
    sought = {uid for fact in facts for uid in fact.get("on", ())}
    holder = {uid: scan for scan, held in images.items() for f in held for uid in sought.intersection(f["slices"])}
    for fact in facts:
        if "mask" in fact:
            for scan in {*fact["of"], *(holder[uid] for uid in fact["on"] if uid in holder)}:
                masks[scan].append(fact["mask"])
    rows, waiting = [], []
    for scan, held in sorted(images.items()):
        if len(held) > 1:
            waiting.append(Waiting(scan, f"its slices lie in {len(held)} folders; put them into one"))
        elif len(masks[scan]) != 1:
            several = f"{len(masks[scan])} SEG or RTSTRUCT reference it; keep one"
            waiting.append(Waiting(scan, several if masks[scan] else "no SEG or RTSTRUCT references it yet"))
        else:
            rows.append(row(held[0], masks[scan][0]))
    return rows, waiting


def _row(base: str, scans: ScansSettings, site: str, image: dict, mask: str) -> ScanRow:
    return ScanRow(
        scan_id=image["scan_id"], reader=scans.reader, repeat=scans.repeat, roi=scans.roi,
        patient_id=image["patient_id"], site=site, phase="", image="its series", mask="its outline",
        series_uid=image["series"], image_uri=f"{base}/{image['folder']}", mask_uri=f"{base}/{mask}",
    )  # fmt: skip
