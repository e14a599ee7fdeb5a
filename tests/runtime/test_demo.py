"""The demo: commands that exist, in an order that a failing study does not upset, and numbers from the stores."""

import json
from pathlib import Path

import pytest
from typer.main import get_command

from gc_ray import console
from gc_ray.cli import app
from gc_ray.runtime.demo import COURSES, Ended, Result, Step, results_of, steps_of, walk
from gc_ray.study import load_study

STEPS = steps_of(Path("demo"))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.title)
def test_every_step_is_a_command_with_options_that_it_has(step):
    """What the demo prints can be typed in."""
    name, *options = step.command
    assert get_command(app).commands[name].make_context(name, options).params


def test_the_demo_walks_the_whole_way_of_both_studies():
    """From scans to new scans scored: no command of a study is missing."""
    for course in COURSES:
        taken = [step.command[0] for step in STEPS if step.study == course.study]
        wanted = ["extract", "split", "train", "embed", "tune", "evaluate", "bundle", "rescore"]
        assert [name for name in wanted if name in taken] == list(dict.fromkeys(taken))
        assert set(wanted) - set(taken) <= {"embed"}


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.study)
def test_a_demo_study_is_its_paper_s_with_less_work(course):
    """Patients, outcome and predictors are chosen as in the paper, by signatures of the same names."""
    demo, paper = load_study(course.study), load_study(course.study.removeprefix("demo_"))
    assert (demo.clinical, demo.scans) == (paper.clinical, paper.scans)
    assert demo.extract.feature_sets == paper.extract.feature_sets
    assert [signature.name for signature in demo.signature] == [signature.name for signature in paper.signature]
    assert demo.evaluate.headline == course.headline


def test_a_study_that_fails_is_left_and_the_other_goes_on():
    """Exit code 3 is no failure; what both need is."""
    first, other = (step for step in STEPS if step.command[0] == "tune")
    told = list(walk(STEPS, lambda command: {first.command: 2, other.command: 3}.get(command, 0)))
    left_out = [ended.step for ended in told if isinstance(ended, Ended) and ended.code is None]
    assert left_out == [step for step in STEPS[STEPS.index(first) + 1 :] if step.study == first.study]
    assert [step for step in told if isinstance(step, Step)] == [step for step in STEPS if step not in left_out]
    none = list(walk(STEPS, lambda command: 1))
    assert [ended.code for ended in none[1:]] == [1] + [None] * (len(STEPS) - 1)


def area(**changes) -> dict:
    """A row of the table metrics."""
    whose = {"model_id": "dlfs", "variant": "leak_free", "cohort": "train", "kind": "oof", "subset": "all"}
    found = {"metric": "auc", "estimate": 0.7, "lower": 0.5, "upper": 0.9, "n": 17, "events": 8}
    return whose | found | changes


def test_results_are_those_of_the_last_report_and_of_the_leak_free_headline(tmp_path):
    """In-sample scores, other models and earlier reports are not shown."""
    runs = tmp_path / "store" / "runs"
    runs.mkdir(parents=True)
    external = area(cohort="external", kind="final", n=12)
    others = [area(variant="as_published", kind="apparent"), area(model_id="dls"), area(metric="brier")]
    for i, rows in enumerate(([area(estimate=0.1)], [*others, area(), external])):
        folder = tmp_path / f"report-{i}"
        folder.mkdir()
        (folder / "report.json").write_text(json.dumps({"tables": {"metrics": rows}}))
        record = {"study": {"name": "demo_recurrence"}, "folder": str(folder)}
        (runs / f"evaluate-2026010{i}T000000Z-abcdef.json").write_text(json.dumps(record))
    (found,) = results_of(tmp_path)
    assert found == Result("demo_recurrence", "dlfs", (area(), external), {}, str(tmp_path / "report-1/index.html"))


def test_the_end_says_three_numbers_and_what_they_are_worth(capsys):
    """A number that cannot be had is said to be so; nothing is shown without its sentence."""
    areas = (area(), area(cohort="external", kind="final", estimate=None, lower=None, upper=None))
    console.show_demo((Result("demo_recurrence", "dlfs", areas, {"scored": 4, "refused": 1}, "r/index.html"),), "d")
    shown = capsys.readouterr().out
    assert "AUC, train       0.70 (0.50 to 0.90)    8 events among 17, out of fold" in shown
    assert "AUC, external    not estimable" in shown
    assert "new scans        4 scored, 1 refused" in shown
    console.show_demo((Result("demo_recurrence", "dlfs", (), {}, "r/index.html"),), "d")
    assert "it could not be fitted" in capsys.readouterr().out
    assert "no number here says anything about patients" in shown
