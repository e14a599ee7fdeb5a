"""The sections of a study file that say how signatures are built, and what the search may change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from gc_ray.names import MAX_PART, check_name, name_of_file
from gc_ray.settings import Settings

Family = Literal["clinical", "radiomics", "deep"]
Share = Annotated[float, Field(gt=0, lt=1)]
HEAD = "head"  # among scores: that of the trained network head
SCORE = "score"  # the family of scores in tables
PARAMETER_FILES = (".yaml", ".yml", ".json")  # endings of feature sets that are files
TUNED = "_tuned"  # ends the name of a signature as the search has it
INTER, INTRA = DESIGNS = ("inter", "intra")  # of an ICC: several readers of one scan, or one reader again
Plain = bool | int | float | str


class _Step(Settings):
    """What every step says beside its kind."""

    families: tuple[Family, ...] = Field((), description="features that the step concerns; empty = all")


class Stability(_Step):
    """Keeps features on which readers, and the repeats of one reader, agree; one whose ICC has no value leaves."""

    step: Literal["stability"]
    icc: Share = Field(0.8, description="the ICC of every design used must exceed it")
    designs: tuple[Literal["inter", "intra"], ...] = Field(
        (),
        description="inter: ICC(2,1) between readers, intra: ICC(3,1) between repeats of the study's reader; empty = "
        "every design that the outlines allow, and tune says which; a design that is named and not there is an error",
    )


class CommonScale(_Step):
    """Divides all features of the step by one number, the median of their SDs in the patients fitted on."""

    step: Literal["common_scale"]


class Variance(_Step):
    """Keeps features whose variance exceeds a threshold."""

    step: Literal["variance"]
    threshold: Annotated[float, Field(ge=0)] = Field(1.0, description="in squared units of the feature")


class Spearman(_Step):
    """Keeps one of each group of features whose ranks correlate."""

    step: Literal["spearman"]
    threshold: Share = Field(0.7, description="largest |rho| of two that are kept")
    rule: Literal["file_order", "by_outcome", "find_correlation"] = Field(
        "find_correlation", description="which of two is kept: the first, the stronger, or caret's choice"
    )


class TTest(_Step):
    """Keeps features whose means differ between the outcomes, by Student's t."""

    step: Literal["t_test"]
    alpha: Share = Field(0.05, description="P below which a feature is kept")


class Univariable(_Step):
    """Keeps whole clinical factors that differ between the outcomes, by the score test of a logistic regression."""

    step: Literal["univariable"]
    alpha: Share = Field(0.05, description="P below which a factor is kept")
    also_internal: bool = Field(
        False, description="as published only: the internal cohort must show it too, a look at the test patients"
    )


class Strongest(_Step):
    """Keeps a given number of features: those with the largest |t| between the outcomes."""

    step: Literal["strongest"]
    number: Annotated[int, Field(ge=1)] = Field(20, description="features kept")


class Lasso(_Step):
    """Keeps what the LASSO gives a coefficient at a penalty chosen by cross-validated binomial deviance."""

    step: Literal["lasso"]
    choose: Literal["1se", "min"] = Field("1se", description="largest penalty within one standard error, or the best")
    mixing: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="1 = LASSO, less = elastic net")
    folds: Annotated[int, Field(ge=3, le=20)] = Field(10, description="of its own cross-validation")
    whole_factors: bool = Field(True, description="a clinical factor with one level kept enters with all levels")


Step = Annotated[
    Stability | CommonScale | Variance | Spearman | TTest | Univariable | Strongest | Lasso,
    Field(discriminator="step"),
]


class Harmonise(Settings):
    """ComBat across sites, fitted on training rows; no outcome among its covariates."""

    families: Annotated[tuple[Literal["radiomics", "deep"], ...], Field(min_length=1)] = Field(
        ("radiomics",), description="features that are harmonised"
    )
    external: Literal["none", "refuse", "reference"] = Field(
        "none",
        description="patients of a site without training patients: as they are, an error, or brought to the training "
        "patients by at least 20 scans of their site, which makes their scores transductive",
    )


class SignatureSettings(Settings):
    """One signature: what goes in, the steps that choose among it, and the model."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=MAX_PART, description="the model's id in every table")
    families: tuple[Family, ...] = Field((), description="features to choose from")
    predictors_of: tuple[str, ...] = Field((), description="earlier signatures whose chosen predictors go in as well")
    scores_of: tuple[str, ...] = Field((), description="earlier signatures, or head, whose score is a predictor")
    harmonise: Harmonise | None = Field(None, description="across sites, before the steps; left out = not at all")
    steps: tuple[Step, ...] = Field((), description="in this order, on the features of the families")
    model: Literal["logistic", "lasso", "score"] = Field(
        "logistic", description="multivariable logistic regression; the last LASSO itself; or the one score as it is"
    )
    search: dict[str, Annotated[tuple[Plain | tuple[str, ...], ...], Field(min_length=1)]] = Field(
        {}, description="what the search may change: a field, or step.field, and its values"
    )


class TuneSettings(Settings):
    """How signatures are searched for and resampled."""

    repeats: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="outer cross-validations: the first by the split's folds, others drawn anew"
    )
    inner_folds: Annotated[int, Field(ge=2, le=20)] = Field(
        5,
        description="folds within a training part: for choosing, and for scores that a later signature is fitted on",
    )
    samples: Annotated[int, Field(ge=0)] = Field(
        8, description="choices tried for each signature beside the published one, drawn by the seed; 0 = no search"
    )
    feature_set: str = Field("", description="radiomics table; empty = the only one of extract.feature_sets")
    settings_hash: str = Field("", description="of that table, where the store has it by several settings")
    deep_model: str = Field("", description="model whose latents are used; empty = the study's autoencoder")
    head_model: str = Field("", description="network head whose score is used; empty = the study's")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of folds drawn here and of the choices tried")

    @field_validator("deep_model", "head_model", "settings_hash")
    @classmethod
    def _name_is_a_path(cls, name: str, about: ValidationInfo) -> str:
        return check_name(name, str(about.field_name)) if name else name


def set_name(given: str) -> str:
    """The name in the ledger of a feature set that a study names: a parameter file's without its ending."""
    return name_of_file(PurePath(given).stem) if given.endswith(PARAMETER_FILES) else given


def changed(signature: SignatureSettings, choice: dict[str, Plain | tuple[str, ...]]) -> SignatureSettings:
    """The signature with some of its settings replaced, by the names that ``search`` uses.

    ValueError for an unknown field or step, and for a value that does not fit.
    """
    raw = signature.model_dump()
    for name, value in choice.items():
        step, dot, field = name.partition(".")
        targets = [s for s in raw["steps"] if s["step"] == step] if dot else [raw]
        key = field if dot else name
        if not targets or any(key not in target for target in targets) or key in ("name", "search", "steps", "step"):
            raise ValueError(f"signature {signature.name}: search names {name}, which is no setting of it")
        for target in targets:
            target[key] = value
    try:
        return SignatureSettings.model_validate(raw)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"signature {signature.name}: search: {fault['loc'][-1]}: {fault['msg']}") from error


def faults(signatures: tuple[SignatureSettings, ...], predictors: tuple[str, ...]) -> Iterator[str]:
    """What contradicts itself in a study's signatures; predictors: its clinical ones."""
    earlier: list[str] = []
    for signature in signatures:
        whose = f"signature {signature.name}"
        if signature.name in [*earlier, HEAD, *predictors] or signature.name.endswith(TUNED):
            yield f"{whose}: the name is taken, or ends in {TUNED}; take another"
        for variant in _variants(signature):
            yield from (f"{whose}: {fault}" for fault in _faults_of(variant, earlier))
        for name, values in signature.search.items():
            for value in values:
                changed(signature, {name: value})
        earlier.append(signature.name)


def _variants(signature: SignatureSettings) -> Iterator[SignatureSettings]:
    yield signature
    for name, values in signature.search.items():
        yield from (changed(signature, {name: value}) for value in values)


def _faults_of(signature: SignatureSettings, earlier: list[str]) -> Iterator[str]:
    yield from _unknown("scores_of", signature.scores_of, [*earlier, HEAD])
    yield from _unknown("predictors_of", signature.predictors_of, earlier)
    if not (signature.families or signature.scores_of or signature.predictors_of):
        yield "nothing goes in; name families, scores_of or predictors_of"
    if signature.harmonise is not None and set(signature.harmonise.families) - set(signature.families):
        yield "harmonise concerns families that the signature does not have"
    if signature.steps and not signature.families:
        yield "steps choose among the features of families, and it has none"
    for step in signature.steps:
        if set(step.families) - set(signature.families):
            yield f"step {step.step} concerns families that the signature does not have"
        if isinstance(step, Stability):
            yield from _faults_of_stability(step, step.families or signature.families)
        if isinstance(step, Univariable) and (step.families or signature.families) != ("clinical",):
            yield 'step univariable tests clinical factors; set its families to ["clinical"]'
    alone = len(signature.scores_of) == 1 and not (signature.families or signature.predictors_of)
    if signature.model == "score" and not alone:
        yield "model score is one score as it is; name just one in scores_of"
    last = signature.steps[-1].step if signature.steps else ""
    if signature.model == "lasso" and (last != "lasso" or signature.scores_of or signature.predictors_of):
        yield "model lasso wants the step lasso last, and no further inputs"


def _faults_of_stability(step: Stability, families: tuple[Family, ...]) -> Iterator[str]:
    if len(set(step.designs)) < len(step.designs):
        yield f"step stability names a design twice in {', '.join(step.designs)}; name each once"
    if "clinical" in families:
        yield 'step stability compares outlines; set its families to "radiomics", "deep" or both'


def _unknown(field: str, names: tuple[str, ...], known: list[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"{field} names {name}, which is no earlier signature"
