"""What is installed: the wheel holds every file of the package, and works where the source tree is not."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "gc_ray").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)


def test_every_file_beside_the_code_is_declared_as_package_data():
    """A study, a table or a template that no pattern names works from the source tree alone."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for path in (path for path in FILES if path.suffix != ".py"):
        patterns = declared.get(".".join(path.parent.parts), [])
        assert any(path.match(pattern) for pattern in patterns), f"{path}: add a pattern to package-data"
        assert (ROOT / path.parent / "__init__.py").is_file(), f"{path.parent} is no package"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this tree, built from a copy: the build leaves folders beside its sources."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for path in (*FILES, *map(Path, ("pyproject.toml", "README.md", "LICENSE"))):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes((ROOT / path).read_bytes())
    pip(sys.executable, "wheel", "--no-deps", f"--wheel-dir={out}", str(source))
    return next(out.glob("*.whl"))


def pip(python: str | Path, *arguments: str) -> None:
    """Run pip; its words are the test's when it fails."""
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel):
    """Studies, coverage table, checklists and the page's template included, tests and benchmarks not."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {path.as_posix() for path in FILES}


@pytest.mark.slow
def test_an_installed_wheel_works_in_an_empty_folder(wheel, tmp_path):
    """In an empty environment the command is there, finds what is packaged, and not the source tree."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    binaries = tmp_path / "venv" / "bin"
    pip(binaries / "python", "install", "--no-deps", str(wheel))
    # the libraries are this environment's: installing them anew takes minutes and shows nothing more
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (site / "libraries.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {"HOME": str(tmp_path), "PATH": f"{binaries}{os.pathsep}{os.defpath}"}  # and no more than that

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert Path(run(binaries / "python", "-c", "import gc_ray; print(gc_ray.__file__)").strip()).is_relative_to(site)
    assert "demo" in run("gc-ray", "--help")
    assert "nothing is missing" in run("gc-ray", "doctor")
    run(binaries / "python", "-c", "from gc_ray.study import load_study; load_study('demo_recurrence')")
    assert not list(empty.iterdir())
