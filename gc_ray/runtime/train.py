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
from gc_ray.code_versions import NETWORKS
from gc_ray.errors import ClusterError, StoreError, StudyError
from gc_ray.models.checkpoints import StoredCheckpoints, forget
from gc_ray.models.fit import Fit, FitSettings, Fitted, Objective, Point, fit
from gc_ray.models.model_folder import Model, model_id, read_card, write_model
from gc_ray.models.world import ALONE, World, process_group, repeatable
from gc_ray.run_records import write_record
from gc_ray.runtime import cluster
from gc_ray.runtime.places import Demand
from gc_ray.runtime.preflight import Expected, RefusedNodes, checked_nodes, why_not_here
from gc_ray.runtime.waiting import log
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
    ClusterError when there are no places for the ranks in time, or when ranks died too often; StudyError when the
    settings do not lead to finite numbers; what a rank raised, when it is a fault of the input.
    """
    prepare(place.store)
    new = read_card(place.store, task.model_id) is None
    notes = _bring_about(task, place, tell, run, watch) if new else ()
    card = read_card(place.store, task.model_id)
    record = {"run": run, "command": "train", "exit_code": 0, "model": task.model_id, "new": new, "notes": notes}
    record |= {"facts": card["facts"], "train": place.settings.model_dump(mode="json")}
    write_record(place.store, run, record)
    return card, new


def _bring_about(task: Task, place: Place, tell: Tell, run: str, watch: Watch) -> tuple[str, ...]:
    """Train; a line for each node that got no work."""
    task.before(watch)
    notes, workers = (), _ranks(place.settings)
    if workers == 0 or not task.fitted:
        world = replace(ALONE, device=_own_device(place.settings)) if task.fitted else ALONE
        with repeatable(place.settings.cpus_per_worker):
            _work(task, place, world, tell)
    else:
        with cluster.session(workers * place.settings.cpus_per_worker):
            notes = _work_by_ray(task, place, workers, tell, run)
        for note in notes:
            log.warning("%s", note)
    forget(place.store, task.model_id)
    return notes


def _ranks(settings: TrainSettings) -> int:
    """How many ranks train by Ray; a GPU that this machine has not is one rank of the cluster that is named."""
    if settings.gpu and settings.workers == 0 and cluster.is_named() and not torch.cuda.is_available():
        return 1
    return settings.workers


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


def _work_by_ray(task: Task, place: Place, workers: int, tell: Tell, run: str) -> tuple[str, ...]:
    """Train on checked nodes; a line for each node that got no work."""
    settings = place.settings
    refused = RefusedNodes(demand=Demand("training", workers, _each(settings)))
    mixed = settings.allow_mixed_cpu or settings.gpu  # values of a GPU do not depend on the processor beside it
    with checked_nodes(refused, place.store, mixed_cpu=mixed, steps=(NETWORKS,)) as expected:
        while True:
            refused.check_places(expected)
            wrong = _fit_by_ray({"task": task, "place": place, "expected": expected}, refused, tell, run)
            if not wrong:
                return refused.notes
            for node_id, reason in wrong:  # nodes that came after the check, or took the place of another
                refused.add(node_id, reason)


def _each(settings: TrainSettings) -> dict[str, float]:
    """What every rank has, by Ray's names."""
    return {"CPU": settings.cpus_per_worker, **({"GPU": 1} if settings.gpu else {})}


def _fit_by_ray(config: dict, refused: RefusedNodes, tell: Tell, run: str) -> list[tuple[str, str]]:
    """(node, why it may not train) of ranks on wrong nodes, with which nothing was trained; none at the end."""
    settings = config["place"].settings
    with tempfile.TemporaryDirectory() as scratch, _listening(tell) as board:
        trainer = TorchTrainer(
            _rank,
            train_loop_config={**config, "board": board},
            scaling_config=ScalingConfig(
                num_workers=refused.demand.workers,
                use_gpu=settings.gpu,
                resources_per_worker=_each(settings),
                label_selector=refused.others or None,
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
        wrong = ray.get(board.wrong.remote())
    if fault and not wrong:
        raise StudyError(fault)
    return wrong


def _rank(config: dict) -> str:
    """What every rank runs; a fault of the settings, which all ranks meet alike, is reported and not tried again."""
    place, board = config["place"], config["board"]
    world = process_group(get_device())
    if _is_wrong(config["expected"], board, world):
        return ""

    def tell(name: str, settings: FitSettings, point: Point) -> None:
        if world.rank == 0:
            board.add.remote((name, settings, point))

    try:
        with repeatable(place.settings.cpus_per_worker):
            _work(config["task"], place, world, tell)
    except StudyError as error:
        return str(error)
    return ""


def _is_wrong(expected: Expected | None, board: ray.actor.ActorHandle, world: World) -> bool:
    """Whether any rank may not train where it is; the board then has its node and the reason."""
    reason = why_not_here(expected) if expected else ""
    if reason:
        ray.get(board.refuse.remote(cluster.node_id(), reason))
    return bool(world.sum(torch.tensor([bool(reason)], dtype=torch.int64, device=world.device)).item())


@ray.remote(num_cpus=0)
class _Board:
    """Where rank 0 leaves its news for the driver, and ranks on wrong nodes say so."""

    def __init__(self) -> None:
        self._news: list[tuple] = []
        self._wrong: list[tuple[str, str]] = []

    def refuse(self, node_id: str, reason: str) -> None:
        self._wrong.append((node_id, reason))

    def wrong(self) -> list[tuple[str, str]]:
        return self._wrong

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
