"""Is what the product concludes true? Simulated cohorts with planted effects, and docs/truth.md made from them.

    python benchmarks/truth.py --seeds 50 --image-seeds 2

Tables: ``truth_studies.py`` and ``truth_tables.py``, a result file for each seed below ``--scratch``, so that the
same command again goes on where it was cut off; a seed is done anew when code that decides its numbers has changed.
Images: ``truth_images.py``, through the commands, which resume by themselves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import truth_images
import truth_page
import truth_studies
import truth_tables
from threadpoolctl import threadpool_limits

import gc_ray

PACKAGE = Path(gc_ray.__file__).parent
HERE = Path(__file__).resolve().parent
DECIDE = ("models/*.py", "evaluate/*.py", "studies/*.toml")  # what of the package decides a result of tables
NULL_SEED = 1000  # added to the seed of cohorts where nothing is to be found


def study(seed: int) -> dict:
    """One simulated study, judged."""
    return truth_studies.judged(seed, truth_studies.Size())


def bound(seed: int) -> dict:
    """Signatures against the oracle, and null cohorts; each clean and with a planted leak."""
    return {
        kind: {
            "oracle": {name: asdict(found) for name, found in truth_tables.judged(seed, leak).items()},
            "null": truth_tables.null(NULL_SEED + seed, leak),
        }
        for kind, leak in (("clean", False), ("leak", True))
    }


KINDS: dict[str, tuple[Callable[[int], dict], Path]] = {
    "study": (study, HERE / "truth_studies.py"),
    "bound": (bound, HERE / "truth_tables.py"),
}


def main() -> None:
    """Run what is missing, say how far it is, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="simulated tables")
    parser.add_argument("--image-seeds", type=int, default=2, help="simulated cohorts of 60 patients as DICOM")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--scratch", type=Path, default=Path("build/truth"), help="results by seed, cohorts, stores")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "truth.md")
    parser.add_argument("--page-only", action="store_true", help="write the page from what is there")
    asked = parser.parse_args()
    asked.scratch.mkdir(parents=True, exist_ok=True)
    if not asked.page_only:
        _run_tables(asked.scratch, asked.seeds, asked.processes)
    images = []
    for seed in range(1, asked.image_seeds + 1):
        images.append(truth_images.judged(asked.scratch / f"images-{seed}", seed))
    found = {kind: _held(asked.scratch, kind) for kind in KINDS}
    asked.out.write_text(truth_page.page(found["study"], found["bound"], images))
    print(f"wrote {asked.out.name}")


def _run_tables(scratch: Path, seeds: int, processes: int) -> None:
    codes = {kind: _code(module) for kind, (_, module) in KINDS.items()}
    wanted = [(kind, seed) for kind in KINDS for seed in range(seeds)]
    missing = [(kind, seed) for kind, seed in wanted if _result(_path(scratch, kind, seed), codes[kind]) is None]
    done = len(wanted) - len(missing)
    print(f"{done} of {len(wanted)} results of tables are there", flush=True)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        running = [pool.submit(_one, scratch, kind, seed, codes[kind]) for kind, seed in missing]
        for future in as_completed(running):
            done += 1
            print(f"{done}/{len(wanted)} {future.result()}", flush=True)


def _one(scratch: Path, kind: str, seed: int, code: str) -> str:
    began = time.process_time()
    with threadpool_limits(1):
        result = KINDS[kind][0](seed)
    seconds = time.process_time() - began
    text = json.dumps({"code": code, "seconds": seconds, "result": result})
    path = _path(scratch, kind, seed)
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(path)
    return f"{kind} {seed}: {seconds:.0f} s"


def _held(scratch: Path, kind: str) -> list[dict]:
    """The results that the code as it is now has given."""
    code = _code(KINDS[kind][1])
    found = [_result(path, code) for path in sorted(scratch.glob(f"{kind}-*.json"))]
    return [result for result in found if result is not None]


def _result(path: Path, code: str) -> dict | None:
    if not path.exists():
        return None
    held = json.loads(path.read_text())
    return held["result"] if held["code"] == code else None


def _path(scratch: Path, kind: str, seed: int) -> Path:
    return scratch / f"{kind}-{seed:04d}.json"


def _code(module: Path) -> str:
    """A digest of the code and settings that decide a result."""
    found = hashlib.sha256(module.read_bytes())
    for pattern in DECIDE:
        for path in sorted(PACKAGE.glob(pattern)):
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


if __name__ == "__main__":
    main()
