"""A whole study in which every text that a user chooses is hostile: each command runs, every output is searched."""

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from gc_ray import ledger
from gc_ray.cli import app
from gc_ray.cohort.table_files.cells import cleaned, is_gap
from gc_ray.errors import printable
from gc_ray.store import open_store

pytestmark = pytest.mark.slow
HOSTILE = json.loads((Path(__file__).parents[1] / "data" / "hostile.json").read_text(encoding="utf-8"))
TEXTS = list(dict.fromkeys(cleaned(text) for name, text in HOSTILE.items() if name != "surrogate"))
FREE = [text for text in TEXTS if not is_gap(text) and len(text) < 200 and not re.search(r"[\x00-\x1f]", text)]
ALL = " ".join(FREE)
PHASE, ROI, SITES = FREE[5], FREE[6], FREE[3:5]
N = 2 * len(FREE)
IDS = [f"{text} {i}" for i in (1, 2) for text in FREE]
LONGEST = 2100  # characters of a line
STUDY = """
name = "hostile"
title = {title}
[extract]
feature_sets = []
[scans]
phase = {phase}
roi = {roi}
[clinical]
outcome = "outcome"
predictors = {predictors}
subgroups = {factors}
[[clinical.rules]]
reason = {title}
exclude = {{ column = "age", is = ">", value = 85 }}
[clinical.columns]
age = {{ kind = "number", unit = {title}, low = 0, high = 200 }}
{columns}
[split]
folds = 2
[evaluate]
bootstrap = 2
headline = "fused"
caveats = {caveats}
[[signature]]
name = "texture"
families = ["radiomics"]
steps = [{{ step = "strongest", number = 10 }}]
[[signature]]
name = "clinical"
families = ["clinical"]
[[signature]]
name = "fused"
scores_of = ["texture"]
predictors_of = ["clinical"]
[tune]
feature_set = "mine"
inner_folds = 2
samples = 0
[autoencoder]
input_voxels = 16
latent = 4
channels = 8
epochs = 1
"""


def toml(value: str | list[str]) -> str:
    """A text or a list of texts in TOML, whose escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Cohort:
    """Tables of made-up patients and a study file, in a folder of their own beside what commands write."""

    tables: Path
    out: Path

    def command(self, name: str, *arguments: object) -> str:
        """What a command printed and told its alert command, when every line of it is safe; it ends with 0 or 5."""
        alerts = ["--on-alert", f"tee -a {self.out}/alerts.jsonl"] if name in ("tune", "rescore", "reproduce") else []
        metrics = ["--metrics-file", f"{self.out}/{name}.prom"] if name in ("tune", "rescore", "embed") else []
        done = CliRunner().invoke(app, [name, *map(str, arguments), *alerts, *metrics])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        said = done.stdout + done.stderr
        assert {c for c in said if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} <= {"\n"}
        assert max(map(len, said.split("\n"))) < LONGEST
        assert done.exit_code in (0, 5), said  # 5: few patients, whose values drift
        return said

    @property
    def study(self) -> Path:
        """The study file."""
        return self.tables / "study.toml"

    @property
    def store(self) -> Path:
        """The store of the study."""
        return self.out / "store"


def cohort_in(folder: Path) -> Cohort:
    """Ids, sites, phase, region, features, factors, levels, units, reasons and sentences are hostile."""
    made, rng = Cohort(folder / "tables", folder / "out"), np.random.default_rng(0)
    made.tables.mkdir()
    made.out.mkdir()
    outcome = rng.permutation(np.arange(N) % 2)
    factors = [text for text in FREE if "=" not in text][:4]
    names = [text for text in FREE if text not in factors]
    values = rng.normal(size=(N, len(names))) + outcome[:, None] * rng.uniform(-0.5, 0.5, len(names))
    whose = pd.DataFrame({"patient_id": IDS, "site": [SITES[i % 2] for i in range(N)]})
    features = whose.assign(scan_id=IDS, phase=PHASE, roi=ROI).join(pd.DataFrame(values, columns=names))
    features.to_parquet(made.tables / "features.parquet")
    clinical, columns = whose.assign(outcome=outcome, age=rng.normal(60, 10, N).round(1)), []
    for name in factors:
        levels = [f"a{name}", f"b {name}"]
        clinical[name] = [levels[i] for i in rng.integers(0, 2, N)]
        columns.append(f'{toml(name)} = {{ kind = "categorical", levels = {toml(levels)} }}')
    clinical.to_parquet(made.tables / "clinical.parquet")
    text = STUDY.format(
        title=toml(ALL), phase=toml(PHASE), roi=toml(ROI), predictors=toml([*factors, "age"]),
        factors=toml(factors[:2]), columns="\n".join(columns), caveats=toml(FREE[:5]),
    )  # fmt: skip
    made.study.write_text(text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    """A store with the features and the split of the study."""
    made = cohort_in(tmp_path_factory.mktemp("hostile"))
    study, store = ("--study", made.study), ("--store", made.store)
    made.command("ingest", "--features", made.tables / "features.parquet", "--feature-set", "mine", *store)
    made.command("split", *study, "--clinical", made.tables / "clinical.parquet", *store)
    return made


@pytest.fixture(scope="module", autouse=True)
def small_pictures():
    """Pictures of few dots, since nobody looks at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc_ray.report.draw.PRINT_DPI", 20)
        yield


def check_outputs(cohort: Cohort, files_for_people) -> dict[str, int]:
    """Every file that commands wrote, by kind; nothing was written beside them."""
    assert {path.name for path in cohort.out.parent.iterdir()} == {"out", "tables"}
    for path in cohort.out.glob("*.prom"):
        text = path.read_text(encoding="utf-8")
        assert printable(text.replace("\n", "")) == text.replace("\n", "")
    for path in cohort.out.glob("*.jsonl"):
        assert path.read_bytes().isascii()
    return files_for_people.check_files(cohort.out)


def test_a_study_from_features_to_new_scores(cohort, files_for_people):
    """tune, evaluate, bundle, rescore, show: report, model card, scores, drift, alerts, metrics and run records."""
    study, store = ("--study", cohort.study), ("--store", cohort.store)
    assert "fused" in cohort.command("tune", *study, *store, "--workers", 0)
    cohort.command("evaluate", *study, *store)
    bundle, scored = cohort.out / "bundle", cohort.out / "scored"
    cohort.command("bundle", *study, *store, "--model", "fused", "--out", bundle)
    table, clinical = cohort.tables / "features.parquet", cohort.tables / "clinical.parquet"
    new = ("--features", table, "--clinical", clinical, "--store", scored, "--workers", 0)
    said = cohort.command("rescore", "--bundle", bundle, *new)
    assert f"{N} scored, 0 refused" in said
    for place in (cohort.store, scored):
        cohort.command("show", place)
        cohort.command("show", place, "--json")
        assert "nothing is damaged or missing" in cohort.command("verify", place)
        cohort.command("repair", place)
        cohort.command("clean", place)
    found = check_outputs(cohort, files_for_people)
    assert found[".html"] == 2  # the report, and the drift of the scores
    assert found[".svg"] > 20
    assert found[".csv"] > 30


def commit_volumes(cohort: Cohort) -> None:
    """A small network input of every patient, under the same ids, sites and phase."""
    store, rng = open_store(str(cohort.store)), np.random.default_rng(0)
    for i, patient in enumerate(IDS):
        whose = {"scan_id": patient, "reader": "R1", "repeat": 0, "roi": ROI, "patient_id": patient}
        whose |= {"site": SITES[i % 2], "generation": 1}
        volume = whose | {
            "recipe": "guo2025", "size": [16] * 3, "spacing_mm": [1.0] * 3, "origin_mm": [0.0] * 3,
            "direction": [1.0, 0, 0, 0, 1, 0, 0, 0, 1], "mask": (b"\1" * 8 + bytes(8)) * 256,
            "ct_hu": rng.integers(-20, 20, 16**3).astype("<i2").tobytes(),
        }  # fmt: skip
        row = whose | {
            "feature_set": "volumes/guo2025", "phase": PHASE, "status": "ok", "stage": "done", "reason": "",
            "notes": [], "missing": "{}", "geometry": "{}", "mask_voxels": 1, "source_stamp": "", "source_sha256": "",
            "object": ledger.stage_volume(store, volume, "h"), "settings_hash": "h", "code_version": "1",
            "seconds": 0.0, "peak_mb": 0.0,
        }  # fmt: skip
        ledger.commit(store, row)


def test_networks_and_a_paper_s_whole_way(cohort, files_for_people, monkeypatch):
    """train and embed on hostile ids; reproduce, whose extraction has nothing to do."""
    study, store = ("--study", cohort.study), ("--store", cohort.store)
    commit_volumes(cohort)
    cohort.command("train", "autoencoder", *study, *store)
    cohort.command("embed", *study, *store, "--workers", 0)
    extracted = SimpleNamespace(over_budget=False, notes=tuple(FREE))
    monkeypatch.setattr("gc_ray.runtime.reproduce.extract", lambda *asked: extracted)
    tables = ("--scans", cohort.tables / "features.parquet", "--clinical", cohort.tables / "clinical.parquet")
    cohort.command("reproduce", "liver_metastasis", *tables, *study, *store, "--workers", 1)
    assert check_outputs(cohort, files_for_people)[".html"] >= 2
