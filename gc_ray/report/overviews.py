"""The figures of a whole run: flow of patients, forests, nomograms, selection and resampling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gc_ray.names import file_part
from gc_ray.report.draw import COLOURS, GREY, Plot
from gc_ray.report.people import STATES
from gc_ray.report.plots import KINDS, interval

MOST_BARS = 30  # features shown in a selection figure; more could not be read
ROW = 0.26  # inches for a row of a forest
BOX = {"boxstyle": "square,pad=0.5", "facecolor": "white", "edgecolor": "black", "linewidth": 0.8}


def overview_plots(tables: Mapping[str, pd.DataFrame], headline: str) -> Iterator[Plot]:
    """The figures that are not one model's curves; tables: of the evaluation and of the run, by name."""
    alt = "; ".join(f"{r.step}: {r.n_left}" for r in tables["account"].itertuples())
    yield Plot("flow", "patients", "From scans to analysis", f"{alt}.", tables["account"], draw_flow)
    metrics = tables["metrics"]
    areas = metrics[(metrics["metric"] == "auc") & metrics["estimate"].notna()]
    whole = areas[(areas["subset"] == "all") & (areas["variant"] == "leak_free")]
    if len(whole):
        yield _forest("auc", "discrimination", "AUC of every model and cohort", whole, ["cohort", "kind", "model_id"])
    mine = areas[(areas["model_id"] == headline) & (areas["variant"] == "leak_free") & (areas["subset"] != "all")]
    sites = mine["subset"].str.startswith("site=")
    if sites.any():
        title = f"AUC of {headline} by site"
        yield _forest("sites", "sites", title, mine[sites], ["cohort", "kind", "subset"])
    if (~sites).any():
        title = f"AUC of {headline} by subgroup"
        yield _forest("subgroups", "subgroups", title, mine[~sites], ["cohort", "kind", "subset"])
    yield from _of_run(tables)


def _of_run(tables: Mapping[str, pd.DataFrame]) -> Iterator[Plot]:
    resampling = tables.get("resampling", pd.DataFrame())
    if len(resampling):
        table = resampling[["model_id", "repeat", "fold", "auc_train", "auc_test", "n", "events"]]
        alt = "AUC on the patients fitted on and on those left out, for each fold in which every step was repeated."
        yield Plot("resampling", "optimism", "How much is optimism", alt, table, draw_resampling)
    selection = tables.get("selection", pd.DataFrame())
    if len(selection):
        kept = selection[(selection["step"] == "kept") & selection["stability"].notna()]
        for (model, variant), rows in kept.groupby(["model_id", "variant"], sort=False):
            if variant == "leak_free":
                table = rows.sort_values("stability", ascending=False, kind="stable").head(MOST_BARS)
                alt = f"Share of resampling fits that chose each feature of {model}."
                title = f"How stable is the selection of {model}"
                yield Plot(f"selection-{file_part(model)}", "models", title, alt, table, draw_selection)
    for model, rows in tables["nomogram"].groupby("model_id", sort=False):
        alt = f"Nomogram of {model}: points of each predictor, their total, and the risk at the total."
        yield Plot(f"nomogram-{file_part(model)}", "models", f"Nomogram of {model}", alt, rows, draw_nomogram)


def _forest(name: str, section: str, title: str, rows: pd.DataFrame, labels: list[str]) -> Plot:
    said = [f"{' '.join(r[labels].astype(str))} {r['estimate']:.3f}" for _, r in rows.iterrows()]
    ordered = rows.sort_values(labels[:2], key=lambda c: c.map({"train": 0, "internal": 1, "external": 2}).fillna(3))
    shown = ordered.assign(label=[_forest_label(r, labels[2]) for _, r in ordered.iterrows()])
    return Plot(f"forest-{name}", section, title, f"{'; '.join(said)}.", shown, draw_forest)


def _forest_label(row: pd.Series, last: str) -> str:
    return f"{row['cohort']} ({KINDS.get(row['kind'], row['kind'])}): {row[last]}"


def draw_forest(table: pd.DataFrame) -> Figure:
    """AUCs with intervals, a row each, with n and events."""
    figure = Figure(figsize=(8.4, 0.9 + ROW * len(table)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(table))[::-1]
    value = table["estimate"].to_numpy()
    reach = np.abs(table[["lower", "upper"]].to_numpy().T - value)
    axis.errorbar(value, places, xerr=np.nan_to_num(reach), fmt="s", markersize=4, color=COLOURS[0], linewidth=1.1)
    axis.axvline(0.5, color=GREY, linewidth=0.7, linestyle=":")
    axis.set_yticks(places, table["label"])
    axis.set(xlabel="AUC (95 % interval, DeLong)", ylim=(-0.7, len(table) - 0.3))
    axis.set_xlim(min(0.45, np.nanmin(table["lower"].fillna(0.45)) - 0.02), 1.005)
    right = axis.secondary_yaxis("right")
    said = [f"{interval(r.estimate, r.lower, r.upper, 3)}, {r.events} / {r.n}" for r in table.itertuples()]
    right.set_yticks(places, said)
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
    axis.text(1.02, 1.0, "AUC (95 % interval), events / n", transform=axis.transAxes, va="bottom", fontsize=8)
    return figure


def draw_flow(table: pd.DataFrame) -> Figure:
    """Boxes from scans to cohorts, what each step took away beside it; steps that took nobody are in the table."""
    steps = _shown_steps(table[table["unit"] != "cohort"])
    cohorts = table[table["unit"] == "cohort"]
    figure = Figure(figsize=(8.4, 0.75 * (len(steps) + 1.4)), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(0, 1), ylim=(-len(steps) - 0.6, 0.6))
    axis.set_axis_off()
    for i, step in enumerate(steps.itertuples()):
        text = f"{step.n_left:,} {step.unit}\n{_short(step.words)}"
        axis.text(0.3, -i, text, ha="center", va="center", bbox=BOX, fontsize=8)
        if step.n_removed:
            about = f"- {step.n_removed:,}: {_short(step.about, 46)}"
            axis.text(0.56, -i + 0.5, about, ha="left", va="center", fontsize=8, color="#333333")
            axis.annotate("", (0.55, -i + 0.5), (0.3, -i + 0.5), arrowprops={"arrowstyle": "->", "lw": 0.8})
        if not step.first:
            axis.annotate("", (0.3, -i + 0.3), (0.3, -i + 0.7), arrowprops={"arrowstyle": "->", "lw": 0.8})
    for j, cohort in enumerate(cohorts.itertuples()):
        x = (j + 0.5) / len(cohorts) if len(cohorts) > 1 else 0.3
        lost = f"\n({cohort.n_removed:,} without a score)" if cohort.n_removed else ""
        text = f"{cohort.step}\n{cohort.n_left:,} patients{lost}"
        axis.text(x, -len(steps) - 0.1, text, ha="center", va="center", bbox=BOX, fontsize=8)
        start, end = (0.3, -len(steps) + 0.7), (x, -len(steps) + 0.33)
        axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "lw": 0.8})
    return figure


def _shown_steps(steps: pd.DataFrame) -> pd.DataFrame:
    """The first and last step of each unit and those that took somebody; words: in the box, about: beside it."""
    first, last = (steps["unit"] != steps["unit"].shift(by) for by in (1, -1))
    kept_for = steps["step"].isin(STATES)  # their step says who is left, so the reason says who went
    about = steps["step"] + steps["reason"].map(lambda reason: f" ({reason})" if reason else "")
    about = about.where(~kept_for, steps["reason"])
    words = steps["step"].str.removeprefix("patients ").where(first | kept_for, "left")
    return steps.assign(first=first, words=words, about=about)[first | last | (steps["n_removed"] > 0)]


def draw_nomogram(table: pd.DataFrame) -> Figure:
    """A nomogram on paper: an axis for each predictor on one scale of points, the total, and the risk."""
    predictors = [name for name in dict.fromkeys(table["axis"]) if name not in ("total_points", "risk")]
    names = ["points", *predictors, "total_points", "risk"]
    figure = Figure(figsize=(8.4, 0.62 * len(names) + 0.3), layout="constrained")
    axis = figure.subplots()
    most = table.loc[table["axis"] == "total_points", "points"].max()
    scale = {name: (most if name in ("total_points", "risk") else 100.0) for name in names}
    for i, name in enumerate(names):
        rows = table[table["axis"] == name]
        points = np.arange(0, 101, 10) if name == "points" else rows["points"].to_numpy()
        marks = [f"{p:g}" for p in points] if name == "points" else rows["mark"].tolist()
        if not len(points):
            continue
        x = points / scale[name]
        axis.plot([x.min(), x.max()], [-i, -i], color="black", linewidth=1)
        shown = _apart(x)
        for k, (place, mark) in enumerate(zip(x, marks, strict=True)):
            axis.plot([place, place], [-i, -i - 0.12], color="black", linewidth=0.8)
            if shown[k]:
                axis.text(place, -i - 0.2, mark, ha="center", va="top", fontsize=7.5)
        axis.text(-0.03, -i, name.replace("_", " "), ha="right", va="center")
    axis.set(xlim=(-0.02, 1.02), ylim=(-len(names) + 0.3, 0.4))
    axis.set_axis_off()
    return figure


def draw_selection(table: pd.DataFrame) -> Figure:
    """The share of resampling fits that chose each feature."""
    figure = Figure(figsize=(8.4, 0.8 + 0.2 * len(table)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(table))[::-1]
    colours = [COLOURS[0] if share >= 0.5 else COLOURS[1] for share in table["stability"]]
    axis.barh(places, table["stability"], color=colours, height=0.7)
    axis.axvline(0.5, color=GREY, linewidth=0.7, linestyle=":")
    axis.set_yticks(places, [_short(name, 60).replace("\n", "") for name in table["feature"]], fontsize=7)
    axis.set(xlim=(0, 1), xlabel="share of resampling fits that chose it (below one half: by chance)")
    axis.margins(y=0.01)
    return figure


def draw_resampling(table: pd.DataFrame) -> Figure:
    """AUC in and out of each fold's training part, by model: the distance is optimism."""
    models = list(dict.fromkeys(table["model_id"]))
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    axis = figure.subplots()
    for i, model in enumerate(models):
        rows = table[table["model_id"] == model].dropna(subset=["auc_train", "auc_test"])
        for side, name, marker, j in ((-0.15, "auc_train", "o", 0), (0.15, "auc_test", "^", 1)):
            spread = (np.arange(len(rows)) % 7 - 3) * 0.015  # equal values stay visible
            label = ("fitted on", "left out")[j] if i == 0 else None
            axis.plot(
                i + side + spread, rows[name], marker, markersize=3, alpha=0.5, color=COLOURS[j], label=label,
                linestyle="none",
            )  # fmt: skip
            axis.plot([i + side - 0.09, i + side + 0.09], [rows[name].mean()] * 2, color="black", linewidth=2)
    axis.set_xticks(range(len(models)), models)
    axis.set(ylabel="AUC", xlim=(-0.6, len(models) - 0.4))
    axis.legend(loc="lower right", ncols=2)
    return figure


def _apart(places: np.ndarray, least: float = 0.035) -> list[bool]:
    """Which labels can be printed without lying on the one before."""
    shown, last = [], -np.inf
    for place in places:
        free = abs(place - last) >= least
        last = place if free else last
        shown.append(bool(free))
    return shown


def _short(text: str, width: int = 44) -> str:
    return "\n".join(wrap(text, width)[:2])
