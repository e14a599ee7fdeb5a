"""The printed numbers that the simulated population follows: Table 1 of two studies, as counts and quartiles.

Cao et al., Int J Surg 2024;110:7598, training set: 275 with recurrence, 1,499 without.
Guo et al., Front Oncol 2025;15:1613972, training cohort: 226 with liver metastasis, 475 without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CAO_GROUPS = (275, 1499)  # with and without recurrence
GUO_GROUPS = (226, 475)  # with and without liver metastasis
RECURRENCE_RATE = 275 / 1774
LIVER_METASTASIS_RATE = 312 / 1001  # both cohorts of Guo et al.
SYNCHRONOUS_SHARE = 192 / 312  # found less than 6 months after the primary
FOLLOW_UP_MONTHS = (76.0, 148.0)  # Cao et al.: surgery January 2011 to January 2017, followed until May 2023


@dataclass(frozen=True)
class Levels:
    """A categorical row: its levels from the least to the most advanced disease, patients with and without event."""

    levels: tuple[str, ...]
    event: tuple[int, ...]
    no_event: tuple[int, ...]

    @property
    def shares(self) -> np.ndarray:
        """Share of every level in both groups together."""
        counts = np.add(self.event, self.no_event)
        return counts / counts.sum()


@dataclass(frozen=True)
class Quartiles:
    """A continuous row of Cao et al.: lower quartile, median, upper quartile, with and without event."""

    event: tuple[float, float, float]
    no_event: tuple[float, float, float]

    @property
    def pooled(self) -> np.ndarray:
        """Quartiles of both groups together: their mean on the log scale, weighted by the groups' sizes."""
        return np.exp(np.average(np.log([self.event, self.no_event]), axis=0, weights=CAO_GROUPS))


@dataclass(frozen=True)
class Moments:
    """A continuous row of Guo et al.: mean and SD, with and without event."""

    event: tuple[float, float]
    no_event: tuple[float, float]

    @property
    def pooled(self) -> tuple[float, float]:
        """Mean and SD of both groups together."""
        means, sds = np.transpose([self.event, self.no_event])
        mean = np.average(means, weights=GUO_GROUPS)
        return float(mean), float(np.sqrt(np.average(sds**2 + (means - mean) ** 2, weights=GUO_GROUPS)))


_NO_YES = ("0", "1")

CATEGORICAL = {
    "sex": Levels(("male", "female"), (200, 75), (1092, 407)),
    "vascular_thrombus": Levels(_NO_YES, (111, 164), (839, 660)),
    "nerve_invasion": Levels(_NO_YES, (94, 181), (775, 724)),
    "location": Levels(("lower", "middle", "upper", "whole"), (108, 82, 74, 11), (798, 315, 362, 24)),
    "differentiation": Levels(("high", "medium", "low"), (0, 110, 165), (35, 751, 713)),
    "preoperative_chemotherapy": Levels(_NO_YES, (240, 35), (1315, 184)),
    "postoperative_chemotherapy": Levels(_NO_YES, (105, 170), (811, 688)),
    "ct_stage": Levels(("T1", "T2", "T3", "T4"), (19, 32, 104, 71), (34, 85, 219, 137)),
    "cn_stage": Levels(("N0", "N1", "N2", "N3"), (46, 64, 72, 44), (151, 90, 115, 119)),
    "lauren": Levels(("intestinal", "mixed", "diffuse"), (84, 60, 82), (175, 149, 151)),
    "her2": Levels(_NO_YES, (90, 136), (217, 258)),
}

STAGE_MARGINS = {
    "pt_stage": Levels(("T1/T2", "T3/T4"), (31, 244), (478, 1021)),
    "pn_stage": Levels(("N0", "N1", "N2", "N3"), (41, 34, 65, 135), (530, 269, 318, 382)),
    "ptnm_stage": Levels(("I", "II", "III"), (19, 36, 220), (361, 345, 793)),
}

# Patients by pT and pN0..pN3 (assumption): the paper prints only the margins above, and these cells have exactly
# those margins when the stage is that of the AJCC/UICC 8th edition.
PT_PN_COUNTS = {
    "T1": (240, 40, 15, 6),
    "T2": (100, 45, 38, 25),
    "T3": (140, 67, 100, 130),
    "T4a": (70, 140, 210, 320),
    "T4b": (21, 11, 20, 36),
}
# AJCC/UICC 8th edition, pathological stage by pT and pN0..pN3 (N3 as N3a), no distant metastasis.
PTNM_STAGE = {
    "T1": ("I", "I", "II", "II"),
    "T2": ("I", "II", "II", "III"),
    "T3": ("II", "II", "III", "III"),
    "T4a": ("II", "III", "III", "III"),
    "T4b": ("III", "III", "III", "III"),
}

CONTINUOUS = {
    "age_years": Quartiles((52.0, 59.0, 66.0), (55.0, 62.0, 68.0)),
    "tumour_length_cm": Quartiles((3.8, 5.0, 7.0), (2.5, 4.0, 6.0)),
    "afp_ng_ml": Quartiles((1.74, 2.49, 3.69), (1.68, 2.40, 3.45)),
    "cea_ng_ml": Quartiles((1.35, 2.49, 4.71), (1.40, 2.35, 4.30)),
    "ca199_u_ml": Quartiles((5.18, 11.66, 42.99), (5.66, 10.78, 25.31)),
    "ca125_u_ml": Quartiles((8.78, 12.00, 19.20), (7.70, 10.80, 15.70)),
    "ca724_u_ml": Quartiles((1.60, 2.97, 7.20), (1.19, 2.13, 5.74)),
}

THICKNESS_MM = Moments((19.15, 7.41), (16.79, 5.81))
