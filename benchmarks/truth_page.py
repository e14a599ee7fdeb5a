"""docs/truth.md from the results of ``truth.py``: tables with intervals over seeds, and verdicts made of them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

import numpy as np
import truth_studies as studies
import truth_tables as bounds
from scipy import stats

WIDTH = 125  # of a line of text in docs/
SIZE = studies.Size()
SCORES = ("clinical", "radiomics", "dl", "dl_radiomics", "fused")
SINGLES = ("clinical", "radiomics", "dl")
COHORTS = ("nested", "internal", "external", "brought")
STANDARD_ERRORS = 3
COMMAND = """```
make truth    # python benchmarks/truth.py --seeds 50 --image-seeds 2
```"""


def page(found: list[dict], bound: list[dict], images: list[dict]) -> str:
    """The whole page. found, bound: a result a seed of truth_studies and truth_tables; images: of truth_images."""
    parts = [_head()]
    if found:
        parts += [_design(len(found)), *_studies(found)]
    if bound:
        parts += _bounds(bound)
    if images:
        parts += [_images_design(images), *(_image(image) for image in images), _image_limits(len(images))]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _head() -> str:
    said = _text(
        "Simulated cohorts with planted effects: what the product concludes, beside what is true. **Simulated data",
        "say whether a method finds what was put in and keeps quiet where nothing was; they say nothing about",
        "patients.** Everything on this page is written by",
    )
    limits = "Intervals are 95 %: over seeds by Student's t, unless a table says otherwise."
    return f"# Truth check\n\n{said}\n\n{COMMAND}\n\n{limits}"


def _design(n: int) -> str:
    said = _text(
        f"Each has {SIZE.train} training and {SIZE.test:,} internal patients of site A, and {SIZE.test:,} of site B,",
        "whose scanner shifts every image feature by 0.5 +- 0.5 SD and stretches it by a factor of about 1.2. Of 120",
        "radiomics-like features in 30 groups and 40 deep-like ones in 20 (0.81 is the correlation in a group), 4",
        "and 3 carry the outcome, and 2 of 4 clinical factors. Signatures, filters and stacking are those of the",
        "packaged study `liver_metastasis`, unchanged.",
    )
    return f"## Tables: {n} simulated studies (seeds 0 to {n - 1})\n\n{said}"


def _studies(found: list[dict]) -> Iterator[str]:
    rows = []
    for name in (*SCORES, "oracle"):
        rows.append([name, *(_mean([f["auc"][cohort].get(name) for f in found]) for cohort in COHORTS)])
    said = _text(
        "AUC, mean over seeds. Nested: the study's outer cross-validation. Brought: the features of site B brought",
        'to those of site A (`harmonise`, `external = "reference"`).',
    )
    heads = ("score", "nested, training", "internal", "external", "external, brought")
    yield f"### Does each step add?\n\n{said}\n\n{_table(heads, rows)}"
    yield _steps(found)
    yield _hazards(found)
    yield _selection(found)
    yield _shuffled(found)
    yield _handled(found)
    yield _seen(found)


def _steps(found: list[dict]) -> str:
    pairs = [("fused", name) for name in ("dl_radiomics", *SINGLES)]
    pairs += [("dl_radiomics", "radiomics"), ("dl_radiomics", "dl"), ("oracle", "fused")]
    rows, holds = [], []
    for a, b in [*pairs, *((name, None) for name in SINGLES)]:
        gaps = [_minus(f["auc"]["internal"][a], 0.5 if b is None else f["auc"]["internal"][b]) for f in found]
        known = _known(gaps)
        rows.append([f"{a} - {b or 'chance'}", _mean(gaps), f"{np.mean(known > 0):.0%}", len(known)])
        holds.append(_limits(known)[0] > 0)
    verdict = "every interval is above 0" if all(holds) else "NOT every interval is above 0"
    said = _text(
        "Differences in the internal cohort, patient by patient of the same study: oracle > fused > each single",
        f"score > chance, {verdict}.",
    )
    return f"{said}\n\n{_table(('difference of AUC', 'mean', 'seeds above 0', 'seeds'), rows)}"


def _hazards(found: list[dict]) -> str:
    rows = []
    for name in (*SCORES, "oracle"):
        logs = [f["log_hazard_ratio"][name] for f in found]
        ratios = [_minus(value, f["log_hazard_ratio"]["oracle"]) for value, f in zip(logs, found, strict=True)]
        of_oracle = "" if name == "oracle" else _mean(ratios, np.exp, 2)
        rows.append([name, _mean(logs, np.exp, 2), of_oracle, len(_known(logs))])
    said = _text(
        "The cutoff is learned on training scores by the largest log-rank statistic (out of fold; the oracle's on",
        "the truth) and applied to the internal cohort. Geometric means; a seed counts where every fold had the",
        "signature.",
    )
    table = _table(("score", "hazard ratio", "as a share of the oracle's", "seeds"), rows)
    return f"### Hazard ratio of high against low risk\n\n{said}\n\n{table}"


def _selection(found: list[dict]) -> str:
    rows = []
    for name in ("radiomics", "dl", "dl_radiomics"):
        of = [f["selection"][name] for f in found if f["selection"][name] is not None]
        cells = [_mean([o[key] for o in of], digits=2) for key in ("planted", "stood_for", "null")]
        rows.append([name, _mean([o["kept"] for o in of], digits=1), *cells, len(of)])
    said = _text(
        "Share of planted features that are kept, or stood for by one of their group: two of a group say nearly the",
        "same, and the filter keeps either. Share of the kept that belong to no planted group.",
    )
    table = _table(("signature", "features kept", "planted kept", "or stood for", "null among kept", "seeds"), rows)
    return f"### What the selection finds\n\n{said}\n\n{table}"


def _shuffled(found: list[dict]) -> str:
    rows, worst = [], 0.0
    for name in SCORES:
        aucs = _known([f["shuffled"][name]["auc"] for f in found])
        error = _error(aucs)
        away = (aucs.mean() - 0.5) / error
        worst = max(worst, abs(away))
        rows.append([name, f"{aucs.mean():.4f}", f"{error:.4f}", f"{away:+.1f}", len(aucs)])
    verdict = "all within" if worst <= STANDARD_ERRORS else "NOT all within"
    said = _text(
        "Mean nested AUC once outcomes are dealt anew. Filters by P let everything pass here, and the five strongest",
        "features stand in for the LASSO: as published, hardly anything is kept and nothing is left to judge.",
    )
    table = _table(("score", "AUC", "standard error", "distance from 0.5 in it", "seeds"), rows)
    return f"### Shuffled outcomes: {verdict} three standard errors of 0.5\n\n{said}\n\n{table}"


def _handled(found: list[dict]) -> str:
    rows = []
    for cohort in COHORTS[1:]:
        of = [f["calibration"][cohort] for f in found if f["calibration"][cohort]]
        auc = _mean([f["auc"][cohort]["fused"] for f in found])
        rows.append([cohort, auc, *(_mean([o[key] for o in of]) for key in ("intercept", "slope", "ici"))])
    said = _text(
        "The fused score. Ideal are an intercept (calibration in the large) of 0, a slope of 1, and a mean distance",
        "of predicted from observed risk of 0. A scanner that shifts and stretches features hardly changes the order",
        "of patients, so the AUC does not show it; the risks are off.",
    )
    return (
        "### The shift of site B, handled\n\n"
        f"{said}\n\n{_table(('cohort', 'AUC', 'intercept', 'slope', 'distance (ICI)'), rows)}"
    )


def _seen(found: list[dict]) -> str:
    rows = []
    for cohort in COHORTS[1:]:
        of = [f["shift"][cohort] for f in found if f["shift"][cohort]]
        shares = (np.mean([o[key] for o in of]) for key in ("alert", "alerts", "in_domain", "refused"))
        rows.append([cohort, *(f"{share:.1%}" for share in shares)])
    said = _text(
        f"The first {studies.WINDOW} patients of each cohort against the training cohort, as rescoring with a bundle",
        "would see them: drift by PSI and KS, and the domain of each patient.",
    )
    heads = ("cohort", "studies with an alert", "image features that alert", "patients in-domain", "patients refused")
    return f"### The shift of site B, seen\n\n{said}\n\n{_table(heads, rows)}"


def _bounds(found: list[dict]) -> Iterator[str]:
    rows = []
    for kind, name in ((kind, name) for kind in ("clean", "leak") for name in bounds.RECIPES):
        of = [f[kind]["oracle"][name] for f in found]
        cells = [_mean([o[key] for o in of]) for key in ("large", "oracle")]
        gaps = _mean([_minus(o["nested"], o["large"]) for o in of])
        rows.append([name, _leak(kind), *cells, f"{max(o['reach'] for o in of):+.1f}", gaps])
    clean = [f["clean"]["oracle"][name]["reach"] for f in found for name in bounds.RECIPES]
    verdict = "none does" if max(clean) <= STANDARD_ERRORS else "NOT so: one does"
    said = _text(
        "No signature may stand above the oracle by more than three paired standard errors without a leak:",
        f"{verdict}. With a feature that holds the outcome it does, so the bound can fail.",
    )
    heads = ("signature", "leak", "AUC of 20,000", "oracle", "largest reach, SE", "nested - AUC of 20,000")
    title = f"## Bounds: {len(found)} simulated studies of 400 patients, tested on 20,000"
    yield f"{title}\n\n{said}\n\n{_table(heads, rows)}"
    rows = []
    for kind, name in ((kind, name) for kind in ("clean", "leak") for name in bounds.NULLS):
        aucs = _known([f[kind]["null"].get(name) for f in found])
        cells = ["", "", ""]  # the LASSO keeps nothing in most of these cohorts
        if len(aucs) > 1:
            away = (aucs.mean() - 0.5) / _error(aucs)
            cells = [f"{aucs.mean():.4f}", f"{_error(aucs):.4f}", f"{away:+.1f}"]
        rows.append([name, _leak(kind), *cells, len(aucs)])
    said = "Nested AUC where nothing is to be found (400 features). Leak: features chosen on all patients beforehand."
    heads = ("null", "leak", "AUC", "standard error", "distance from 0.5 in it", "seeds")
    yield f"{said}\n\n{_table(heads, rows)}"


def _leak(kind: str) -> str:
    return "planted" if kind == "leak" else "none"


def _images_design(images: list[dict]) -> str:
    seeds = " and ".join(str(image["seed"]) for image in images)
    said = _text(
        "`gc-ray synth`, `extract` (56 features and network inputs), `split`, `train autoencoder`, `embed`, `tune`,",
        "`tune --control shuffled-outcome`, `evaluate`, with `benchmarks/truth/images.toml`: 40 patients of site A",
        "train, 20 of site B, another scanner, validate. Training scores are out of fold. Each number is of one",
        "cohort, with the report's interval (DeLong; Cox; Wald). The oracle went through `gc-ray evaluate` as scores",
        "made elsewhere, so its cutoff was learned as ours was. Follow-up is overall survival, which shares size and",
        "texture with the outcome.",
    )
    return f"## Images: {len(images)} cohorts of 60 patients, from DICOM to report (seeds {seeds})\n\n{said}"


def _image(image: dict) -> str:
    truth, metrics = image["truth"], image["metrics"]
    said = _text(
        f"{truth['events']} of {truth['patients']} patients have a liver metastasis. The oracle's AUC is",
        f"{truth['oracle_auc_this_cohort']:.3f} in this cohort and {truth['oracle_auc_large_sample']:.3f} in",
        "a large one.",
    )
    models = list(dict.fromkeys(row["model_id"] for row in metrics))
    rows = [[name, *_cells(metrics, name), _shuffled_auc(image["shuffled"], name)] for name in models]
    heads = (
        "score",
        "AUC, training",
        "AUC, external",
        "hazard ratio, external",
        "intercept, external",
        "shuffled AUC",
    )
    kept = "; ".join(f"{name}: {', '.join(of)}" for name, of in image["selection"].items() if "fused" not in name)
    return f"### Seed {image['seed']}\n\n{said}\n\n{_table(heads, rows)}\n{_text(f'Kept: {kept}.')}"


def _image_limits(n: int) -> str:
    said = _text(
        f"With so few events an AUC's interval is about 0.4 wide: {n} cohorts show neither that fused is above a",
        "single score nor that it is not. A hazard ratio gives a direction at best, and is empty where the cutoff",
        "put all external patients on one side. A shuffled outcome is one draw with a standard error of about 0.1.",
        "An out-of-fold AUC well under 0.5 is how the best of features without effect look in a small cohort: the",
        "patients left out lean the other way. The runs do show that the commands hang together from DICOM to report",
        "and refuse nothing that is sound. The order of scores, hazard ratios, recall, what harmonisation corrects,",
        "are concluded from the tables above, where drawn numbers stand for image features.",
    )
    return f"### What 60 patients cannot say\n\n{said}"


def _cells(metrics: list[dict], model: str) -> Iterator[str]:
    wanted = [("train", "auc"), *(("external", name) for name in ("auc", "hazard_ratio", "calibration_intercept"))]
    for cohort, metric in wanted:
        of = [m for m in metrics if (m["model_id"], m["cohort"], m["metric"]) == (model, cohort, metric)]
        values = [of[0][key] for key in ("estimate", "lower", "upper")] if of else [None]
        yield "" if None in values else f"{values[0]:.2f} ({values[1]:.2f} to {values[2]:.2f})"


def _shuffled_auc(shuffled: dict[str, str], model: str) -> str:
    return shuffled.get(model, "").removeprefix("AUC ").partition(",")[0]


def _text(*parts: str) -> str:
    return textwrap.fill(" ".join(parts), WIDTH, break_long_words=False, break_on_hyphens=False)


def _table(head: tuple[str, ...], rows: list[list]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def _mean(values: list[float | None], scale: Callable = lambda x: x, digits: int = 3) -> str:
    """Mean and 95 % limits over seeds, on another scale where the mean is of logarithms; empty without two values."""
    known = _known(values)
    if len(known) < 2:
        return ""
    low, high = _limits(known)
    return f"{scale(known.mean()):.{digits}f} ({scale(low):.{digits}f} to {scale(high):.{digits}f})"


def _limits(known: np.ndarray) -> tuple[float, float]:
    reach = stats.t.ppf(0.975, len(known) - 1) * _error(known)
    return known.mean() - reach, known.mean() + reach


def _error(known: np.ndarray) -> float:
    return float(known.std(ddof=1) / np.sqrt(len(known)))


def _known(values: list[float | None]) -> np.ndarray:
    found = np.array([np.nan if value is None else value for value in values], float)
    return found[np.isfinite(found)]


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
