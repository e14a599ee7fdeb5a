"""The voxels of a structure set's region, slowly: every voxel against every edge, lines compared point by point.

Written from the rules in docs/readers.md, with nothing of the readers' own code, to compare them with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

TENTH = 0.1
STEP = 0.12  # voxels between the points of a line that are compared
HALF = 0.5
CLEAR = 0.26  # a line that is this much further off somewhere is so for a quarter of a voxel around


class BorderlineError(Exception):
    """Whether a rule applies hangs on less than what the readers look at."""


@dataclass(frozen=True)
class Truth:
    """inside: (slices, rows, columns), bool. sure: whether rounding cannot decide a voxel."""

    inside: np.ndarray
    sure: np.ndarray


def read_slowly(path: Path, origin_mm: np.ndarray, spacing_mm: np.ndarray, size: tuple[int, int, int]) -> Truth:
    """The first region of a structure set on an axial grid (x, y, z); BorderlineError as said there."""
    items = pydicom.dcmread(path).ROIContourSequence[0].ContourSequence
    drawn = [(np.array(c.ContourData, float).reshape(-1, 3) - origin_mm) / spacing_mm for c in items]
    kinds = {c.ContourGeometricType for c in items}
    traced = all(_is_traced(line) for line in drawn)
    inside = np.zeros(size[::-1], bool)
    sure = np.ones(size[::-1], bool)
    for k in {round(float(line[0, 2])) for line in drawn}:
        lines = [line[:, :2] for line in drawn if round(float(line[0, 2])) == k and (traced or len(line) > 2)]
        lines = [np.round(line) if traced else line for line in lines]
        filled = _exclusive if "CLOSEDPLANAR_XOR" in kinds else _nested
        inside[k] = filled(_without_copies(lines), size, traced)
        if not traced:
            sure[k] = _centre_distances(lines, size) > 1e-6
    return Truth(inside, sure)


def _is_traced(line: np.ndarray) -> bool:
    at = line[:, :2]
    if np.abs(at - np.round(at)).max() > TENTH:
        return False
    steps = np.round(at) - np.round(np.roll(at, 1, axis=0))
    return all(dx == 0 or dy == 0 or abs(dx) == abs(dy) for dx, dy in steps)


def _exclusive(lines: list[np.ndarray], size: tuple[int, int, int], traced: bool) -> np.ndarray:
    total = sum(_enclosed(line, size) for line in lines) % 2 == 1
    return total | _on_lines(lines, size) if traced else total


def _nested(lines: list[np.ndarray], size: tuple[int, int, int], traced: bool) -> np.ndarray:
    """Voxel by voxel through the levels: filled, hole, island and so on."""
    count = range(len(lines))
    within = {(a, b): a != b and _lies_in(lines[a], lines[b]) for a in count for b in count}
    redrawn = {(a, b) for a, b in within if within[a, b] and _beside(lines[a], lines[b])}
    mutual = {(a, b) for a, b in within if within[a, b] and within[b, a]}
    parents = {a: [b for b in count if within[a, b] and (a, b) not in mutual | redrawn] for a in count}
    level = {a: _level(a, parents, ()) for a in count}
    borders = [_on_lines([line] * traced, size) for line in lines]
    closed = [_enclosed(line, size) | border for line, border in zip(lines, borders, strict=True)]
    hollow = [_enclosed(line, size) & ~border for line, border in zip(lines, borders, strict=True)]
    crossing = {
        (a, b)
        for a in count
        for b in count
        if a != b and ((a, b) in mutual or (not within[a, b] and not within[b, a] and _overlap(lines[a], lines[b])))
    }
    state = np.zeros(size[1::-1], bool)
    for now in range(max(level.values()) + 1):
        for a in (a for a in count if level[a] == now):
            if now % 2 == 0:
                state |= closed[a]
                continue
            kept = [closed[b] for b in count if (a, b) in crossing and level[b] % 2 == 0]
            state &= ~hollow[a] | np.any([np.zeros_like(state), *kept], axis=0)
    return state


def _level(a: int, parents: dict[int, list[int]], way: tuple[int, ...]) -> int:
    if a in way:
        raise BorderlineError
    return 1 + max((_level(b, parents, (*way, a)) for b in parents[a]), default=-1)


def _without_copies(lines: list[np.ndarray]) -> list[np.ndarray]:
    kept: list[np.ndarray] = []
    for line in lines:
        if not any(_small(_apart(line, other)) and _small(_apart(other, line)) for other in kept):
            kept.append(line)
    return kept


def _lies_in(a: np.ndarray, b: np.ndarray) -> bool:
    return _small(np.where(_holds(b, _points(a)), 0, _apart(a, b)))


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return not all(_small(np.where(_holds(q, _points(p)), _apart(p, q), 0)) for p, q in ((a, b), (b, a)))


def _beside(a: np.ndarray, b: np.ndarray) -> bool:
    return _small(_apart(a, b), HALF) and _small(_apart(b, a), HALF)


def _small(distances: np.ndarray, reach: float = TENTH) -> bool:
    """Whether all distances are within reach; the first point of every edge comes first, then those between."""
    most = distances.max()
    if abs(most - reach) < 1e-6 or (reach < most <= reach + CLEAR and distances[0].max() <= reach):
        raise BorderlineError
    return most <= reach


def _points(line: np.ndarray) -> np.ndarray:
    """(m, n, 2): along each of the n edges m points from its first one on, at most STEP apart."""
    steps = np.roll(line, -1, axis=0) - line
    most = max(1, int(np.ceil(np.hypot(*steps.T).max() / STEP)))
    return line + (np.arange(most) / most)[:, None, None] * steps


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The distances (m, n) of the points of ``a`` from the line of ``b``."""
    return _distances(_points(a), b)


def _distances(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """How far points (..., 2) lie from the line."""
    nearest = np.full(points.shape[:-1], np.inf)
    for start, end in zip(line, np.roll(line, -1, axis=0), strict=True):
        along = end - start
        share = np.clip((points - start) @ along / max(along @ along, 1e-300), 0, 1)
        x, y = np.moveaxis(points - start - share[..., None] * along, -1, 0)
        nearest = np.minimum(nearest, x * x + y * y)
    return np.sqrt(nearest)


def _holds(line: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which points (..., 2) the line encloses: on which side of each edge they lie, where it passes their height."""
    odd = np.zeros(points.shape[:-1], bool)
    for (x0, y0), (x1, y1) in zip(line, np.roll(line, -1, axis=0), strict=True):
        side = (x1 - x0) * (points[..., 1] - y0) - (points[..., 0] - x0) * (y1 - y0)
        odd ^= (y0 <= points[..., 1]) & (points[..., 1] < y1) & (side <= 0)
        odd ^= (y1 <= points[..., 1]) & (points[..., 1] < y0) & (side >= 0)
    return odd


def _centres(size: tuple[int, int, int]) -> np.ndarray:
    """(rows, columns, 2): x and y of every voxel of a slice."""
    return np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=-1).astype(float)


def _enclosed(line: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    return _holds(line, _centres(size))


def _centre_distances(lines: list[np.ndarray], size: tuple[int, int, int]) -> np.ndarray:
    """The distance of every voxel centre from the nearest line."""
    return np.min([np.full(size[1::-1], np.inf), *(_distances(_centres(size), line) for line in lines)], axis=0)


def _on_lines(lines: list[np.ndarray], size: tuple[int, int, int]) -> np.ndarray:
    return _centre_distances(lines, size) < 1e-6
