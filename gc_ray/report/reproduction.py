"""Every table and figure of a paper as a named file of ours, and one page that shows them beside what it prints."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
import pyarrow.parquet as pq

from gc_ray import __version__, sealed
from gc_ray.escaping import csv_bytes, from_csv_cell
from gc_ray.report.contrast import contrast_frames, contrast_plots
from gc_ray.report.draw import render
from gc_ray.report.files import INDEX, PAGE, Report
from gc_ray.report.inputs import Inputs
from gc_ray.report.made import made_tables
from gc_ray.report.page import SHOWN_ROWS, grid
from gc_ray.report.paper import Item, Paper, Part
from gc_ray.report.published import Ours, comparison, in_words, kept_in_words, kept_predictors, leak_free
from gc_ray.report.templates import rendered
from gc_ray.study import Study, load_study

READ = ("metrics", "tests", "cutoffs", "table_one")
ENDINGS = (".csv", ".png", ".svg")
COMPARISON = "comparison.csv"
NOT_FITTED_MODEL = "{} was not fitted"
OTHER_MODEL = "the report draws it for another model: evaluate.headline"
STATEMENT = (
    "A comparison of methods on other patients, never a reproduction of the paper's data: patients, scanners and "
    "outlines differ, so equal numbers prove nothing, and different ones do not refute."
)


@dataclass(frozen=True, eq=False)
class Artefact:
    """What stands for a part of a paper's item: its files by name; or, without files, why there is none."""

    part: Part
    files: Mapping[str, bytes]
    missing: str = ""


@dataclass(frozen=True, eq=False)
class Shown:
    """An item of the paper with its artefacts."""

    item: Item
    artefacts: tuple[Artefact, ...] = field(default=())

    @property
    def state(self) -> str:
        """``made``, ``in part`` or ``not reproduced``."""
        made = sum(bool(artefact.files) for artefact in self.artefacts)
        if not made:
            return "not reproduced"
        return "made" if made == len(self.artefacts) else "in part"

    @property
    def reasons(self) -> list[str]:
        """Why something of it is missing, each reason once."""
        return [r for r in dict.fromkeys((self.item.missing, *(a.missing for a in self.artefacts))) if r]


def shown_items(reproduced: Mapping[str, bytes]) -> tuple[dict, ...]:
    """The items as the index of a reproduction lists them: label, about, state, files and reason."""
    return tuple(json.loads(reproduced[INDEX])["items"])


def shown_areas(reproduced: Mapping[str, bytes]) -> tuple[dict, ...]:
    """The AUCs that the paper prints and ours, in words: model, cohort, published, ours."""
    rows = pd.read_csv(io.BytesIO(reproduced[COMPARISON])).fillna({"bound": "", "note": ""})
    words = in_words(rows[rows["metric"] == "auc"])
    return tuple(words[["model", "cohort", "published", "ours"]].to_dict("records"))


def reproduction_of(paper: Paper, inputs: Inputs, report: Report) -> Report:
    """The files of a reproduction: artefacts by the paper's numbering, the comparison, the page and its index.

    report: of the evaluation of ``inputs``. Its figures and tables are taken over; what it lacks is drawn here.
    """
    tables = {name: pq.read_table(io.BytesIO(report.files[f"tables/{name}.parquet"])).to_pandas() for name in READ}
    metrics, curves = contrast_frames(inputs)
    pool = dict(report.files)
    for plot in contrast_plots(inputs, metrics, curves):
        drawn = render(plot)
        pool |= {f"figures/{plot.name}.svg": drawn.svg.encode(), f"figures/{plot.name}.png": drawn.png}
        pool[f"figures/{plot.name}.csv"] = csv_bytes(plot.table)
    pool |= {f"tables/{n}.csv": csv_bytes(frame) for n, frame in made_tables(inputs, tables, metrics).items()}
    items = [Shown(item, tuple(_artefact(part, pool, inputs) for part in item.parts)) for item in paper.item]
    rows, kept = comparison(paper, Ours(inputs, tables, metrics)), kept_predictors(paper, inputs)
    files = {name: data for shown in items for artefact in shown.artefacts for name, data in artefact.files.items()}
    files |= {COMPARISON: csv_bytes(rows), "kept_predictors.csv": csv_bytes(kept)}
    files[PAGE] = _page(paper, inputs, report.report_id, items, (rows, kept)).encode()
    files[INDEX] = _index(paper, inputs, report.report_id, items, files)
    content = "".join(f"{name} {hashlib.sha256(data).hexdigest()}\n" for name, data in sorted(files.items()))
    return Report(f"{paper.study}-{hashlib.sha256(content.encode()).hexdigest()[:16]}", files)


def _artefact(part: Part, pool: Mapping[str, bytes], inputs: Inputs) -> Artefact:
    """The pool's files of a part's source under the part's name; a star in the source stands for several."""
    if part.of not in ("", inputs.headline):
        return Artefact(part, {}, NOT_FITTED_MODEL.format(part.of) if part.of in _unfitted(inputs) else OTHER_MODEL)
    pattern = re.compile(re.escape(part.source).replace(r"\*", "(.+)") + r"(\.[a-z]+)")
    files = {}
    for name in sorted(pool):
        if (found := pattern.fullmatch(name)) and found.groups()[-1] in ENDINGS:
            files["_".join((part.name, *found.groups()[:-1])).replace("-", "_") + found.groups()[-1]] = pool[name]
    return Artefact(part, files, "" if files else _why_not(part, inputs))


def _why_not(part: Part, inputs: Inputs) -> str:
    for model in _unfitted(inputs):
        if part.source.endswith(f"-{model}"):
            return NOT_FITTED_MODEL.format(model)
    return "the run's data give no such table or figure"


def _unfitted(inputs: Inputs) -> dict[str, str]:
    """The study's signatures that have no leak-free scores here, and why."""
    failed, fitted = inputs.card.get("failed", {}), leak_free(inputs)
    names = [s.name for s in inputs.study.signature if s.name not in fitted]
    return {name: failed.get(name, "no scores of it are in the store") for name in names}


def changed_settings(study: Study, packaged: Study) -> list[str]:
    """The settings in which a study is not the packaged one, with their value where it is short."""
    ours, theirs = (one.model_dump(mode="json") for one in (study, packaged))
    found = []
    for section in ours:
        values, asked = (_named(section, one[section]) for one in (ours, theirs))
        for name in dict.fromkeys((*values, *asked)):
            if values.get(name) != asked.get(name):
                short = section != "signature" and not isinstance(values[name], dict | list)
                found.append(f"{name} = {values[name]}" if short else name)
    return found


def _named(section: str, values: object) -> dict[str, object]:
    """The settings of a section, or its signatures, by the names that a study file has for them."""
    if section == "signature":
        return {f"signature {one['name']}": one for one in values}
    return {f"{section}.{name}": v for name, v in values.items()} if isinstance(values, dict) else {section: values}


def _page(
    paper: Paper, inputs: Inputs, report_id: str, items: list[Shown], compared: tuple[pd.DataFrame, pd.DataFrame]
) -> str:
    rows, kept = compared
    return rendered(
        "reproduction.html.j2",
        title=f"After {paper.citation}",
        paper=paper,
        study_id=inputs.study.name,
        identity=inputs.identity,
        report_id=report_id,
        version=__version__,
        statement=STATEMENT,
        unfitted=_unfitted(inputs),
        changed=changed_settings(inputs.study, load_study(paper.study)),
        comparison=grid("Published numbers and ours (95 % interval)", in_words(rows)),
        kept=grid("Predictors kept", kept_in_words(kept)) if len(kept) else None,
        items=[_shown(shown) for shown in items],
        unknown="",
    )


def _shown(shown: Shown) -> dict:
    """An item as the template takes it."""
    return {
        "label": shown.item.label,
        "anchor": shown.item.label.lower().replace(" ", "-"),
        "about": shown.item.about,
        "note": shown.item.note,
        "state": shown.state,
        "missing": shown.item.missing,
        "parts": [_part(artefact) for artefact in shown.artefacts],
        "is_table": shown.item.label.startswith("Table"),
    }


def _part(artefact: Artefact) -> dict:
    files = artefact.files
    drawn = [data.decode() for name, data in files.items() if name.endswith(".svg")]
    photographs = [
        {"name": name.removesuffix(".png"), "source": f"data:image/png;base64,{base64.b64encode(data).decode()}"}
        for name, data in files.items()
        if name.endswith(".png") and not drawn
    ]
    tables = []
    if not drawn and not photographs:
        for name, data in files.items():
            frame = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
            more = f", the first {SHOWN_ROWS} of {len(frame)} rows" if len(frame) > SHOWN_ROWS else ""
            frame = frame.map(from_csv_cell).rename(columns=from_csv_cell)
            tables.append(grid(f"{name}{more}", frame.head(SHOWN_ROWS), folded=True))
    return {
        "name": artefact.part.name,
        "source": artefact.part.source,
        "missing": artefact.missing,
        "files": sorted(files),
        "figures": drawn,
        "pictures": photographs,
        "tables": tables,
    }


def _index(paper: Paper, inputs: Inputs, report_id: str, items: list[Shown], files: Mapping[str, bytes]) -> bytes:
    said = {
        "study_id": inputs.study.name,
        "paper": {"citation": paper.citation, "doi": paper.doi},
        "statement": STATEMENT,
        "research_use_only": True,
        "report": report_id,
        "evaluation": inputs.identity,
        "tune_id": inputs.card.get("tune_id", ""),
        "not_fitted": _unfitted(inputs),
        "changed": changed_settings(inputs.study, load_study(paper.study)),
        "items": [
            {
                "label": shown.item.label,
                "about": shown.item.about,
                "state": shown.state,
                "files": sorted(name for artefact in shown.artefacts for name in artefact.files),
                "reasons": shown.reasons,
            }
            for shown in items
        ],
        "files": sealed.described(dict(files)),
    }
    return sealed.seal(said, INDEX)
