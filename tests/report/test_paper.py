"""The packaged papers: every table and figure listed, every number printed where it is said to be."""

import re
from importlib import resources

import pytest

from gc_ray.report.paper import Paper, read_paper
from gc_ray.study import load_study
from gc_ray.study_file import packaged_studies

TEXTS = {"recurrence": "cao2024_recurrence.txt", "liver_metastasis": "guo2025_liver_metastasis.txt"}


@pytest.fixture(params=sorted(TEXTS))
def paper(request) -> Paper:
    """Each packaged paper."""
    return read_paper(request.param)


@pytest.fixture
def text(paper, shared) -> str:
    """The paper's own text."""
    return (shared / "papers" / TEXTS[paper.study]).read_text()


def test_every_packaged_study_has_its_paper():
    """What can be reproduced is what has a study file; the demo's are those on a small scale."""
    papers = {file.name for file in resources.files("gc_ray.report.papers").iterdir() if file.name.endswith(".toml")}
    assert papers == {f"{name}.toml" for name in packaged_studies() if not name.startswith("demo_")}
    assert papers == {f"{name}.toml" for name in TEXTS}


def test_every_figure_and_table_of_the_paper_is_listed(paper, text):
    """Nothing that the paper refers to is passed over: it stands for something of ours, or has a reason."""
    body = text.partition("\nReferences\n")[0].partition("\nData availability")[0]
    found = re.findall(r"(?i)\b(supplement(?:ary)? )?(fig(?:ure|\.)|table|appendix)s? (S?)(\d)", body)
    kinds = {"fig": "Figure", "tab": "Table", "app": "Appendix"}
    named = {f"{kinds[kind.lower()[:3]]} {'S' if more or s else ''}{number}" for more, kind, s, number in found}
    assert named - {item.label for item in paper.item} == set()
    assert {item.label for item in paper.item} - named <= {"Figure 1", "Figure 2", "Figure 7", "Figure 8", "Table S1"}


def test_every_published_number_is_printed_in_the_paper(paper, text):
    """A number that the paper does not print would be ours, or a slip of the pen."""
    for number in paper.number:
        for model, values in number.values.items():
            for value in values:
                shown = (f"{value:g}", f"{value:.2f}", f"{value:.3f}", f"{value:.4f}")
                forms = {form for one in shown for form in (one, one.removeprefix("0"))}
                forms = {form for form in forms if float(form) == value}
                if "_over_" in number.metric:  # printed in percent
                    forms = {f"{abs(100 * value):g}%", f"{abs(100 * value):g}, "}
                assert any(form in text for form in forms), (number.item, number.metric, model, value)


def test_an_interval_holds_its_estimate_and_models_are_those_of_the_study(paper):
    """Limits in their order; names that our study file knows."""
    study = load_study(paper.study)
    models = {signature.name for signature in study.signature}
    for number in paper.number:
        assert set(number.values) <= models
        for values in number.values.values():
            if len(values) == 3:
                assert values[1] <= values[0] <= values[2]
    for kept in paper.kept:
        assert kept.model in models
        assert set(kept.predictors) <= {*study.clinical.predictors, *models}


def test_the_two_printed_forms_of_table_3_are_one_table(shared):
    """Its sensitivity is ours of the other class: the same counts with the classes exchanged."""
    values = {
        n.metric: n.values["dl_radiomics"] for n in read_paper("liver_metastasis").number if n.item == "Table 3"
    }
    found, n = {"tp": 102, "fn": 89, "tn": 87, "fp": 33}, 311
    assert values["sensitivity"][0] == pytest.approx(found["tp"] / 191, abs=5e-4)
    assert values["specificity"][0] == pytest.approx(found["tn"] / 120, abs=5e-4)
    assert values["ppv"][0] == pytest.approx(found["tp"] / 135, abs=6e-4)
    assert values["npv"][0] == pytest.approx(found["tn"] / 176, abs=6e-4)
    assert values["accuracy"][0] == pytest.approx((found["tp"] + found["tn"]) / n, abs=6e-4)


def test_an_item_without_a_part_says_why_and_a_number_belongs_to_an_item():
    """The file is read strictly: a table that is neither made nor excused is an error."""
    item = {"label": "Table 1", "about": "x"}
    whole = {"study": "s", "citation": "c", "doi": "d", "number": ()}
    with pytest.raises(ValueError, match="wanted parts, or why there is none"):
        Paper.model_validate({**whole, "item": (item,)})
    number = {"item": "Table 2", "metric": "auc", "cohort": "train", "values": {"m": (0.5,)}}
    with pytest.raises(ValueError, match="Table 2, which is no item"):
        Paper.model_validate({**whole, "item": (item | {"missing": "why"},), "number": (number,)})
