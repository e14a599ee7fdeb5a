"""Names of regions in the character sets of DICOM."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from gc_ray.imaging.read import list_rois, read_mask, survey_mask

TUMOUR = "\N{CJK UNIFIED IDEOGRAPH-80BF}\N{CJK UNIFIED IDEOGRAPH-7624}"  # Chinese
RARE = f"\N{CJK UNIFIED IDEOGRAPH-9555}{TUMOUR}"  # in GBK, not in GB 2312
SHUYO = "\N{CJK UNIFIED IDEOGRAPH-816B}\N{CJK UNIFIED IDEOGRAPH-760D}"  # Japanese
JIS_0212 = "\N{CJK UNIFIED IDEOGRAPH-4E02}"
JONGYANG = "\N{HANGUL SYLLABLE JONG}\N{HANGUL SYLLABLE YANG}"  # Korean
TUMOR = "Tum\N{LATIN SMALL LETTER O WITH DIAERESIS}r"
OPUKHOL = "\N{CYRILLIC SMALL LETTER O}\N{CYRILLIC SMALL LETTER PE}"
IR58 = b"\x1b$)A"


@pytest.fixture
def named(rtstruct, box, slices) -> Callable[..., Path]:
    """A structure set on the little CT whose first region is called by these bytes, in these character sets."""

    def write(name: bytes, sets: str) -> Path:
        images = [s.SOPInstanceUID for s in slices]
        path = rtstruct({"GTV": [("CLOSED_PLANAR", box(1, 3, 8, 2, 5))], "other": []}, images=images)
        data = pydicom.dcmread(path)
        return _saved(data, data.StructureSetROISequence[0], "ROIName", name, sets, path)

    return write


def _saved(data: Dataset, item: Dataset, keyword: str, name: bytes, sets: str, path: Path) -> Path:
    """The file with a name in ``item`` byte by byte, and other character sets."""
    if sets:
        data.SpecificCharacterSet = sets.split("\\")
    else:
        data.pop("SpecificCharacterSet", None)
    padded = name + b" " * (len(name) % 2)
    tag = Tag(keyword)
    item[tag] = RawDataElement(tag, "LO", len(padded), padded, 0, False, True)
    data.save_as(path)
    assert name in path.read_bytes()
    return path


# name, its bytes, the stated character sets
STATED = {
    "ASCII": ("GTV", b"GTV", ""),
    "padded by nulls": ("GTV", b"GTV\0\0\0", "ISO_IR 192"),
    "UTF-8": (TUMOUR, TUMOUR.encode(), "ISO_IR 192"),
    "Latin-1": (TUMOR, TUMOR.encode("latin-1"), "ISO_IR 100"),
    "GB18030": (TUMOUR, TUMOUR.encode("gb18030"), "GB18030"),
    "GBK": (TUMOUR, TUMOUR.encode("gbk"), "GBK"),
    "IR 58 with escape": (TUMOUR, IR58 + TUMOUR.encode("gb2312"), r"\ISO 2022 IR 58"),
    "IR 58, escape behind ASCII": ("GTV " + TUMOUR, b"GTV \x1b$)A" + TUMOUR.encode("gb2312"), r"\ISO 2022 IR 58"),
    "IR 58 twice": (
        f"{TUMOUR} 1 {TUMOUR}",
        b"\x1b$)A%b 1 \x1b$)A%b" % (TUMOUR.encode("gb2312"), TUMOUR.encode("gb2312")),
        r"\ISO 2022 IR 58",
    ),
    "IR 58 alone": (TUMOUR, IR58 + TUMOUR.encode("gb2312"), "ISO 2022 IR 58"),
    "IR 58 behind IR 6": (TUMOUR, IR58 + TUMOUR.encode("gb2312"), r"ISO 2022 IR 6\ISO 2022 IR 58"),
    "IR 87": (SHUYO, SHUYO.encode("iso2022_jp"), r"\ISO 2022 IR 87"),
    "IR 87 in ASCII": (f"GTV {SHUYO} 1", f"GTV {SHUYO} 1".encode("iso2022_jp"), r"ISO 2022 IR 13\ISO 2022 IR 87"),
    "IR 159": (JIS_0212, JIS_0212.encode("iso2022_jp_2"), r"\ISO 2022 IR 159"),
    "IR 149": (JONGYANG, b"\x1b$)C" + JONGYANG.encode("euc_kr"), r"\ISO 2022 IR 149"),
    "IR 149 alone": (JONGYANG, JONGYANG.encode("euc_kr"), "ISO 2022 IR 149"),
    "escape of a set that is not stated": (TUMOUR, IR58 + TUMOUR.encode("gb2312"), "ISO_IR 100"),
    "Cyrillic": (OPUKHOL, OPUKHOL.encode("iso8859_5"), "ISO_IR 144"),
    "UTF-8, nothing stated": (TUMOUR, TUMOUR.encode(), ""),
}


@pytest.mark.parametrize("case", STATED)
def test_a_name_is_read_by_its_character_sets(case, named, ct):
    """With escape sequences as in PS3.5, annexes H to K; UTF-8 is known by itself."""
    name, raw, sets = STATED[case]
    path = named(raw, r"\ISO 2022 IR 159" if sets == r"\ISO 2022 IR 159" else sets)
    assert list_rois(path) == (name, "other")
    read = read_mask(path, name, ct)
    assert read.mask.voxels == 24
    assert read.notes == survey_mask(path, name, ct)
    assert read.notes.repairs == read.notes.remarks == ()


@pytest.mark.parametrize(
    ("name", "raw", "sets"),
    [
        pytest.param(TUMOUR, TUMOUR.encode("gbk"), "", id="GBK, nothing stated"),
        pytest.param(TUMOUR, TUMOUR.encode("gbk"), "ISO_IR 100", id="GBK for Latin-1"),
        pytest.param(TUMOUR, TUMOUR.encode(), "ISO_IR 100", id="UTF-8 for Latin-1"),
        pytest.param(TUMOUR, TUMOUR.encode(), "GB18030", id="UTF-8 for GB18030"),
        pytest.param(TUMOUR, TUMOUR.encode("gbk"), "ISO_IR 192", id="GBK for UTF-8"),
        pytest.param(TUMOUR, TUMOUR.encode("gb2312"), r"\ISO 2022 IR 58", id="IR 58 without escape"),
        pytest.param(RARE, IR58 + RARE.encode("gbk"), r"\ISO 2022 IR 58", id="GBK in IR 58"),
        pytest.param(SHUYO, SHUYO.encode("cp932"), "", id="Shift JIS, nothing stated"),
        pytest.param(JONGYANG, JONGYANG.encode("euc_kr"), "", id="EUC-KR, nothing stated"),
        pytest.param(TUMOR, TUMOR.encode().decode("latin-1").encode(), "ISO_IR 192", id="UTF-8 encoded twice"),
        pytest.param(TUMOR, TUMOR.encode("latin-1"), "ISO_IR 192", id="Latin-1 for UTF-8"),
    ],
)
def test_a_name_in_another_character_set_than_stated_is_found_with_a_note(name, raw, sets, named, ct, assert_refused):
    """The manifest's name decides which reading of the bytes is meant; any other name is not found."""
    path = named(raw, sets)
    read = read_mask(path, name, ct)
    assert read.mask.voxels == 24
    assert f"read as '{name}': the file states no character set, or a wrong one" in read.notes.repairs[0]
    assert_refused(path, f"{name}1", ct, "not found; available: 1 = ")
    assert read_mask(path, list_rois(path)[0], ct).notes.repairs == ()


def test_a_segment_label_is_read_by_its_character_sets(seg, slices, ct):
    """The same rule for DICOM SEG."""
    array = np.zeros((6, 16, 20), np.uint8)
    array[1, 2:6, 3:9] = 1
    path = seg(array, slices, "BINARY", ["Tumour"])
    data = pydicom.dcmread(path)
    name = IR58 + TUMOUR.encode("gb2312")
    _saved(data, data.SegmentSequence[0], "SegmentLabel", name, r"\ISO 2022 IR 58", path)
    assert list_rois(path) == (TUMOUR,)
    assert read_mask(path, TUMOUR, ct).mask.voxels == 24
