"""Training by Ray Train: ranks that die, drivers that die, faults of the settings, GPUs that are not there."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gc_ray.code_versions import NETWORKS
from gc_ray.errors import ClusterError, StudyError, TableError
from gc_ray.models.fit import FitSettings
from gc_ray.models.model_folder import Model, read_card, read_model
from gc_ray.runtime import train as module
from gc_ray.runtime.node_facts import facts_for
from gc_ray.runtime.preflight import Expected
from gc_ray.runtime.train import Place, Task, train
from gc_ray.store import open_store
from gc_ray.study import TrainSettings

SETTINGS = FitSettings(batch=8, learning_rate=0.01, weight_decay=0.0, epochs=6, patience=None, seed=5)
QUIET = lambda name, settings, point: None  # noqa: E731


def line_task(kind="line", before_epoch=lambda epoch: None, spoil_epoch=0) -> Task:
    """A regression fitted twice; nested, so that it travels to the ranks by value."""

    class Line:
        size = 21

        def network(self, seed):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))

        def batch(self, items, epoch):
            before_epoch(epoch)
            x = np.array([np.random.default_rng([1, epoch, i]).normal(size=4) for i in items], np.float32)
            return {"x": torch.from_numpy(x) * (float("nan") if epoch == spoil_epoch else 1.0)}

        def loss(self, network, batch):
            return nn.functional.mse_loss(network(batch["x"]), batch["x"].sum(1, keepdim=True))

        def monitor(self, network):
            x = torch.linspace(-1, 1, 20).reshape(5, 4)
            return float(nn.functional.mse_loss(network(x), x.sum(1, keepdim=True)))

    def work(fit):
        first, second = fit("first", Line(), SETTINGS), fit("second", Line(), SETTINGS)
        weights = {f"{n}.{k}": w for n, f in (("first", first), ("second", second)) for k, w in f.weights.items()}
        return Model(weights, {"epochs": first.epochs})

    return Task(kind, {"seed": SETTINGS.seed}, work)


def weights_of(store, task) -> dict[str, torch.Tensor]:
    """The weights in the model's folder."""
    return read_model(store, task.model_id)[0].weights


def same(one: dict, other: dict) -> bool:
    """Whether two sets of weights have equal bits."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def place(store, workers=0, **settings) -> Place:
    """Where to train: a state is kept after every second epoch."""
    return Place(store, TrainSettings(workers=workers, checkpoint_every=2, **settings))


def test_a_model_is_trained_once(any_store):
    """The second call reads the card; the states are gone; the curve says how every fit went."""
    told, task = [], line_task()
    card, new = train(task, place(any_store), lambda name, settings, point: told.append((name, point[0])), "r1")
    assert new
    assert told == [(name, epoch) for name in ("first", "second") for epoch in range(1, 7)]
    assert train(task, place(any_store), QUIET, "r2") == (card, False)
    assert not list(any_store.list("checkpoints"))
    assert [json.loads(any_store.get(f"runs/{run}.json"))["new"] for run in ("r1", "r2")] == [True, False]
    curve = read_model(any_store, task.model_id)[0].tables["curve"]
    assert curve.column("fit").to_pylist() == ["first"] * 6 + ["second"] * 6
    assert curve.column("best").to_pylist() == ([False] * 5 + [True]) * 2


def test_a_run_that_was_cut_off_is_taken_up(store):
    """A fit that had ended is not run again, the other goes on; the bits are those of one run."""
    calls = []

    def stop_late(epoch):
        calls.append(epoch)
        if len(calls) == 27:  # three batches an epoch: within epoch 3 of the second fit
            raise InterruptedError

    task = line_task(before_epoch=stop_late)
    with pytest.raises(InterruptedError):
        train(task, place(store), QUIET, "r1")
    assert read_card(store, task.model_id) is None
    told = []
    train(task, place(store), lambda name, settings, point: told.append((name, point[0])), "r2")
    assert told == [("second", epoch) for epoch in (3, 4, 5, 6)]
    undisturbed = line_task(kind="other")
    train(undisturbed, place(store), QUIET, "r3")
    assert same(weights_of(store, task), weights_of(store, undisturbed))


def test_a_gpu_that_is_not_there_is_an_error_at_once(store):
    """In this process; a cluster without one is tested below."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ClusterError, match="wanted a GPU, this machine has none"):
        train(line_task(), place(store, gpu=True), QUIET, "r1")


@pytest.mark.slow
def test_a_cluster_without_a_gpu_is_an_error_at_once(store, ray_session):
    """Before Ray Train waits for one."""
    import ray

    if ray.cluster_resources().get("GPU"):
        pytest.skip("this machine has a GPU")
    begin = time.monotonic()
    with pytest.raises(ClusterError, match=r"wanted 2 GPU \(2 workers with 1 each\), the nodes have 0"):
        train(line_task(), place(store, workers=2, gpu=True), QUIET, "r1")
    with pytest.raises(ClusterError, match=r"wanted 9 CPU \(9 workers with 1 each\), the nodes have 4"):
        train(line_task(), place(store, workers=9), QUIET, "r1")
    assert time.monotonic() - begin < 5


@pytest.mark.slow
def test_a_killed_rank_changes_no_bit(ray_session, store, tmp_path):
    """SIGKILL to rank 1 in mid-training: the run recovers by itself and ends as if nothing had happened."""
    mark = tmp_path / "killed"

    def kill_once(epoch):
        if epoch == 4 and torch.distributed.get_rank() == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    calm, told = line_task(), []
    card, _ = train(
        calm, place(store, workers=2), lambda name, settings, point: told.append((name, point[0])), "calm"
    )
    assert told == [(name, epoch) for name in ("first", "second") for epoch in range(1, 7)]
    assert card["made"]["ranks"] == 2
    hit = line_task("hit", kill_once)
    train(hit, place(store, workers=2), QUIET, "hit")
    assert mark.exists()
    assert same(weights_of(store, calm), weights_of(store, hit))


@pytest.mark.slow
def test_ranks_on_a_wrong_node_train_nothing(ray_session, store, monkeypatch):
    """Each compares itself, also where its node came after the check; all ranks hear of it, and no other is left."""
    other = replace(facts_for(NETWORKS), sources="other")
    monkeypatch.setattr(module, "checked_nodes", lambda *given, **options: contextlib.nullcontext(Expected(other)))
    monkeypatch.setattr(module.RefusedNodes, "check_places", lambda refused, expected: None)
    with pytest.raises(ClusterError, match=r"there is none: .* other files of gc_ray"):
        train(line_task(), place(store, workers=2), QUIET, "wrong")
    assert not list(store.list("checkpoints"))
    assert not list(store.list("models"))


@pytest.mark.slow
def test_a_fault_of_the_settings_is_told_once_and_not_tried_again(ray_session, store, tmp_path):
    """NaN on every rank is the error of a run in one process, not of a cluster."""
    tries = tmp_path / "tries"
    tries.mkdir()

    def count(epoch):
        if epoch == 1:
            (tries / str(os.getpid())).touch()

    with pytest.raises(StudyError, match="epoch 2: wanted a finite training loss, got nan"):
        train(line_task(before_epoch=count, spoil_epoch=2), place(store, workers=2), QUIET, "nan")
    assert len(list(tries.iterdir())) == 2


@pytest.mark.slow
def test_a_fault_of_the_input_keeps_its_own_words(ray_session, store):
    """What one rank alone raises comes out as it was raised."""

    def fail(epoch):
        if torch.distributed.get_rank() == 1:
            raise TableError("volume s1 is gone; extract it again")

    with pytest.raises(TableError, match=r"^volume s1 is gone; extract it again$"):
        train(line_task(before_epoch=fail), place(store, workers=2, max_failures=0), QUIET, "fault")


@pytest.mark.slow
def test_ranks_that_die_for_ever_end_the_run(ray_session, store):
    """After max_failures deaths it is an error that says what to do."""

    def die(epoch):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ClusterError, match="ranks failed more than 0 times"):
        train(line_task(before_epoch=die), place(store, workers=1, max_failures=0), QUIET, "die")


def drive(folder: str, workers: int, pause_s: float) -> None:
    """A driver of its own, slow enough to be killed."""
    task = line_task(before_epoch=partial(lambda s, epoch: time.sleep(s), pause_s))
    train(task, place(open_store(folder), workers), QUIET, f"run-{os.getpid()}")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_driver_changes_no_bit(workers, tmp_path):
    """kill -9 of the whole run; the same command again goes on from the kept states and ends with the same bits."""
    stores = [open_store(str(tmp_path / name)) for name in ("killed", "calm")]

    def start(store, pause_s):
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_train as t; "
        code += f"t.drive({store.root!r}, {workers}, {pause_s})"
        environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
        return subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)

    first = start(stores[0], 0.3)
    deadline = time.monotonic() + 180
    while not list(stores[0].list("checkpoints")) and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    kept = len(list(stores[0].list("checkpoints")))
    assert kept, "no state was kept before the driver was killed"
    assert not list(stores[0].list("models"))
    assert [start(store, 0.0).wait() for store in stores] == [0, 0]
    task = line_task()
    assert same(*(weights_of(store, task) for store in stores))
