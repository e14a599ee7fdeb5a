"""The figures of models by cohort: ROC, precision-recall, decision curves, calibration, distributions, survival."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gc_ray.names import file_part
from gc_ray.report.draw import COLOURS, GREY, PANEL, Plot, line_style, panels

UNIT = ["study_id", "model_id", "variant", "cohort", "kind"]
KINDS = {"oof": "out-of-fold", "final": "frozen model", "apparent": "in-sample"}
LEGEND_LINE = 0.16  # inches of a line of a legend
AT_RISK_TICKS = 5  # most times at which numbers at risk are printed; more would not be legible
GROUP_COLOUR = {"low": COLOURS[0], "high": COLOURS[1]}


def curve_plots(metrics: pd.DataFrame, curves: pd.DataFrame, variant: str) -> Iterator[Plot]:
    """The figures of one variant, each with the part of the tables it draws."""
    curves, metrics = (table[table["variant"] == variant] for table in (curves, metrics))
    whole = metrics[metrics["subset"] == "all"]
    mark = "" if variant == "leak_free" else f"-{variant}"
    told = "" if variant == "leak_free" else " (as published: in-sample steps)"
    together = (
        ("roc", "auc", "ROC curves", "Sensitivity against 1 - specificity of every model, by cohort", draw_roc),
        (
            "precision_recall", "average_precision", "Precision-recall curves",
            "Precision against recall of every model, by cohort; the dotted line is the share of events", draw_recall,
        ),
    )  # fmt: skip
    for curve, metric, title, alt, draw in together:
        table = with_metric(curves[curves["curve"] == curve], whole, metric)
        if len(table):
            section = "discrimination" if not told else "as_published"
            yield Plot(f"{curve}{mark}", section, title + told, f"{alt}.{_best(whole, metric)}", table, draw)
    if mark:
        return
    about = "Net benefit of acting on each model against acting on all or on nobody, by threshold and cohort"
    for curve, title, alt in (
        ("decision", "Decision curves", f"{about}."),
        ("decision_in_time", "Decision curves at the horizon", f"{about}; events by the horizon by Kaplan-Meier."),
    ):
        decision = curves[(curves["curve"] == curve) & (curves["series"] != "interventions_avoided")]
        if len(decision):
            yield Plot(curve, "usefulness", title, alt, decision, draw_decision)
    for model in dict.fromkeys(curves["model_id"]):
        yield from _of_model(model, curves[curves["model_id"] == model], whole[whole["model_id"] == model])


def _of_model(model: str, curves: pd.DataFrame, metrics: pd.DataFrame) -> Iterator[Plot]:
    part = file_part(model)
    calibration = with_metric(
        curves[curves["curve"].isin(("calibration", "calibration_bins"))], metrics, "calibration_slope"
    )
    if len(calibration):
        alt = (
            f"Observed against predicted risk of {model}, by cohort: smooth curve and tenths of risk with intervals."
        )
        yield Plot(
            f"calibration-{part}", "calibration", f"Calibration of {model}", alt, calibration, draw_calibration
        )
    violins = curves[curves["curve"].isin(("violin", "quartiles"))]
    if len(violins):
        alt = f"Scores of {model} in patients with and without the event, by cohort: densities and quartiles."
        yield Plot(f"violin-{part}", "discrimination", f"Scores of {model} by outcome", alt, violins, draw_violins)
    counts = metrics[metrics["metric"].isin(("tp", "fp", "tn", "fn"))].dropna(subset=["estimate"])
    if len(counts):
        alt = f"Confusion matrices of {model} at the frozen cutoff, by cohort."
        table = counts.drop(columns=["lower", "upper"])
        yield Plot(f"confusion-{part}", "cutoff", f"Confusion matrices of {model}", alt, table, draw_confusion)
    survival = with_metric(curves[curves["curve"] == "kaplan_meier"], metrics, "hazard_ratio")
    if len(survival):
        alt = f"Kaplan-Meier curves of low and high risk by {model} at its frozen cutoff, by cohort; numbers at risk."
        yield Plot(
            f"kaplan-meier-{part}", "survival", f"Survival by risk group of {model}", alt, survival, draw_survival
        )


def with_metric(curves: pd.DataFrame, metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The curves, each point with a metric of its unit, the metric's limits, n and events."""
    one = metrics[metrics["metric"] == metric][[*UNIT, "estimate", "lower", "upper", "n", "events"]]
    one = one.rename(columns={"estimate": metric, "lower": f"{metric}_lower", "upper": f"{metric}_upper"})
    return curves.merge(one, on=UNIT, how="left")


def draw_roc(table: pd.DataFrame) -> Figure:
    """ROC curves: a panel for each cohort, a line for each model."""
    figure, axes = _cohort_panels(table, _above_legend(table, 4))  # a square axis needs more
    for axis, (_, rows) in zip(axes, _cohorts(table), strict=True):
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=":")
        for i, (model, line) in enumerate(rows.groupby("model_id", sort=False)):
            axis.plot(line["x"], line["y"], label=_label(model, line, "auc"), **line_style(i))
        axis.set(
            xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal"
        )
        _legend_below(axis, "AUC (95 % interval)")
    return figure


def draw_recall(table: pd.DataFrame) -> Figure:
    """Precision-recall curves: a panel for each cohort, a line for each model."""
    figure, axes = _cohort_panels(table, _above_legend(table, 1))
    for axis, (_, rows) in zip(axes, _cohorts(table), strict=True):
        axis.axhline(rows["events"].iloc[0] / rows["n"].iloc[0], color=GREY, linewidth=0.7, linestyle=":")
        for i, (model, line) in enumerate(rows.groupby("model_id", sort=False)):
            axis.step(
                line["x"], line["y"], where="pre", label=_label(model, line, "average_precision"), **line_style(i)
            )
        axis.set(xlabel="recall (sensitivity)", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        _legend_below(axis, "average precision (95 % interval)")
    return figure


def draw_decision(table: pd.DataFrame) -> Figure:
    """Decision curves: a panel for each cohort; acting on all and on nobody in grey."""
    figure, axes = _cohort_panels(table, _above_legend(table, 2))
    for axis, (_, rows) in zip(axes, _cohorts(table), strict=True):
        models = list(dict.fromkeys(rows["model_id"]))
        reference = rows[rows["model_id"] == models[0]]
        for series, name, dash in (("treat_all", "act on all", "-"), ("treat_none", "act on nobody", "--")):
            line = reference[reference["series"] == series]
            axis.plot(line["x"], line["y"], color=GREY, linewidth=0.9, linestyle=dash, label=name)
        for i, model in enumerate(models):
            line = rows[(rows["model_id"] == model) & (rows["series"] == "model")]
            axis.plot(line["x"], line["y"], label=model, **line_style(i))
        top = rows.loc[rows["series"] == "model", "y"].fillna(0).max()
        axis.set(xlabel="threshold probability", ylabel="net benefit", ylim=(-0.25 * top - 0.005, 1.1 * top + 0.005))
        _legend_below(axis)
    return figure


def draw_calibration(table: pd.DataFrame) -> Figure:
    """Calibration of one model: a panel for each cohort."""
    figure, axes = _cohort_panels(table)
    for axis, (_, rows) in zip(axes, _cohorts(table), strict=True):
        smooth, bins = (rows[rows["curve"] == name] for name in ("calibration", "calibration_bins"))
        end = min(max(rows["x"].max(), rows["y"].max(), 0.05) * 1.08, 1.02)  # loess may leave 0 to 1
        axis.plot([0, end], [0, end], color=GREY, linewidth=0.7, linestyle=":", label="perfect")
        axis.plot(smooth["x"], smooth["y"], color=COLOURS[0], label="smooth (loess)")
        reach = np.abs(bins[["lower", "upper"]].to_numpy().T - bins["y"].to_numpy())
        axis.errorbar(
            bins["x"], bins["y"], yerr=reach, fmt="o", markersize=3.5, linewidth=0.9, color=COLOURS[1],
            label="tenths of risk",
        )  # fmt: skip
        one = rows.iloc[0]
        said = interval(one["calibration_slope"], one["calibration_slope_lower"], one["calibration_slope_upper"], 2)
        axis.set(xlabel=f"predicted risk\nslope {said}", ylabel="observed", xlim=(0, end), ylim=(0, end))
        axis.legend(loc="upper left")
    return figure


def draw_violins(table: pd.DataFrame, names: tuple[str, str] = ("no event", "event")) -> Figure:
    """Distribution of a model's scores in two groups, such as by outcome: a panel for each cohort."""
    figure, axes = _cohort_panels(table)
    for axis, (_, rows) in zip(axes, _cohorts(table), strict=True):
        widest = rows.loc[rows["curve"] == "violin", "x"].max()
        for place, name in enumerate(names):
            side = rows[rows["series"] == name]
            shape, quartiles = (side[side["curve"] == curve] for curve in ("violin", "quartiles"))
            width = 0.42 * shape["x"] / widest
            axis.fill_betweenx(shape["y"], place - width, place + width, color=COLOURS[place], alpha=0.35)
            if len(quartiles):
                low, middle, high = quartiles.sort_values("x")["y"]
                axis.plot([place, place], [low, high], color="black", linewidth=3)
                axis.plot([place], [middle], "o", color="white", markeredgecolor="black", markersize=5)
            else:
                across = axis.get_xaxis_transform()  # in the middle, whatever the scores are
                axis.text(place, 0.5, "too few\nto draw", ha="center", va="center", color=GREY, transform=across)
        axis.set(xticks=(0, 1), xticklabels=names, ylabel="score", xlim=(-0.6, 1.6))
    return figure


def draw_confusion(table: pd.DataFrame) -> Figure:
    """Confusion matrices of a model: a panel for each cohort, shaded by the share within the true class."""
    figure, axes = _cohort_panels(table, (2.6, 2.5))
    for axis, (_, rows) in zip(axes, _cohorts(table), strict=True):
        cell = rows.set_index("metric")["estimate"]
        counts = np.array([[cell["tp"], cell["fn"]], [cell["fp"], cell["tn"]]])
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1.15)
        for (i, j), count in np.ndenumerate(counts):
            shown = "white" if share[i, j] > 0.6 else "black"
            axis.text(j, i, f"{count:.0f}\n{share[i, j]:.0%}", ha="center", va="center", color=shown)
        axis.set(xticks=(0, 1), yticks=(0, 1), xticklabels=("positive", "negative"), yticklabels=("event", "none"))
        axis.set(xlabel="by the score", ylabel="truth")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    return figure


def draw_survival(table: pd.DataFrame) -> Figure:
    """Kaplan-Meier curves of the risk groups of a model: a panel for each cohort, numbers at risk below."""
    figure, axes = _cohort_panels(table, (PANEL[0], PANEL[1] + 0.5))
    for axis, (_, rows) in zip(axes, _cohorts(table), strict=True):
        for name, line in rows.groupby("series", sort=False):
            dash = "-" if name == "low" else "--"
            colour = GROUP_COLOUR[str(name)]
            axis.step(line["x"], line["y"], where="post", color=colour, linestyle=dash, label=f"{name} risk")
            known = line.dropna(subset=["lower", "upper"])
            axis.fill_between(known["x"], known["lower"], known["upper"], step="post", color=colour, alpha=0.15)
        one = rows.iloc[0]
        said = interval(one["hazard_ratio"], one["hazard_ratio_lower"], one["hazard_ratio_upper"], 2)
        axis.set(ylim=(0, 1.02), xlim=(0, None), ylabel="free of the event")
        axis.set_title(f"{axis.get_title()}\nhazard ratio {said}")
        _numbers_at_risk(axis, rows)
    axes[0].legend(loc="lower left")
    return figure


def _numbers_at_risk(axis: Axes, rows: pd.DataFrame) -> None:
    end = rows["x"].max()
    year = 12 if end > 2 * AT_RISK_TICKS else 1  # whole years where the follow-up is long enough
    ticks = np.arange(0, end, max(year * np.ceil(end / year / AT_RISK_TICKS), 1))
    lines = []
    for name, line in rows.groupby("series", sort=False):
        left = [line.loc[line["x"] >= tick, "count"].max() if (line["x"] >= tick).any() else 0 for tick in ticks]
        lines.append((str(name), left))
    labels = ["\n".join([f"{tick:g}", *(f"{left[i]:.0f}" for _, left in lines)]) for i, tick in enumerate(ticks)]
    axis.set_xticks(ticks, labels)
    axis.set_xlabel(f"months, and at risk: {', then '.join(name for name, _ in lines)}")


def _above_legend(table: pd.DataFrame, more: int) -> tuple[float, float]:
    """Inches of a panel with a legend of every model below it; more: lines beside those of the models."""
    return PANEL[0], PANEL[1] + LEGEND_LINE * (table["model_id"].nunique() + more)


def _legend_below(axis: Axes, title: str = "") -> None:
    """A legend under the axis: inside it would lie on the curves of models that are no better than chance."""
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), title=title or None, title_fontsize=7.5)


def _cohorts(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Cohorts in the order of the table, each with its kind of score."""
    return [
        (f"{cohort} ({KINDS.get(kind, kind)})", rows)
        for (cohort, kind), rows in table.groupby(["cohort", "kind"], sort=False)
    ]


def _cohort_panels(table: pd.DataFrame, size: tuple[float, float] = PANEL) -> tuple[Figure, list[Axes]]:
    return panels([name for name, _ in _cohorts(table)], size)


def _label(model: str, line: pd.DataFrame, metric: str) -> str:
    one = line.iloc[0]
    return f"{model} {interval(one[metric], one[f'{metric}_lower'], one[f'{metric}_upper'], 3)}"


def interval(value: float, lower: float, upper: float, digits: int) -> str:
    """An estimate and its 95 % interval as a figure prints them."""
    if not np.isfinite(value):
        return "not estimable" if np.isnan(value) else "infinite"
    span = "" if np.isnan(lower) else f" ({lower:.{digits}f}-{upper:.{digits}f})"
    return f"{value:.{digits}f}{span}"


def _best(metrics: pd.DataFrame, metric: str) -> str:
    """Estimates in words, for who cannot see the figure."""
    rows = metrics[metrics["metric"] == metric].dropna(subset=["estimate"])
    said = [f"{r.model_id} in {r.cohort} {r.estimate:.3f}" for r in rows.itertuples()]
    return f" {metric.replace('_', ' ')}: {'; '.join(said)}." if said else ""
