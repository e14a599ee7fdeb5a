"""Figures and pages, drawn from saved tables and arrays."""
