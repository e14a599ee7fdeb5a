"""Pixels of the slices that are asked for, with the values and the type that the whole series would give them."""

import shutil
from copy import deepcopy

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, generate_uid

from gc_ray.errors import ScanError
from gc_ray.imaging import voxels
from gc_ray.imaging.read import open_ct, read_ct
from gc_ray.imaging.volume import Slab, Volume


def store(data, hu, kind="<i2"):
    """Give a slice these HU (a number, or one for each pixel) under its own rescale."""
    stored = (np.broadcast_to(hu, (data.Rows, data.Columns)) - data.RescaleIntercept) / data.RescaleSlope
    data.PixelData = np.rint(stored).astype(kind).tobytes()


def spoil(data):
    """Pixel data that are whole by the file's structure, and that no decoder can read."""
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.PixelData = encapsulate([bytes(range(250))])
    data["PixelData"].is_undefined_length = True


def twin(data):
    """A copy of a slice under a UID of its own."""
    copy = deepcopy(data)
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return copy


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that the real decoder was given, in order."""
    names, decode = [], voxels.decode

    def counting(file, shape, bits):
        names.append(file.name)
        return decode(file, shape, bits)

    monkeypatch.setattr(voxels, "decode", counting)
    return names


def assert_part_of_whole(folder, planes):
    """The slices read alone are those of the whole series, to the bit and in their type."""
    whole, part = read_ct(folder), open_ct(folder).read(planes)
    assert isinstance(part.volume, Slab)
    assert part.volume.first == planes.start
    assert part.volume.grid == whole.volume.grid
    assert part.volume.dtype == whole.volume.dtype
    assert part.volume.slices.tobytes() == whole.volume.array[planes.start : planes.stop].tobytes()
    return part


@pytest.mark.parametrize("planes", [range(2), range(1, 4), range(4, 6), range(3, 4)])
@pytest.mark.parametrize("slope", [1, 0.5])
def test_a_part_is_what_the_whole_has_there(slices, save, planes, slope):
    """Whole-numbered HU or not, at either end or inside."""
    for data in slices:
        data.RescaleSlope = slope
    assert_part_of_whole(save(slices), planes)


def test_only_the_slices_asked_for_are_decoded_and_the_remark_says_so(slices, save, decoded):
    """Slices count from 0 along the grid; names of files decide nothing."""
    names = [f"{n}.dcm" for n in "fedcba"]
    part = open_ct(save(slices, names)).read(range(1, 4))
    assert sorted(decoded) == ["c.dcm", "d.dcm", "e.dcm"]
    told = "pixels of 3 of 6 slices read (1-3): the region and its margin need no others"
    assert part.notes.remarks == (told,)
    assert part.notes.repairs == ()


@pytest.mark.parametrize("planes", [None, range(6)])
def test_all_slices_make_a_volume_without_a_remark(slices, save, decoded, planes):
    """Nothing was left out, so nothing is to be told."""
    scan = open_ct(save(slices)).read(planes)
    assert isinstance(scan.volume, Volume)
    assert len(decoded) == 6
    assert scan.notes.remarks == ()


def test_opening_decodes_nothing_and_checks_the_length_of_every_file(slices, save, decoded):
    """A slice that nobody needs and that is cut short still refuses the series: it may be another one's loss too."""
    folder = save(slices)
    assert open_ct(folder).geometry.grid.size == (20, 16, 6)
    assert decoded == []
    whole = (folder / "005.dcm").read_bytes()
    (folder / "005.dcm").write_bytes(whole[:-40])
    with pytest.raises(ScanError, match=r"^005\.dcm: truncated"):
        open_ct(folder)


def test_broken_pixels_matter_where_they_are_needed(slices, save):
    """An undecodable slice is refused by name when it is asked for, and not looked at when it is not."""
    spoil(slices[4])
    folder = save(slices)
    assert open_ct(folder).read(range(1, 4)).volume.slices.shape == (3, 16, 20)
    for planes in (range(3, 5), None):
        with pytest.raises(ScanError, match=r"^004\.dcm: its pixel data cannot be decoded"):
            open_ct(folder).read(planes)


def test_doubled_positions_are_compared_wherever_they_lie(slices, save, decoded):
    """Two images at one position tell of two phases under one UID, which the slices needed may be mixed of."""
    copy = twin(slices[5])
    part = assert_part_of_whole(save([*slices, copy]), range(2))
    assert part.notes.repairs == ("duplicate slice at z = 110.00 mm: 006.dcm equals 005.dcm, dropped",)
    assert sorted(decoded[-4:]) == ["000.dcm", "001.dcm", "005.dcm", "006.dcm"]
    copy.PixelData = slices[0].PixelData
    with pytest.raises(ScanError, match=r"005\.dcm and 006\.dcm: two different images at the same position"):
        open_ct(save([*slices, copy])).read(range(2))


def test_a_value_beyond_int16_widens_the_part_as_it_does_the_whole(slices, save):
    """Stored -32768 under an intercept of -1024 is -33792 HU."""
    store(slices[2], -33792)
    assert assert_part_of_whole(save(slices), range(1, 4)).volume.dtype == np.int32


def test_high_values_make_sure_of_their_type(slices, save, decoded):
    """Near the end of int16 a spline's overshoot is cut off in int16 and not in int32, so all slices are asked; a
    few thousand HU are the same in both, and where headers allow no more than int16 there is nothing to ask."""
    store(slices[0], -33000)
    for data, hu in zip(slices[1:], (0, 0, 12000, 0, 0), strict=True):
        store(data, hu)
    folder = save(slices)
    scan = open_ct(folder).read(range(2, 5))
    assert isinstance(scan.volume, Volume)
    assert scan.volume.dtype == np.int32
    assert scan.notes.remarks == ()
    decoded.clear()
    assert open_ct(folder).read(range(4, 6)).volume.dtype == np.int16
    assert len(decoded) == 2
    for data in slices:
        data.RescaleIntercept = 0
    assert isinstance(open_ct(save(slices)).read(range(2, 5)).volume, Slab)


def test_headers_that_allow_more_than_32_bits_get_all_slices_read(slices, save):
    """One such value would make the whole scan float64, whose interpolation is not cut off to whole HU."""
    for data in slices:
        data.RescaleSlope = 100_000
        store(data, 100_000)
    store(slices[0], 100_000 * 30_000)
    scan = open_ct(save(slices)).read(range(3, 5))
    assert isinstance(scan.volume, Volume)
    assert scan.volume.dtype == np.float64


def test_a_slab_gives_nothing_that_was_not_read(slices, save):
    """No zeros in place of tissue: what lies outside is an error, and there is no array to be taken for the scan."""
    slab = open_ct(save(slices)).read(range(2, 5)).volume
    assert np.array_equal(slab.part(((1, 2, 3), (4, 5, 2))), slab.slices[1:3, 2:7, 1:5])
    for first, count in ((1, 2), (4, 2), (0, 6)):
        with pytest.raises(ValueError, match="read were 3 from 2 on"):
            slab.part(((0, 0, first), (2, 2, count)))
    assert not hasattr(slab, "array")
    for first in (-1, 4):
        with pytest.raises(ValueError, match="leaves its grid"):
            Slab(slab.slices, slab.grid, first)


def test_a_real_series_in_parts(data, tmp_path):
    """Uncompressed and RLE, upright and oblique."""
    for name, planes in (
        ("sts_ct_rtstruct/STS_025/dicom", range(11, 30)),
        ("dicom_seg/ct-3slice", range(1, 3)),
        ("ugly/real_oblique_oriented", range(1)),
        ("ugly/derived_rle", range(1, 3)),
    ):
        assert_part_of_whole(data / name, planes)
    folder = shutil.copytree(data / "ugly/derived_duplicate_slice", tmp_path / "doubled")
    assert open_ct(folder).read(range(2)).notes.repairs == read_ct(folder).notes.repairs
