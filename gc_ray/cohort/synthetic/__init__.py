"""A simulated gastric cancer cohort, with known truth, as a hospital would send it."""
