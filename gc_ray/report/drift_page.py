"""The page of a drift table: what moved, by how much, and what that means."""

from __future__ import annotations

from html import escape

COLUMNS = ("name", "n", "statistic", "psi", "p_value", "q_value", "verdict")
COLOURS = {"alert": "#c62828", "watch": "#ef6c00", "stable": "#2e7d32", "too few": "#616161"}


def drift_page(rows: list[dict], about: dict[str, str]) -> str:
    """HTML without scripts; rows: of the table DRIFT. about: what stands above the table, by its label."""
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    body = "".join(f"<tr>{''.join(_cell(name, row[name]) for name in COLUMNS)}</tr>" for row in rows)
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in about.items())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Drift</title>'
        "<style>body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left}</style>"
        f"<h1>Recent scans against the training cohort</h1><dl>{facts}</dl>"
        f"<table><tr>{head}</tr>{body}</table>"
        "<p>statistic: KS distance of predictors and score, share of refusals, observed over expected events of "
        "calibration. An alert of a predictor is a shift beyond chance (q &lt; .05) and large (PSI from .2 on). "
        "No alert is no proof of equality. For research use only.</p></html>\n"
    )


def _cell(name: str, value: object) -> str:
    if name == "verdict":
        return f'<td style="color:{COLOURS[str(value)]}">{escape(str(value))}</td>'
    return f"<td>{'' if value is None else f'{value:.3g}' if isinstance(value, float) else escape(str(value))}</td>"
