"""In which encoding the text of a table is: UTF-8 and UTF-16 are recognised, any other must be named."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from gc_ray.errors import TableError

STEP = 1 << 20  # bytes decoded at a time
HEAD = 1 << 12  # bytes in which the zero bytes of UTF-16 and UTF-32 are counted
_MARKS = (  # UTF-32 before UTF-16, whose mark it begins with
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    ("\ufeff".encode("gb18030"), "gb18030"),
)
# as programs on Windows write what goes by these names: the larger set of characters
_WIDER = {
    **dict.fromkeys(("gbk", "gb2312", "cp936"), "gb18030"),
    **{"big5": "cp950", "shift_jis": "cp932", "euc_kr": "cp949"},
    **dict.fromkeys(("iso8859-1", "ascii"), "cp1252"),
    "utf-8-sig": "utf-8",
}
_NAMES = {"cp1252": "windows-1252", "cp950": "big5", "cp932": "shift_jis", "cp949": "euc-kr"}
_KNOWN = re.compile(
    r"(utf-(8|16|32)(-[lb]e)?|gb\w*|big5\w*|cp\d+|iso8859-\d+|koi8-\w|mac-\w+|euc_\w+|shift_jis\w*|johab)"
)
_FOREIGN = ("gb18030", "cp950", "cp932", "cp949", "cp1252")  # tried for the message of a refusal, never to read


@dataclass(frozen=True)
class Encoding:
    """codec: Python's name. skip: bytes of the mark before the text. note: empty for UTF-8."""

    codec: str
    skip: int
    note: str


def encoding_of(data: bytes, name: str, asked: str | None) -> Encoding:
    """How to decode a table; the whole of it decodes without a fault.

    asked: what the user says of tables that are neither UTF-8 nor UTF-16. TableError when a byte fits neither that
    nor UTF-8, and when the name is no encoding that is known.
    """
    own = _checked_name(asked) if asked else None
    mark, codec = next(((mark, codec) for mark, codec in _MARKS if data.startswith(mark)), (b"", _by_zeros(data)))
    if codec:
        return _decodable(data, name, Encoding(codec, len(mark), "" if codec == "utf-8" else _note(codec)))
    if (row := _fault(data, "utf-8")) is None:
        other = own not in (None, "utf-8") and not data.isascii()
        return Encoding("utf-8", 0, f"read as UTF-8, not as {shown(own)}: every byte of it is UTF-8" if other else "")
    if own is None:
        raise TableError(
            f"{name}: wanted UTF-8, row {row} is in another encoding; save it as CSV UTF-8, or name the encoding"
            f"{_suggested(data)}"
        )
    return _decodable(data, name, Encoding(own, 0, _note(own)))


def shown(codec: str) -> str:
    """The name of an encoding as users know it."""
    return "UTF-" + codec.split("-")[1] if codec.startswith("utf-") else _NAMES.get(codec, codec)


def _checked_name(asked: str) -> str:
    try:
        codec = codecs.lookup(asked.strip()).name
    except (LookupError, ValueError, UnicodeError):
        codec = ""
    if not _KNOWN.fullmatch(_WIDER.get(codec, codec)):
        raise TableError(
            f"--encoding {asked}: wanted the name of an encoding, such as gb18030, big5, shift_jis, euc-kr, "
            "windows-1252 or latin-1"
        )
    return _WIDER.get(codec, codec)


def _by_zeros(data: bytes) -> str:
    """UTF-16 or UTF-32 without a mark, by where the zero bytes of its ASCII letters lie; empty for other text."""
    head = data[: min(HEAD, len(data) // 4 * 4)]
    zeros = [head[k::4].count(0) for k in range(4)]
    quarter = len(head) // 4
    if quarter == 0:
        return ""
    for codec, full in (("utf-32-le", (2, 3)), ("utf-32-be", (0, 1))):
        if all(zeros[k] == quarter for k in full) and sum(zeros) < 4 * quarter:
            return codec
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    if max(even, odd) < quarter / 4 or max(even, odd) < 4 * min(even, odd) or even + odd == 4 * quarter:
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _decodable(data: bytes, name: str, encoding: Encoding) -> Encoding:
    row = _fault(data[encoding.skip :], encoding.codec)
    if row is not None:
        raise TableError(
            f"{name}: it is not {shown(encoding.codec)} throughout, row {row} has other bytes or the file is cut "
            "short; save it as CSV UTF-8, or name another encoding by --encoding"
        )
    return encoding


def _fault(data: bytes, codec: str) -> int | None:
    """The row, counted in lines, of the first byte that a codec cannot decode; None when there is none."""
    if codec == "utf-8" and data.isascii():
        return None
    decoder, row = codecs.getincrementaldecoder(codec)(), 1
    for start in range(0, len(data), STEP):
        try:
            text = decoder.decode(data[start : start + STEP], start + STEP >= len(data))
        except UnicodeDecodeError as error:
            return row + _lines(error.object[: error.start].decode(codec, "ignore"))
        row += _lines(text)
    return None


def _lines(text: str) -> int:
    return text.count("\n") or text.count("\r")


def _note(codec: str) -> str:
    return f"read as {shown(codec)}"


def _suggested(data: bytes) -> str:
    """The encodings that the bytes would fit, the likeliest first."""
    fit = [codec for codec in _FOREIGN if _fault(data, codec) is None]
    pairs = all(len(run) % 2 == 0 for run in re.findall(rb"[\x80-\xff]+", data[: 1 << 16]))
    fit = fit if pairs else fit[::-1]  # letters of East Asia mostly take two such bytes, those of Europe one
    if not fit:
        return " by --encoding"
    more = f" (it would also fit {', '.join(map(shown, fit[1:]))})" if fit[1:] else ""
    return f": --encoding {shown(fit[0])}{more}"
