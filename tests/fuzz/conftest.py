"""Makes the mutations of benchmarks/fuzzing importable, which benchmarks/fuzz.py runs at length."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
