"""The tables of scores: those of signatures and how they were made, those of new scans, and their drift."""

from __future__ import annotations

import pyarrow as pa

from gc_ray.table_schema import KEY_COLUMNS, PATIENT_COLUMNS, SCAN_KEY, Column, Table, text_column

SCORES = Table(
    "scores",
    ("study_id", "model_id", "variant", "patient_id", "kind"),
    (
        text_column("study_id", "the study file's name"),
        text_column("model_id", "which signature, such as radiomics or fused"),
        text_column("variant", "leak_free, or as_published: the paper's in-sample steps, never used for a claim"),
        text_column("patient_id", "the patient's name in the manifest"),
        text_column("scan_id", "the scan whose features were used; empty when none were"),
        text_column("cohort", "train, internal or external"),
        text_column(
            "kind", "oof: by a fit without the patient; final: by the fit to the training cohort; apparent: in-sample"
        ),
        Column("score", pa.float64(), "0 to 1, higher = higher risk"),
        Column("linear_predictor", pa.float64(), "log odds"),
    ),
)

RESAMPLING = Table(
    "resampling",
    ("study_id", "model_id", "repeat", "fold"),
    (
        text_column("study_id", "the study file's name"),
        text_column("model_id", "which signature"),
        Column("repeat", pa.int32(), "0 = the folds of the splits; 1, 2, .. = drawn anew"),
        Column("fold", pa.int32(), "0, 1, .. the part that was left out while every step was repeated"),
        Column("n_train", pa.int64(), "patients fitted on"),
        Column("events_train", pa.int64(), "events among them"),
        Column("n", pa.int64(), "patients left out who have a score"),
        Column("events", pa.int64(), "events among them"),
        text_column("chosen", "JSON: the outer choices that this fold's training part led to"),
        Column("features", pa.list_(pa.string()), "predictors of the signature fitted here"),
        Column("auc_train", pa.float64(), "AUC of that signature on its own patients", null=True),
        Column("auc_test", pa.float64(), "AUC on those left out; null with one class", null=True),
        Column("brier_test", pa.float64(), "Brier score on those left out"),
        Column("deviance_test", pa.float64(), "mean binomial deviance on those left out"),
    ),
)

COEFFICIENTS = Table(
    "coefficients",
    ("study_id", "model_id", "variant", "term"),
    (
        text_column("study_id", "the study file's name"),
        text_column("model_id", "which signature"),
        text_column("variant", "leak_free or as_published"),
        text_column("term", "a predictor, or (Intercept)"),
        Column("coef", pa.float64(), "log odds per unit of the predictor as it is stored"),
        Column("se", pa.float64(), "its standard error; null where the fit has none", null=True),
        Column("lower", pa.float64(), "95 % limit of coef", null=True),
        Column("upper", pa.float64(), "95 % limit of coef", null=True),
        Column("p_value", pa.float64(), "Wald test of coef = 0", null=True),
        Column("odds_ratio", pa.float64(), "exp(coef)"),
        Column("or_lower", pa.float64(), "95 % limit", null=True),
        Column("or_upper", pa.float64(), "95 % limit", null=True),
        Column("n", pa.int64(), "patients fitted on"),
        Column("events", pa.int64(), "events among them"),
    ),
)

SELECTION = Table(
    "selection",
    ("study_id", "model_id", "variant", "feature"),
    (
        text_column("study_id", "the study file's name"),
        text_column("model_id", "which signature"),
        text_column("variant", "leak_free or as_published"),
        text_column("feature", "the candidate"),
        text_column("family", "clinical, radiomics, deep or score"),
        text_column("step", "the step at which it left; kept when it is in the signature"),
        Column("statistic", pa.float64(), "what the step looked at", null=True),
        Column("p_value", pa.float64(), "where the step is a test", null=True),
        text_column("reason", "why it left, in words; empty when kept"),
        Column("stability", pa.float64(), "share of the resampling fits that kept it", null=True),
    ),
)

RESCORES = Table(
    "rescores",
    ("bundle_id", *SCAN_KEY, "input_hash"),
    (
        text_column("bundle_id", "digest of the bundle's bytes"),
        text_column("study_id", "the study whose signature it is"),
        text_column("model_id", "which signature"),
        *KEY_COLUMNS,
        *PATIENT_COLUMNS,
        text_column("phase", "contrast phase as the manifest has it; empty when it is not stated"),
        text_column(
            "input_hash", "digest of what was scored: content of scan and mask, clinical values, phase, site"
        ),
        text_column("status", "scored, or refused: reasons say why"),
        Column("score", pa.float64(), "risk, 0 to 1; null when refused", null=True),
        Column("linear_predictor", pa.float64(), "log odds; null when refused", null=True),
        Column("lower", pa.float64(), "95 % limit of score; null where the signature has no covariance", null=True),
        Column("upper", pa.float64(), "95 % limit of score", null=True),
        text_column("interval", "what the limits are about"),
        text_column("risk_group", "high above the bundle's cutoff, low otherwise; empty when refused"),
        text_column("verdict", "in-domain, borderline or refused"),
        Column("reasons", pa.list_(pa.string()), "why the scan is not in-domain"),
        text_column("predictors", "JSON: value of each predictor; {} when the image could not be used"),
        text_column("scored_at", "UTC, ISO 8601"),
        text_column("run", "which run"),
        Column("sequence", pa.int64(), "1, 2, .. for each run of the bundle in the store, whatever the clock says"),
    ),
)

DRIFT = Table(
    "drift",
    ("bundle_id", "name"),
    (
        text_column("bundle_id", "digest of the bundle's bytes"),
        text_column("name", "a predictor (head: log odds of the network head), score, refusals or calibration"),
        Column("n", pa.int64(), "scans of the window"),
        Column("statistic", pa.float64(), "KS distance, share refused, or observed over expected events", null=True),
        Column("psi", pa.float64(), "population stability index, deciles of training", null=True),
        Column("p_value", pa.float64(), "of the statistic", null=True),
        Column("q_value", pa.float64(), "after Benjamini and Hochberg over predictors and score", null=True),
        text_column("verdict", "stable, watch, alert, or too few"),
    ),
)
