"""Fitting: repeatable, resumable, the same on every rank, and clear about numbers that are not finite."""

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gc_ray.errors import StudyError
from gc_ray.models.checkpoints import StoredCheckpoints
from gc_ray.models.fit import FitSettings, fit
from gc_ray.models.world import process_group
from gc_ray.store import open_store

SETTINGS = FitSettings(batch=8, learning_rate=0.01, weight_decay=0.0, epochs=6, patience=4, seed=5)


class Line:
    """Regression with a hidden layer, batch normalisation and dropout; item i of epoch e gets noise of its own."""

    def __init__(self, size: int = 21, spoil_epoch: int = 0):
        self.size = size
        self.spoil_epoch = spoil_epoch
        values = np.random.default_rng(0)
        self.x = torch.from_numpy(values.normal(size=(size, 4)).astype(np.float32))
        self.y = self.x.sum(1, keepdim=True)

    def network(self, seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))

    def batch(self, items, epoch):
        noise = [np.random.default_rng([1, epoch, i]).normal(size=4) for i in items]
        x = self.x[items] + 0.1 * torch.from_numpy(np.array(noise, np.float32))
        return {"x": x * (float("nan") if epoch == self.spoil_epoch else 1.0), "y": self.y[items]}

    def loss(self, network, batch):
        return nn.functional.mse_loss(network(batch["x"]), batch["y"])

    def monitor(self, network):
        return float(nn.functional.mse_loss(network(self.x), self.y))


class Memory:
    """States kept in memory; the fit is cut off after some epochs by an error."""

    def __init__(self, every: int = 1, cut_at: int = 0):
        self.every, self.cut_at, self.states = every, cut_at, []

    def load(self):
        return self.states[-1] if self.states else None

    def save(self, epoch, data):
        self.states.append(data)
        if epoch == self.cut_at:
            raise InterruptedError


def same(one: dict, other: dict) -> bool:
    """Whether two sets of weights have equal bits."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_fit_repeats_itself_and_follows_its_seed():
    """Same seed, same bits, whatever torch's own generator did before; another seed, other weights."""
    one = fit(Line(), SETTINGS)
    torch.rand(3)
    assert same(one.weights, fit(Line(), SETTINGS).weights)
    assert not same(one.weights, fit(Line(), replace(SETTINGS, seed=6)).weights)


def test_a_fit_leaves_the_global_generator_alone():
    """Dropout draws from a generator that is put back."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    fit(Line(), SETTINGS)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("cut_at", [1, 3, 5])
@pytest.mark.parametrize("patience", [4, None])
def test_a_fit_that_is_taken_up_again_ends_with_the_same_bits(cut_at, patience):
    """Weights, curve and best epoch are those of a run that was never cut off."""
    settings = replace(SETTINGS, patience=patience)
    whole, memory = fit(Line(), settings), Memory(cut_at=cut_at)
    with pytest.raises(InterruptedError):
        fit(Line(), settings, checkpoints=memory)
    told = []
    resumed = fit(Line(), settings, checkpoints=memory, tell=told.append)
    assert same(whole.weights, resumed.weights)
    assert (whole.curve, whole.best_epoch) == (resumed.curve, resumed.best_epoch)
    assert [point[0] for point in told] == list(range(cut_at + 1, whole.epochs + 1))


def test_a_finished_fit_is_read_back_without_an_epoch():
    """The last epoch's state is kept even when it is not due."""
    memory, told = Memory(every=100), []
    first = fit(Line(), SETTINGS, checkpoints=memory)
    again = fit(Line(), SETTINGS, checkpoints=memory, tell=told.append)
    assert same(first.weights, again.weights)
    assert not told


def test_fitting_ends_when_patience_is_over_and_keeps_the_best_weights():
    """With a monitored value that rises after epoch 2, epoch 2 is kept and 2 + patience epochs are run."""

    class Rising(Line):
        epoch = 0

        def monitor(self, network):
            self.epoch += 1
            self.kept = {**getattr(self, "kept", {}), self.epoch: network[0].weight.clone()}
            return abs(self.epoch - 2.0)

    objective = Rising()
    fitted = fit(objective, replace(SETTINGS, epochs=50, patience=3))
    assert (fitted.best_epoch, fitted.epochs) == (2, 5)
    assert torch.equal(fitted.weights["0.weight"], objective.kept[2])


def test_without_patience_the_last_weights_are_kept():
    """Exactly ``epochs`` epochs, whatever is monitored."""
    fitted = fit(Line(), replace(SETTINGS, epochs=3, patience=None))
    assert (fitted.best_epoch, fitted.epochs) == (3, 3)


def test_fitting_lowers_the_loss():
    """The meaning of it all."""
    curve = fit(Line(200), replace(SETTINGS, epochs=30, patience=None)).curve
    assert curve[-1][2] < 0.2 * curve[0][2]


@pytest.mark.parametrize("precision", ["bf16"])
def test_half_precision_fits_about_as_well(precision):
    """Steps in bf16 end near those in fp32."""
    settings = replace(SETTINGS, epochs=30, patience=None)
    half = fit(Line(200), replace(settings, precision=precision)).curve
    assert half[-1][2] == pytest.approx(fit(Line(200), settings).curve[-1][2], abs=0.3)


def test_a_precision_that_the_device_lacks_is_an_error():
    """fp16 needs loss scaling and a GPU."""
    with pytest.raises(StudyError, match="precision fp16: this device"):
        fit(Line(), replace(SETTINGS, precision="fp16"))


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_epoch():
    """NaN never reaches the kept weights."""
    with pytest.raises(StudyError, match="epoch 2: wanted a finite training loss, got nan; lower learning_rate"):
        fit(Line(spoil_epoch=2), SETTINGS)


def test_a_truncated_state_is_replaced_by_the_one_before(tmp_path):
    """The fit goes on from the last whole state and ends with the same bits."""
    store = open_store(str(tmp_path))
    kept = StoredCheckpoints(store, "model/fit", 1)
    whole = fit(Line(), SETTINGS)
    fit(Line(), replace(SETTINGS, epochs=4), checkpoints=kept)
    names = [entry.key for entry in store.list("checkpoints")]
    assert len(names) == 2
    store.put(names[-1], store.get(names[-1])[:-20])
    told = []
    resumed = fit(Line(), SETTINGS, checkpoints=kept, tell=told.append)
    assert [point[0] for point in told] == [4, 5, 6]
    assert same(whole.weights, resumed.weights)


OBJECTIVE = Line(24)


def rank_of(rank: int, size: int, folder: str, cut_at: int) -> None:
    """One rank of a real process group; its result goes to a file."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet{cut_at}", rank=rank, world_size=size)
    kept = StoredCheckpoints(open_store(folder), "m/f", 1) if cut_at else None
    world = process_group(torch.device("cpu"))
    fitted = fit(OBJECTIVE, SETTINGS, world, kept)
    if kept:
        fitted = fit(OBJECTIVE, SETTINGS, world, kept)  # read back: rank 0 gives what it has to all
    torch.save({"weights": fitted.weights, "curve": fitted.curve}, f"{folder}/{cut_at}-{rank}.pt")
    torch.distributed.destroy_process_group()


def together(size: int, folder, cut_at: int = 0) -> list[dict]:
    """The results of all ranks."""
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=rank_of, args=(r, size, str(folder), cut_at)) for r in range(size)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(120)
        assert rank.exitcode == 0
    return [torch.load(folder / f"{cut_at}-{r}.pt", weights_only=True) for r in range(size)]


@pytest.mark.slow
def test_every_rank_ends_with_the_same_bits(tmp_path):
    """Three ranks with dropout and batch statistics; again, and read back from kept states."""
    first = together(3, tmp_path)
    assert all(same(first[0]["weights"], other["weights"]) for other in first)
    again = together(3, tmp_path, cut_at=1)
    assert all(same(first[0]["weights"], other["weights"]) for other in again)
    assert first[0]["curve"] == again[2]["curve"]


@pytest.mark.slow
def test_ranks_follow_the_gradient_of_the_whole_batch(tmp_path, monkeypatch):
    """Without dropout and batch statistics three ranks end where one does; the last batch holds just one item."""
    monkeypatch.setitem(globals(), "OBJECTIVE", Plain(17))
    alone = fit(Plain(17), SETTINGS)
    for name, found in together(3, tmp_path)[0]["weights"].items():
        torch.testing.assert_close(found, alone.weights[name], rtol=1e-4, atol=1e-5)


class Plain(Line):
    """The same regression by a network whose items do not know of each other."""

    def network(self, seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
