"""The walls of the house: who may import whom, how large things may grow, and what no module does."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "gc_ray"
MODULES = sorted(PACKAGE.rglob("*.py"))

# lower may be imported by higher, never the other way round
LEVELS = [
    {"bounded", "bounded_tables", "errors", "exit_codes", "joins", "kernels", "settings", "table_schema", "watch"},
    {"escaping", "names", "score_tables", "study_file"},
    {"store", "tables", "imaging", "patients", "study_cohort", "study_signatures"},
    {"sealed", "probe", "older_rows", "untrusted"},
    {"run_records"},
    {"shards"},
    {"feature_rows", "store_format"},
    {"source", "ledger", "cohort_tables", "evaluation_tables", "study"},
    {"code_versions", "merge", "cohort", "features", "models", "evaluate"},
    {"report"},
    {"runtime", "operations"},
    {"terminal"},
    {"live_progress"},
    {"console"},
    {"options"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: i for i, names in enumerate(LEVELS) for name in names}
STRANGERS = {"cohort", "features", "models", "evaluate"}  # they meet in tables
MAY_IMPORT = {"imaging": {"errors"}, "errors": set()}
FORBIDDEN_NAMES = ("utils", "util", "helper", "helpers", "manager", "handler", "base", "common", "misc")


def layer(path: Path) -> str:
    """The layer a module belongs to: its package below gc_ray, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that ``path`` imports, anywhere in its body."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(path: Path) -> set[str]:
    """The layers of this project that ``path`` imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("gc_ray.")} - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_an_import_goes_downwards_only(path: Path):
    """A module imports its own package or a lower layer; sister packages do not know each other."""
    here = layer(path)
    for there in ours(path) - {here}:
        assert there in LEVEL, f"{there} has no layer"
        assert LEVEL[there] < LEVEL[here] or here == "__init__", f"{here} imports {there}, which is not below it"
        assert not (here in STRANGERS and there in STRANGERS), f"{here} and {there} meet in tables only"
        assert there in MAY_IMPORT.get(here, {there}), f"{here} may not import {there}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_runtime_imports_ray(path: Path):
    """The computation can be read, tested and reused without a cluster."""
    if layer(path) != "runtime":
        assert not {name for name in imports(path) if name.split(".")[0] == "ray"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path):
    """At most 350 lines a module, 60 a function, 6 positional parameters; the first line says the duty."""
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the module does not say its duty"
    assert text.count("\n") <= 350
    assert path.stem not in FORBIDDEN_NAMES
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno + 1 <= 60 + len((ast.get_docstring(node) or "").splitlines())
            assert len(node.args.args) - (node.args.args[:1] != [] and node.args.args[0].arg == "self") <= 6, (
                node.name
            )


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.py")), ids=lambda p: p.name)
def test_a_job_is_a_few_lines_that_call_the_command_of_its_name(path: Path):
    """Nothing can hide in a job: it is the command line under another name."""
    text = path.read_text()
    assert text.count("\n") <= 20
    assert f'main(["{path.stem}", *sys.argv[1:]])' in text


def test_a_worker_that_extracts_never_imports_torch():
    """A CPU worker stays small: the work of one scan loads no deep learning library and no clinical statistics."""
    code = (
        "import sys, gc_ray.runtime.scan_work;"
        "sys.exit(sorted({'torch', 'monai', 'lifelines', 'sklearn', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"imported: {done.stderr}"


def test_nothing_unpickles():
    """What we write holds no pickle, so nothing that comes from a store can run code."""
    for path in MODULES:
        assert not {n for n in imports(path) if n.split(".")[0] in {"pickle", "joblib", "dill", "shelve"}}, path
