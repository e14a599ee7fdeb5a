"""The name of a report: another one as soon as anything that decides its files is another."""

from dataclasses import fields, replace
from importlib import metadata

import numpy as np
import pytest

from gc_ray.models.signature import Signature
from gc_ray.report.identity import report_id
from gc_ray.report.inputs import Inputs, from_store
from gc_ray.report.pictures import Picture
from gc_ray.study import Study


@pytest.fixture(scope="module")
def inputs(run, quick) -> Inputs:
    """What an evaluation of the run reads, with a picture."""
    return replace(from_store(run.store, quick, None), pictures=(Picture("map", "Map", "A map.", b"png"),))


def with_seed(study: Study) -> Study:
    """Another seed of the bootstrap."""
    return study.model_copy(update={"evaluate": study.evaluate.model_copy(update={"seed": 7})})


def with_bit(frame, column: str):
    """The last bit of one number of a table turned."""
    values = frame[column].to_numpy(dtype=float).copy()
    values[3] = np.nextafter(values[3], np.inf)
    return frame.assign(**{column: values})


def with_text(frame, column: str):
    """One word of a table changed."""
    values = frame[column].astype(object).to_list()
    values[0] = f"{values[0]}x"
    return frame.assign(**{column: values})


def with_features(frame):
    """One name changed in one of the lists of a table."""
    lists = [list(chosen) for chosen in frame["features"]]
    lists[-1][-1] += "x"
    return frame.assign(features=lists)


def with_intercept(signatures: dict[str, Signature]) -> dict[str, Signature]:
    """One signature with another intercept."""
    first = next(iter(signatures))
    return signatures | {first: replace(signatures[first], intercept=signatures[first].intercept + 1)}


CHANGES = {
    "study": with_seed,
    "scores": lambda frame: with_bit(frame, "score"),
    "patients": lambda frame: with_bit(frame, "time"),
    "identity": lambda name: f"{name}x",
    "card": lambda card: card | {"failed": {"clis": "nothing was kept"}},
    "signatures": with_intercept,
    "resampling": with_features,
    "coefficients": lambda frame: with_bit(frame, "coef"),
    "selection": lambda frame: with_text(frame, "reason"),
    "splits": lambda frame: with_text(frame, "cohort"),
    "flow": lambda frame: with_text(frame, "reason"),
    "outlines": lambda frame: None,
    "notes": lambda notes: (*notes, "another"),
    "doubts": lambda doubts: (*doubts, ("note", "renamed", "scores", "another")),
    "pictures": lambda pictures: (replace(pictures[0], png=b"another"),),
}


@pytest.mark.parametrize("name", [field.name for field in fields(Inputs)])
def test_every_part_of_the_inputs_decides_the_name(inputs, name):
    """A last bit, a word, a list, a setting: none can change and leave an old report standing for the new one."""
    changed = replace(inputs, **{name: CHANGES[name](getattr(inputs, name))})
    assert report_id(changed) != report_id(inputs)


def test_order_of_rows_and_kind_of_values_decide_the_name(inputs):
    """The text 1 is not the number 1, and curves of tied scores follow the order of patients."""
    turned = inputs.scores.iloc[::-1].reset_index(drop=True)
    as_text = inputs.patients.assign(sex=inputs.patients["sex"].map({"male": "1", "female": "0"}))
    as_numbers = inputs.patients.assign(sex=inputs.patients["sex"].map({"male": 1, "female": 0}).astype(object))
    names = {report_id(replace(inputs, patients=patients)) for patients in (as_text, as_numbers)}
    assert len({*names, report_id(inputs), report_id(replace(inputs, scores=turned))}) == 4


def test_equal_inputs_have_one_name_wherever_they_are_published(inputs, run, quick):
    """Read again, and with settings of publishing, which are no part of a report."""
    again = replace(from_store(run.store, quick, None), pictures=inputs.pictures)
    publish = quick.publish.model_copy(update={"encryption": "AES256"})
    elsewhere = replace(again, study=quick.model_copy(update={"publish": publish}))
    assert report_id(inputs) == report_id(again) == report_id(elsewhere)


@pytest.mark.parametrize("library", ["numpy", "scipy", "pandas", "statsmodels", "matplotlib", "pyarrow"])
def test_another_version_of_a_library_is_another_report(inputs, monkeypatch, library):
    """Numbers and pictures may differ with it."""
    before, version = report_id(inputs), metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0" if name == library else version(name))
    assert report_id(inputs) != before
