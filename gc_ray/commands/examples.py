"""An example of every command: below its help, and in the reference."""

from __future__ import annotations

# lines of at most 76 characters: a help is as wide as the terminal, and a broken line cannot be copied
EXAMPLES = {
    "demo": "gc-ray demo --out demo",
    "doctor": "gc-ray doctor",
    "show": "gc-ray show results",
    "verify": "gc-ray verify results",
    "repair": "gc-ray repair results",
    "clean": "gc-ray clean results --older-than 30d\ngc-ray clean results --older-than 30d --yes",
    "synth": "gc-ray synth --out cohort --patients 150 --sites 2 --seed 11 --matrix 96",
    "check": """
gc-ray check --scans cohort/scans_site_A.csv \\
  --scans cohort/scans_site_B.csv --clinical cohort/clinical.csv \\
  --study liver_metastasis
gc-ray check --features features.csv --clinical clinical.csv \\
  --study study.toml
""",
    "extract": """
gc-ray extract --scans cohort/scans.csv --study liver_metastasis \\
  --store results --limit 5
gc-ray extract --scans cohort/scans.csv --feature-set guo2025 \\
  --store results
""",
    "ingest": "gc-ray ingest --features ours.csv --feature-set ours --store results",
    "merge": "gc-ray merge --store site_a --store site_b --into results",
    "split": """
gc-ray split --study liver_metastasis --clinical cohort/clinical.csv \\
  --store results
""",
    "train": """
gc-ray train autoencoder --study liver_metastasis --store results
gc-ray train autoencoder --study liver_metastasis --store results \\
  --set autoencoder.epochs=50
""",
    "embed": "gc-ray embed --study liver_metastasis --store results",
    "tune": """
gc-ray tune --study liver_metastasis --store results
gc-ray tune --study liver_metastasis --store results \\
  --control shuffled-outcome
""",
    "evaluate": """
gc-ray evaluate --study liver_metastasis --store results
gc-ray evaluate --scores scores.csv --clinical clinical.csv --store results
""",
    "reproduce": """
gc-ray reproduce liver_metastasis --scans cohort/scans.csv \\
  --clinical cohort/clinical.csv --store results
""",
    "bundle": """
gc-ray bundle --study liver_metastasis --store results --model fused \\
  --out bundle
""",
    "rescore": """
gc-ray rescore --bundle bundle --scans new/scans.csv \\
  --clinical new/clinical.csv --store scored
gc-ray rescore --bundle bundle --features new/features.csv \\
  --clinical new/clinical.csv --store scored
""",
}


def example(command: str) -> str:
    """The lines of a command's example, as they can be typed in."""
    return EXAMPLES[command].strip()
