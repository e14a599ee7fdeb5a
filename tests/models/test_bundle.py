"""A bundle is a folder from elsewhere: nothing in its names, links or nesting reaches beyond it."""

import hashlib
import random
import re
from pathlib import Path

import pytest

from gc_ray.errors import BundleError
from gc_ray.models.bundle import SEAL, SUMS, read_bundle
from gc_ray.store import open_store

DATA = Path(__file__).parents[1] / "data"
KEY = b"k" * 32


@pytest.fixture
def folder(tmp_path) -> Path:
    """A bundle of one signature and one small network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DATA))
        import every_kind
    every_kind.fill_bundle(open_store(str(tmp_path / "bundle")), KEY)
    return tmp_path / "bundle"


def reseal(folder: Path, extra: tuple[str, ...] = ()) -> None:
    """Sums that fit the parts again, so that what lies behind them is reached; extra: names listed beside them."""
    files = sorted(
        p for p in folder.rglob("*") if p.is_file() and p.name not in (SUMS, SEAL) and p.stat().st_size < 1 << 25
    )
    sums = {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    sums |= dict.fromkeys(extra, "0" * 64)
    (folder / SUMS).write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))


def test_sums_that_fit_are_read(folder):
    """What the tests below change is alone to blame."""
    reseal(folder)
    assert read_bundle(open_store(str(folder))).model == "image"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", "a//b", "a\\..\\b", "x" * 300, "a\x07b"]
)
def test_a_listed_name_that_leaves_the_folder_is_refused(folder, name):
    """Before anything of that name is looked at."""
    reseal(folder, (name,))
    with pytest.raises(BundleError, match="SHA256SUMS has changed"):
        read_bundle(open_store(str(folder)))


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/stdin", "."])
def test_a_part_that_is_a_device_or_a_folder_is_missing(folder, target):
    """A link to what never ends is not read."""
    (folder / "cutoff.json").unlink()
    (folder / "cutoff.json").symlink_to(target)
    with pytest.raises(BundleError, match=r"part cutoff\.json"):
        read_bundle(open_store(str(folder)))


def test_a_part_that_became_a_folder_is_named(folder):
    """With a file in it."""
    (folder / "cutoff.json").unlink()
    (folder / "cutoff.json").mkdir()
    (folder / "cutoff.json" / "x").write_text("{}")
    with pytest.raises(BundleError, match=r"part cutoff\.json"):
        read_bundle(open_store(str(folder)))


@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "9" * 10_000]
)
@pytest.mark.parametrize("part", ["card.json", "scoring.json", "signatures/image.json"])
def test_json_too_deep_or_too_long_is_refused_by_its_part(folder, part, text):
    """Though its sum is right."""
    (folder / part).write_text(text)
    reseal(folder)
    with pytest.raises(BundleError, match=f"^bundle: part {re.escape(part)}: "):
        read_bundle(open_store(str(folder)))


def test_a_part_larger_than_any_is_not_read(folder):
    """A sparse file of gigabytes costs a look at its size."""
    with (folder / "cutoff.json").open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(BundleError, match=r"part cutoff\.json has 17179869184 bytes, wanted at most 16777216"):
        read_bundle(open_store(str(folder)))


@pytest.mark.parametrize("length", [0, 2**40, 2**63])
def test_a_network_whose_header_lies_about_its_length_is_refused(folder, length):
    """No memory is taken for what it claims."""
    path = folder / "networks/net.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    reseal(folder)
    with pytest.raises(BundleError, match=r"part networks/net\.safetensors: wanted a packed network"):
        read_bundle(open_store(str(folder)))


def test_one_changed_bit_of_any_file_is_refused(folder):
    """In every byte of the sums and of the seal, and in some of every part."""
    store, rng = open_store(str(folder)), random.Random(0)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for place in (
            range(len(data)) if path.name in (SUMS, SEAL) else rng.sample(range(len(data)), min(3, len(data)))
        ):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :])
            with pytest.raises(BundleError):
                read_bundle(store, KEY)
        path.write_bytes(data)
    assert read_bundle(store, KEY).sealed
