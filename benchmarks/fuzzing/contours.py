"""Random contours of a region: nested, crossing, copied, with keyholes, tiny, through voxel centres, traced."""

from __future__ import annotations

import io

import numpy as np
import pydicom
from fuzzing.mutate import Files, Rng, pick
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from gc_ray.imaging.grid import Grid

MIDDLE, REACH = (19.0, 17.0), 15.0  # voxels; of a slice of 40 x 36
KINDS = ("CLOSED_PLANAR",) * 7 + ("CLOSEDPLANAR_XOR",) * 2


def draw_contours(files: Files, rng: Rng, grid: Grid) -> Files:
    """The structure set with other contours of its first region."""
    (name,) = files
    header = pydicom.dcmread(io.BytesIO(files[name]))
    kind = pick(rng, KINDS)
    scene = _traced if rng.random() < 0.2 else _drawn
    contours = [(k, line) for k in range(int(rng.integers(1, 3))) for line in scene(rng)]
    header.ROIContourSequence[0].ContourSequence = Sequence([_item(kind, k, line, grid) for k, line in contours])
    if rng.random() < 0.05:
        header.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "CLOSEDPLANAR_XOR"
    out = io.BytesIO()
    header.save_as(out, enforce_file_format=True)
    return {name: out.getvalue()}


def _item(kind: str, k: int, line: np.ndarray, grid: Grid) -> Dataset:
    item = Dataset()
    item.ContourGeometricType, item.NumberOfContourPoints = kind, len(line)
    points = grid.index_to_mm(np.column_stack([line, np.full(len(line), k)]))
    item.ContourData = [f"{v:.6f}" for v in points.ravel()]
    return item


def _drawn(rng: Rng) -> list[np.ndarray]:
    """A few contours of a slice, each new or made of an earlier one, in any order."""
    lines = [pick(rng, (_blob, _blob, _box, _keyhole, _bow_tie, _centred))(rng)]
    for _ in range(int(rng.integers(0, 6))):
        base = pick(rng, lines)
        way = pick(rng, (_copy, _copy, _smaller, _smaller, _moved, _beside, _touching, _tiny, _blob, _box, _centred))
        lines.append(way(rng) if way in (_tiny, _blob, _box, _centred) else way(base, rng))
    return [lines[i] for i in rng.permutation(len(lines))]


def _blob(rng: Rng) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, int(rng.integers(5, 80)), endpoint=False)
    radius = rng.uniform(2, 9) * (1 + 0.3 * np.sin(int(rng.integers(2, 6)) * angle + rng.uniform(0, 6)))
    middle = np.array(MIDDLE) + rng.uniform(-5, 5, 2)
    return middle + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _box(rng: Rng) -> np.ndarray:
    """Around voxels."""
    return _centred(rng) + 0.5


def _centred(rng: Rng) -> np.ndarray:
    """Through voxel centres."""
    x0, y0 = rng.integers(4, 18, 2)
    x1, y1 = np.array([x0, y0]) + rng.integers(1, 14, 2)
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def _keyhole(rng: Rng) -> np.ndarray:
    outer = _blob(rng)
    inner = outer.mean(axis=0) + 0.4 * (outer - outer.mean(axis=0))[::-1]
    return np.concatenate([outer, outer[:1], inner[-1:], inner, outer[:1]])


def _bow_tie(rng: Rng) -> np.ndarray:
    return _box(rng)[[0, 2, 1, 3]]


def _tiny(rng: Rng) -> np.ndarray:
    return np.array(MIDDLE) + rng.uniform(-9, 9, 2) + rng.uniform(-0.3, 0.3, (int(rng.integers(3, 9)), 2))


def _copy(line: np.ndarray, rng: Rng) -> np.ndarray:
    """Another start, direction, closing point or number of points, or up to 0.07 voxels off in x and y."""
    line = np.roll(line, int(rng.integers(len(line))), axis=0)[:: pick(rng, (1, -1))]
    if rng.random() < 0.3:
        between = (line + np.roll(line, -1, axis=0)) / 2
        line = np.stack([line, between], axis=1).reshape(-1, 2)
    if rng.random() < 0.3:
        line = line + rng.uniform(-0.07, 0.07, line.shape)
    return np.concatenate([line, line[:1]]) if rng.random() < 0.5 else line


def _smaller(line: np.ndarray, rng: Rng) -> np.ndarray:
    return line.mean(axis=0) + rng.uniform(0.3, 0.97) * (line - line.mean(axis=0))


def _moved(line: np.ndarray, rng: Rng) -> np.ndarray:
    return line + rng.uniform(-3, 3, 2) * pick(rng, (0.1, 1.0, 1.0))


def _beside(line: np.ndarray, rng: Rng) -> np.ndarray:
    """With the right side of one as the left side of the other."""
    return line * (-1, 1) + (2 * line[:, 0].max(), 0)


def _touching(line: np.ndarray, rng: Rng) -> np.ndarray:
    """Smaller, towards one of the points."""
    corner = pick(rng, line)
    return corner + rng.uniform(0.3, 0.8) * (line - corner)


def _traced(rng: Rng) -> list[np.ndarray]:
    """Contours that run through voxel centres along rows, columns and diagonals: boxes with cut corners, lines."""
    lines = []
    for _ in range(int(rng.integers(1, 6))):
        (x, y), (w, h) = rng.integers(5, 20, 2), rng.integers(0, 10, 2)
        c = int(rng.integers(0, min(w, h) // 2 + 1))
        corners = ((c, 0), (w - c, 0), (w, c), (w, h - c), (w - c, h), (c, h), (0, h - c), (0, c))
        kept = list(dict.fromkeys((x + a, y + b) for a, b in corners))
        lines.append(np.array(kept, float) + rng.uniform(-0.05, 0.05, 2) * (rng.random() < 0.3))
    return lines
