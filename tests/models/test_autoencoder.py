"""The autoencoder: its cube, what its loss sees, who stops it, latents without companions, and PCA as the bar."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from gc_ray.errors import BundleError, MaskError, TableError
from gc_ray.imaging.intensity import scale_to_unit
from gc_ray.imaging.phantom import gaussian_field
from gc_ray.models.autoencoder import (
    EMBED_BATCH,
    WINDOW_HU,
    Autoencoder,
    Reconstruction,
    Tumours,
    autoencoder_network,
    autoencoder_program,
    encode,
    fitted_cube,
    reconstruction_error,
    squared_error,
)
from gc_ray.models.fit import fit
from gc_ray.study import AutoencoderSettings

SIDE = 16


def textured_ellipsoid(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(int16 HU, uint8 mask), 16 voxels of 2 mm a side: texture as the simulated cohort draws it, and noise."""
    place = np.stack(np.meshgrid(*[np.arange(SIDE) - (SIDE - 1) / 2] * 3, indexing="ij"), -1)
    mask = ((place / rng.permutation([SIDE / 2, *rng.uniform(4.5, SIDE / 2, 2)])) ** 2).sum(-1) <= 1
    correlation_voxels = 8 * np.exp(0.25 * rng.standard_normal()) / 2
    field = gaussian_field((SIDE,) * 3, [correlation_voxels / 2] * 3, rng)
    field = (field - field[mask].mean()) / field[mask].std()
    sd_hu = 25 * np.exp(0.5 * rng.standard_normal())
    ct_hu = rng.normal(95, 6) + sd_hu * field + rng.normal(0, 4, field.shape)
    return np.rint(ct_hu).astype(np.int16), mask.astype(np.uint8)


def tumours(count: int, seed: int) -> Tumours:
    """That many patients with such an ellipsoid each."""
    rng = np.random.default_rng(seed)
    images, regions = zip(*[fitted_cube(*textured_ellipsoid(rng), SIDE) for _ in range(count)], strict=True)
    return Tumours(np.array([f"P{i:04d}" for i in range(count)]), np.stack(images), np.stack(regions))


def settings(**changes) -> AutoencoderSettings:
    """A small autoencoder."""
    return AutoencoderSettings(**{"input_voxels": SIDE, "latent": 4, "channels": 16, "epochs": 2, **changes})


# ---- the cube ----


def test_a_region_that_fits_keeps_its_voxels():
    """Nothing is resampled where nothing must be: every voxel stands in the middle of the cube as it was."""
    rng = np.random.default_rng(0)
    ct_hu = rng.integers(-300, 400, (9, 14, 20)).astype(np.int16)
    mask = np.zeros(ct_hu.shape, np.uint8)
    mask[2:7, 3:11, 4:17] = rng.random((5, 8, 13)) < 0.9
    mask[2, 3, 4] = mask[6, 10, 16] = 1
    image, region = fitted_cube(ct_hu, mask, SIDE)
    assert np.array_equal(region[5:10, 4:12, 1:14], mask[2:7, 3:11, 4:17] == 1)
    assert region.sum() == mask.sum()
    wanted = scale_to_unit(ct_hu, *WINDOW_HU)[mask == 1]
    assert np.allclose(image[region], wanted, atol=1e-6)
    assert not image[~region].any()


def test_a_long_region_is_shrunk_and_not_cut():
    """A ball of 40 voxels becomes one of 16: its share of the cube stays, and so does its mean."""
    place = np.stack(np.meshgrid(*[np.arange(44) - 21.5] * 3, indexing="ij"), -1)
    mask = ((place**2).sum(-1) <= 20**2).astype(np.uint8)
    field = gaussian_field(mask.shape, [4, 4, 4], np.random.default_rng(0))
    image, region = fitted_cube((80 + 30 * field).astype(np.int16), mask, SIDE)
    assert region.mean() == pytest.approx(np.pi / 6, rel=0.05)
    assert np.array_equal(region, region[::-1, ::-1, ::-1])
    mean_hu = (image[region].mean() + 1) / 2 * (WINDOW_HU[1] - WINDOW_HU[0]) + WINDOW_HU[0]
    assert mean_hu == pytest.approx((80 + 30 * field[mask == 1]).mean(), abs=2)


def test_fine_texture_is_averaged_and_not_aliased():
    """A pattern finer than the new voxels vanishes; it never turns into a coarse one."""
    ct_hu = np.where(np.indices((48, 48, 48)).sum(0) % 2, 150, 0).astype(np.int16)
    image, region = fitted_cube(ct_hu, np.ones(ct_hu.shape, np.uint8), SIDE)
    assert region.all()
    assert image[2:-2, 2:-2, 2:-2].std() < 0.02 * scale_to_unit(ct_hu, *WINDOW_HU).std()


@pytest.mark.parametrize("shape", [(12, 12, 12), (30, 40, 50)])
def test_nothing_outside_the_region_enters(shape):
    """Surroundings of any kind give the same cube, shrunk or not."""
    rng = np.random.default_rng(1)
    mask = (rng.random(shape) < 0.5).astype(np.uint8)
    ct_hu = rng.integers(-100, 200, shape).astype(np.int16)
    other = np.where(mask == 1, ct_hu, rng.integers(-1000, 1000, shape)).astype(np.int16)
    cubes = fitted_cube(ct_hu, mask, SIDE), fitted_cube(other, mask, SIDE)
    assert all(np.array_equal(one, same) for one, same in zip(*cubes, strict=True))


def test_a_thin_region_keeps_voxels():
    """A single oblique line of voxels, shrunk, is thinner than a new voxel; something is left of it."""
    mask = np.zeros((60, 60, 60), np.uint8)
    mask[np.arange(60), np.arange(60), np.arange(60)] = 1
    image, region = fitted_cube(np.full(mask.shape, 50, np.int16), mask, SIDE)
    assert region.any()
    assert np.allclose(image, 0, atol=1e-6)  # 50 HU is the middle of the window


def test_an_empty_region_or_another_grid_is_refused():
    """There is nothing to encode."""
    with pytest.raises(MaskError, match="wants a region with voxels on the grid of its image, got 0"):
        fitted_cube(np.zeros((4, 4, 4), np.int16), np.zeros((4, 4, 4), np.uint8), SIDE)
    with pytest.raises(MaskError, match=r"\(4, 4, 5\) on \(4, 4, 4\)"):
        fitted_cube(np.zeros((4, 4, 4), np.int16), np.ones((4, 4, 5), np.uint8), SIDE)


# ---- the network and its objective ----


@pytest.mark.parametrize("side", [16, 24, 32, 48])
def test_every_size_of_cube_has_a_network(side):
    """The map that the latent is read from has at most 6 voxels a side; the output is as large as the input."""
    network = Autoencoder(side, 5, 8)
    image, region = torch.rand(2, side, side, side), torch.ones(2, side, side, side, dtype=torch.bool)
    assert network.encode(image, region).shape == (2, 5)
    assert network(image, region).shape == image.shape
    assert network.coarse <= 6
    with pytest.raises(ValueError, match="must come to 6 or less by halving"):
        Autoencoder(side + 1, 5, 8)


def test_loss_and_latent_see_the_region_alone():
    """Another image outside the region changes neither, bit for bit."""
    few = tumours(4, 0)
    objective = Reconstruction(few, np.arange(3), np.array([3]), settings())
    network = objective.network(0)
    batch = objective.batch(np.arange(3), 1)
    noise = torch.where(batch["regions"], batch["images"], torch.rand_like(batch["images"]))
    assert torch.equal(objective.loss(network, batch), objective.loss(network, {**batch, "images": noise}))
    assert torch.equal(network.encode(noise, batch["regions"]), network.encode(batch["images"], batch["regions"]))


def test_the_error_is_the_mean_over_each_region():
    """By hand: one wrong voxel of two counts half, and tumours count the same whatever their size."""
    images, regions = torch.zeros(2, 1, 1, 4), torch.tensor([[[[1, 1, 0, 0]]], [[[1, 1, 1, 1]]]], dtype=torch.bool)
    output = torch.tensor([[[[2.0, 0, 9, 9]]], [[[1.0, 1, 1, 1]]]])
    assert squared_error(output, images, regions).tolist() == [2.0, 1.0]


def test_a_network_that_gives_the_mean_has_a_loss_of_1():
    """The loss is in units of the fitted voxels' variance, so figures of studies can be compared."""
    few = tumours(6, 0)
    objective = Reconstruction(few, np.arange(6), np.arange(6), settings())
    network = objective.network(0)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    spread = [
        float(((i[r] - network.centre.item()) ** 2).mean()) for i, r in zip(few.images, few.regions, strict=True)
    ]
    assert objective.monitor(network) == pytest.approx(np.mean(spread) / float(network.scale) ** 2, rel=1e-5)


def test_inputs_are_a_function_of_seed_epoch_and_item():
    """The same item in another batch, or asked for again, is turned the same way; the next epoch turns it anew."""
    few = tumours(6, 0)
    objective = Reconstruction(few, np.arange(6), np.array([0]), settings())
    alone, among = objective.batch(np.array([4]), 3), objective.batch(np.array([1, 4, 0]), 3)
    assert torch.equal(alone["images"][0], among["images"][1])
    turns = {objective.batch(np.array([4]), epoch)["images"].numpy().tobytes() for epoch in range(1, 9)}
    assert len(turns) > 4
    assert {np.sort(np.frombuffer(t, np.float32)).tobytes() for t in turns} == {
        np.sort(few.images[4], axis=None).tobytes()
    }, "a turn only moves voxels"


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_loss_is_finite_in_half_precision_and_has_gradients(precision):
    """What training at scale runs with."""
    objective = Reconstruction(tumours(4, 0), np.arange(4), np.array([0]), settings())
    network = objective.network(0)
    with torch.autocast("cpu", precision, precision != torch.float32):
        loss = objective.loss(network, objective.batch(np.arange(4), 1))
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


# ---- the program ----


def test_watched_patients_are_not_fitted_and_the_network_comes_back_from_its_weights():
    """The inner split is by patient, about the share that was asked for; weights alone rebuild the network."""
    few, seen = tumours(20, 0), []

    def spy(name, objective, how):
        seen.append((name, objective.size))
        return fit(objective, how)

    result = autoencoder_program(spy, few, settings(inner_share=0.2))
    assert seen == [("autoencoder", 16)]
    assert len(result.watched_ids) == 4
    assert set(result.watched_ids) < set(few.patient_ids)
    network = autoencoder_network(result.fitted.weights)
    chosen = np.isin(few.patient_ids, result.watched_ids)
    error = reconstruction_error(network, list(zip(few.images[chosen], few.regions[chosen], strict=True)))
    assert result.error_hu == pytest.approx(175 * error**0.5)
    assert result.fitted.curve[result.fitted.best_epoch - 1][2] == pytest.approx(error / float(network.scale) ** 2)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: Tumours(t.patient_ids[:0], t.images[:0], t.regions[:0]), "two patients or more .* got 0"),
        (lambda t: Tumours(t.patient_ids[:2], t.images, t.regions), "got 2 patients, images"),
        (lambda t: Tumours(t.patient_ids[[0, 1, 1]], t.images, t.regions), "patient P0001: wanted one tumour, got 2"),
        (lambda t: Tumours(t.patient_ids, t.images * np.nan, t.regions), "wanted finite images"),
        (lambda t: Tumours(t.patient_ids, t.images, t.regions & False), "no empty region"),
        (lambda t: Tumours(t.patient_ids, t.images[:, :8], t.regions[:, :8]), "a cube of 16 voxels a side"),
    ],
)
def test_data_that_cannot_be_used_are_refused_before_the_first_epoch(spoil, message):
    """An empty volume table, a patient twice, NaN: one line."""
    with pytest.raises(TableError, match=message):
        autoencoder_program(lambda *_: pytest.fail("fitted"), spoil(tumours(3, 0)), settings())


def test_other_weights_are_refused():
    """A backbone's, or nothing."""
    for weights in ({}, {"conv1.weight": torch.zeros(1)}, {"to_latent.weight": torch.zeros(3, 4)}):
        with pytest.raises(BundleError, match="wanted the weights of an autoencoder"):
            autoencoder_network(weights)


# ---- the latent ----


def test_a_latent_is_bit_equal_whatever_else_is_in_the_cohort():
    """Alone, first, last, in another place of the batch, in cohorts of any size: the same bits."""
    rng = np.random.default_rng(5)
    others = [textured_ellipsoid(rng) for _ in range(2 * EMBED_BATCH + 1)]
    mine = textured_ellipsoid(rng)
    torch.manual_seed(0)
    network = Autoencoder(SIDE, 512, 64).eval()
    alone = encode(network, [mine])[0]
    assert alone.dtype == np.float32
    assert np.ptp(alone) > 0
    for size in (1, EMBED_BATCH - 1, EMBED_BATCH, 2 * EMBED_BATCH + 1):
        for place in {0, 1, size // 2, size}:
            cohort = [*others[:place], mine, *others[place:size]]
            assert np.array_equal(encode(network, cohort)[place], alone), f"place {place} among {size}"


def test_nobody_has_no_latent():
    """An empty list gives an empty table of the right width."""
    assert encode(Autoencoder(SIDE, 7, 8).eval(), []).shape == (0, 7)


# ---- the bar ----


def pca_error(train: Tumours, test: Tumours, components: int) -> float:
    """Held-out error of PCA in the region, under the best of four ways to fill what lies outside."""
    inside = train.regions.sum(0)
    voxel_mean = np.where(inside > 0, (train.images * train.regions).sum(0) / np.maximum(inside, 1), 0)
    overall = train.images[train.regions].mean()

    def own_mean(t: Tumours) -> np.ndarray:
        return ((t.images * t.regions).sum((1, 2, 3)) / t.regions.sum((1, 2, 3)))[:, None, None, None]

    errors = []
    for fill in (lambda t: 0, lambda t: overall, lambda t: voxel_mean, own_mean):
        flat = [np.where(t.regions, t.images, fill(t)).reshape(len(t.images), -1) for t in (train, test)]
        pca = PCA(components, svd_solver="full").fit(flat[0])
        back = pca.inverse_transform(pca.transform(flat[1])).reshape(test.images.shape)
        wrong = (back - test.images) ** 2 * test.regions
        errors.append((wrong.sum((1, 2, 3)) / test.regions.sum((1, 2, 3))).mean())
    return float(min(errors))


@pytest.mark.slow
@pytest.mark.parametrize("latent", [16, 64])
def test_held_out_tumours_are_reconstructed_at_least_as_well_as_by_pca(latent):
    """300 tumours, of which 30 are only watched; PCA gets all 300 and the best filling. Others are held out."""
    train, test = tumours(300, 1), tumours(100, 2)
    how = settings(latent=latent, channels=64, epochs=24)
    result = autoencoder_program(lambda name, objective, fs: fit(objective, fs), train, how)
    held_out = list(zip(test.images, test.regions, strict=True))
    error, bar = (
        reconstruction_error(autoencoder_network(result.fitted.weights), held_out),
        pca_error(train, test, latent),
    )
    print(f"latent {latent}: autoencoder {error:.5f}, PCA {bar:.5f}, ratio {error / bar:.2f}")
    assert error <= bar
