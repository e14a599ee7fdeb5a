"""Runs every case of a folder of unusual inputs and compares what happened with what is right.

python benchmarks/strangers.py --data ../shared/strangers   # case, expected, result; exit 0 when all agree

The folder holds ``images_expected.csv`` with ``images/<case>/scans.csv``, and ``tables_expected.csv`` with
``tables/<case>/``. Images go through `gc-ray check` and `gc-ray extract`, tables through the commands of a study.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stranger_tables import judge_table

FEATURE_SET = "pyradiomics-ct"
# `E6_int16_extremes`: the values of PyRadiomics on the float32 copy of the image
EXTREMES = {"original_firstorder_Maximum": 41760.72, "original_firstorder_Minimum": -23745.25}


@dataclass(frozen=True)
class Verdict:
    """One case: what was expected, what happened, and whether that is right."""

    case: str
    expected: str
    result: str
    passed: bool


def main() -> int:
    """0 when every case behaves as its table says, else 1."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        asked = options.data, Path(folder), options.only
        verdicts = _images(*asked) + _tables(*asked)
    print("| case | expected | result | passed |\n|---|---|---|---|")
    for v in verdicts:
        cells = (v.case, v.expected, v.result, "yes" if v.passed else "NO")
        print("| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in cells) + " |")
    passed = sum(v.passed for v in verdicts)
    print(f"\n{passed} of {len(verdicts)} cases as expected")
    return int(passed < len(verdicts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with both expected tables")
    parser.add_argument("--only", default="", help="a regular expression: run the cases whose names match")
    return parser.parse_args()


def _rows(path: Path, only: str) -> list[dict]:
    with path.open(newline="") as stream:
        return [row for row in csv.DictReader(stream) if re.search(only, row["case"])]


def gc_ray(*arguments: object) -> tuple[int, str]:
    """The exit code and the output of one command, started as a user would."""
    command = [sys.executable, "-m", "gc_ray", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    return done.returncode, done.stdout + done.stderr


def _images(data: Path, folder: Path, only: str) -> list[Verdict]:
    rows = _rows(data / "images_expected.csv", only)
    manifests = {row["case"]: data / "images" / row["case"] / "scans.csv" for row in rows}
    scans = [row["case"] for row in rows if not row["case"].startswith("F_manifest_")]
    store = folder / "images"
    if scans:
        given = [part for case in scans for part in ("--scans", manifests[case])]
        code, output = gc_ray("extract", *given, "--feature-set", FEATURE_SET, "--store", store)
        ledger, features = _stored(store)
        if code not in (0, 3):
            print(output, file=sys.stderr)
    verdicts = []
    for row in rows:
        if row["case"] in scans:
            verdicts.append(_judge_scan(row, ledger, features))
        else:
            verdicts.append(_judge_manifest(row, manifests[row["case"]]))
    return verdicts


def _stored(store: Path) -> tuple[dict[str, dict], dict[str, dict]]:
    """The ledger rows and the feature rows of a store, by scan_id."""
    from gc_ray.ledger import read_features, read_ledger
    from gc_ray.store import open_store

    opened = open_store(str(store))
    ledger = {row["scan_id"]: row for row in read_ledger(opened).to_pylist()}
    features = {row["scan_id"]: row for row in read_features(opened, FEATURE_SET).to_pylist()}
    return ledger, features


def _judge_scan(row: dict, ledger: dict[str, dict], features: dict[str, dict]) -> Verdict:
    case, expected = row["case"], f"{row['status']}; {row['words']}; {row['mask_voxels']} voxels"
    scan = ledger.get(case) or next((found for key, found in ledger.items() if case.startswith(key)), None)
    if scan is None:
        return Verdict(case, expected, "no ledger row", False)
    text = "; ".join([scan["reason"], *scan["notes"]])
    values = features.get(scan["scan_id"], {})
    wrong = _wrong_status(row, scan, text) + _wrong_voxels(row, scan) + _wrong_values(row, values)
    result = f"{scan['status']}, {scan['mask_voxels']} voxels: {text}"
    return Verdict(case, expected, "; ".join([*wrong, result]), not wrong)


def _wrong_status(row: dict, scan: dict, text: str) -> list[str]:
    wrong = []
    if scan["status"] not in row["status"].split("|"):
        wrong.append(f"STATUS {scan['status']}")
    if scan["status"] != "ok" and not re.search(row["words"], text, re.IGNORECASE):
        wrong.append("WORDS missing")
    return wrong


def _wrong_voxels(row: dict, scan: dict) -> list[str]:
    """The mask's voxels against the table: a number, ``none``, or a rule in words with two numbers."""
    voxels, rule = scan["mask_voxels"], row["mask_voxels"]
    numbers = re.findall(r"\d+", rule)
    if scan["status"] == "refused" or not numbers:
        return []
    allowed = {int(numbers[0])}
    if "otherwise" in rule and scan["status"] == "repaired":
        allowed.add(int(numbers[1]))
    return [] if voxels in allowed else [f"VOXELS {voxels}"]


def _wrong_values(row: dict, values: dict) -> list[str]:
    wrong = []
    limit = re.fullmatch(r"(\w+) <= (\d+)", row["check"])
    if limit and values and not values[limit[1]] <= float(limit[2]):
        wrong.append(f"{limit[1]} {values[limit[1]]:g}")
    if "NaN" in row["check"] and values:
        wrong += [f"{name} is NaN" for name, value in values.items() if value != value][:3]
        if row["case"] == "E6_int16_extremes":
            wrong += [f"{n} {values[n]:g}" for n, v in EXTREMES.items() if abs(values[n] - v) > 1e-6 * abs(v)]
    return wrong


def _judge_manifest(row: dict, manifest: Path) -> Verdict:
    code, output = gc_ray("check", "--scans", manifest)
    named = re.search(row["words"], output, re.IGNORECASE) is not None
    passed = "Traceback" not in output and named and code in (0, 2, 3)  # 3: read, and its scan is not there
    return Verdict(row["case"], f"{row['status']}; {row['words']}", f"exit {code}: {output[-300:]}", passed)


def _tables(data: Path, folder: Path, only: str) -> list[Verdict]:
    verdicts = []
    for row in _rows(data / "tables_expected.csv", only):
        passed, result = judge_table(row["case"], data / "tables", folder / "tables" / row["case"], gc_ray)
        verdicts.append(Verdict(row["case"], f"{row['right']}: {row['why']}", result, passed))
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
