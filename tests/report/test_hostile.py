"""Names from tables in a report: shown as they are, never run, never a path, never a formula."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from gc_ray.cohort.table_files.cells import cleaned
from gc_ray.errors import printable
from gc_ray.names import label
from gc_ray.report.compute import evaluate_all
from gc_ray.report.curve import curve_png
from gc_ray.report.draw import Plot, panels, render
from gc_ray.report.drift_page import drift_page
from gc_ray.report.files import INDEX, PAGE, report_of
from gc_ray.report.inputs import from_file
from gc_ray.report.page import grid
from gc_ray.report.templates import rendered
from gc_ray.study import Study

HOSTILE = json.loads((Path(__file__).parents[1] / "data" / "hostile.json").read_text(encoding="utf-8"))
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
IN_A_TABLE = {name: text for name, text in HOSTILE.items() if name != "surrogate"}  # no file of tables can hold it


@pytest.fixture(scope="module", autouse=True)
def small_pictures():
    """Pictures of few dots, since nobody looks at them: a fifth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc_ray.report.draw.PRINT_DPI", 20)
        yield


def test_a_table_with_every_hostile_string_is_shown_and_nothing_of_it_is_read(files_for_people):
    """In headings, captions, column names and cells of the page of drift, which has all of them."""
    rows = [
        {"name": text, "n": 1, "statistic": 0.1, "psi": None, "p_value": 0.5, "q_value": 0.5, "verdict": "stable"}
        for text in HOSTILE.values()
    ]
    page = files_for_people.check_page(drift_page(rows, HOSTILE), scripts=0)
    for text in HOSTILE.values():
        assert page.texts.count(printable(text)) == 2


@hostile
def test_a_page_shows_names_as_they_are_wherever_they_are(files_for_people, text):
    """Titles, doubts, captions, columns, cells, attributes of figures and the data of calculators."""
    frame = pd.DataFrame({text: [text, "-1"]})
    figure = {"name": "roc", "title": text, "svg": f'<svg role="img" style="a: b"><title>{"x"}</title></svg>'}
    calculator = {
        "model": text, "id": "m", "intercept": 0.0, "covariance": None, "z95": 2.0,
        "inputs": [{"name": text, "unit": text, "levels": [text], "low": 0.0, "high": 1.0, "start": 0}],
    }  # fmt: skip
    section = {
        "name": "models", "title": text, "text": [text], "figures": [figure], "pictures": [],
        "tables": [grid(text, frame), grid(text, frame, folded=True)], "calculators": [calculator],
    }  # fmt: skip
    summary = {"text": text, "numbers": [{"what": text, "value": text, "about": text}], "sentences": [text]}
    html = rendered(
        "page.html.j2", script="nomogram.js", title=text, study_id=text, identity="0", version="0", summary=summary,
        sections=[section], unknown="?",
    )  # fmt: skip
    page = files_for_people.check_page(html, scripts=1)
    assert page.texts.count(printable(text)) >= 10
    data = re.search(r'<script type="application/json">(.*?)</script>', html)[1]
    assert "<" not in data
    assert json.loads(data)["model"] == text


@hostile
def test_a_figure_shows_names_and_reads_none(files_for_people, text):
    """Titles, legends and ticks: no mathematics, no markup, well-formed SVG, equal names stay equal."""

    def draw(table: pd.DataFrame):
        (one,) = table["model_id"].unique()
        figure, axes = panels([one])
        axes[0].plot([0, 1], [0, 1], label=one)
        axes[0].legend(title=one)
        axes[0].set_xticks([0], [one])
        axes[0].set_xlabel(one)
        return figure

    table = pd.DataFrame({"model_id": [text, text], "x": [0.0, 1.0]})
    drawn = render(Plot("roc", "discrimination", text, text, table, draw))
    assert drawn.png.startswith(b"\x89PNG")
    tree, svg = files_for_people.check_svg(drawn.svg), files_for_people.SVG
    shown = [element.text for element in tree.iter(f"{svg}text")]
    assert shown.count(label(text)) == 5
    assert tree.find(f"{svg}title").text == printable(text)


def test_a_curve_is_drawn_whatever_the_model_is_called():
    """Pictures of networks are drawn elsewhere than the figures of a report."""
    losses = {"train_loss": [1.0, 0.5], "monitored": [1.0, 0.6], "best": [False, True]}
    curve = pd.DataFrame({"fit": ["$5_{x"] * 2, "epoch": [1, 2], **losses})
    assert curve_png(curve, "$\\frac{1}{0}$ 胃").startswith(b"\x89PNG")


def study_of(text: str) -> Study:
    """A study whose title, factors and levels hold ``text``."""
    name = text.replace("=", "~")
    columns = {
        name: {"kind": "ordinal", "levels": (text, "other")},
        f"group {name}": {"kind": "categorical", "levels": (f"a {text}", f"b {text}")},
    }
    clinical = {
        "outcome": "outcome", "time_months": "time_months", "event": "event", "columns": columns,
        "subgroups": tuple(columns),
    }  # fmt: skip
    return Study.model_validate(
        {"title": text, "clinical": clinical, "evaluate": {"bootstrap": 0, "caveats": (text,)}}
    )


def scores_of(texts: list[str], study: Study) -> pd.DataFrame:
    """A table of scores in which ids, models, a cohort, a site, factors and levels hold hostile strings."""
    rng = np.random.default_rng(0)
    n, ids = 40, [printable(text) for text in texts]  # ids and sites with control characters are refused
    outcome = np.tile([0, 1], n // 2)
    first = pd.DataFrame(
        {
            "patient_id": [f"{i} {ids[i % len(ids)]}" for i in range(n)],
            "cohort": ["train" if i % 4 < 2 else f"site of {texts[0]}" for i in range(n)],
            "site": [f"{ids[(i // 2) % 2]} {(i // 2) % 2}" for i in range(n)],
            "outcome": outcome,
            "time_months": rng.uniform(5, 60, n).round(1),
            "event": outcome,
        }
    )
    for name, column in study.clinical.columns.items():
        first[name] = [column.levels[i % 2] for i in rng.integers(0, 2, n)]
    every = []
    for text in texts:
        every.append(first.assign(model_id=text, score=expit(outcome + rng.normal(size=n))))
    return pd.concat(every, ignore_index=True)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """All hostile strings in two: a table of scores with each as a model would take minutes to draw."""
    short = [text for text in IN_A_TABLE.values() if len(text) < 200]
    together = re.sub(r"[\x00-\x1f\x7f]+", " ", f"={' '.join(short)}")  # which a table refuses in ids
    return [cleaned(text) for text in (together, IN_A_TABLE["mathtext"])]


@pytest.fixture(scope="module")
def report(texts, tmp_path_factory):
    """The report of such a table."""
    study = study_of(texts[0])
    path = tmp_path_factory.mktemp("scores") / "scores.parquet"
    scores_of(texts, study).to_parquet(path)
    return report_of(evaluate_all(from_file(str(path), None, study)))


def test_files_of_a_report_have_names_that_every_disk_takes(report):
    """Models, cohorts and sites never become paths."""
    for name in report.files:
        assert re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)?\.[a-z0-9]+", name)
        assert len(name) < 120
    assert len({name.casefold() for name in report.files}) == len(report.files)


def test_the_page_of_a_report_runs_its_own_script_alone(files_for_people, report, texts):
    """Every name is there as text."""
    page = files_for_people.check_page(report.files[PAGE].decode(), scripts=1)
    for text in texts:
        assert printable(text).strip() in {one.strip() for one in page.texts}


def test_figures_of_a_report_are_well_formed_and_hold_no_script(files_for_people, report):
    """They are files of their own too."""
    for name, data in report.files.items():
        if name.endswith(".svg"):
            files_for_people.check_svg(data)


def test_cells_of_a_report_are_no_formulas(files_for_people, report):
    """In tables and in the numbers of figures."""
    for name, data in report.files.items():
        if name.endswith(".csv"):
            files_for_people.check_csv(data)


def test_the_index_of_a_report_is_ascii_and_has_the_names_themselves(report, texts):
    """Programs read it."""
    assert report.files[INDEX].isascii()
    assert set(json.loads(report.files[INDEX])["models"]) >= {texts[1]}
