"""Training one model: in this process or by Ray Train, taken up where it was cut off, and kept whole in the store."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer, get_device

from gc_ray import tables
from gc_ray.errors import ClusterError, StoreError, StudyError
from gc_ray.models.checkpoints import StoredCheckpoints, forget
from gc_ray.models.fit import Fit, FitSettings, Fitted, Objective, Point, fit
from gc_ray.models.model_folder import Model, model_id, read_card, write_model
from gc_ray.models.world import ALONE, World, process_group, repeatable
from gc_ray.run_records import write_record
from gc_ray.runtime import cluster
from gc_ray.store import Store
from gc_ray.store_format import prepare
from gc_ray.study import TrainSettings
from gc_ray.watch import Watch, unwatched

POLL_S = 0.5  # how often the ranks' news are fetched; a person does not read faster

Tell = Callable[[str, FitSettings, Point], None]


@dataclass(frozen=True)
class Task:
    """One model to be trained.

    identity: all that decides its weights, as JSON types; its digest is the model's name. work: the program with its
    data, run by every rank with the ``fit`` it is given; it must pickle, and reads what it needs from the store.
    fitted: whether anything is fitted; if not, this process alone does the work. before: what the driver brings into
    the store before the ranks begin, given ``watch`` as for ``extract``.
    """

    kind: str
    identity: dict
    work: Callable[[Fit], Model]
    fitted: bool = True
    before: Callable[[Watch], object] = lambda watch: None

    @property
    def model_id(self) -> str:
        """The name of the model's folder."""
        return model_id(self.kind, self.identity)


@dataclass(frozen=True)
class Place:
    """Where a training run keeps its states, and what it may use."""

    store: Store
    settings: TrainSettings


def train(task: Task, place: Place, tell: Tell, run: str, watch: Watch = unwatched) -> tuple[dict, bool]:
    """(the model's card, whether it was trained now): a model that is whole is left as it is.

    The same call again takes up what was cut off; the run record is written last. tell: called with each epoch's
    news. run: the run's id, never used before. watch: as for ``extract``, for what comes before training.
    ClusterError when a GPU or a CPU is asked for that no node has, or when ranks died too often; StudyError when the
    settings do not lead to finite numbers; what a rank raised, when it is a fault of the input.
    """
    prepare(place.store)
    new = read_card(place.store, task.model_id) is None
    if new:
        _bring_about(task, place, tell, run, watch)
    card = read_card(place.store, task.model_id)
    record = {"run": run, "command": "train", "exit_code": 0, "model": task.model_id, "new": new}
    record |= {"facts": card["facts"], "train": place.settings.model_dump(mode="json")}
    write_record(place.store, run, record)
    return card, new


def _bring_about(task: Task, place: Place, tell: Tell, run: str, watch: Watch) -> None:
    task.before(watch)
    if place.settings.workers == 0 or not task.fitted:
        world = replace(ALONE, device=_own_device(place.settings)) if task.fitted else ALONE
        with repeatable(place.settings.cpus_per_worker):
            _work(task, place, world, tell)
    else:
        with cluster.session(place.settings.workers * place.settings.cpus_per_worker):
            _work_by_ray(task, place, tell, run)
    forget(place.store, task.model_id)


def _work(task: Task, place: Place, world: World, tell: Tell) -> None:
    """One rank's part; rank 0 keeps the states and writes the model's folder."""
    done: dict[str, Fitted] = {}

    def fitting(name: str, objective: Objective, settings: FitSettings) -> Fitted:
        kept = StoredCheckpoints(place.store, f"{task.model_id}/{name}", place.settings.checkpoint_every)
        done[name] = fit(objective, settings, world, kept, lambda point: tell(name, settings, point))
        return done[name]

    model = task.work(fitting)
    if world.rank == 0:
        whole = replace(model, tables={**model.tables, "curve": _curves(done)})
        made = {"ranks": world.size, "device": world.device.type, "torch": torch.__version__}
        write_model(place.store, task.model_id, whole, {"kind": task.kind, "identity": task.identity, "made": made})


def _curves(done: dict[str, Fitted]) -> pa.Table:
    rows = [
        {"fit": name, "epoch": e, "train_loss": loss, "monitored": watched, "best": e == fitted.best_epoch}
        for name, fitted in done.items()
        for e, loss, watched in fitted.curve
    ]
    return tables.build(tables.LEARNING, rows)


def _work_by_ray(task: Task, place: Place, tell: Tell, run: str) -> None:
    settings = place.settings
    resources = {"CPU": settings.cpus_per_worker, **({"GPU": 1} if settings.gpu else {})}
    _check_resources(settings.workers, resources)
    with tempfile.TemporaryDirectory() as scratch, _listening(tell) as board:
        trainer = TorchTrainer(
            _rank,
            train_loop_config={"task": task, "place": place, "board": board},
            scaling_config=ScalingConfig(
                num_workers=settings.workers, use_gpu=settings.gpu, resources_per_worker=resources
            ),
            # our own states are what a restart begins with; Ray's records of a run are of no use afterwards
            run_config=RunConfig(
                name=run, storage_path=scratch, failure_config=FailureConfig(max_failures=settings.max_failures)
            ),
            torch_config=TorchConfig(backend="nccl" if settings.gpu else "gloo"),
        )
        try:
            fault = trainer.fit().return_value
        except TrainingFailedError as error:
            raise _cause(error, settings) from error
    if fault:
        raise StudyError(fault)


def _rank(config: dict) -> str:
    """What every rank runs; a fault of the settings, which all ranks meet alike, is reported and not tried again."""
    place, board = config["place"], config["board"]
    world = process_group(get_device())

    def tell(name: str, settings: FitSettings, point: Point) -> None:
        if world.rank == 0:
            board.add.remote((name, settings, point))

    try:
        with repeatable(place.settings.cpus_per_worker):
            _work(config["task"], place, world, tell)
    except StudyError as error:
        return str(error)
    return ""


@ray.remote(num_cpus=0)
class _Board:
    """Where rank 0 leaves its news for the driver."""

    def __init__(self) -> None:
        self._news: list[tuple] = []

    def add(self, news: tuple) -> None:
        self._news.append(news)

    def take(self) -> list[tuple]:
        taken, self._news = self._news, []
        return taken


@contextlib.contextmanager
def _listening(tell: Tell) -> Iterator[ray.actor.ActorHandle]:
    """A board whose news are told by a thread of this process until the context ends."""
    board, over = _Board.remote(), threading.Event()

    def listen() -> None:
        while not over.wait(POLL_S):
            for news in ray.get(board.take.remote()):
                tell(*news)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield board
    finally:
        over.set()
        listener.join()
        for news in ray.get(board.take.remote()):
            tell(*news)
        ray.kill(board)


def _check_resources(workers: int, each: dict[str, float]) -> None:
    there = ray.cluster_resources()
    for name, number in each.items():
        if there.get(name, 0) < workers * number:
            raise ClusterError(
                f"training: wanted {workers * number:g} {name} ({workers} workers with {number:g} each), "
                f"the nodes have {there.get(name, 0):g}; ask for fewer workers, or for none (--no-gpu)"
            )


def _own_device(settings: TrainSettings) -> torch.device:
    if settings.gpu and not torch.cuda.is_available():
        raise ClusterError("training: wanted a GPU, this machine has none; leave --gpu out, or submit to a cluster")
    return torch.device("cuda" if settings.gpu else "cpu")


def _cause(error: TrainingFailedError, settings: TrainSettings) -> Exception:
    """A fault of the input that a rank raised, or that too many ranks died."""
    failures = error.worker_failures.values() if isinstance(error, WorkerGroupError) else ()
    for failure in failures:
        found = getattr(failure, "_base_exc", failure)
        if isinstance(found, ValueError) and type(found).__module__ == StoreError.__module__:
            return found
    names = sorted({type(getattr(failure, "_base_exc", failure)).__name__ for failure in failures})
    return ClusterError(
        f"training: ranks failed more than {settings.max_failures} times ({', '.join(names) or 'no rank started'}); "
        "the kept states remain: fix the nodes or give the ranks more memory, and run again"
    )
