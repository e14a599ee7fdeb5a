"""The three networks from a store to a model folder: on whom each is trained, under which name, and what it says."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from gc_ray.cohort_tables import read_splits
from gc_ray.errors import BundleError, StudyError, TableError
from gc_ray.models.model_folder import read_model
from gc_ray.runtime.networks import autoencoder_task, backbone_task, head_task, source_patients
from gc_ray.runtime.train import Place, train
from gc_ray.store import open_store
from gc_ray.study import load_study

SMALL = (
    "autoencoder.input_voxels=16", "autoencoder.latent=4", "autoencoder.channels=8", "autoencoder.epochs=2",
    "backbone.depth=10", "backbone.epochs=1", "head.views=2", "head.epochs=3", "head.hidden=[4]", "embed.workers=0",
)  # fmt: skip


def study(*overrides: str):
    """The study of the made-up store, with small networks."""
    return load_study("recurrence", (*SMALL, "split.folds=3", *overrides))


def trained(task, store, *overrides: str):
    """(model, card) after training in this process."""
    train(task, Place(store, study(*overrides).train), lambda *news: None, "run")
    return read_model(store, task.model_id)


def test_the_autoencoder_sees_the_training_cohort_alone(network_store, store):
    """Its inputs are those of the twelve training patients; watched ones are among them."""
    model, card = trained(autoencoder_task(network_store()(store), study()), store)
    splits = read_splits(store, "recurrence").to_pylist()
    cohort = {row["patient_id"] for row in splits if row["cohort"] == "train"}
    assert set(model.tables["inputs"].column("patient_id").to_pylist()) == cohort
    assert set(model.facts["watched"]) < cohort
    assert model.facts["patients"] == 12
    assert card["kind"] == "autoencoder"
    assert set(model.tables["curve"].column("fit").to_pylist()) == {"autoencoder"}


def test_a_name_follows_settings_and_inputs(network_store, tmp_path):
    """The same store, the same name; another setting, another input, another name; where it is trained, none."""
    stores = [network_store()(open_store(str(tmp_path / name))) for name in "ab"]
    names = {autoencoder_task(store, study()).model_id for store in stores}
    assert len(names) == 1
    assert autoencoder_task(stores[0], study("train.workers=2")).model_id in names
    assert autoencoder_task(stores[0], study("autoencoder.seed=1")).model_id not in names


def test_an_empty_volume_table_is_an_error_that_says_what_to_run(network_store, store):
    """Not a network trained on nothing."""
    network_store(guo=False)(store)
    with pytest.raises(TableError, match=r"wanted network inputs guo2025 of 12 patients.*run gc-ray extract"):
        autoencoder_task(store, study())


def test_a_study_without_split_is_an_error(store):
    """The split comes first."""
    with pytest.raises(TableError, match="study recurrence has no split; run gc-ray split"):
        autoencoder_task(store, study())


def test_source_patients_are_wanted_only_where_the_backbone_is_trained(network_store, store):
    """Given weights and an untrained backbone need none."""
    network_store(guo=False, cao=True)(store)
    assert len(source_patients(store, study())) == 6
    assert source_patients(store, study("clinical.source_label=''")) == {}
    assert source_patients(store, study("backbone.weights='given.pth'")) == {}


def test_a_lost_input_is_an_error_that_names_the_scan(network_store, store):
    """An object deleted by hand."""
    network_store()(store)
    task = autoencoder_task(store, study())
    store.delete(next(e.key for e in store.list("volumes")))
    with pytest.raises(TableError, match=r"scan s-P\d\d: its network input is not in the store any more"):
        trained(task, store)


def test_a_head_wants_its_backbone_first(network_store, store):
    """The backbone is a model of its own."""
    network_store(guo=False, cao=True)(store)
    with pytest.raises(BundleError, match="run gc-ray train backbone first"):
        head_task(store, study())


def test_an_untrained_backbone_says_so(network_store, store):
    """In its card and in the head's; nothing is fitted, so no rank is started."""
    network_store(guo=False)(store)
    task = backbone_task(store, study("clinical.source_label=''", "train.workers=2"))
    model, _ = trained(task, store, "train.workers=2")
    assert model.facts["provenance"]["statement"].startswith("the backbone is untrained")


def test_given_weights_are_matched_and_named(network_store, store, tmp_path):
    """Those of this depth load; those of another are refused; a file that is not there is an error."""
    network_store(guo=False)(store)
    source, _ = trained(backbone_task(store, study("clinical.source_label=''")), store)
    torch.save({"state_dict": source.weights}, tmp_path / "given.pth")
    given = f"backbone.weights='{tmp_path}/given.pth'"
    model, card = trained(backbone_task(store, study(given)), store)
    assert torch.equal(model.weights["conv1.weight"], source.weights["conv1.weight"])
    assert str(tmp_path) not in str(card)
    with pytest.raises(BundleError, match="wanted those of this backbone"):
        trained(backbone_task(store, study(given, "backbone.depth=18")), store)
    with pytest.raises(StudyError, match=r"wanted the file none\.pth, it is not there"):
        backbone_task(store, study("backbone.weights='none.pth'"))


@pytest.mark.slow
def test_a_backbone_and_its_head(network_store, store):
    """Trained on source patients; the head is scored out of fold in the training part and finally elsewhere."""
    network_store(guo=False, cao=True)(store)
    backbone, _ = trained(backbone_task(store, study("clinical.source_label='trg'")), store)
    assert backbone.facts["provenance"]["shared_patients"] == 0
    assert backbone.facts["provenance"]["source_patients"] == 6
    model, card = trained(head_task(store, study("clinical.source_label='trg'")), store)
    scores = model.tables["scores"].to_pandas()
    assert scores.groupby("cohort")["kind"].unique().map(list).to_dict() == {
        "train": ["oof"], "internal": ["final"], "external": ["final"],
    }  # fmt: skip
    assert np.isfinite(scores["score"]).all()
    assert model.facts["provenance"] == backbone.facts["provenance"]
    assert set(model.tables["curve"].column("fit").to_pylist()) == {"fold-0", "fold-1", "fold-2", "final"}
    assert card["identity"]["backbone"] == model.facts["backbone"]
    inputs = model.tables["inputs"].to_pandas()
    assert set(inputs["patient_id"]) == set(scores["patient_id"])
    assert all(store.get(name) for name in inputs["object"])


@pytest.mark.slow
def test_the_command_line_trains_and_embeds(network_store, tmp_path):
    """Train twice (the second time nothing happens), embed, and the faults of a user, one line each."""
    uri = network_store()(open_store(str(tmp_path / "store"))).root

    def gc_ray(*arguments: str) -> subprocess.CompletedProcess:
        code = "import sys; from gc_ray.cli import main; main(sys.argv[1:])"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300, check=False
        )

    small = [f"--set={setting}" for setting in SMALL]
    order = ["train", "autoencoder", "--study=recurrence", f"--store={uri}", *small]
    first, second = gc_ray(*order), gc_ray(*order)
    assert first.returncode == second.returncode == 0, first.stderr
    assert "complete" in first.stderr
    assert "was trained before" in second.stdout
    model = second.stdout.split()[-1].rpartition("/")[2]
    assert open_store(uri).get(f"models/{model}/curve.png").startswith(b"\x89PNG")
    done = gc_ray("embed", f"--model={model}", f"--store={uri}", "--workers=2")
    assert done.returncode == 0, done.stderr
    assert "26 results computed" in done.stdout
    done = gc_ray("embed", "--study=recurrence", f"--store={uri}", *small, "--workers=0")
    assert "0 results computed" in done.stdout, "the study's own autoencoder is another"
    for arguments, code, message in (
        (["embed", "--model=none", f"--store={uri}"], 2, "error: model none: wanted models/none/card.json"),
        ([*order, "--gpu", "--set=autoencoder.seed=1"], 1, "error: training: wanted a GPU"),
        (["train", "head", *order[2:]], 2, "error: study recurrence: wanted network inputs cao2024"),
    ):
        if "--gpu" in arguments and torch.cuda.is_available():
            continue
        done = gc_ray(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
        assert done.stderr.startswith(message)
