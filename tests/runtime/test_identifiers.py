"""What headers say of a person is in no output: planted in every DICOM file, looked for in all that is written."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pydicom
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PLANTED = {
    "PatientName": "PLANTEDNAME^Given",
    "PatientID": "PLANTEDID77",
    "PatientBirthDate": "19310714",
    "OtherPatientIDs": "PLANTEDOTHERID",
    "PatientAddress": "PLANTEDSTREET 1",
    "InstitutionName": "PLANTEDHOSPITAL",
    "InstitutionAddress": "PLANTEDTOWN",
    "AccessionNumber": "PLANTEDACC9",
    "OperatorsName": "PLANTEDOPERATOR",
    "ReferringPhysicianName": "PLANTEDDOCTOR",
    "SeriesDescription": "PLANTEDSERIES portal",
    "StudyDescription": "PLANTEDSTUDY",
    "StudyDate": "20170331",
    "StudyID": "PLANTEDSTUDYID",
    "StationName": "PLANTEDSTATION",
    "ContentCreatorName": "PLANTEDCREATOR",
    "StructureSetDescription": "PLANTEDSET",
}
TRACES = (b"PLANTED", b"19310714", b"1931-07-14", b"20170331", b"2017-03-31")
SITE_KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def planted(cohort, tmp_path_factory) -> Path:
    """The cohort with the planted values in every CT slice, SEG and RTSTRUCT; some files are damaged."""
    folder = Path(shutil.copytree(cohort, tmp_path_factory.mktemp("planted") / "c"))
    kinds = set()
    for path in sorted(folder.rglob("*.dcm")):
        data = pydicom.dcmread(path)
        for name, value in PLANTED.items():
            setattr(data, name, value)
        kinds.add(str(data.Modality))
        data.save_as(path)
    assert {"CT", "SEG"} <= kinds, kinds
    folders = sorted(path for path in (folder / "site_A").iterdir() if path.is_dir())
    cut, odd = (sorted((each / "ct").iterdir())[4] for each in folders[:2])
    cut.write_bytes(cut.read_bytes()[:700])
    odd.write_bytes(odd.read_bytes().replace(b"DS", b"PN"))
    return folder


@pytest.fixture(scope="module")
def outputs(planted, quick, tmp_path_factory) -> dict[str, bytes]:
    """Everything that check, extract and split wrote, printed or left in Ray's logs."""
    folder = tmp_path_factory.mktemp("written")
    logs = Path(tempfile.mkdtemp(prefix="gcl", dir="/tmp"))  # short: Ray puts sockets below it
    scans = [f"--scans={path}" for path in sorted(planted.glob("scans_site_*.csv"))]
    store = f"--store={folder / 'store'}"
    environment = os.environ | {"RAY_TMPDIR": str(logs), "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    commands = [
        ("check", *scans, "--workers=1"),
        ("check", *scans, "--json", "--workers=1"),
        ("extract", *scans, store, f"--feature-set={quick}", "--volumes=guo2025", "--workers=2"),
        ("split", f"--clinical={planted / 'clinical.csv'}", store, "--study=recurrence"),
    ]
    found = {}
    for command in commands:
        done = subprocess.run(
            [sys.executable, ROOT / f"jobs/{command[0]}.py", *command[1:]],
            env=environment,
            capture_output=True,
            check=False,
        )
        found[f"printed by {command[0]} {len(found)}"] = done.stdout + done.stderr
    assert b"refused" in found["printed by check 0"], found["printed by check 0"]
    for top in (folder / "store", logs):
        for path in (p for p in top.rglob("*") if p.is_file() and not p.is_symlink()):
            name = str(path.relative_to(top))
            found[name] = name.encode() + text_of(path)
    shutil.rmtree(logs, ignore_errors=True)
    return found


def text_of(path: Path) -> bytes:
    """A file's bytes; of a Parquet file its values too, since they are compressed."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        data += frame.drop(columns=[c for c in ("ct_hu", "mask") if c in frame]).to_csv().encode()
    return data


def test_no_value_of_a_header_is_in_what_is_written_or_printed(outputs):
    """Stores, run records, terminal and Ray's worker logs: none holds a trace, whatever the files looked like."""
    assert len(outputs) > 30
    assert any("worker" in name for name in outputs), "Ray's worker logs were not reached"
    assert any(name.startswith("runs/") for name in outputs)
    for name, data in outputs.items():
        for trace in TRACES:
            assert trace not in data, f"{trace.decode()} in {name}"


def test_new_series_are_named_by_the_key_and_nothing_else(planted, tmp_path):
    """What a search for new series returns and keeps holds pseudonyms and series UIDs alone."""
    from gc_ray.runtime.incoming import find_series
    from gc_ray.store import open_store
    from gc_ray.study_cohort import ScansSettings

    store = open_store(str(tmp_path))
    rows, waiting = find_series(str(planted), store, SITE_KEY.encode(), ScansSettings())
    assert rows
    kept = [store.get(entry.key) + entry.key.encode() for entry in store.list("")]
    for text in [repr((list(rows), waiting)).encode(), *kept]:
        assert not any(trace in text for trace in TRACES)
