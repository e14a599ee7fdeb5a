"""The CT and the outlines of one simulated patient, drawn from the patient's latent variables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gc_ray.cohort.synthetic.population import clinical_of, normals_of, scores_of
from gc_ray.cohort.synthetic.spec import CohortSpec, Site, generator, grid_of, is_reread, site_of
from gc_ray.imaging.phantom import ABDOMEN, Texture, redrawn, scan, varied, wall_tumour
from gc_ray.imaging.volume import Mask, Volume

TEXTURE_SD_HU = (25.0, 0.5)  # heterogeneity: median, and SD of its logarithm per SD of the latent ``texture``
CORRELATION_MM = (8.0, 0.25)  # length of the texture: median, and SD of its logarithm per SD of ``grain``
TUMOUR_HU = (95.0, 6.0)  # mean enhancement of the tumour: mean and SD between patients; not related to outcome
READER_DICE = {("R2", 0): 0.89, ("R1", 1): 0.93}  # overlap with the first outline, by reader and repeat
READER_DICE_SD = 0.015

# From the stomach's centre towards the tumour (x to the left, y to the back, z to the head), by clinical location.
# All lie rather to the back, in the water.
DIRECTIONS = {
    "upper": (0.4, 0.4, 0.8),
    "middle": (0.9, 0.3, -0.1),
    "lower": (-0.7, 0.3, -0.6),
    "whole": (0.3, 0.9, 0.0),
}
DIRECTION_SD = 0.2


@dataclass(frozen=True, eq=False)
class Case:
    """A patient's scan: the CT and the tumour's outline by (reader, repeat); ("R1", 0) is the drawn truth."""

    site: Site
    volume: Volume
    masks: dict[tuple[str, int], Mask]


def texture_of(texture: float, grain: float, mean_hu: float) -> Texture:
    """The tumour's texture from the latent variables (standard normal)."""
    median_sd, log_sd = TEXTURE_SD_HU
    median_mm, log_mm = CORRELATION_MM
    return Texture(mean_hu, median_sd * np.exp(log_sd * texture), median_mm * np.exp(log_mm * grain))


def case_of(spec: CohortSpec, index: int) -> Case:
    """The scan of patient ``index``: a function of the settings that concern images, the seed and the index alone."""
    scores = scores_of(normals_of(spec, [index])).iloc[0]
    clinical = clinical_of(scores.to_frame().T).iloc[0]
    site = site_of(spec, index)
    rng = generator(spec, index, "image")
    organs = varied(ABDOMEN, rng)
    direction = DIRECTIONS[clinical["location"]] + rng.normal(0, DIRECTION_SD, 3)
    length_mm, thickness_mm = 10 * clinical["tumour_length_cm"], clinical["tumour_thickness_mm"]
    tumour = wall_tumour(grid_of(spec, site), direction, length_mm, thickness_mm, rng)
    texture = texture_of(scores["texture"], scores["grain"], rng.normal(*TUMOUR_HU))
    volume = scan(organs, tumour, texture, site.scanner, rng)
    masks = {("R1", 0): tumour}
    if is_reread(spec, index):
        for reading, dice in READER_DICE.items():
            hand = generator(spec, index, f"outline {reading}")
            masks[reading] = redrawn(tumour, dice + READER_DICE_SD * hand.standard_normal(), hand)
    return Case(site, volume, masks)
