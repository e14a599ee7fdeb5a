"""Manifests, clinical tables and the synthetic cohort."""
