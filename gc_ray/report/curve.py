"""The figure of a learning curve, from the table of a model's fits."""

from __future__ import annotations

import io

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLUMNS = 3  # panels side by side; five folds and the final fit then fill two rows
DPI = 110


def curve_png(curve: pd.DataFrame, title: str) -> bytes:
    """PNG of the training loss and the monitored value of each fit by epoch; the epoch that was kept is marked.

    curve: the table ``curves`` of one model (fit, epoch, train_loss, monitored, best). title: such as the model's id.
    """
    fits = list(dict.fromkeys(curve["fit"]))
    wide = min(len(fits), COLUMNS)
    high = -(-len(fits) // COLUMNS)
    figure = Figure(figsize=(4 * wide + 0.5, 3 * high + 0.5), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    panels = figure.subplots(high, wide, squeeze=False, sharey=True).flat
    for name, axis in zip(fits, panels, strict=False):
        one = curve[curve["fit"] == name]
        axis.plot(one["epoch"], one["train_loss"], color="0.6", label="training loss")
        axis.plot(one["epoch"], one["monitored"], color="tab:blue", label="watched")
        kept = one[one["best"]]
        axis.plot(kept["epoch"], kept["monitored"], "o", color="tab:red", label="kept")
        axis.set_title(name, fontsize="small")
        axis.set_xlabel("epoch")
    for axis in panels:
        axis.set_axis_off()
    figure.axes[0].legend(fontsize="small")
    FigureCanvasAgg(figure)  # a canvas of its own: no state shared with other figures, no display needed
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
