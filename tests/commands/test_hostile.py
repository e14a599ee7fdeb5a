"""Commands over tables in which every id, name and label is hostile: safe lines, safe objects, the same values."""

import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from gc_ray import ledger
from gc_ray.cli import app
from gc_ray.cohort.table_files.cells import cleaned, is_gap
from gc_ray.cohort_tables import read_clinical, read_splits
from gc_ray.errors import printable
from gc_ray.store import open_store

HOSTILE = json.loads((Path(__file__).parents[1] / "data" / "hostile.json").read_text(encoding="utf-8"))
IN_A_TABLE = {name: text for name, text in HOSTILE.items() if name != "surrogate"}  # no file of tables can hold it
CONTROLS = {name: text for name, text in IN_A_TABLE.items() if re.search(r"[\x00-\x1f]", cleaned(text))}
TEXTS = list(dict.fromkeys(c for text in IN_A_TABLE.values() if not is_gap(c := cleaned(text))))
FREE = [text for text in TEXTS if not re.search(r"[\x00-\x1f]", text)]
SAFE_KEY = re.compile(r"[A-Za-z0-9_./=-]+")
KEYS = ("patient_id", "scan_id", "site", "phase", "reader", "roi")
LONGEST = 2100  # characters of a line


def command(*arguments: str) -> tuple[int, str]:
    """(exit code, all that was printed) of a command, when every line of it is safe."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    said = done.stdout + done.stderr
    steering = {c for c in said if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}
    assert steering == set()
    assert max(map(len, said.split("\n"))) < LONGEST
    return done.exit_code, said


def check_objects(store: Path) -> None:
    """Object names that every system takes, inside the store; JSON that every program reads."""
    for path in store.rglob("*"):
        assert SAFE_KEY.fullmatch(str(path.relative_to(store)))
        if path.suffix == ".json":
            assert path.read_bytes().isascii()
    assert {path.name for path in store.parent.iterdir()} <= {store.name, "tables"}


@pytest.fixture
def tables(tmp_path) -> Path:
    """A folder beside the store."""
    folder = tmp_path / "tables"
    folder.mkdir()
    return folder


def manifest_of(texts: list[str]) -> pd.DataFrame:
    """A scans table in which every free text of a row is one of ``texts``."""
    columns = ("scan_id", "patient_id", "site", "phase", "reader")
    return pd.DataFrame({name: texts for name in columns}).assign(image="ct.nii.gz", mask="mask.nii.gz", roi="1")


def test_check_takes_every_printable_name(tables):
    """Ids, sites, phases, readers and regions in markup, formulas, paths and any script."""
    table = manifest_of(FREE)
    pd.concat([table, table.assign(reader="R2", roi=FREE, series_uid=FREE)]).to_parquet(tables / "scans.parquet")
    code, _ = command("check", "--scans", str(tables / "scans.parquet"), "--manifest-only")
    assert code in (0, 2)  # 2 where labels differ in typing alone


@pytest.mark.parametrize("text", CONTROLS.values(), ids=CONTROLS.keys())
@pytest.mark.parametrize("column", ["scan_id", "site", "reader"])
def test_a_manifest_with_control_characters_is_refused_in_one_line(tables, text, column):
    """By its row and column, with the fix."""
    manifest_of(["a", "b"]).assign(**{column: ["a", text]}).to_parquet(tables / "scans.parquet")
    code, said = command("check", "--scans", str(tables / "scans.parquet"), "--manifest-only")
    assert code == 2
    assert re.fullmatch(
        rf"error: scans.parquet: row 3, column {column} .* holds a control character .*; remove it\n", said
    )


def features_of(texts: list[str]) -> pd.DataFrame:
    """A features table in which every free text of a row is one of ``texts``, and features have all hostile names."""
    rng = np.random.default_rng(0)
    names = list(dict.fromkeys(re.sub(r"\s*[\r\n]+\s*", " ", text) for text in TEXTS))
    values = pd.DataFrame(rng.normal(size=(len(texts), len(names))), columns=names)
    return pd.concat([pd.DataFrame(dict.fromkeys(KEYS, texts)), values], axis=1)


def test_features_of_hostile_names_go_into_a_store_and_come_out_the_same(tables, tmp_path):
    """ingest, check, show and merge: ids, regions and features are values and never objects' names."""
    table, store, merged = features_of(FREE), tmp_path / "store", tmp_path / "tables" / "merged"
    table.to_parquet(tables / "features.parquet")
    code, said = command(
        "ingest", "--features", str(tables / "features.parquet"), "--feature-set", "mine", "--store", str(store)
    )
    assert code == 0, said
    assert command("show", str(store))[0] == 0
    command("check", "--features", str(tables / "features.parquet"))
    assert command("merge", "--store", str(store), "--into", str(merged))[0] == 0
    check_objects(store)
    for place in (store, merged):
        found = ledger.read_features(open_store(str(place)), "mine").to_pandas().set_index("patient_id")
        wanted = table.set_index("patient_id")
        assert sorted(found.index) == sorted(wanted.index)
        features = [name for name in wanted if name in found and name not in KEYS]
        assert len(features) > len(TEXTS) - 4
        pd.testing.assert_frame_equal(found.loc[wanted.index, features], wanted[features])


STUDY = """
name = "hostile"
title = {title}
[clinical]
outcome = "outcome"
predictors = {names}
subgroups = {names}
[clinical.columns]
{columns}
"""


def toml(value: str | list[str]) -> str:
    """A text or a list of texts in TOML, whose escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False)


def test_a_split_of_hostile_ids_sites_factors_and_levels(tables, tmp_path):
    """Every string is an id, a site, a level and, but for those with a =, a factor."""
    texts = [text for text in FREE if len(text) < 200]
    names = [text for text in texts if "=" not in text][:12]
    n = len(texts)
    table = pd.DataFrame({"patient_id": texts, "site": [f"{text} {i}" for i, text in enumerate(texts)]})
    table["outcome"] = np.arange(n) % 2
    for name in names:
        table[name] = [("no", text)[i % 2] for i, text in enumerate([name] * n)]
    table.to_parquet(tables / "clinical.parquet")
    columns = [f'{toml(name)} = {{kind = "categorical", levels = {toml(["no", name])}}}' for name in names]
    text = STUDY.format(title=toml(" ".join(texts)), names=toml(names), columns="\n".join(columns))
    (tables / "study.toml").write_text(text, encoding="utf-8")
    store = tmp_path / "store"
    code, said = command(
        "split", "--study", str(tables / "study.toml"), "--clinical", str(tables / "clinical.parquet"), "--store",
        str(store),
    )  # fmt: skip
    assert code == 0, said
    assert command("show", str(store))[0] == 0
    check_objects(store)
    assert set(read_splits(open_store(str(store)), "hostile").to_pandas()["patient_id"]) == set(texts)
    found = read_clinical(open_store(str(store)), "hostile").set_index("patient_id")
    for name in names:
        pd.testing.assert_series_equal(
            found.loc[texts, name], table.set_index("patient_id")[name], check_dtype=False, check_index_type=False
        )


@pytest.mark.slow
def test_extract_of_hostile_ids_and_paths(tables, tmp_path):
    """Each scan is computed under its own id; an address that leads nowhere costs its own row, in one line."""
    rng = np.random.default_rng(0)
    image = rng.integers(-50, 150, (8, 16, 16)).astype(np.int16)
    mask = np.zeros(image.shape, np.uint8)
    mask[2:6, 4:12, 4:12] = 1
    for name, array in (("ct.nii.gz", image), ("mask.nii.gz", mask)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tables / name))
    good = manifest_of(FREE)
    paths = [text for text in FREE if not re.search(r"(^|[/\\])\.\.([/\\]|$)|://", text)]
    lost = manifest_of([f"lost {i}" for i in range(len(paths))]).assign(image=paths, site="A")
    pd.concat([good, lost], ignore_index=True).to_parquet(tables / "scans.parquet", index=False)
    store = tmp_path / "store"
    code, said = command(
        "extract", "--scans", str(tables / "scans.parquet"), "--store", str(store), "--feature-set", "ibsi-digital",
        "--metrics-file", str(tables / "metrics.prom"),
    )  # fmt: skip
    assert code == 3, said
    check_objects(store)
    found = ledger.read_ledger(open_store(str(store))).to_pandas()
    assert set(found.loc[found["status"].isin(ledger.USABLE), "scan_id"]) == set(FREE)
    assert set(found.loc[~found["status"].isin(ledger.USABLE), "scan_id"]) == set(lost["scan_id"])
    for reason in found["reason"]:
        assert printable(reason) == reason
    metrics = (tables / "metrics.prom").read_text(encoding="utf-8")
    assert printable(metrics.replace("\n", "")) == metrics.replace("\n", "")
