"""What a simulated cohort is asked to be: its settings and the scanners of its sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gc_ray.cohort.synthetic.published import RECURRENCE_RATE
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.phantom import Scanner

Effect = Literal["size+texture+clinical", "texture-only", "none"]
EFFECTS: tuple[Effect, ...] = ("size+texture+clinical", "texture-only", "none")
COVERAGE_MM = 160.0  # along z by default: the stomach (104 mm) with what may grow out of it, and neighbours
LEAST_COVERAGE_MM = 125.0  # below it tumours are cut off
LEAST_MATRIX = 48  # below it the smallest tumours have a handful of voxels
SOURCE_FIRST = 10**6  # index of the first patient of the source task, beyond any cohort


@dataclass(frozen=True)
class Site:
    """A hospital's scanner: physics, field of view, slices, and how it writes DICOM."""

    name: str
    manufacturer: str
    kernel: str
    scanner: Scanner
    fov_mm: float
    slice_mm: float
    kvp: float
    transfer_syntax: Literal["explicit", "implicit", "jpeg-ls", "rle"]


SITES = (
    Site("A", "SIMULATED SCANNER A", "SOFT 30", Scanner(11.0, 3.0, 1.0), 360.0, 5.0, 120.0, "explicit"),
    Site("B", "SIMULATED SCANNER B", "MEDIUM 40", Scanner(14.0, 2.0, 0.7), 380.0, 4.0, 110.0, "jpeg-ls"),
    Site("C", "SIMULATED SCANNER C", "SHARP 50", Scanner(18.0, 1.2, 0.4), 350.0, 3.0, 100.0, "rle"),
    Site("D", "SIMULATED SCANNER D", "SOFT 20", Scanner(9.0, 4.0, 1.2), 400.0, 5.0, 120.0, "implicit"),
)

LIMITS = {
    "patients": (1, SOURCE_FIRST // 2),
    "sites": (1, len(SITES)),
    "seed": (0, 2**63),
    "source_patients": (0, SOURCE_FIRST),
    "reread_share": (0, 1),
    "defects": (0, 1),
    "recurrence_rate": (0.01, 0.99),
    "matrix": (LEAST_MATRIX, 1024),
    "slices": (1, 4096),
    "slice_mm": (0.3, 10),
    "strength": (0, 10),
    "first": (0, SOURCE_FIRST // 2),
}


@dataclass(frozen=True)
class CohortSpec:
    """The settings of a cohort; patient i is the same for any number of patients.

    patients: in the outcome studies. source_patients: further ones, with a tumour regression grade and no outcome.
    sites: 1 to 4; site A gets two patients of every sites + 1.
    effect: which terms the outcomes depend on. strength: factor of all log odds ratios; 1 is about as published.
    reread_share: share of patients outlined by a second reader (RTSTRUCT) and again by the first (repeat 1).
    defects: share of scans with one defect. recurrence_rate: expected share with a recurrence.
    matrix: rows and columns. slices, slice_mm: instead of the site's 160 mm and slice thickness.
    first: index of the first patient; a cohort of 5 from 40 on are new patients of the hospitals that had 40.

    Raises ValueError for a setting out of range.
    """

    patients: int
    sites: int = 1
    seed: int = 0
    effect: Effect = "size+texture+clinical"
    source_patients: int = 0
    reread_share: float = 0.3
    defects: float = 0.0
    recurrence_rate: float = RECURRENCE_RATE
    matrix: int = 144
    slices: int | None = None
    slice_mm: float | None = None
    first: int = 0
    strength: float = 1.0

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name} must be {least:g} to {most:g}, not {value:g}")
        if self.effect not in EFFECTS:
            raise ValueError(f"effect must be one of {', '.join(EFFECTS)}, not {self.effect}")
        for site in SITES[: self.sites]:
            grid = grid_of(self, site)
            covered = grid.size[2] * grid.spacing_mm[2]
            if covered < LEAST_COVERAGE_MM:
                raise ValueError(
                    f"slices x slice_mm must be {LEAST_COVERAGE_MM:g} mm or more, not {covered:g}: raise slices"
                )


def grid_of(spec: CohortSpec, site: Site) -> Grid:
    """The grid of a site's scans, centred on the stomach along z and on the body in plane."""
    step = round(site.fov_mm / spec.matrix, 6)  # as DICOM's decimal strings will hold it
    thickness = spec.slice_mm or site.slice_mm
    slices = spec.slices or int(np.ceil(COVERAGE_MM / thickness))
    corner = round(-step * (spec.matrix - 1) / 2, 4)
    bottom = round(-thickness * (slices - 1) / 2, 4)
    return Grid((spec.matrix, spec.matrix, slices), (step, step, thickness), (corner, corner, bottom))


def site_of(spec: CohortSpec, index: int) -> Site:
    """The site of patient ``index``."""
    return SITES[(0, *range(spec.sites))[index % (spec.sites + 1)]]


def is_reread(spec: CohortSpec, index: int) -> bool:
    """Whether patient ``index`` is outlined by a second reader and again by the first."""
    return int((index + 1) * spec.reread_share) > int(index * spec.reread_share)


def patient_indices(spec: CohortSpec) -> list[int]:
    """The indices of all patients: first those of the outcome studies, then those of the source task."""
    study = range(spec.first, spec.first + spec.patients)
    return [*study, *range(SOURCE_FIRST, SOURCE_FIRST + spec.source_patients)]


def patient_id(index: int) -> str:
    """The patient's pseudonym: P0001, P0002, ...; S0001, ... for the source task."""
    return f"P{index + 1:04d}" if index < SOURCE_FIRST else f"S{index - SOURCE_FIRST + 1:04d}"


def generator(spec: CohortSpec, index: int, purpose: str) -> np.random.Generator:
    """The random numbers of one patient for one purpose; they depend on nothing else but the seed."""
    return np.random.default_rng([spec.seed, index, *purpose.encode()])
