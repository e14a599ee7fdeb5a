"""The head: it finds a planted effect, finds none in noise, and knows nothing of the patients it scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import rankdata

from gc_ray.errors import BundleError, TableError
from gc_ray.models.fit import FitSettings, fit
from gc_ray.models.head import HeadNetwork, HeadObjective, head_logits, head_network, head_program, score_head
from gc_ray.models.head_data import HeadData
from gc_ray.study import HeadSettings

FOLDS = 5
QUICK = HeadSettings(hidden=(8,), epochs=4, patience=2, learning_rate=1e-2, batch=32)
# Small and long enough for the choice of an epoch to matter: noise of a small fold, 40 epochs to choose from.
NULL = {"patients": 80, "settings": HeadSettings(hidden=(16,), epochs=40, patience=40, learning_rate=1e-2, batch=64)}
SEEDS = 16


def cohort(patients: int, others: int = 0, effect: float = 0.0, seed: int = 0, rate: float = 0.4) -> HeadData:
    """Patients of 16 features in 3 views; the log odds rise by ``effect`` per SD of a direction in feature space."""
    rng = np.random.default_rng(seed)
    patient = rng.standard_normal((patients + others, 1, 16))
    features = (patient + 0.3 * rng.standard_normal((patients + others, 3, 16))).astype(np.float32)
    log_odds = np.log(rate / (1 - rate)) + effect * patient[:, 0, :4].mean(axis=1) * 2
    outcome = (rng.random(patients + others) < expit(log_odds)).astype(float)
    fold = np.full(patients + others, -1)
    for value in (0, 1):
        rows = np.flatnonzero(outcome[:patients] == value)
        fold[rows] = np.arange(len(rows)) % FOLDS
    names = np.array([f"P{i:04d}" for i in range(patients + others)])
    return HeadData(names, features, outcome, np.repeat(["train", "internal"], [patients, others]), fold)


def alone(name, objective, settings):
    """A fit on this machine, under no name."""
    return fit(objective, settings)


def auc(outcome: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve by ranks."""
    n1 = outcome.sum()
    return (rankdata(score)[outcome == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * (len(outcome) - n1))


def lower_limit(outcome: np.ndarray, score: np.ndarray) -> float:
    """The lower 95 % limit of the AUC, DeLong et al. 1988, from the placements of each patient among the others."""
    positive, negative = score[outcome == 1], score[outcome == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    return wins.mean() - 1.96 * np.sqrt(variance)


def standard_errors_from_half(values: list[float]) -> float:
    """How many standard errors their mean lies above 0.5."""
    return (np.mean(values) - 0.5) / (np.std(values, ddof=1) / np.sqrt(len(values)))


def changed(data: HeadData, rows: np.ndarray) -> HeadData:
    """The same patients, with other features and the opposite outcome in some rows."""
    features, outcome = data.features.copy(), data.outcome.copy()
    features[rows] = 5 - features[rows]
    outcome[rows] = 1 - outcome[rows]
    return replace(data, features=features, outcome=outcome)


def rows_of(data: HeadData, rows: np.ndarray) -> HeadData:
    """Some patients, in that order."""
    return HeadData(*(getattr(data, name)[rows] for name in data.__dataclass_fields__))


def equal(one: dict, other: dict) -> bool:
    """Whether two sets of weights are the same bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def leaky_logits(data: HeadData, settings: HeadSettings) -> np.ndarray:
    """Out-of-fold logits as a hasty program makes them: early stopping watches the fold that is scored."""
    features, logits = torch.from_numpy(data.features), np.zeros(len(data.fold))
    fitting = FitSettings(settings.batch, settings.learning_rate, 0.01, settings.epochs, settings.patience, 0)
    for k in range(FOLDS):
        others, scored = np.flatnonzero(data.fold != k), np.flatnonzero(data.fold == k)
        fitted = fit(HeadObjective(features, data.outcome, others, scored, settings), fitting)
        logits[scored] = head_logits(head_network(fitted.weights), data.features[scored, 0])
    return logits


def test_a_planted_effect_is_found_in_patients_not_trained_on():
    """The lower 95 % limit of the AUC is over 0.5, out of fold and in another cohort, and higher means more risk."""
    data = cohort(300, 200, effect=1.5)
    settings = HeadSettings(hidden=(16,), epochs=60, patience=20, learning_rate=3e-3)
    scores = head_program(alone, data, settings).scores
    for where in ("train", "internal"):
        rows = (data.cohort == where).nonzero()[0]
        assert lower_limit(data.outcome[rows], scores["linear_predictor"].to_numpy()[rows]) > 0.5


@pytest.mark.slow
def test_outcomes_of_chance_give_an_auc_of_one_half():
    """Over seeds, the out-of-fold AUC is within three standard errors of 0.5."""
    found = []
    for seed in range(SEEDS):
        data = cohort(NULL["patients"], seed=seed)
        found.append(auc(data.outcome, head_program(alone, data, NULL["settings"]).scores["score"]))
    assert abs(standard_errors_from_half(found)) < 3


@pytest.mark.slow
def test_early_stopping_on_the_scored_fold_would_be_seen():
    """The check above has the power to catch the leak that it guards against: same cohorts, same settings."""
    found = []
    for seed in range(SEEDS):
        data = cohort(NULL["patients"], seed=seed)
        found.append(auc(data.outcome, leaky_logits(data, NULL["settings"])))
    assert standard_errors_from_half(found) > 3


@pytest.mark.parametrize("k", [0, 3])
def test_a_fold_head_knows_nothing_of_its_fold(k):
    """Other features and opposite outcomes in a fold leave the head that scores it the same, bit for bit."""
    data = cohort(100)
    other = changed(data, np.flatnonzero(data.fold == k))
    one, two = head_program(alone, data, QUICK), head_program(alone, other, QUICK)
    assert equal(one.folds[k].weights, two.folds[k].weights)
    assert one.folds[k].best_epoch == two.folds[k].best_epoch
    assert not equal(one.folds[k - 1].weights, two.folds[k - 1].weights)


def test_other_cohorts_change_nothing_in_training():
    """Whatever stands in the other cohorts, or none at all, every trained bit and training score is the same."""
    data = cohort(100, 60)
    outside = np.flatnonzero(data.cohort != "train")
    one, two = head_program(alone, data, QUICK), head_program(alone, changed(data, outside), QUICK)
    unknown = replace(data, outcome=np.where(data.cohort == "train", data.outcome, np.nan))
    absent = rows_of(data, data.train)
    for result in (two, head_program(alone, unknown, QUICK), head_program(alone, absent, QUICK)):
        assert equal(one.weights, result.weights)
        assert one.recalibration == result.recalibration
        rows = result.scores["cohort"] == "train"
        assert one.scores[one.scores["cohort"] == "train"].equals(result.scores[rows])


def test_the_order_of_patients_is_of_no_account():
    """Rows are sorted by patient id before anything is drawn."""
    data = cohort(100, 20)
    order = np.random.default_rng(1).permutation(120)
    one, two = head_program(alone, data, QUICK), head_program(alone, rows_of(data, order), QUICK)
    assert equal(one.weights, two.weights)
    assert one.scores.equals(two.scores)
    assert one.as_published.equals(two.as_published)


def test_read_only_features_are_taken_as_they_are():
    """What comes out of an object store cannot be written to; it trains and scores the same."""
    data = cohort(100)
    one = head_program(alone, data, QUICK)
    data.features.flags.writeable = False
    two = head_program(alone, data, QUICK)
    assert equal(one.weights, two.weights)
    assert len(score_head(two.weights, two.recalibration, data.features[:, 0])) == 100


def test_every_patient_is_scored_once_and_the_kind_says_by_whom():
    """Out-of-fold in the training cohort, final elsewhere; after the paper, apparent in the training cohort."""
    result = head_program(alone, cohort(100, 20), QUICK)
    for table, kind in ((result.scores, "oof"), (result.as_published, "apparent")):
        assert list(table.columns) == ["patient_id", "cohort", "kind", "linear_predictor", "score"]
        assert table["patient_id"].is_unique
        assert set(zip(table["cohort"], table["kind"], strict=True)) == {("train", kind), ("internal", "final")}
        np.testing.assert_allclose(table["score"], expit(table["linear_predictor"]))
    assert len(result.folds) == FOLDS
    assert len(result.final.curve) == int(np.median([f.best_epoch for f in result.folds]))


def test_recalibration_takes_the_weighting_of_the_outcomes_out_again():
    """Rare events, weighted up in training: the mean score is the rate out of fold and about it elsewhere."""
    data = cohort(400, 1000, effect=1.5, rate=0.1)
    settings = HeadSettings(hidden=(16,), epochs=40, patience=15, learning_rate=3e-3)
    scores = head_program(alone, data, settings).scores["score"].to_numpy()
    train = data.cohort == "train"
    assert scores[train].mean() == pytest.approx(data.outcome[train].mean(), abs=1e-9)
    assert scores[~train].mean() == pytest.approx(data.outcome[~train].mean(), abs=0.05)


def test_a_score_is_the_same_whoever_else_is_scored():
    """Each patient alone, and 300 together, give the same bits; the stored score is what the weights give."""
    data = cohort(100, 200)
    result = head_program(alone, data, QUICK)
    together = score_head(result.weights, result.recalibration, data.features[:, 0])
    single = [score_head(result.weights, result.recalibration, data.features[i : i + 1, 0])[0] for i in range(300)]
    assert (together == single).all()
    outside = data.cohort == "internal"
    assert (result.scores["linear_predictor"].to_numpy()[outside] == together[outside]).all()


def test_a_view_is_drawn_anew_each_epoch_from_seed_epoch_and_item():
    """The same item has the same view in the same epoch in whatever batch it stands; over epochs all views come."""
    data = cohort(50)
    rows = np.arange(50)
    objective = HeadObjective(torch.from_numpy(data.features), data.outcome, rows, rows, QUICK)
    whole, part = objective.batch(rows, 3), objective.batch(np.array([7, 2]), 3)
    assert torch.equal(whole["features"][[7, 2]], part["features"])
    seen = torch.stack([objective.batch(np.array([7]), epoch)["features"][0] for epoch in range(1, 40)])
    assert len(torch.unique(seen, dim=0)) == data.features.shape[1]


def test_a_feature_that_never_varies_does_no_harm():
    """A dead channel, and one constant but for rounding, are not blown up for a patient in whom they differ."""
    data = cohort(100, 20)
    data.features[:, :, 0] = 0
    data.features[:, :, 1] = np.float32(7) + np.float32(1e-6) * (np.arange(120)[:, None] % 2)
    data.features[100:, :, :2] += 1e-3
    result = head_program(alone, data, QUICK)
    assert float(result.weights["scale"][:2].min()) == 1
    assert np.abs(result.scores["linear_predictor"]).max() < 10


def test_half_precision_trains_about_the_same_head():
    """bf16 steps, fp32 weights: scores near those of fp32."""
    data = cohort(100, 50, effect=1.5)
    one = head_program(alone, data, QUICK).as_published["linear_predictor"]
    two = head_program(alone, data, QUICK.model_copy(update={"precision": "bf16"})).as_published["linear_predictor"]
    assert np.corrcoef(one, two)[0, 1] > 0.95


def spoilt(**changes) -> HeadData:
    """A cohort in which single entries are replaced: name = (row, value)."""
    data = cohort(40, 10)
    for name, (row, value) in changes.items():
        getattr(data, name)[row] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            spoilt(patient_ids=(45, "P0003")),
            "patient P0003: wanted one row in one cohort, got several in internal and tr",
        ),
        (spoilt(cohort=(3, "source")), "patient P0003: wanted cohort train, internal, external, got source"),
        (spoilt(features=((3, 1, 5), np.nan)), "patient P0003: wanted finite features, view 1 has NaN or infinity"),
        (spoilt(features=((45, 0, 5), np.inf)), "patient P0045: wanted finite features, view 0"),
        (spoilt(outcome=(3, np.nan)), "patient P0003: wanted outcome 0 or 1 in the training cohort, got nan"),
        (spoilt(fold=(3, -1)), "patient P0003: wanted a training fold 0, 1, .., got -1"),
        (spoilt(fold=(3, 6)), "fold 5: wanted both outcomes, got 0 events in 0 patients; use fewer folds"),
        (spoilt(fold=(slice(None), 0)), "wanted two folds or more, got one"),
        (spoilt(cohort=(slice(None), "internal")), "wanted patients in cohort train, got none"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_by_name(data, message):
    """Before anything is fitted, one line says whose value it is and what was wanted."""
    with pytest.raises(TableError, match=message):
        head_program(alone, data, QUICK)


def test_a_fold_with_one_outcome_is_named():
    """Its scores could not be judged, and the others would be fitted on another mixture."""
    data = cohort(60)
    rows = np.flatnonzero((data.fold == 2) & (data.outcome == 1))
    data.fold[rows] = 1
    with pytest.raises(
        TableError, match=r"fold 2: wanted both outcomes, got 0 events in \d+ patients; use fewer folds"
    ):
        head_program(alone, data, QUICK)


def test_fewer_patients_than_folds_is_refused():
    """Three patients in five folds leave a fold empty."""
    data = cohort(3)
    with pytest.raises(TableError, match="fold 1: wanted both outcomes, got 0 events in 0 patients; use fewer folds"):
        head_program(alone, replace(data, outcome=np.array([0, 1.0, 0]), fold=np.array([0, 0, 4])), QUICK)


def test_arrays_that_do_not_fit_together_are_refused():
    """Features of another type or number of patients would be scored for somebody else."""
    data = cohort(40)
    with pytest.raises(TableError, match=r"wanted features float32 \(patients, views, width\), got float64"):
        head_program(alone, replace(data, features=data.features.astype(float)), QUICK)
    with pytest.raises(TableError, match=r"wanted fold for 40 patients, got \(39,\)"):
        head_program(alone, replace(data, fold=data.fold[1:]), QUICK)


def test_foreign_weights_and_features_are_refused():
    """A head scores the outputs of its own backbone, with weights of a head."""
    data = cohort(100)
    result = head_program(alone, data, QUICK)
    with pytest.raises(TableError, match=r"wanted 16 finite features a patient, got \(100, 15\)"):
        score_head(result.weights, result.recalibration, data.features[:, 0, 1:])
    with pytest.raises(BundleError, match="wanted the weights of a head"):
        score_head({"conv1.weight": torch.zeros(3)}, result.recalibration, data.features[:, 0])


def test_weights_in_any_order_are_the_same_head():
    """A file of weights lists them by name or size; the layers keep their places all the same."""
    rng = np.random.default_rng(0)
    network = HeadNetwork(torch.zeros(6), torch.ones(6), (5, 3))
    shuffled = dict(sorted(network.state_dict().items(), key=lambda item: item[0][::-1], reverse=True))
    x = torch.from_numpy(rng.normal(size=(4, 6)).astype(np.float32))
    assert torch.equal(head_network(shuffled)(x), network(x))
