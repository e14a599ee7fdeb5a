"""The study file: one TOML, read strictly into frozen settings, every section with a hash of its own."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from gc_ray.errors import StudyError
from gc_ray.names import MAX_NAME, check_name
from gc_ray.settings import Settings as _Settings
from gc_ray.study_cohort import ClinicalSettings, ScansSettings, SplitSettings
from gc_ray.study_file import apply_override, read_study_file
from gc_ray.study_signatures import TUNED, SignatureSettings, TuneSettings, faults, set_name


class ExtractSettings(_Settings):
    """What extraction computes and how patiently; only feature_sets and volumes decide values."""

    feature_sets: tuple[str, ...] = Field(
        ("pyradiomics-ct",), description="feature sets by name, or PyRadiomics parameter files (YAML)"
    )
    volumes: tuple[str, ...] = Field((), description="network inputs by recipe: guo2025, cao2024")
    failure_budget: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05, description="share of refused or failed outlines above which the command ends with 3"
    )
    timeout_s: Annotated[float, Field(gt=0)] = Field(
        1800.0, description="seconds after which one scan is given up; a whole liver takes 15 s on one core"
    )
    attempts: Annotated[int, Field(ge=1, le=10)] = Field(
        3, description="how often a scan may kill its worker before it is written off as failed"
    )
    wave_scans: Annotated[int, Field(ge=1, le=1000)] = Field(
        1000, description="scans planned and run at a time; more makes the driver's memory grow"
    )
    allow_mixed_cpu: bool = Field(
        False, description="nodes of several processor instruction sets compute; the last bits of values may differ"
    )


class HeadSettings(_Settings):
    """The MLP head on frozen backbone outputs, as in Cao et al. 2024 where the paper says; the rest is assumed."""

    views: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="views embedded of a patient, the first un-augmented (assumption: the paper is silent)"
    )
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (256,), description="units of each hidden layer, input side first (assumption: the paper says MLP, no more)"
    )
    batch: Annotated[int, Field(ge=1)] = Field(128, description="patients a step, over all ranks together (Cao 2024)")
    learning_rate: Annotated[float, Field(gt=0)] = Field(1e-4, description="step size of AdamW (Cao 2024)")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.01, description="weight decay of AdamW, PyTorch's default (assumption: the paper is silent)"
    )
    epochs: Annotated[int, Field(ge=1)] = Field(1000, description="epochs at most (Cao 2024)")
    patience: Annotated[int, Field(ge=1)] = Field(
        100, description="epochs without a lower watched loss after which fitting ends (Cao 2024)"
    )
    inner_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="share of a fold's training part that is watched, not fitted (assumption: paper silent)"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="arithmetic of the training steps")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of weights, order, views and inner split")


class AutoencoderSettings(_Settings):
    """The 3D autoencoder of the tumour. Guo et al. 2025 say that it gives 512 numbers; the rest is assumed."""

    recipe: str = Field("guo2025", description="the stored volumes that are its input; isotropic voxels")
    input_voxels: Literal[16, 24, 32, 48, 64, 96] = Field(
        48,
        description="side of the input cube, voxels of 1 mm; half of all tumours fit, longer ones are shrunk to it",
    )
    latent: Annotated[int, Field(ge=1)] = Field(512, description="numbers in the bottleneck (Guo 2025)")
    channels: Annotated[int, Field(ge=8)] = Field(
        64, description="channels of the coarsest map; 7 million weights on either side of 512 numbers at 48 voxels"
    )
    batch: Annotated[int, Field(ge=1)] = Field(16, description="tumours a step, over all ranks together")
    learning_rate: Annotated[float, Field(gt=0)] = Field(1e-3, description="step size of AdamW")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="weight decay of AdamW, PyTorch's default")
    epochs: Annotated[int, Field(ge=1)] = Field(400, description="epochs at most")
    patience: Annotated[int, Field(ge=1)] = Field(
        40, description="epochs without a lower watched error after which fitting ends"
    )
    inner_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="share of the training cohort's patients who are watched, not fitted"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="arithmetic of the training steps")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of weights, order, turns and inner split")


class BackboneSettings(_Settings):
    """The 3D ResNet whose frozen outputs the head is trained on, as in Cao et al. 2024 where the paper says."""

    recipe: str = Field("cao2024", description="the stored volumes that are its input; 64 x 112 x 112 voxels")
    depth: Literal[10, 18, 34, 50] = Field(
        50, description="layers of the ResNet (Cao 2024: 50); fewer for a try-out: 10 takes half the time of 50"
    )
    weights: str = Field(
        "", description="given weights, MedicalNet-style .pth or safetensors; empty: trained on clinical.source_label"
    )
    batch: Annotated[int, Field(ge=1)] = Field(8, description="volumes a step, over all ranks together")
    learning_rate: Annotated[float, Field(gt=0)] = Field(1e-4, description="step size of AdamW")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="weight decay of AdamW, PyTorch's default")
    epochs: Annotated[int, Field(ge=1)] = Field(100, description="epochs at most")
    patience: Annotated[int, Field(ge=1)] = Field(
        20, description="epochs without a lower watched loss after which fitting ends"
    )
    inner_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="share of each label's patients who are watched, not fitted"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="arithmetic of the training steps")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of weights, order, augmentation and inner split")


class TrainSettings(_Settings):
    """On what networks are trained, and how patiently; nothing here is part of a model's name."""

    workers: Annotated[int, Field(ge=0)] = Field(
        0,
        description="ranks that train together by Ray Train; 0 = in this process, with gpu = one rank of the cluster "
        "that RAY_ADDRESS names where this machine has none",
    )
    gpu: bool = Field(False, description="one GPU for each rank")
    cpus_per_worker: Annotated[int, Field(ge=1)] = Field(1, description="CPU cores, and threads, of each rank")
    checkpoint_every: Annotated[int, Field(ge=1)] = Field(
        5, description="epochs from one kept state to the next: what a killed rank costs at most"
    )
    max_failures: Annotated[int, Field(ge=0)] = Field(3, description="ranks that may die before training is given up")
    allow_mixed_cpu: bool = Field(
        False, description="ranks on nodes of several processor instruction sets; the last bits of weights may differ"
    )
    heatmaps: Annotated[int, Field(ge=0, le=100)] = Field(
        6, description="scans whose heat-maps are drawn once a head is trained, highest and lowest scores"
    )


class EmbedSettings(_Settings):
    """On what frozen networks are run; nothing here decides a value."""

    workers: Annotated[int, Field(ge=0)] | None = Field(
        None, description="actors of Ray Data; 0 = in this process, left out = one for each CPU"
    )
    gpu: bool = Field(False, description="one GPU for each actor")
    failure_budget: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05, description="share of refused or failed scans above which the command ends with 3"
    )
    allow_mixed_cpu: bool = Field(
        False, description="nodes of several processor instruction sets compute; the last bits of values may differ"
    )


class EvaluateSettings(_Settings):
    """What is measured on scores, and what a report says beside the numbers."""

    cutoff: Literal["youden"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "youden",
        description="the score at or above which a patient is positive: learned on training scores, or given",
    )
    survival_cutoff: Literal["log_rank", "classification"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "log_rank",
        description="the score above which risk is high: largest log-rank statistic among training patients, "
        "the cutoff of classification, or given",
    )
    interval: Literal["wilson", "wald", "exact", "bootstrap"] = Field(
        "wilson", description="of sensitivity and the like; wald reproduces older papers and covers poorly"
    )
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = Field(
        1000, description="samples of a bootstrap interval; 0 = none"
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of the bootstrap")
    horizons_months: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (12.0, 24.0, 36.0), description="times at which time-dependent AUC is given, months"
    )
    risk_months: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="the months by which the score is the risk of the event that ends the follow-up: decision curves "
        "at that time; 0 = the score is no such risk",
    )
    decision_low: Annotated[float, Field(gt=0, lt=1)] = Field(0.01, description="least threshold of decision curves")
    decision_high: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.6, description="largest threshold of decision curves; above it hardly anybody would wait"
    )
    contrasts: tuple[Annotated[str, Field(pattern=r"^[^=]+=[^=]+$")], ...] = Field(
        (), description="column=level: among events, does the score tell this level from the column's others"
    )
    headline: str = Field(
        "", description="the signature that the first paragraph is about; empty: the study's last one"
    )
    caveats: tuple[str, ...] = Field((), description="sentences on the design that every report of the study carries")

    @model_validator(mode="after")
    def _rising(self) -> EvaluateSettings:
        if self.decision_low >= self.decision_high:
            raise ValueError("decision_low must be below decision_high")
        return self


class PublishSettings(_Settings):
    """How a report is written to another place; nothing here is part of a report's name."""

    encryption: Literal["", "AES256", "aws:kms"] = Field(
        "", description="server-side encryption asked of S3; empty: whatever the bucket does by itself"
    )
    kms_key: str = Field("", description="key id for aws:kms; empty: the account's own key")


class Study(_Settings):
    """One study: its name, what it is, and a section of settings for every step."""

    name: str = Field(
        "default",
        description="the study's name in stored tables: letters a to z, digits, _ . and -",
        max_length=MAX_NAME,
    )
    title: str = Field("", description="what the study is, in a line; the publication it follows, if any")
    extract: ExtractSettings = Field(default_factory=ExtractSettings)
    scans: ScansSettings = Field(default_factory=ScansSettings)
    clinical: ClinicalSettings = Field(default_factory=ClinicalSettings)
    split: SplitSettings = Field(default_factory=SplitSettings)
    autoencoder: AutoencoderSettings = Field(default_factory=AutoencoderSettings)
    backbone: BackboneSettings = Field(default_factory=BackboneSettings)
    head: HeadSettings = Field(default_factory=HeadSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    embed: EmbedSettings = Field(default_factory=EmbedSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    publish: PublishSettings = Field(default_factory=PublishSettings)
    signature: tuple[SignatureSettings, ...] = Field((), description="the signatures, each after those it builds on")
    tune: TuneSettings = Field(default_factory=TuneSettings)

    @property
    def own_sets(self) -> frozenset[str]:
        """The names in the ledger of the feature sets and network inputs that the study names."""
        named = {self.tune.feature_set, *map(set_name, (*self.extract.feature_sets, self.tune.feature_set))} - {""}
        return frozenset(named | {f"volumes/{recipe}" for recipe in self.extract.volumes})

    @field_validator("name")
    @classmethod
    def _name_is_a_path(cls, name: str) -> str:
        return check_name(name, "the study's name", StudyError)

    @model_validator(mode="after")
    def _signatures_fit(self) -> Study:
        for fault in faults(self.signature, self.clinical.predictors):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _headline_is_known(self) -> Study:
        headline, known = self.evaluate.headline, [signature.name for signature in self.signature]
        if known and headline and headline.removesuffix(TUNED) not in known:
            raise ValueError(f"evaluate.headline: wanted one of the signatures {', '.join(known)}, got {headline}")
        return self


def load_study(name: str | None, overrides: tuple[str, ...] = ()) -> Study:
    """The study of a packaged name, of a TOML path, or of defaults only (None), with ``section.key=value`` overrides.

    StudyError, in one line, when the name is unknown, the file is no TOML, or a key or value does not fit.
    """
    raw = read_study_file(name) if name is not None else {}
    for override in overrides:
        apply_override(raw, override)
    try:
        # by way of JSON: strict mode then still takes a TOML array for a tuple
        text = json.dumps(raw, default=str)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, deep nesting
        raise StudyError(f"study {name or 'settings'}: a number too long or sections too deep; correct it") from error
    try:
        return Study.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        what = fault["msg"].removeprefix("Value error, ")
        raise StudyError(f"study {name or 'settings'}: {where}: {what}{more}; correct the file or --set") from error


def digest(settings: object) -> str:
    """A short hash of settings of JSON types: equal settings give equal text, whatever their order of keys."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
