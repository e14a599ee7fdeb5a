"""Where the time of one scan goes: its stages, then the functions that took most of it.

make profile                            a small real scan of ../shared/data, a made-up one where that is not there
make profile SCAN=stomach               one of the scans of `make bench`, by name
make profile SCAN="ct.nii.gz mask.nii.gz 1"    any image and mask, and the region where the mask has several
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path

import SimpleITK as sitk
from one_scan import ours, write_ball
from scans import real_scans
from stages import ORDER

DEFAULT = "STS_025, cropped"
FUNCTIONS = 25


def chosen(words: list[str], data: Path, folder: Path) -> tuple[str, str, str]:
    """Image, mask and region of what was asked for; SystemExit when there is no such scan."""
    scans = {case.name: case for case in real_scans(data, folder)} if data.is_dir() else {}
    if not words and not scans:
        return write_ball(folder)
    name = " ".join(words) or DEFAULT
    if name in scans:
        return str(scans[name].image), str(scans[name].mask), scans[name].roi
    if len(words) not in (2, 3):
        raise SystemExit(f"wanted image, mask and region, or one of {'; '.join(scans)}; got {name}")
    return *words[:2], "".join(words[2:])


def print_stages(found: dict) -> None:
    """Stages by the share of CPU time."""
    print(f"{found['cpu']:.2f} CPU s, {found['wall']:.2f} s, peak {found['peak_mb']:.0f} MB\n")
    for stage in sorted(ORDER, key=lambda stage: -found["stages"][stage]):
        seconds = found["stages"][stage]
        print(f"{seconds:8.3f} s  {seconds / found['cpu']:6.1%}  {stage}")


def print_functions(profile: cProfile.Profile) -> None:
    """The functions with most time of their own; what native code takes counts for the function that calls it."""
    print(f"\n{'own s':>8} {'with calls':>10} {'calls':>8}  function")
    rows = pstats.Stats(profile).stats.items()
    for (file, line, name), (_, calls, own, total, _) in sorted(rows, key=lambda row: -row[1][2])[:FUNCTIONS]:
        place = f"{'/'.join(Path(file).parts[-2:])}:{line} " if line else ""
        print(f"{own:8.3f} {total:10.3f} {calls:8}  {place}{name}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", nargs="*", help="a scan's name, or image, mask and region")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the reference scans")
    options = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # as in a worker
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = chosen(options.scan, options.data.resolve(), folder)
        extract = ours(folder)
        extract(*write_ball(folder))  # imports, kernels
        print_stages(extract(*scan))
        with cProfile.Profile() as profile:
            extract(*scan)
        print_functions(profile)


if __name__ == "__main__":
    main()
