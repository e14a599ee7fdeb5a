"""The command line: what it refuses, with which code, in one line."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gc_ray.cli import app

GC_RAY = str(Path(sys.executable).with_name("gc-ray"))
ROOT = Path(__file__).resolve().parents[1]
HEAD = "scan_id,patient_id,site,phase,image,mask\n"


def gc_ray(*arguments: object) -> Result:
    """Run a command in this process, whose libraries are loaded already."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def as_a_user(*arguments: object, **options) -> subprocess.CompletedProcess:
    """Run gc-ray as a user would."""
    return subprocess.run(
        [GC_RAY, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_the_package_runs_as_the_command():
    """`python -m gc_ray` is `gc-ray`, for whoever has no scripts folder on the path."""
    done = subprocess.run([sys.executable, "-m", "gc_ray", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "gc-ray [OPTIONS] COMMAND" in " ".join(done.stdout.split())


@pytest.fixture
def manifest(tmp_path) -> Path:
    """A manifest whose scan does not exist."""
    path = tmp_path / "scans.csv"
    path.write_text(HEAD + "1,P1,A,pv,ct,seg.dcm\n")
    return path


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--feature-set=pyradiomics"], 2, "pyradiomics-ct"),
        (["--feature-set=none.yaml"], 2, "none.yaml"),
        (["--volumes=cao"], 2, "cao2024"),
        (["--study=nothing"], 2, "study nothing: wanted a packaged study"),
        (["--set", "extract.speed=1"], 2, "extract.speed: Extra inputs are not permitted"),
        (["--scans=missing.csv"], 2, "missing.csv: wanted a scans table, there is no such file"),
        (["--store=/proc/none"], 1, "store /proc/none: cannot write"),
        (["--store=gs://x/y"], 1, "gs:// is not supported"),
    ],
)
def test_a_wrong_request_ends_before_any_work_with_one_line(manifest, tmp_path, options, code, message):
    """Exit 2 for arguments and tables, 1 for the store; one line on stderr, no traceback, nothing written."""
    given = {o.split("=")[0]: o for o in (f"--scans={manifest}", f"--store={tmp_path / 'store'}")}
    given = [value for name, value in given.items() if not any(o.startswith(name) for o in options)]
    done = gc_ray("extract", *given, *options)
    assert done.exit_code == code
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_a_faulty_manifest_is_exit_2_for_check_and_extract(tmp_path):
    """Both commands read the same table with the same eyes."""
    path = tmp_path / "scans.csv"
    path.write_text("scan_id,patient_id\n1,2\n")
    for arguments in (["extract", f"--store={tmp_path / 's'}"], ["check"], ["check", "--manifest-only"]):
        done = gc_ray(*arguments, f"--scans={path}")
        assert done.exit_code == 2
        assert "scans.csv: column(s) site, phase, image, mask missing" in done.stderr


def test_manifest_only_reads_no_file(manifest):
    """Tables alone: a scan that does not exist goes unnoticed, and says so."""
    done = gc_ray("check", f"--scans={manifest}", "--manifest-only")
    assert (done.exit_code, done.stdout) == (0, "1 outlines: tables only, no file was read\n")


@pytest.mark.parametrize("arguments", [["check", "--manifest-only"], ["extract", "--store=/proc/none"]])
def test_a_table_in_another_encoding_is_read_where_it_is_named(tmp_path, arguments):
    """Without the option the refusal names it; with it a note says what was read."""
    path = tmp_path / "scans.csv"
    path.write_bytes((HEAD + "1,P1,北京,pv,ct,seg.dcm\n").encode("gbk"))
    refused = gc_ray(*arguments, f"--scans={path}")
    assert refused.exit_code == 2
    assert "scans.csv: wanted UTF-8, row 2 is in another encoding" in refused.stderr
    assert "--encoding gb18030" in refused.stderr
    read = gc_ray(*arguments, f"--scans={path}", "--encoding=gb18030")
    assert "wanted UTF-8" not in read.stderr
    if "check" in arguments:
        assert read.stdout.splitlines()[0] == "note      scans.csv: read as gb18030"


def test_a_clinical_table_is_checked_for_the_study(manifest, tmp_path):
    """An unmapped column is an error with exit code 2 and its name."""
    clinical = tmp_path / "clinical.csv"
    clinical.write_text("patient_id,age_years\nP1,50\n")
    done = gc_ray("check", f"--scans={manifest}", f"--clinical={clinical}", "--study=recurrence", "--manifest-only")
    assert done.exit_code == 2
    assert "error     column(s) recurrence, time_months, event" in done.stdout


def test_a_file_size_limit_is_found_before_ray_starts(manifest, tmp_path):
    """Under ulimit -f Ray would die without a word: the command says so first."""
    limited = ["bash", "-c", f"ulimit -f 1000; exec {GC_RAY} extract --scans={manifest} --store={tmp_path / 's'}"]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "files are limited to 1024000 bytes here (ulimit -f)" in done.stderr
    assert not list(tmp_path.glob("s/ledger/**/*.json"))


def test_a_cluster_that_does_not_answer_is_one_line(manifest, tmp_path):
    """RAY_ADDRESS names a cluster that is not there: exit 1 within seconds, and what to do."""
    nobody = "127.0.0.1:9"  # no cluster of this machine, whatever runs on it
    options = [f"--scans={manifest}", f"--store={tmp_path / 's'}"]
    done = as_a_user("extract", *options, env=os.environ | {"RAY_ADDRESS": nobody})
    assert done.returncode == 1
    wanted = f"error: wanted to join the Ray cluster at {nobody} (RAY_ADDRESS), it does not answer; start it"
    assert wanted in done.stderr


def test_synth_refuses_a_folder_that_holds_files_and_odd_settings(tmp_path):
    """A cohort is never mixed into other files, and every setting has a range."""
    (tmp_path / "x").write_text("")
    done = gc_ray("synth", f"--out={tmp_path}", "--patients=1")
    assert done.exit_code == 1
    assert "wanted a new or empty folder" in done.stderr
    done = gc_ray("synth", f"--out={tmp_path / 'new'}", "--defects=2")
    assert done.exit_code == 2
    assert "defects must be 0 to 1, not 2" in done.stderr


@pytest.mark.slow
def test_doctor_finds_nothing_missing_here():
    """The environment of the tests is the one the README sets up: packages, decoders, LBP3D, a Ray that starts."""
    done = gc_ray("doctor", "--json")
    assert done.exit_code == 0, done.stdout
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert all(found["facts"]["pixel decoders"].values())
    assert found["facts"]["ray"]["cpus"] >= 1


@pytest.mark.slow
def test_check_gives_every_outline_a_verdict_with_the_fix(tmp_path):
    """What synth spoilt is found from headers where headers can tell, and every other outline is ok."""
    out = tmp_path / "c"
    assert gc_ray("synth", f"--out={out}", "--patients=8", "--defects=0.5", "--matrix=64", "--seed=5").exit_code == 0
    done = gc_ray("check", f"--scans={out / 'scans.csv'}", f"--clinical={out / 'clinical.csv'}", "--json")
    assert done.exit_code == 3
    verdicts = json.loads(done.stdout)["verdicts"]
    refused = {v["scan_id"] for v in verdicts if v["verdict"] == "refused"}
    spoilt = [line.split(",") for line in (out / "defects.csv").read_text().splitlines()[1:]]
    by_pixels_only = {"empty_mask"}
    assert refused == {
        scan for scan, defect, expected in spoilt if expected == "refused" and defect not in by_pixels_only
    }
    assert all(v["text"] for v in verdicts if v["verdict"] != "ok")


def test_every_command_and_option_is_in_the_readme():
    """A command that the README does not mention does not exist for a user."""
    readme = (ROOT / "README.md").read_text()
    from gc_ray.cli import app

    for command in app.registered_commands:
        assert f"`gc-ray {command.callback.__name__}" in readme


def test_the_constraints_pin_every_dependency():
    """What was tested is what is installed: each direct dependency stands in constraints.txt with one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()
    }
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in wanted:
        name = requirement.replace("[", ">").replace("=", ">").replace("<", ">").split(">")[0].lower()
        assert name in pinned, f"{name} is not pinned"
