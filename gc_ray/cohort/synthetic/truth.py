"""What is known of a simulated cohort, written down for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version

from gc_ray.cohort.synthetic.draw import OUTCOMES, Drawn
from gc_ray.cohort.synthetic.outcomes import REGRESSION_CORRELATION, SURVIVAL_5_YEARS, WEIBULL_SHAPE, Model
from gc_ray.cohort.synthetic.spec import SITES, CohortSpec

STATEMENT = (
    "This cohort is simulated. Images, outlines, clinical values and outcomes come from a random number generator; "
    "they describe no patient and say nothing about real patients."
)
README = f"""{STATEMENT}

scans.csv            every scan and outline; scans_site_<X>.csv and scans_source.csv hold parts of it
clinical.csv         one row per patient; patients S... have a tumour regression grade (trg) and no outcome
truth.json           the models that outcomes were drawn from, and the best AUC that anybody could reach
truth.csv            latent variables, true linear predictors and probabilities per patient
defects.csv          scans that were damaged on purpose, and what a careful reader does with them
site_<X>/<patient>/  ct/ (DICOM CT), R1_0.dcm (DICOM SEG), and for some R2_0.dcm (RTSTRUCT), R1_1.dcm (DICOM SEG)

Clinical columns follow Table 1 of Cao et al. (Int J Surg 2024) and Guo et al. (Front Oncol 2025) in their margins;
how columns depend on each other and all effect sizes are assumptions. time_months is overall survival or follow-up
since surgery, event is death. Recurrence and liver metastasis belong to two studies and are drawn independently of
each other, given the patient's features.
"""
LATENTS = {
    "size": "standardised log(length x length x thickness) of the tumour before its outline is roughened; N(0, 1)",
    "texture": "standardised log of the SD of HU within the outline before blur and noise; N(0, 1)",
    "grain": "standardised log of the correlation length of the texture; N(0, 1); no outcome depends on it",
}
PACKAGES = ("gc-ray", "numpy", "scipy", "pandas", "pydicom", "highdicom")


def truth_of_cohort(spec: CohortSpec, drawn: Drawn) -> dict[str, object]:
    """Settings, models and attainable AUCs of a cohort, as plain values for JSON."""
    return {
        "statement": STATEMENT,
        "specification": asdict(spec),
        "scanners": [asdict(site) for site in SITES[: spec.sites]],
        "latent_variables": LATENTS,
        "terms": "normal scores (z) of continuous columns and latent variables; 0/1 for a clinical level",
        **{name: _outcome(spec, drawn, name) for name in OUTCOMES},
        "synchronous_given_liver_metastasis": _model(drawn.models.synchronous),
        "overall_survival": {
            "model": "Weibull, proportional hazards; log hazard ratio = recurrence's linear predictor minus its mean",
            "shape": WEIBULL_SHAPE,
            "survival_5_years_at_mean": SURVIVAL_5_YEARS,
        },
        "tumour_regression_grade": {
            "correlation_of_its_normal_score_with_texture": 0.0 if spec.effect == "none" else REGRESSION_CORRELATION
        },
        "versions": {name: version(name) for name in PACKAGES},
    }


def _model(model: Model) -> dict[str, object]:
    return {"log_odds_ratios": model.terms, "intercept": model.intercept}


def _outcome(spec: CohortSpec, drawn: Drawn, name: str) -> dict[str, object]:
    return {
        **_model(getattr(drawn.models, name)),
        "patients": spec.patients,
        "events": int(drawn.clinical[name].sum()),
        "oracle_auc_this_cohort": drawn.oracle_auc[name],
        "oracle_auc_large_sample": drawn.models.large_sample_auc[name],
    }
