"""What a shell completes: the names that options know, at once, and files where no name fits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gc_ray.options import FEATURE_SET_NAMES, VOLUME_NAMES
from gc_ray.study_file import packaged_studies

GC_RAY = str(Path(sys.executable).with_name("gc-ray"))
HEAVY = ("torch", "ray", "pandas", "pyarrow", "numpy", "scipy", "matplotlib", "radiomics", "SimpleITK", "boto3")
COMPLETE = """
import sys
from gc_ray.cli import main
try:
    main()
except SystemExit:
    sys.exit(" ".join(sorted(set(sys.argv[1:]) & set(sys.modules))) or 0)
"""


def asked(line: str, program: tuple[str, ...] = (GC_RAY,)) -> subprocess.CompletedProcess:
    """What bash gets for a line whose end is to be completed."""
    words = line.split(" ")
    said = {"_GC_RAY_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return subprocess.run(program, env=os.environ | said, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("gc-ray tune --study ", packaged_studies()),
        ("gc-ray train head --study rec", ("recurrence",)),
        ("gc-ray extract --feature-set guo", ("guo2025",)),
        ("gc-ray extract --feature-set ibsi-c", ("ibsi-c", "ibsi-ct")),
        ("gc-ray extract --volumes ", VOLUME_NAMES),
        ("gc-ray reproduce li", ("liver_metastasis",)),
        ("gc-ray train ", ("autoencoder", "backbone", "head")),
        ("gc-ray repr", ("reproduce",)),
    ],
)
def test_bash_is_offered_the_names_that_fit(line, names):
    """Studies, feature sets, network inputs, kinds of networks and commands."""
    assert asked(line).stdout.split() == list(names)


@pytest.mark.parametrize("line", ["gc-ray tune --store ./st", "gc-ray tune --study my", "gc-ray show ./st"])
def test_where_no_name_fits_the_shell_completes_files(line):
    """A store, and a study file of one's own, are paths: nothing is offered, so that bash goes on with files."""
    assert asked(line).stdout.split() == []
    script = os.environ | {"_GC_RAY_COMPLETE": "source_bash"}
    shown = subprocess.run([GC_RAY], env=script, capture_output=True, text=True, check=False).stdout
    assert "complete -o default -F" in shown


def test_a_shell_does_not_wait_for_libraries():
    """Completion loads the commands and the study files' model, no library that computes."""
    done = asked("gc-ray tune --study ", (sys.executable, "-c", COMPLETE, *HEAVY))
    assert done.stdout.split() == list(packaged_studies())
    assert (done.returncode, done.stderr) == (0, "")


def test_the_names_are_those_of_the_modules_that_compute_them():
    """The lists for the shell cannot fall behind."""
    from gc_ray.features.feature_set import IBSI_SETS, PRESETS
    from gc_ray.imaging.voi import RECIPES

    assert (*PRESETS, *IBSI_SETS) == FEATURE_SET_NAMES
    assert set(VOLUME_NAMES) == {recipe.name for recipe in RECIPES}
