"""A harmonised study frozen: a new scan gets its site's parameters, one of another site what the study says."""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from gc_ray import ledger
from gc_ray.cohort_tables import read_clinical, read_splits
from gc_ray.errors import StudyError
from gc_ray.models.bundle import Bundle, read_bundle
from gc_ray.models.frozen_sites import freed
from gc_ray.models.scoring import score
from gc_ray.runtime import audit
from gc_ray.runtime.bundle import bundle
from gc_ray.runtime.rescore import rescore
from gc_ray.runtime.split import split
from gc_ray.runtime.train import unwatched
from gc_ray.runtime.tune import tune
from gc_ray.store import Store, open_store
from gc_ray.study import Study, load_study

IMAGE = 'families = ["radiomics"]'
SITE_KEY = b"a key of this site alone"


@dataclass(frozen=True)
class Freed:
    """A study harmonised in one way, and its bundle."""

    way: str
    study: Study
    bundle: Bundle


def study_of(frozen, folder: Path, name: str, *changes: tuple[str, str]) -> Study:
    """The frozen study under another name with other lines, split and tuned; 30 patients are of a site C."""
    text = Path(frozen.study).read_text().replace('name = "frozen"', f'name = "{name}"')
    for old, new in changes:
        text = text.replace(old, new)
    (folder / "study.toml").write_text(text)
    study = load_study(str(folder / "study.toml"))
    clinical = pd.read_csv(Path(frozen.study).with_name("clinical.csv"))
    if study.split.external_sites:
        clinical.loc[:29, "site"] = "C"
    clinical.to_csv(folder / "clinical.csv", index=False)
    split(str(folder / "clinical.csv"), study, frozen.training, f"split-{name}")
    tune(frozen.training, study, 0, unwatched, f"tune-{name}")
    return study


@pytest.fixture(scope="module", params=["none", "refuse", "reference"])
def harmonised(request, frozen, tmp_path_factory) -> Freed:
    """The three ways of a study with sites that have no training patients; where it refuses them it has none."""
    way, folder = request.param, tmp_path_factory.mktemp("harmonised")
    changes = [(IMAGE, f'{IMAGE}\nharmonise = {{ external = "{way}" }}')]
    if way != "refuse":
        changes.append(("[split]\n", '[split]\nexternal_sites = ["C"]\n'))
        # the clinical table moves patients of A and B to C
        changes.append(("[clinical]\n", '[clinical]\npatient_ids = "shared"\n'))
    study = study_of(frozen, folder, f"freed_{way}", *changes)
    out = open_store(str(folder / "bundle"))
    bundle(frozen.training, study, "fused", out, None)
    return Freed(way, study, read_bundle(out))


def final_scores(store: Store, held: Bundle) -> pd.DataFrame:
    """What tune said of the patients who were not trained on."""
    name = f"scores/{held.card['study']}/{held.card['training']['tune_id']}.parquet"
    found = pq.read_table(io.BytesIO(store.get(name))).to_pandas()
    return found[(found["kind"] == "final") & (found["variant"] == "leak_free") & (found["model_id"] == held.model)]


def test_the_bundle_scores_patients_of_the_study_as_the_study_did_to_the_bit(frozen, harmonised):
    """Internal patients of the training sites, and external ones under each rule that lets them in."""
    held, store, name = harmonised.bundle, frozen.training, harmonised.study.name
    features = (
        ledger.read_features(store, "quick").to_pandas().set_index("scan_id")[held.features["radiomics"]["names"]]
    )
    clinical = read_clinical(store, name).set_index("patient_id")
    sites = {row["patient_id"]: row["site"] for row in read_splits(store, name).to_pylist()}
    final = final_scores(store, held)
    assert {sites[p] for p in final["patient_id"]} == ({"A", "B"} if harmonised.way == "refuse" else {"A", "B", "C"})
    for row in final.itertuples():
        raw = features.loc[row.scan_id].to_dict()
        values, notes = freed(held.harmonisation, raw, sites[row.patient_id])
        found = score(held, values, clinical.loc[[row.patient_id]], None)
        assert (found.score, found.linear_predictor) == (row.score, row.linear_predictor)
        as_it_was = sites[row.patient_id] == "C" and harmonised.way == "none"
        assert bool(notes) == as_it_was == (values == raw)


def test_a_scan_of_another_site_is_treated_as_the_study_says(frozen, harmonised, tmp_path):
    """A known site is not remarked on; an unknown one keeps what it adds and is borderline, or is refused."""
    store, way = open_store(str(tmp_path / "store")), harmonised.way
    scans = pd.concat([pd.read_csv(path) for path in frozen.manifests])
    scans = scans[(scans["reader"] == "R1") & (scans["repeat"] == 0)].groupby("site").head(2)
    scans = scans.assign(**{name: [str(frozen.cohort / path) for path in scans[name]] for name in ("image", "mask")})
    of_z = scans.groupby("site")["patient_id"].last()
    scans = scans.assign(site=scans["site"].where(~scans["patient_id"].isin(of_z), "Z"))
    scans.to_csv(tmp_path / "scans.csv", index=False)
    asked = frozen.request(store, bundle=harmonised.bundle, scans=(str(tmp_path / "scans.csv"),))
    found = rescore(asked, unwatched, "rescore-1")
    assert (found.scored + found.refused, found.already) == (4, 0)
    rows = audit.read_scores(store, found.bundle_id).to_pylist()
    of_site = {row["site"]: [r for r in row["reasons"] if r.startswith("site ")] for row in rows}
    wanted = {"none": "keep what it adds", "refuse": "refuses radiomics", "reference": "are taken as theirs"}
    assert (of_site["A"], of_site["B"]) == ([], [])
    assert len(of_site["Z"]) == 1 and wanted[way] in of_site["Z"][0]
    verdicts = {row["verdict"] for row in rows if row["site"] == "Z"}
    assert verdicts == {"refused"} if way == "refuse" else "in-domain" not in verdicts
    of_z, of_a = (next(json.loads(r["predictors"]) for r in rows if r["site"] == site) for site in "ZA")
    assert of_z != of_a


def test_a_prefix_wants_the_site_by_name(frozen, harmonised, tmp_path):
    """Nothing in a header says which site of the study a series is of; the option does."""
    asked = frozen.request(
        open_store(str(tmp_path / "s")), bundle=harmonised.bundle, scans=(str(frozen.cohort),), site_key=SITE_KEY
    )
    with pytest.raises(StudyError, match="--site, one of A, B"):
        rescore(asked, unwatched, "rescore-1")
    found = rescore(replace(asked, site="A", clinical=None), unwatched, "rescore-1")
    assert len(found.waiting) == 8  # for their clinical values


def test_features_cannot_enter_both_harmonised_and_not(frozen, tmp_path):
    """One signature that takes a family as it is beside one that does not: an error that names both."""
    raw = '[[signature]]\nname = "raw"\nfamilies = ["radiomics"]\nsteps = [{ step = "strongest", number = 1 }]\n'
    both = ('name = "fused"\nscores_of = ["image"]', 'name = "fused"\nscores_of = ["image", "raw"]')
    changes = [(IMAGE, f"{IMAGE}\nharmonise = {{ }}"), ('[[signature]]\nname = "fused"', f"{raw}{{fused}}")]
    changes += [("{fused}", '[[signature]]\nname = "fused"'), both]
    study = study_of(frozen, tmp_path, "mixed", *changes)
    with pytest.raises(StudyError, match="image and raw: wanted radiomics features harmonised in one way"):
        bundle(frozen.training, study, "fused", open_store(str(tmp_path / "b")), None)
