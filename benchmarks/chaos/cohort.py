"""The simulated scans that every run is about, in a folder and in S3, and the commands that extract them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from place import BUCKET

from gc_ray.cohort.manifest import ScanRow
from gc_ray.runtime.manifests import read_manifests
from gc_ray.store import open_store

GC_RAY = Path(sys.executable).with_name("gc-ray")
# five features, a fraction of a second a scan: what is tried here is not arithmetic
FEATURES = """
imageType: {Original: {}}
featureClass: {shape: [MeshVolume, Sphericity], firstorder: [Mean, Entropy], glcm: [Contrast]}
setting: {resampledPixelSpacing: [3, 3, 3], interpolator: sitkBSpline, binWidth: 25}
"""


@dataclass(frozen=True)
class Cohort:
    """Where the scans lie: a folder, and the same in S3. features: the feature set's file."""

    folder: Path
    bucket: str
    features: Path

    @property
    def rows(self) -> list[ScanRow]:
        """All outlines."""
        return read_manifests(tuple(f"{self.folder}/{name}" for name in self.manifests))

    @property
    def keys(self) -> list[tuple]:
        """The scan key of each outline."""
        return [row.key for row in self.rows]

    @property
    def manifests(self) -> list[str]:
        """The manifests' names, one for each site."""
        return sorted(path.name for path in self.folder.glob("scans_site_*.csv"))

    def scans(self, local: bool = False) -> list[str]:
        """The manifests as options."""
        return [f"--scans={self.folder if local else self.bucket}/{name}" for name in self.manifests]

    def extract(self, store: str, local: bool = False) -> list[str]:
        """The command that extracts them all; one outline is too small and is refused, which is no failure here."""
        features = f"--feature-set={self.features}"
        return ["extract", *self.scans(local), f"--store={store}", features, "--failure-budget=0.5"]


def simulate(folder: Path, patients: int) -> Cohort:
    """A cohort of two sites, half of the patients outlined three times, brought to S3 as well."""
    out, features = folder / "cohort", folder / "quick.yaml"
    features.write_text(FEATURES)
    synth(out, f"--patients={patients}", "--seed=3", "--reread-share=0.5")
    bucket = open_store(f"s3://{BUCKET}/cohort")
    for path in out.rglob("*"):
        if path.is_file():
            bucket.put(path.relative_to(out).as_posix(), path.read_bytes())
    return Cohort(out, bucket.uri, features)


def synth(out: Path, *options: str) -> None:
    """Write simulated patients of two sites."""
    subprocess.run(
        [GC_RAY, "synth", f"--out={out}", "--sites=2", "--matrix=64", *options], check=True, capture_output=True
    )
