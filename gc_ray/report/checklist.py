"""TRIPOD+AI, CLEAR and METRICS filled in from a run's own tables; what the software cannot know, it says so."""

from __future__ import annotations

import csv
import io
from importlib import resources

from gc_ray.report.compute import Evaluation
from gc_ray.report.facts_design import DESIGN, Answer
from gc_ray.report.facts_results import RESULTS

LISTS = {"TRIPOD+AI": "tripod_ai.csv", "CLEAR": "clear.csv", "METRICS": "metrics.csv"}
FACTS = DESIGN | RESULTS
UNKNOWN = "not known to the software"


def checklist_rows(done: Evaluation) -> list[dict]:
    """Rows of the table checklist: every item of the three lists, in their order."""
    answers: dict[str, Answer] = {}
    rows = []
    for name, file in LISTS.items():
        text = resources.files("gc_ray.report.checklists").joinpath(file).read_text()
        for item in csv.DictReader(io.StringIO(text)):
            fact = item.pop("fact")
            if fact not in answers:
                answers[fact] = FACTS[fact](done) if fact else None
            answer, source = answers[fact] or (UNKNOWN, "")
            rows.append({"checklist": name, **item, "answer": answer, "source": source})
    return rows
