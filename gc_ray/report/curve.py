"""The figure of a learning curve, from the table of a model's fits."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from gc_ray.report.draw import SCREEN_DPI, png

COLUMNS = 3  # panels side by side; five folds and the final fit then fill two rows


def curve_png(curve: pd.DataFrame, title: str) -> bytes:
    """PNG of the training loss and the monitored value of each fit by epoch; the epoch that was kept is marked.

    curve: the table ``learning`` of one model (fit, epoch, train_loss, monitored, best). title: such as its id.
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
    return png(figure, SCREEN_DPI)
