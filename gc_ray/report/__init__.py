"""Scores judged: the tables of an evaluation, the figures and pages drawn from them, and published papers beside."""
