"""A number as a spreadsheet shows it by its number format: 7 by 0000 is 0007, by "P"000 it is P007."""

from __future__ import annotations

import re

_NOT_SHOWN = re.compile(r"\[[^\]]*\]|_.")  # [Red], and a blank as wide as the sign after _
_PART = re.compile(r'"(?P<text>[^"]*)"|\\(?P<sign>.)|(?P<digits>0+)|(?P<plain>[- ()])')


def shown_id(value: int, number_format: str) -> str:
    """The number in the digits and fixed texts of a format.

    Parameters
    ----------
    value : int
    number_format : str
        As a workbook stores it, such as ``0000`` or ``"P"000``.

    Returns
    -------
    str
        Empty for a format of another kind (``General``, decimals, thousands, exponents) and for a negative number.
    """
    kind = _NOT_SHOWN.sub("", number_format.split(";")[0])
    parts = list(_PART.finditer(kind))
    wanted = sum(len(part["digits"] or "") for part in parts)
    if value < 0 or not wanted or "".join(part[0] for part in parts) != kind:
        return ""
    left = str(value).zfill(wanted)
    shown, rest = "", wanted
    for part in parts:
        if part["digits"]:
            rest -= len(part["digits"])
            cut = len(left) - rest
            shown, left = shown + left[:cut], left[cut:]
        else:
            shown += part["text"] or part["sign"] or part["plain"] or ""
    return shown
