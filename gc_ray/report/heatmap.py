"""Figures of heat-maps: the map over CT slices of the volume of interest, and its sanity check."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gc_ray.models.heatmap import MAX_SIMILARITY, map_changed
from gc_ray.report.draw import SCREEN_DPI, png

DISPLAY_HU = (-115.0, 235.0)  # the network's own window: what it cannot see is not drawn either
SLICES = 4  # through the region; more would be too small to read on a page
OPACITY = 0.6  # of the map where it is 1; the tissue must show through


def heatmap_png(ct_hu: np.ndarray, mask: np.ndarray, heat: np.ndarray, title: str) -> bytes:
    """PNG of ``SLICES`` axial slices through the region: CT above, the map laid over it below, the region outlined.

    ct_hu (HU), mask (0 or 1), heat (0 to 1): z, y, x on one grid. title: one line above, such as whose map it is.
    """
    figure = Figure(figsize=(2.6 * SLICES + 1, 6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(2, SLICES)
    for column, k in enumerate(_slices(mask)):
        for axis in axes[:, column]:
            axis.imshow(ct_hu[k], cmap="gray", vmin=DISPLAY_HU[0], vmax=DISPLAY_HU[1], interpolation="nearest")
            axis.set_axis_off()
        drawn = axes[1, column].imshow(
            heat[k], cmap="inferno", vmin=0, vmax=1, alpha=OPACITY * heat[k], interpolation="nearest"
        )
        for axis in axes[:, column] if not mask[k].all() else ():  # no border to draw: matplotlib would warn
            axis.contour(mask[k], levels=[0.5], colors="cyan", linewidths=0.8)
        axes[0, column].set_title(f"slice {k + 1} of {len(ct_hu)}", fontsize="small")
    bar = figure.colorbar(drawn, ax=axes[1, :].tolist(), shrink=0.9)
    bar.solids.set_alpha(1)
    bar.set_label("Grad-CAM: raises the score (0 to 1)")
    return png(figure, SCREEN_DPI)


def sanity_png(check: pd.DataFrame) -> bytes:
    """PNG of how alike the maps stay as the network is made random, from the table of ``sanity_check``."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axis = figure.subplots()
    stages = list(dict.fromkeys(check["stage"]))
    places = check["stage"].map(stages.index)
    axis.plot(places, check["similarity"], ".", color="0.6", label="one map")
    mean = check.groupby(places)["similarity"].mean()
    axis.plot(mean.index, mean, "o-", color="tab:blue", label="mean")
    axis.axhline(MAX_SIMILARITY, color="tab:red", linestyle="--", label="most that is allowed at the end")
    axis.set_xticks(range(len(stages)), stages)
    axis.set_xlabel("made random up to and including")
    axis.set_ylabel("rank correlation with the map")
    axis.set_ylim(-1.05, 1.05)
    verdict = (
        "maps depend on the weights" if map_changed(check) else "maps do NOT depend on the weights: do not use them"
    )
    axis.set_title(f"Sanity check of the heat-maps: {verdict}", fontsize="medium")
    axis.legend(loc="lower left", fontsize="small")
    return png(figure, SCREEN_DPI)


def _slices(mask: np.ndarray) -> np.ndarray:
    """The slices at the middle of ``SLICES`` equal parts of the region; all of them where it has fewer, repeated."""
    holding = np.flatnonzero(mask.any(axis=(1, 2)))
    return holding[((np.arange(SLICES) + 0.5) * len(holding) / SLICES).astype(int)]
