"""Whether a header gives HU, and the arithmetic to get there."""

import numpy as np
import pytest
from pydicom import Dataset

from gc_ray.errors import ScanError
from gc_ray.imaging.pixel_bits import PixelBits
from gc_ray.imaging.read import read_ct, survey_ct
from gc_ray.imaging.rescale import hu_bounds, to_hu


def mapping(*units):
    """A Real World Value Mapping for each unit."""
    items = []
    for unit in units:
        code, item = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
        item.MeasurementUnitsCodeSequence = [code]
        items.append(item)
    return items


@pytest.mark.parametrize(
    "scale",
    [
        *("HU", "hu", "Hu", "HU ", " HU", "H.U.", "[HU]", "Hounsfield", "HOUNSFIELD", "Hounsfield Units"),
        *("hounsfield unit", "Hounsfield Units (HU)", "HOUNSFIELD_UNITS", "US", "us", "UNSPECIFIED", "", None),
    ],
)
def test_every_spelling_of_hounsfield_units_is_hu(slices, save, scale):
    """In small or large letters, with blanks, dots or brackets; unspecified and empty as before. Values are equal."""
    plain = read_ct(save(slices, folder="plain")).volume.array
    for data in slices:
        data.RescaleType = scale
    scan = read_ct(save(slices))
    assert np.array_equal(scan.volume.array, plain)
    assert scan.notes.repairs == ()


@pytest.mark.parametrize(
    ("scale", "shown"),
    [
        ("OD", r"OD \(optical density\)"),
        ("MGML", r"MGML \(mg/ml\)"),
        ("Z_EFF", r"Z_EFF \(effective atomic number\)"),
        ("ED", r"ED \(electron density\)"),
        ("EDW", r"EDW \(electron density relative to water\)"),
        ("hu_mod", r"hu_mod \(HU that were modified for some materials\)"),
        ("PCT", r"PCT \(per cent\)"),
        ("mg/cm3", "'mg/cm3'"),
        ("HUX", "'HUX'"),
        ("PLANTED PATIENT", "no known code"),
        ("PLANTED^PATIENT", "no known code"),
        ("PLANTEDPLANTEDPLANTED", "no known code"),
        ("密度", "no known code"),
    ],
)
def test_another_scale_is_refused_by_its_code_and_text_is_not_repeated(slices, save, scale, shown):
    """A code in one word of 16 letters at most is shown; anything else could be about a patient."""
    slices[3].SpecificCharacterSet = "ISO_IR 192"
    slices[3].RescaleType = scale
    with pytest.raises(ScanError, match=rf"^003\.dcm: RescaleType is {shown}, so values are not HU") as refusal:
        survey_ct(save(slices))
    assert "PLANTED" not in str(refusal.value)


def test_units_of_a_real_world_value_mapping_count_where_the_rescale_has_none(slices, save):
    """An iodine map under RescaleType US would be read as HU; a mapping to HU, or a stated HU, is in order."""
    for data in slices:
        data.RescaleType, data.RealWorldValueMappingSequence = "US", mapping("mg/cm3")
    with pytest.raises(ScanError, match=r"^000\.dcm: .*Real World Value Mapping says mg/cm3, so values are not HU"):
        survey_ct(save(slices))
    for scale, units in (("US", ("mg/cm3", "[hnsf'U]")), ("HU", ("mg/cm3",)), ("", ("1",)), ("", ("HU",)), ("", ())):
        for data in slices:
            data.RescaleType, data.RealWorldValueMappingSequence = scale, mapping(*units)
        assert survey_ct(save(slices)).grid.size[2] == 6


def test_a_mapping_never_replaces_the_rescale(slices, save):
    """Without slope and intercept HU stay unknown, whatever a mapping says."""
    for data in slices:
        del data.RescaleSlope
        data.RealWorldValueMappingSequence = mapping("[hnsf'U]")
    with pytest.raises(ScanError, match="RescaleSlope or RescaleIntercept is missing"):
        survey_ct(save(slices))


@pytest.mark.parametrize("keyword", [b"-1024.0 ", b"2.0 "])
def test_a_decimal_comma_is_named(slices, save, keyword):
    """Software of some countries writes it; DICOM allows a point only, and 1,000 could be read in two ways."""
    for data in slices:
        data.RescaleIntercept, data.SliceThickness = "-1024.0", "2.0"
    folder = save(slices)
    path = folder / "002.dcm"
    path.write_bytes(path.read_bytes().replace(keyword, keyword.replace(b".", b",")))
    with pytest.raises(ScanError, match=r"^002\.dcm: (RescaleIntercept|SliceThickness) has a decimal comma"):
        survey_ct(folder)


def test_hu_type_follows_the_values():
    """Whole-numbered rescale stays whole-numbered (float64 only otherwise), exactly slope x stored + intercept."""
    stored = np.array([[0, 65535]], np.uint16)
    assert to_hu(stored, 1.0, -1024.0).tolist() == [[-1024, 64511]]
    assert to_hu(stored, 1.0, -1024.0).dtype == np.int32
    assert to_hu(stored, 0.001, 0.0).dtype == np.float64
    assert to_hu(stored, 0.001, 0.0)[0, 1] == 0.001 * 65535


def test_bounds_of_hu_follow_bits_stored():
    """With either sign of the slope."""
    assert hu_bounds(PixelBits(16, 12, 11, False), 1.0, -1024.0) == (-1024.0, 3071.0)
    assert hu_bounds(PixelBits(16, 12, 11, True), -2.0, 0.0) == (-4094.0, 4096.0)
