"""A compiled kernel reads and writes inside its arrays, for any levels, sizes and regions, or raises ValueError."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from radiomics import cMatrices
from scipy import ndimage

from gc_ray.features.kernels_lbp import MARGIN_VOXELS, pattern_weights, sphere_samples
from gc_ray.features.kernels_shape import cube_patterns, hull_corners, largest_squared_distance
from gc_ray.features.kernels_texture import DIRECTIONS, diagonal_sums, neighbourhoods, zones
from gc_ray.features.lbp3d import _runs
from gc_ray.features.texture import BELOW_IN_PLANE, Region

quick = settings(max_examples=60, deadline=None)
shapes = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6)


@st.composite
def boxes(draw, empty=False):
    """(levels, inside): grey levels from 1 to at most 300 in a box, and a region that may touch all its sides."""
    shape = draw(shapes)
    highest = draw(st.sampled_from((1, 2, 5, 40, 300)))
    levels = draw(arrays(np.int64, shape, elements=st.integers(1, highest)))
    inside = draw(arrays(np.bool_, shape))
    if not empty and not inside.any():
        inside.flat[0] = True
    return levels, inside


def counts_of(levels, inside):
    region, greys = Region(inside), int(levels[inside].max())
    return neighbourhoods(region.spread(levels[inside]), region.at, region.steps, greys, max(inside.shape))


@quick
@given(boxes())
def test_pairs_and_neighbours_are_those_of_pyradiomics(box):
    """GLCM, GLDM and NGTDM of any box, by PyRadiomics' C code."""
    levels, inside = box
    pairs, _, alike, tones = counts_of(levels, inside)
    given_to_c = (levels, inside, np.array([1]), int(levels[inside].max()))
    valid = np.all(np.abs(DIRECTIONS) < inside.shape, axis=1)
    if valid.any():
        np.testing.assert_array_equal(pairs[:, :, valid], cMatrices.calculate_glcm(*given_to_c, False, 0)[0][0])
        gldm = cMatrices.calculate_gldm(*given_to_c, 0, False, 0)[0]
        np.testing.assert_array_equal(alike[:, : gldm.shape[1]], gldm[:, : alike.shape[1]])
        np.testing.assert_array_equal(tones, cMatrices.calculate_ngtdm(*given_to_c, False, 0)[0, :, :2])
    assert not pairs[:, :, ~valid].any()
    assert alike.sum() == tones[:, 0].sum() == inside.sum()


@quick
@given(boxes())
def test_runs_fill_the_region_in_every_direction(box):
    """Each voxel is in one run of its level, whose neighbours before and behind are none of it."""
    levels, inside = box
    runs = counts_of(levels, inside)[1]
    of_length = runs * np.arange(1, runs.shape[1] + 1)[None, :, None]
    by_level = np.bincount(levels[inside])[1:]
    for a, (dz, dy, dx) in enumerate(DIRECTIONS):
        np.testing.assert_array_equal(of_length[:, :, a].sum(1), by_level)
        padded = np.pad(np.where(inside, levels, 0), 1)
        behind = np.roll(padded, (dz, dy, dx), (0, 1, 2))
        assert runs[:, :, a].sum() == np.count_nonzero((padded > 0) & (behind != padded))


@quick
@given(boxes(), st.sampled_from((None, 0, 1, 2)))
def test_zones_are_those_of_a_plain_labelling(box, across):
    """Level by level by SciPy; in planes across an axis where one is given."""
    levels, inside = box
    connected = np.ones((3, 3, 3), bool)
    chosen, below = np.ones(len(DIRECTIONS), bool), (1, 0, 0)
    if across is not None:
        index = [slice(None)] * 3
        index[across] = [0, 2]
        connected[tuple(index)] = False
        chosen, below = DIRECTIONS[:, across] == 0, BELOW_IN_PLANE[across]
    wanted = []
    for level in np.unique(levels[inside]):
        labels, _ = ndimage.label(inside & (levels == level), connected)
        wanted += [(int(level), int(size)) for size in np.bincount(labels.ravel())[1:]]
    region = Region(inside)
    place = int(np.flatnonzero((DIRECTIONS[chosen] == below).all(1))[0])
    found = zones(region.spread(levels[inside]), region.at, region.steps[chosen], place)
    assert sorted(zip(*(part.tolist() for part in found), strict=True)) == sorted(wanted)


@quick
@given(st.integers(1, 9), st.integers(0, 12), st.integers(0, 3), st.integers(0, 99))
def test_sums_over_diagonals_are_those_of_a_plain_loop(most, greys, directions, seed):
    """Of matrices of any size, none included, in any order in memory."""
    rng = np.random.default_rng(seed)
    levels = rng.permutation(np.arange(1, greys + 1))[:most]
    matrices = np.asfortranarray(rng.random((len(levels), len(levels), directions)))
    sums, distances = diagonal_sums(matrices, levels, max(greys, 1))
    wanted = np.zeros_like(sums), np.zeros_like(distances)
    for i, j in np.ndindex(matrices.shape[:2]):
        wanted[0][levels[i] + levels[j] - 2] += matrices[i, j]
        wanted[1][abs(levels[i] - levels[j])] += matrices[i, j]
    np.testing.assert_array_equal(sums, wanted[0])
    np.testing.assert_array_equal(distances, wanted[1])


BOX = Region(np.ones((2, 3, 4), bool))
LEVELS, AT, STEPS = BOX.spread(np.arange(24) % 5 + 1), BOX.at, BOX.steps


def changed(array, **cells):
    """A copy with cells by index, ``_3`` for example."""
    copy = array.copy()
    for place, value in cells.items():
        copy[int(place[1:])] = value
    return copy


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LEVELS, AT, STEPS, 4), "1 to 4 in the region, got 1 to 5"),
        ((changed(LEVELS, **{f"_{AT[3]}": 0}), AT, STEPS, 5), "1 to 5 in the region, got 0 to 5"),
        ((changed(LEVELS, **{f"_{AT[3]}": -7}), AT, STEPS, 5), "got -7 to 5"),
        ((changed(LEVELS, _0=2), AT, STEPS, 5), "0 outside the region"),
        ((LEVELS, np.append(AT, len(LEVELS) - 1), STEPS, 5), "margin"),
        ((LEVELS, np.append(0, AT), STEPS, 5), "margin"),
        ((LEVELS, AT, -STEPS, 5), "margin"),
        ((LEVELS, AT, STEPS * 100, 5), "margin"),
        ((LEVELS, AT[::-1], STEPS, 5), "ascending"),
        ((LEVELS, np.repeat(AT, 2), STEPS, 5), "ascending"),
        ((LEVELS.astype(float), AT, STEPS, 5), "whole numbers"),
        ((LEVELS.reshape(4, -1), AT, STEPS, 5), "flat"),
        ((LEVELS, AT[:0], STEPS, 5), "empty"),
        ((LEVELS, AT, STEPS, -1), "0 or more"),
    ],
)
def test_levels_and_places_out_of_bounds_are_refused(arguments, message):
    """Neither a level nor a neighbour is looked for outside its array."""
    with pytest.raises(ValueError, match=message):
        neighbourhoods(*arguments, 4)
    if message not in ("1 to 4 in the region, got 1 to 5", "0 or more"):
        with pytest.raises(ValueError, match=r"margin|ascending|whole|flat|empty|outside|region"):
            zones(*arguments[:3], 4)


def test_a_run_longer_than_its_matrix_and_a_missing_step_are_refused():
    """The longest side of the box bounds a run; the step below is one of the steps."""
    flat = np.minimum(LEVELS, 1)
    assert neighbourhoods(flat, AT, STEPS, 1, 4)[1].sum() > 0
    with pytest.raises(ValueError, match="at most 3 voxels long"):
        neighbourhoods(flat, AT, STEPS, 1, 3)
    for place in (-1, 13):
        with pytest.raises(ValueError, match="among 13 steps"):
            zones(LEVELS, AT, STEPS, place)


def test_an_empty_region_has_empty_counts():
    """No voxel, no pair, no zone; as many levels as asked for."""
    nothing = np.zeros(60, np.int32), np.zeros(0, np.int64), STEPS
    assert [count.shape for count in neighbourhoods(*nothing, 3, 4)] == [(3, 3, 13), (3, 4, 13), (3, 27), (3, 2)]
    assert not any(count.any() for count in neighbourhoods(*nothing, 3, 4))
    assert [len(part) for part in zones(*nothing, 4)] == [0, 0]


def test_arrays_of_any_type_and_layout_give_the_same_counts():
    """Every second element of a longer array, other integer types: copied, never misread."""
    wanted = neighbourhoods(LEVELS, AT, STEPS, 5, 4)
    for kind in (np.uint8, np.int16, np.int64):
        spaced = np.repeat(LEVELS.astype(kind), 2)[::2]
        found = neighbourhoods(spaced, np.repeat(AT, 2)[::2], STEPS.astype(np.int32), 5, 4)
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("matrices", "levels", "greys"),
    [
        (np.ones((2, 2, 1)), np.array([1, 4]), 3),
        (np.ones((2, 2, 1)), np.array([0, 1]), 3),
        (np.ones((2, 3, 1)), np.array([1, 2]), 3),
        (np.ones((2, 2)), np.array([1, 2]), 3),
        (np.ones((2, 2, 1)), np.array([1.0, 2.0]), 3),
        (np.ones((0, 0, 1)), np.array([], int), 0),
    ],
)
def test_diagonals_out_of_bounds_are_refused(matrices, levels, greys):
    """A level beyond the highest has no diagonal."""
    with pytest.raises(ValueError, match=r"wanted matrices|grey levels"):
        diagonal_sums(matrices, levels, greys)


values = st.one_of(
    st.floats(-1e4, 1e4), st.sampled_from((0.0, 1e30, -1e30, float("nan"), float("inf"))), st.integers(-3, 3)
)


@quick
@given(st.data(), shapes)
def test_samples_around_voxels_are_those_of_scipy(data, shape):
    """Any image of finite values, any region, points inside and outside."""
    array = data.draw(arrays(np.float64, shape, elements=st.floats(-1e4, 1e4)))
    inside = data.draw(arrays(np.bool_, shape))
    points = data.draw(arrays(np.float64, (5, 3), elements=st.floats(-9, 9)))
    coefficients = np.pad(ndimage.spline_filter(array, 3, np.float64, "constant"), MARGIN_VOXELS, "reflect")
    samples = sphere_samples(coefficients, _runs(inside), points)
    places = np.argwhere(inside)[:, None, :] + points[None]
    wanted = ndimage.map_coordinates(array, places.transpose(2, 0, 1), order=3)
    np.testing.assert_allclose(samples, wanted, rtol=0, atol=1e-9 * max(1.0, np.abs(array).max()))


@quick
@given(st.data(), shapes)
def test_samples_of_any_values_end_without_a_crash(data, shape):
    """NaN, infinity and 1e30 go through: sums, never places in memory."""
    coefficients = data.draw(arrays(np.float64, tuple(n + 2 * MARGIN_VOXELS for n in shape), elements=values))
    inside = np.ones(shape, bool)
    points = np.array([(0, 0, 0), (0.5, -0.5, 0.25), (-1, 1, 1e300)])
    assert sphere_samples(coefficients, _runs(inside), points).shape == (inside.size, 3)


@pytest.mark.parametrize(
    ("runs", "points"),
    [
        ([[0, 0, 0, 6]], [[0, 0, 0]]),
        ([[3, 0, 0, 1]], [[0, 0, 0]]),
        ([[0, 4, 0, 1]], [[0, 0, 0]]),
        ([[0, 0, -1, 2]], [[0, 0, 0]]),
        ([[0, 0, 2, 0]], [[0, 0, 0]]),
        ([[0, 0, 2, 2**63 - 1]], [[0, 0, 0]]),
        ([[0, 0, 0]], [[0, 0, 0]]),
        ([[0, 0, 0, 1]], [[0, np.nan, 0]]),
        ([[0, 0, 0, 1]], [[0, np.inf, 0]]),
        ([[0, 0, 0, 1]], [[0, 0]]),
    ],
)
def test_runs_and_points_out_of_bounds_are_refused(runs, points):
    """A run ends inside the image; a point is somewhere."""
    with pytest.raises(ValueError, match=r"wanted|runs must"):
        sphere_samples(np.zeros((7, 8, 9)), np.array(runs), np.array(points, float))


def test_patterns_of_other_points_than_the_harmonics_are_refused():
    """Each point of a pattern has its harmonics; no voxel has no weight."""
    assert pattern_weights(np.zeros((0, 4), bool), np.ones((4, 2), complex)).shape == (0, 2)
    with pytest.raises(ValueError, match="same points"):
        pattern_weights(np.zeros((3, 5), bool), np.ones((4, 2), complex))


@quick
@given(arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=6)))
def test_patterns_of_cubes_are_those_of_a_plain_loop(inside):
    """Counts and places of all patterns with a surface; boxes of one voxel or none have no cube."""
    counts, places = cube_patterns(inside[::1, ::-1])
    wanted, where = np.zeros(256, int), np.zeros((256, 3), int)
    for place in np.ndindex(*(max(n - 1, 0) for n in inside.shape)):
        z, y, x = place
        cube = inside[:, ::-1][z : z + 2, y : y + 2, x : x + 2].ravel()
        pattern = int(cube @ (1 << np.arange(8)))
        if 0 < pattern < 255:
            wanted[pattern] += 1
            where[pattern] += place
    np.testing.assert_array_equal(counts, wanted)
    np.testing.assert_array_equal(places, where)


@quick
@given(arrays(np.int64, st.tuples(st.integers(0, 30), st.just(3)), elements=st.integers(-4, 4)))
def test_the_largest_distance_is_among_the_corners_of_hulls(points):
    """Of any points in planes, one or none included: the corners' distance is that of all pairs."""
    points = np.unique(points, axis=0)
    plane = points[:, 0]
    corner = hull_corners(plane, points[:, 1], points[:, 2])
    every = [((p - q) ** 2).sum() for p in points for q in points if p[0] == q[0]]
    assert largest_squared_distance(points[corner].astype(float), plane[corner]) == max(every, default=0)
    assert largest_squared_distance(points.astype(float), plane) == max(every, default=0)


def test_shapes_that_do_not_match_are_refused():
    """Points, their planes and regions come as they are said to."""
    three, four = np.arange(3), np.arange(4)
    for call in (
        lambda: hull_corners(three, three, four),
        lambda: hull_corners(three, three, three.astype(float)),
        lambda: largest_squared_distance(np.zeros((3, 3)), four),
        lambda: largest_squared_distance(np.zeros((3, 2)), three),
        lambda: cube_patterns(np.zeros((3, 3), bool)),
        lambda: cube_patterns(np.zeros((3, 3, 3), int)),
    ):
        with pytest.raises(ValueError, match="must"):
            call()
