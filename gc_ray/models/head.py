"""The MLP head on frozen backbone outputs: fitted by fold for out-of-fold scores, then once for everybody else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median_low

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import Tensor, nn

from gc_ray.errors import BundleError, TableError
from gc_ray.models.fit import Fit, Fitted, Weights, fit_settings
from gc_ray.models.head_data import HeadData, checked
from gc_ray.models.inner_split import inner_split
from gc_ray.models.recalibrate import Recalibration, recalibrate
from gc_ray.study import HeadSettings

SCORED_TOGETHER = 128  # patients a forward pass, the last one padded: a score may not depend on who else is there
# A feature whose SD is below this share of its mean is constant but for the rounding of float32; dividing by such an
# SD would blow rounding up to a signal.
CONSTANT = 1e-6


class HeadNetwork(nn.Module):
    """Standardised features through hidden layers to one logit, the difference of the two inputs of a softmax."""

    def __init__(self, centre: Tensor, scale: Tensor, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("scale", scale)
        widths = [len(centre), *hidden]
        layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (patients) of features (patients, width)."""
        return self.layers((features - self.centre) / self.scale).squeeze(-1)


class HeadObjective:
    """A head on the patients ``fitted``, stopped by the patients ``watched``; both are rows of ``features``.

    features: float32 (patients, views, width). outcome: 0 or 1 (patients).
    An epoch shows each patient once, in a view drawn for that epoch, as a loop that augments anew would. Outcomes are
    weighted so that both count the same; the watched loss is that of view 0, with the same weights.
    """

    def __init__(
        self, features: Tensor, outcome: np.ndarray, fitted: np.ndarray, watched: np.ndarray, settings: HeadSettings
    ) -> None:
        self.size = len(fitted)
        self._features, self._outcome = features, torch.from_numpy(np.asarray(outcome, np.float32))
        self._fitted, self._watched, self._settings = fitted, torch.from_numpy(watched), settings
        of_fitted = features[torch.from_numpy(fitted), 0].double()
        self._centre, scale = of_fitted.mean(0), of_fitted.std(0, correction=0)
        self._scale = torch.where(scale > CONSTANT * self._centre.abs(), scale, 1.0)
        events = float(outcome[fitted].sum())
        self._weights = torch.tensor([self.size / 2 / (self.size - events), self.size / 2 / events])

    def network(self, seed: int) -> HeadNetwork:
        """A head with fresh weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return HeadNetwork(self._centre.float(), self._scale.float(), self._settings.hidden)

    def batch(self, items: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """One view of each item and its outcome."""
        views = np.random.default_rng([self._settings.seed, epoch]).integers(self._features.shape[1], size=self.size)
        rows = torch.from_numpy(self._fitted[items])
        return {
            "features": self._features[rows, torch.from_numpy(views[items])],
            "outcome": self._outcome[rows],
        }

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Weighted cross-entropy."""
        weight = self._weights.to(batch["outcome"].device)[batch["outcome"].long()]
        logits = network(batch["features"]).float()
        return nn.functional.binary_cross_entropy_with_logits(logits, batch["outcome"], weight)

    def monitor(self, network: nn.Module) -> float:
        """Weighted cross-entropy of the watched patients in view 0."""
        device = next(network.parameters()).device
        with torch.no_grad():
            watched = {
                "features": self._features[self._watched, 0].to(device),
                "outcome": self._outcome[self._watched].to(device),
            }
            return float(self.loss(network, watched))


@dataclass(frozen=True, eq=False)
class HeadResult:
    """A trained head.

    scores: patient_id, cohort, kind, linear_predictor (log odds), score (0 to 1). Kind ``oof`` in the training part:
    by the fold head that neither fitted nor watched the patient; ``final`` in the others: by the final head.
    as_published: the same columns after the paper: fold heads averaged, nothing recalibrated. The training
    cohort is scored by heads that were fitted on it (kind ``apparent``), for comparison only.
    recalibration: found on the out-of-fold logits, applied to every row of ``scores``.
    weights: of the final head. folds, final: how fitting went; ``best_epoch`` and ``curve`` of each.
    """

    scores: pd.DataFrame
    as_published: pd.DataFrame
    recalibration: Recalibration
    weights: Weights
    folds: tuple[Fitted, ...]
    final: Fitted


def head_program(fit: Fit, data: HeadData, settings: HeadSettings) -> HeadResult:
    """The head of a study: one for each fold, then the final one on the whole training cohort.

    A fold's head is stopped by an inner split of the other folds. The final head is fitted for the median of their
    best epochs. Intercept and slope come from all out-of-fold logits and are the same for every patient: ranks stay.
    Found for each fold on the others they would leak: the other folds' heads were fitted on this fold's outcomes (on
    shuffled outcomes the AUC rose to .529 with 5 folds and .553 with 2, standard errors .004 and .003).
    TableError for data that cannot be used (see ``head_data.checked``).
    Source: Cao et al., Int J Surg 2024, Construction of the deep learning fusion signature; Statistical analysis.
    """
    data = checked(data)
    features, train = torch.from_numpy(np.require(data.features, requirements="CW")), data.train
    folds = tuple(_fold_head(fit, data, features, settings, k) for k in range(data.folds))
    logits = np.stack([head_logits(head_network(f.weights), data.features[:, 0]) for f in folds])
    out_of_fold = logits[data.fold[train], train]
    recalibration = recalibrate(out_of_fold, data.outcome[train])
    epochs = median_low(f.best_epoch for f in folds)
    whole = HeadObjective(features, data.outcome, train, train, settings)  # watched for the curve, stops nothing
    final = fit("final", whole, replace(fit_settings(settings), epochs=epochs, patience=None))
    raw = head_logits(head_network(final.weights), data.features[:, 0])
    raw[train] = out_of_fold
    return HeadResult(
        scores=_scores(data, "oof", recalibration.apply(raw)),
        as_published=_scores(data, "apparent", logits.mean(axis=0)),
        recalibration=recalibration,
        weights=final.weights,
        folds=folds,
        final=final,
    )


def head_network(weights: Weights) -> HeadNetwork:
    """The head with these weights, in evaluation mode. BundleError when they are not those of a head."""
    try:
        # a file of weights need not keep the order of the layers
        biases = sorted((int(n.split(".")[1]), len(w)) for n, w in weights.items() if n.endswith(".bias"))
        network = HeadNetwork(weights["centre"], weights["scale"], tuple(width for _, width in biases[:-1]))
        network.load_state_dict(weights)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise BundleError(f"wanted the weights of a head, got {sorted(weights)[:5]}; name a head model") from error
    return network.eval()


def head_logits(network: HeadNetwork, features: np.ndarray) -> np.ndarray:
    """Logits (float64; patients), not recalibrated, of un-augmented features, float32 (patients, width)."""
    blocks = []
    with torch.no_grad():
        for start in range(0, len(features), SCORED_TOGETHER):
            block = torch.zeros(SCORED_TOGETHER, features.shape[1])
            part = torch.tensor(features[start : start + SCORED_TOGETHER])
            block[: len(part)] = part
            blocks.append(network(block)[: len(part)].double().numpy())
    return np.concatenate(blocks)


def score_head(weights: Weights, recalibration: Recalibration, features: np.ndarray) -> np.ndarray:
    """Log odds of the outcome (patients), of un-augmented features, float32 (patients, width).

    TableError when the features are of another width or no numbers; BundleError when the weights are not a head's.
    """
    network = head_network(weights)
    width = len(network.centre)
    if features.ndim != 2 or features.shape[1] != width or not np.isfinite(features).all():
        raise TableError(
            f"head: wanted {width} finite features a patient, got {features.shape}, "
            f"{int((~np.isfinite(features)).sum())} of them NaN or infinite; embed with the backbone of this head"
        )
    return recalibration.apply(head_logits(network, features))


def _fold_head(fit: Fit, data: HeadData, features: Tensor, settings: HeadSettings, k: int) -> Fitted:
    others = data.train[data.fold[data.train] != k]
    watched = inner_split(data.outcome[others], settings.inner_share, np.random.default_rng([settings.seed, k]))
    objective = HeadObjective(features, data.outcome, others[~watched], others[watched], settings)
    return fit(f"fold-{k}", objective, fit_settings(settings))


def _scores(data: HeadData, kind_in_train: str, linear_predictor: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": data.patient_ids,
            "cohort": data.cohort,
            "kind": np.where(data.cohort == "train", kind_in_train, "final"),
            "linear_predictor": linear_predictor,
            "score": expit(linear_predictor),
        }
    )
