"""Who is in a study: manifests, the clinical table, eligibility, cohorts and folds; and the synthetic cohort."""
