"""The ICC of an ingested table: the designs that it allows, of training patients alone, and said by tune."""

import numpy as np
import pandas as pd
import pytest

from gc_ray.errors import TableError
from gc_ray.models.recipe import fit_signatures
from gc_ray.runtime.gather import Gathered, gather
from gc_ray.runtime.ingest import ingest
from gc_ray.runtime.split import split
from gc_ray.runtime.tune import book_of
from gc_ray.store import open_store
from gc_ray.study import Study, load_study

STUDY = """
name = "s"
[extract]
feature_sets = []
[scans]
reader = "{reader}"
[clinical]
outcome = "died"
[split]
train_share = 0.7
folds = 2
[[signature]]
name = "texture"
families = ["radiomics"]
steps = [{{ step = "stability", icc = 0.01{step} }}]
[tune]
feature_set = "theirs"
"""
PATIENTS, AGAIN, FEATURES = 60, 24, ["a", "b", "c"]


def table(*parts: tuple[str, int, int]) -> pd.DataFrame:
    """A features table: for each (reader, repeat, patients) a row of each of the first patients, with errors."""
    rng = np.random.default_rng(4)
    true = rng.normal(size=(PATIENTS, len(FEATURES)))
    found = []
    for reader, repeat, patients in parts:
        values = true[:patients] + rng.normal(scale=[0.1, 0.5, 1.0], size=(patients, len(FEATURES)))
        ids = {"patient_id": [f"P{i:02d}" for i in range(patients)], "reader": reader, "repeat": repeat}
        found.append(pd.DataFrame(ids | dict(zip(FEATURES, values.T, strict=True))))
    return pd.concat(found, ignore_index=True)


def gathered(folder, features: pd.DataFrame, reader: str = "R1", step: str = "") -> tuple[Study, Gathered]:
    """The study of an ingested table, with every third patient an event."""
    features.to_csv(folder / "features.csv", index=False)
    clinical = pd.DataFrame({"patient_id": [f"P{i:02d}" for i in range(PATIENTS)]})
    clinical.assign(died=(np.arange(PATIENTS) % 3 == 0).astype(int)).to_csv(folder / "clinical.csv", index=False)
    (folder / "study.toml").write_text(STUDY.format(reader=reader, step=step))
    study, store = load_study(str(folder / "study.toml")), open_store(str(folder / "store"))
    ingest(str(folder / "features.csv"), "theirs", store, "run-1")
    split(str(folder / "clinical.csv"), study, store, "run-2")
    return study, gather(store, study)


def icc_by_hand(ratings: np.ndarray, consistency: bool) -> float:
    """Shrout and Fleiss' ICC(2,1), or ICC(3,1), from the sums of squares of a two-way table."""
    n, k = ratings.shape
    total = ((ratings - ratings.mean()) ** 2).sum()
    rows = k * ((ratings.mean(axis=1) - ratings.mean()) ** 2).sum()
    columns = n * ((ratings.mean(axis=0) - ratings.mean()) ** 2).sum()
    between, judges = rows / (n - 1), columns / (k - 1)
    error = (total - rows - columns) / ((n - 1) * (k - 1))
    return (between - error) / (between + (k - 1) * error + (0 if consistency else k * (judges - error) / n))


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ([("R2", 0, AGAIN)], "inter"),
        ([("R2", 0, AGAIN), ("R3", 0, AGAIN)], "inter"),
        ([("R2", 0, AGAIN), ("R3", 0, 2)], "inter"),
        ([("R1", 1, AGAIN)], "intra"),
        ([("R1", 1, AGAIN), ("R1", 2, AGAIN)], "intra"),
    ],
)
def test_the_icc_of_one_design_is_that_of_the_training_patients_by_hand(tmp_path, more, kind):
    """Computed from the table itself: the values that the step looks at; other patients do not count."""
    frame = table(("R1", 0, PATIENTS), *more)
    study, found = gathered(tmp_path, frame)
    data = found.data
    log = fit_signatures(book_of(study).plan(), data, data.train)["texture"].log.set_index("feature")
    train = set(data.patient_ids[data.train])
    assert 0 < len(train & {f"P{i:02d}" for i in range(AGAIN)}) < AGAIN
    kept = frame[frame["patient_id"].isin(train) & (frame["reader"] != "R3" if ("R3", 0, 2) in more else True)]
    for name in FEATURES:
        wide = kept.pivot(index="patient_id", columns=["reader", "repeat"], values=name).dropna().to_numpy()
        assert log.loc[name, "statistic"] == pytest.approx(icc_by_hand(wide, kind == "intra"), abs=1e-12)


def test_what_is_compared_and_what_cannot_be_is_said(tmp_path):
    """A statement that goes to the command's output, the card, the report and the bundle."""
    _, found = gathered(tmp_path, table(("R1", 0, PATIENTS), ("R2", 0, AGAIN)))
    whence, said = found.statements
    assert whence.startswith("feature set theirs (3 columns, digest of their names ")
    assert whence.endswith(
        "elsewhere and came in as a table: this software cannot know how its features were computed"
    )
    assert said.startswith("step stability, radiomics: inter-reader ICC(2,1) of readers R1, R2 in 1")
    assert said.endswith("training patients; no intra-reader ICC: reader R1 outlined no scan again")


@pytest.mark.parametrize(
    ("more", "step", "said"),
    [
        (
            [("R2", 0, AGAIN)],
            ', designs = ["intra"]',
            "the intra-reader ICC: reader R1 outlined no scan again; outline",
        ),
        (
            [("R1", 1, AGAIN)],
            ', designs = ["inter"]',
            "the inter-reader ICC: reader R1 is the only reader of repeat 0",
        ),
        (
            [("R2", 0, AGAIN), ("R2", 1, AGAIN)],
            ', designs = ["inter", "intra"]',
            r"the intra-reader ICC: reader R1 outlined no scan again \(reader R2 has\)",
        ),
        (
            [],
            "",
            "for the inter and the intra-reader ICC: reader R1 is the only reader of repeat 0; reader R1 outlined",
        ),
    ],
)
def test_a_design_that_is_asked_for_and_not_there_is_refused_by_name(tmp_path, more, step, said):
    """Never a selection without the step, and never another design in its place."""
    study, found = gathered(tmp_path, table(("R1", 0, PATIENTS), *more), step=step)
    assert not [text for text in found.statements if "ICC" in text]
    with pytest.raises(TableError, match=said):
        fit_signatures(book_of(study).plan(), found.data, found.data.train)


def test_a_reader_whom_the_table_does_not_have_is_named_beside_those_it_has(tmp_path):
    """A study of reader R1, a table of reader1 and reader2."""
    frame = table(("R1", 0, PATIENTS), ("R2", 0, AGAIN))
    frame["reader"] = frame["reader"].str.replace("R", "reader")
    with pytest.raises(TableError, match=r"theirs: wanted .* reader R1 .* reader1 \(60\), reader2 \(24\)"):
        gathered(tmp_path, frame)
    (tmp_path / "again").mkdir()
    assert "readers reader1, reader2" in gathered(tmp_path / "again", frame, reader="reader1")[1].statements[1]
