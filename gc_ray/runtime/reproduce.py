"""A paper's whole way on any cohort: every command's own function in order, then the paper's tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace

from gc_ray.cohort.findings import some
from gc_ray.errors import StudyError, TableError
from gc_ray.exit_codes import OVER_BUDGET, Problem, exit_code
from gc_ray.ledger import read_ledger
from gc_ray.report.evaluate import FOLDER as REPORTS
from gc_ray.report.evaluate import Outcome, evaluate
from gc_ray.report.evaluate import Request as Evaluation
from gc_ray.report.files import Report
from gc_ray.report.inputs import from_store
from gc_ray.report.paper import read_paper
from gc_ray.report.publish import publish
from gc_ray.report.reproduction import reproduction_of, shown_areas, shown_items
from gc_ray.run_records import write_record
from gc_ray.runtime.embed import Request as Embedding
from gc_ray.runtime.embed import embed
from gc_ray.runtime.extract import Request as Extraction
from gc_ray.runtime.extract import extract
from gc_ray.runtime.gather import kinds_of
from gc_ray.runtime.manifests import read_manifests
from gc_ray.runtime.networks import source_patients
from gc_ray.runtime.split import split
from gc_ray.runtime.train import Tell, Watch
from gc_ray.runtime.train_network import train_network
from gc_ray.runtime.tune import Tuned, not_fitted, tune
from gc_ray.store import Store
from gc_ray.study import Study
from gc_ray.study_signatures import HEAD

FOLDER = "reproductions"
Shows = AbstractContextManager[tuple[Tell, Watch]]


@dataclass(frozen=True)
class Request:
    """What the command was asked for.

    paper: packaged study whose paper it is; study: that study, or one made like it. scans: manifests.
    clinical: address of the table. workers: as for ``extract`` and ``tune``. encoding: of tables that are neither
    UTF-8 nor UTF-16.
    """

    paper: str
    study: Study
    store: Store
    scans: tuple[str, ...]
    clinical: str
    workers: int | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class Way:
    """How a run reports its progress, and how it is named.

    run: the run's id. step: shows (number, of how many, what) and gives ``tell`` and ``watch`` while it lasts.
    figures: called as figures are drawn. named: a fresh run id for the command of a step. clock: seconds, monotonic.
    """

    run: str
    step: Callable[[int, int, str], Shows]
    figures: Callable[[int, int], None]
    named: Callable[[str], str]
    clock: Callable[[], float]


@dataclass(frozen=True)
class Reproduced:
    """What was done.

    folder: of the artefacts; new: whether this call completed it. items: of the paper, with label, about, state,
    files and reasons. areas: AUCs in words, with model, cohort, published and ours. over_budget: steps that lost more
    scans than their budget. failed: signatures not fitted. notes: of the tables' reader.
    """

    run: str
    folder: str
    report: str
    new: bool
    items: tuple[dict, ...]
    areas: tuple[dict, ...]
    over_budget: tuple[str, ...]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What an operator must know of the run."""
        found = not_fitted(self.failed)
        if not self.over_budget:
            return found
        steps = some(self.over_budget)
        return (*found, Problem(OVER_BUDGET, f"over the failure budget: {steps}", {"steps": len(self.over_budget)}))


def reproduce(request: Request, way: Way) -> Reproduced:
    """Bring a paper's whole study up to date in the store, and write its artefacts; the run record is written last.

    The split comes first, so that a fault of the clinical table is seen before scans are read. The same call again
    takes up what was cut off, and computes nothing that is there. StudyError when the study has none of the paper's
    signatures; TableError when nobody's scans are there to train the backbone on; else errors as of each step.
    """
    _check_signatures(request)
    begin, store, study = way.clock(), request.store, request.study
    step, over = _steps(request, way), []
    with step("split"):
        notes = split(request.clinical, study, store, way.named("split"), request.encoding).notes
        _check_source(request)
    with step("extract") as (_, watch):
        extraction = Extraction(request.scans, store, study, request.workers, encoding=request.encoding)
        extracted = extract(extraction, watch, way.named("extract"), way.clock)
        over += _over("extract", extracted)
    over += _networks(request, way, step)
    with step("tune") as (_, watch):
        mixed = study.extract.allow_mixed_cpu
        tuned = tune(store, study, request.workers, watch, way.named("tune"), allow_mixed_cpu=mixed)
    with step("evaluate"):
        judged = evaluate(Evaluation(study, store, tune=tuned.tune_id), way.named("evaluate"), way.figures)
    with step("tables and figures of the paper"):
        done = _artefacts(request, tuned, judged, (way.run, tuple(over)))
        done = replace(done, notes=(*notes, *extracted.notes))
    record = {"command": "reproduce", "exit_code": exit_code(done.problems), **asdict(done)}
    record |= {"paper": request.paper, "seconds": way.clock() - begin, "study": study.model_dump(mode="json")}
    write_record(store, done.run, record)
    return done


def _check_signatures(request: Request) -> None:
    wanted = sorted({model for number in read_paper(request.paper).number for model in number.values})
    names = [signature.name for signature in request.study.signature]
    if not set(wanted) & set(names):
        raise StudyError(
            f"study {request.study.name}: wanted the paper's signatures ({', '.join(wanted)}), got "
            f'{", ".join(names) or "none"}; begin the study file with like = "{request.paper}"'
        )


def _check_source(request: Request) -> None:
    """A backbone without scans to be trained on is seen here, not after days of extraction."""
    source = source_patients(request.store, request.study) if HEAD in kinds_of(request.study) else {}
    if not source:
        return
    held = read_ledger(request.store, ("patient_id",))["patient_id"].to_pylist()
    if not source.keys() & (set(held) | read_manifests(request.scans, request.encoding).count("patient_id").keys()):
        raise TableError(
            f"study {request.study.name}: wanted scans of the {len(source)} patients of the backbone's source task "
            f"({some(source)}), --scans and the store have none; give their scans table too, as one more --scans"
        )


def _steps(request: Request, way: Way) -> Callable[[str], Shows]:
    """Shows each step of the request under its number."""
    kinds = kinds_of(request.study)
    total = 5 + 2 * ("deep" in kinds) + 2 * (HEAD in kinds)
    number = iter(range(1, total + 1))

    @contextmanager
    def step(what: str) -> Iterator[tuple[Tell, Watch]]:
        with way.step(next(number), total, what) as shown:
            yield shown

    return step


def _networks(request: Request, way: Way, step: Callable[[str], Shows]) -> list[str]:
    """Train what the study's signatures build on, and embed; the steps that were over their budget."""
    store, study, kinds, over = request.store, request.study, kinds_of(request.study), []
    if "deep" in kinds:
        with step("train autoencoder") as (tell, watch):
            trained = train_network("autoencoder", store, study, tell, way.named("train"), watch)
        with step("embed") as (_, watch):
            embedding = Embedding(trained.card["model_id"], study, store)
            over += _over("embed", embed(embedding, watch, way.named("embed"), way.clock))
    if HEAD in kinds:
        for kind in ("backbone", "head"):
            with step(f"train {kind}") as (tell, watch):
                train_network(kind, store, study, tell, way.named("train"), watch)
    return over


def _over(step: str, summary) -> list[str]:
    return [step] if summary.over_budget else []


def _artefacts(request: Request, tuned: Tuned, judged: Outcome, end: tuple[str, tuple[str, ...]]) -> Reproduced:
    """Make the paper's artefacts from the report that the store has, and keep them; the page is written last."""
    store, study = request.store, request.study
    folder = f"{REPORTS}/{judged.report_id}"
    files = {name: store.get(f"{folder}/{name}") for name in judged.files}
    inputs = from_store(store, study, tuned.tune_id)
    made = reproduction_of(read_paper(request.paper), inputs, Report(judged.report_id, files))
    new = publish(made, store, f"{FOLDER}/{study.name}")
    run, over = end
    place = f"{store.uri}/{FOLDER}/{study.name}/{made.report_id}"
    items, areas = shown_items(made.files), shown_areas(made.files)
    return Reproduced(run, place, judged.folder, new, items, areas, over, tuned.failed)
