"""A features table is looked at without scans: what it holds, whether patients meet, whether it can serve a study."""

import json

import numpy as np
import pandas as pd
import pytest

from gc_ray.cli import main
from gc_ray.errors import TableError
from gc_ray.runtime.check_features import FeaturesCheck, check_features
from gc_ray.runtime.check_lines import features_lines
from gc_ray.study import load_study

STUDY = """
name = "s"
[extract]
feature_sets = []
[clinical]
outcome = "died"
time_months = "months"
predictors = ["stage"]
[clinical.columns]
stage = {{ kind = "categorical", levels = ["I", "II"] }}
[split]
folds = 2
[[signature]]
name = "texture"
families = ["radiomics"]
steps = [{steps}]
{more}
[tune]
feature_set = "theirs"
"""
N = 40
PLAIN = '{ step = "strongest", number = 1 }'


def features(**columns) -> pd.DataFrame:
    """Four features of 40 patients of two sites, the fourth a copy and the third constant; columns: replaced."""
    rng = np.random.default_rng(0)
    found = {"patient_id": [f"P{i:02d}" for i in range(N)], "site": np.where(np.arange(N) % 2, "A", "B")}
    found |= {"f0": rng.normal(size=N), "f1": rng.normal(size=N), "f2": 1.0}
    return pd.DataFrame(found).assign(f3=lambda frame: frame["f1"]).assign(**columns)


def clinical(**columns) -> pd.DataFrame:
    """The same patients, half of whom died."""
    found = {"patient_id": [f"P{i:02d}" for i in range(N)], "died": np.arange(N) // 2 % 2, "months": 12.0}
    return pd.DataFrame(found | {"stage": np.where(np.arange(N) % 3, "I", "II")}).assign(**columns)


@pytest.fixture
def look(tmp_path):
    """Checks tables against a study: ``look(features, clinical, steps=.., more=..)``."""

    def check(table: pd.DataFrame, listed: pd.DataFrame | None = None, steps=PLAIN, more="") -> FeaturesCheck:
        table.to_csv(tmp_path / "features.csv", index=False)
        if listed is not None:
            listed.to_csv(tmp_path / "clinical.csv", index=False)
        (tmp_path / "study.toml").write_text(STUDY.format(steps=steps, more=more))
        study = load_study(str(tmp_path / "study.toml"))
        where = None if listed is None else str(tmp_path / "clinical.csv")
        return check_features(str(tmp_path / "features.csv"), where, study)

    return check


def said(found: FeaturesCheck, level: str) -> str:
    """The findings of a level as one text."""
    return "\n".join(finding.text for finding in found.findings if finding.level == level)


def test_what_the_table_holds_is_counted(look):
    """Rows, patients, gaps, constant and copied features, readers and repeats, sites; nothing else is an error."""
    table = pd.concat([features(reader="R1", repeat=0), features(reader="R2", repeat=0)[:9]])
    table.iloc[3, table.columns.get_loc("f0")] = np.nan
    facts = look(table, clinical()).facts
    assert (facts.rows, facts.patients, facts.features) == (49, 40, ("f0", "f1", "f2", "f3"))
    assert (facts.gaps, facts.constant, facts.copies) == ({"f0": 1}, ("f2",), {"f3": "f1"})
    assert (facts.outlines, facts.sites) == ({"R1 repeat 0": 40, "R2 repeat 0": 9}, {"A": 24, "B": 25})


def test_columns_that_are_no_features_are_named(look):
    """What the reader of the table sets aside, with its notes beside the findings."""
    found = look(features(Image="a.nrrd", diagnostics_Versions_Numpy="1.26"), clinical())
    assert found.set_aside == ("Image", "diagnostics_Versions_Numpy")
    assert "2 column(s) are no features and are set aside: Image, diagnostics_Versions_Numpy" in said(found, "note")


def test_a_table_that_can_serve_the_study_has_no_error(look):
    """The name under which the study reads features is said, and which ICC the table allows."""
    found = look(features(), clinical())
    assert said(found, "error") == ""
    assert found.feature_set == "theirs"
    assert found.meeting == "40 of 40 patients of features.csv are in clinical.csv"
    assert found.designs == {
        "inter": "no inter-reader ICC: reader R1 is the only reader of repeat 0",
        "intra": "no intra-reader ICC: reader R1 outlined no scan again",
    }


def test_ids_that_do_not_meet_are_named_on_both_sides(look):
    """None at all is an error; some are a warning with their number."""
    found = look(features(patient_id=[f"P{i}.0" for i in range(N)]), clinical())
    assert (
        "no patient id is in both features.csv and clinical.csv; 40 only in features.csv (P0.0, P1.0, P10.0, ..); 40 "
        "only in clinical.csv (P00, P01, P02, ..)"
    ) in said(found, "error")
    found = look(features()[:30], clinical(patient_id=[f"P{i:02d}" for i in range(2, N + 2)]))
    assert said(found, "error") == ""
    warned = said(found, "warning")
    assert "28 patient ids are in both features.csv and clinical.csv; 2 only in features.csv (P00, P01); 12" in warned
    assert "only in clinical.csv (P30, P31, P32, ..); those in one table alone are not analysed" in warned


@pytest.mark.parametrize(
    ("table", "listed", "steps", "more", "text"),
    [
        (features(site="A"), clinical(site="B"), PLAIN, "", "site: wanted each patient id at one site, 40 are at"),
        (features(reader="r1"), clinical(), PLAIN, "", "wanted outlines of reader R1 (scans.reader), there are"),
        (features(repeat=1), None, PLAIN, "", "there are outlines of repeat 1 (40)"),
        (
            pd.concat([features(scan_id=[f"{s}{i}" for i in range(N)]) for s in "ab"]), None, PLAIN, "",
            "patient P00: wanted one outline of reader R1, 2 are left (a0, b0)",
        ),
        (features(died=1), None, PLAIN, "", "column died is named as the study's outcome, time or event"),
        (features(months=1), None, PLAIN, "", "column months is named as the study's outcome, time or event"),
        (features(stage=1), None, PLAIN, "", "column(s) stage are also clinical columns of the study"),
        (
            features(), None, '{ step = "stability", designs = ["inter"] }', "",
            "signature texture, step stability: no inter-reader ICC: reader R1 is the only reader of repeat 0;",
        ),
        (
            features(), None, '{ step = "stability" }', "",
            "no inter-reader ICC: reader R1 is the only reader of repeat 0; no intra-reader ICC: reader R1 outlined",
        ),
        (
            features(), None, PLAIN, '[[signature]]\nname = "deep"\nfamilies = ["deep"]',
            "signature deep takes deep features, which networks compute from scans: a features table has none",
        ),
        (
            features(), None, PLAIN, '[[signature]]\nname = "dls"\nscores_of = ["head"]',
            "signature dls takes the score of the network head, which networks compute from scans",
        ),
        (
            features(f0=np.nan, f1=np.nan, f2=np.nan, f3=np.nan), None, PLAIN, "",
            "4 of 4 features have no value in at least one of 40 patients (f0, f1, f2, ..); they are not used",
        ),
        (features(), clinical(died=2), PLAIN, "", "died: wanted 0 (no) and 1 (yes)"),
    ],
)  # fmt: skip
def test_what_the_study_asks_and_the_table_does_not_have_is_an_error(look, table, listed, steps, more, text):
    """Found before anything is ingested or fitted, each with what to do."""
    assert text in said(look(table, listed, steps, more), "error")


def test_what_the_study_would_lose_is_a_warning(look):
    """Features with a gap in a training patient, too few events for the features, a set that extraction computes."""
    table = features(f0=[np.nan, *range(N - 1)])
    warned = said(look(table, steps='{ step = "strongest", number = 2 }'), "warning")
    assert "1 of 4 features have no value in at least one of 40 patients (f0)" in warned
    warned = said(look(features(), clinical(), '{ step = "strongest", number = 2 }'), "warning")
    assert "signature texture: 14 training patients of the rarer outcome for 2 features, 7.0 each; under 10" in warned
    warned = said(look(features(), clinical(), "{ step = 'strongest', number = 1 }"), "warning")
    assert "rarer outcome" not in warned


def test_gaps_of_patients_who_do_not_train_cost_no_feature(look):
    """With a clinical table the cohorts are known: only training patients decide which features are used."""
    found = look(features(), clinical())
    assert "no value" not in said(found, "warning")
    lost = [
        said(look(features(f0=np.where(np.arange(N) == i, np.nan, 1.0)), clinical()), "warning") for i in range(9)
    ]
    assert 0 < sum("1 of 4 features have no value in at least one of 28 training patients" in one for one in lost) < 9
    other = [
        one for one in lost if "1 of 12 internal patients have no value of a feature that may be used (f0)" in one
    ]
    assert 0 < len(other) < 9 and not any("training" in one for one in other)


def test_a_study_that_does_not_say_which_features_it_reads_is_told(look, tmp_path):
    """By a warning where it reads what extraction computes, by an error where it names none or several."""
    look(features())
    for sets, level, text in (
        (
            '["guo2025"]',
            "warning",
            "what extract computes from scans (guo2025, of extract.feature_sets); set",
        ),
        ("[]", "error", "does not say which features it reads (none named); set tune.feature_set"),
        ('["guo2025", "ibsi-ct"]', "error", "does not say which features it reads (guo2025, ibsi-ct)"),
    ):
        study = load_study(str(tmp_path / "study.toml"), ("tune.feature_set=", f"extract.feature_sets={sets}"))
        assert text in said(check_features(str(tmp_path / "features.csv"), None, study), level)


def test_a_table_that_cannot_be_read_is_refused_as_ingest_refuses_it(look):
    """One rule for both: what check accepts, ingest takes."""
    with pytest.raises(TableError, match="scan P00 occurs twice"):
        look(pd.concat([features(), features()]))


def ended(arguments: list[str]) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def test_the_command_prints_the_table_its_findings_and_ends_with_2_on_errors(look, tmp_path, capsys):
    """Lines for a person, JSON for a program; nothing is written."""
    found = look(features(), clinical())
    files = sorted(path.name for path in tmp_path.iterdir())
    given = ["check", "--features", str(tmp_path / "features.csv"), "--study", str(tmp_path / "study.toml")]
    given += ["--clinical", str(tmp_path / "clinical.csv")]
    assert ended(given) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[: len(list(features_lines(found)))] == list(features_lines(found))
    assert out[-1] == "0 error(s), 1 warning(s); nothing was written"  # the clinical table has no sites
    assert ended([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["facts"]["constant"] == ["f2"]
    assert ended([*given, "--set", "scans.reader=R9"]) == 2
    assert "error     the features table: wanted outlines of reader R9 (scans.reader)" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == files


@pytest.mark.parametrize("given", [[], ["--features", "f.csv", "--scans", "s.csv"]])
def test_check_wants_scans_or_features(given, capsys):
    """One of them: an answer about both would be about neither."""
    assert ended(["check", *given]) == 2
    assert "error: check: wanted --scans or --features, got" in capsys.readouterr().err
