"""PyRadiomics' co-occurrence features without its three passes over all cells for each grey level."""

from __future__ import annotations

import numpy as np
from radiomics.glcm import RadiomicsGLCM

from gc_ray.features.kernels_texture import diagonal_sums

# NumPy adds the cells of a single matrix in another order than those of several. Up to this many grey levels
# PyRadiomics' own code is used for a single matrix, to the bit; above, the last digits differ (1e-15).
SAME_ORDER_LEVELS = 256


class Glcm(RadiomicsGLCM):
    """PyRadiomics' class with its sums over diagonals made in one pass: 0.1 s instead of 40 s at 1,000 levels.

    Source: ``radiomics.glcm`` of PyRadiomics 3, whose values these are.
    """

    def _calculateCoefficients(self) -> None:  # noqa: N802 - PyRadiomics' name
        matrices, greys = self.P_glcm, self.coefficients["Ng"]
        if matrices.shape[0] != 1 or (matrices.shape[3] == 1 and greys <= SAME_ORDER_LEVELS):
            super()._calculateCoefficients()
            return
        levels, eps = self.coefficients["grayLevels"], np.spacing(1)
        i, j = np.meshgrid(levels.astype(float), levels.astype(float), indexing="ij", sparse=True)
        sums, distances = diagonal_sums(matrices[0], levels, greys)
        self.coefficients |= {
            "eps": eps,
            "i": i,
            "j": j,
            "kValuesSum": np.arange(2, greys * 2 + 1, dtype=float),
            "kValuesDiff": np.arange(0, greys, dtype=float),
            "px": matrices.sum(2, keepdims=True),
            "py": matrices.sum(1, keepdims=True),
            "ux": np.sum(i[None, :, :, None] * matrices, (1, 2), keepdims=True),
            "uy": np.sum(j[None, :, :, None] * matrices, (1, 2), keepdims=True),
            "pxAddy": sums[None],
            "pxSuby": distances[None],
            "HXY": -1 * np.sum(matrices * np.log2(matrices + eps), (1, 2)),
        }


# The collector of messages listens to PyRadiomics' loggers, which are named by the module of the class.
Glcm.__module__ = RadiomicsGLCM.__module__
