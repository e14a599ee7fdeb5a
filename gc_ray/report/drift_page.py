"""The page of a drift table: what moved, by how much, and what that means."""

from __future__ import annotations

from gc_ray.report.templates import rendered

COLUMNS = ("name", "n", "statistic", "psi", "p_value", "q_value", "verdict")
MARKS = {"alert": "alert", "watch": "watch", "stable": "stable", "too few": "too-few"}  # classes of the style


def drift_page(rows: list[dict], about: dict[str, str]) -> str:
    """HTML without scripts; rows: of the table DRIFT. about: what stands above the table, by its label."""
    shown = [
        {
            "cells": [_cell(row[name]) for name in COLUMNS if name != "verdict"],
            "verdict": str(row["verdict"]),
            "mark": MARKS.get(str(row["verdict"]), ""),
        }
        for row in rows
    ]
    return rendered("drift.html.j2", style="drift.css", rows=shown, about=about, columns=COLUMNS)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
