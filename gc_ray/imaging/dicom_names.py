"""Names of regions in DICOM files: as their character set says, and as their bytes may be meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom import Dataset
from pydicom.charset import CODES_TO_ENCODINGS, convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.valuerep import TEXT_VR_DELIMS

ESCAPE = b"\x1b"
# Escape sequences of 94 x 94 sets in the upper half (ISO 2022 IR 58 and IR 149), whose text stands alone, too
UPPER_SETS = (b"\x1b$)A", b"\x1b$)C")
# UTF-8, then what is written in China, Taiwan, Japan, Korea, and western, central and eastern Europe
ENCODINGS = ("utf-8", "gb18030", "big5", "cp932", "cp949", "cp1252", "cp1250", "cp1251")
ASCII_TERMS = ("", "ISO_IR 6", "ISO 2022 IR 6")


def name_readings(item: Dataset, keyword: str, header: Dataset) -> tuple[str, tuple[str, ...]]:
    """A name, and what its bytes would be in other character sets.

    Parameters
    ----------
    item : Dataset
        Holds the element ``keyword`` (LO, one value).
    keyword : str
        ROIName or SegmentLabel.
    header : Dataset
        Of the file; states the character set unless the item does.

    Returns
    -------
    tuple of str and tuple of str
        The name by the stated character set with its escape sequences, or by UTF-8 where none is stated and the
        bytes are valid UTF-8; empty when missing. Other readings, without an order of likelihood.

    References
    ----------
    DICOM PS3.5, 6.1.2.5, and annexes H, I, J and K for Japanese, Korean and Chinese.
    """
    if keyword not in item:
        return "", ()
    element = item.get_item(keyword)
    if not isinstance(element, RawDataElement):
        return str(element.value or ""), ()
    raw = bytes(element.value or b"").rstrip(b"\0 ")
    if raw.isascii() and ESCAPE not in raw:
        return raw.decode("ascii"), ()
    terms = _terms(item) or _terms(header)
    stated = _stated(raw, terms)
    others = list(dict.fromkeys(text for text in _possible(raw, stated) if text != stated))
    utf8 = _decoded(raw, "utf-8")
    if utf8 and utf8 != stated and set(terms) <= set(ASCII_TERMS) and ESCAPE not in raw:
        return utf8, (stated, *(text for text in others if text != utf8))
    return stated, tuple(others)


def _terms(item: Dataset) -> list[str]:
    value = item.get("SpecificCharacterSet") or []
    return [value] if isinstance(value, str) else [str(term) for term in value]


def _stated(raw: bytes, terms: Iterable[str]) -> str:
    """The text by the stated terms; a known escape sequence is followed even when its set is not stated."""
    try:
        encodings = convert_encodings(list(terms))
        if ESCAPE in raw:
            encodings += [code for code in CODES_TO_ENCODINGS.values() if code not in encodings]
        text = decode_bytes(raw, encodings, TEXT_VR_DELIMS)
    except (LookupError, ValueError):
        text = raw.decode("latin-1")
    return text.replace(UPPER_SETS[0].decode(), "")  # pydicom 3.0 leaves this escape sequence in the text


def _possible(raw: bytes, stated: str) -> Iterator[str]:
    """The text in each encoding in which the bytes are valid, and as UTF-8 that was encoded twice."""
    for sequence in UPPER_SETS:
        raw = raw.replace(sequence, b"")
    for encoding in ENCODINGS:
        if text := _decoded(raw, encoding):
            yield text
    for encoding in ("cp1252", "latin-1"):
        try:
            yield stated.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue


def _decoded(raw: bytes, encoding: str) -> str:
    """The text, empty when the bytes are not valid in the encoding."""
    try:
        return raw.decode(encoding)
    except UnicodeError:
        return ""
