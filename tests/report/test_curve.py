"""The figure of a learning curve: every fit of the table has its panel."""

import pandas as pd
import pytest

from gc_ray.report.curve import curve_png


@pytest.mark.parametrize("fits", [1, 3, 6, 11])
def test_a_curve_of_any_number_of_fits_is_a_png(fits):
    """One panel each, none lost, the same bytes each time."""
    rows = [(f"fold-{k}", e, 1 / e, 1.5 / e, e == 3) for k in range(fits) for e in (1, 2, 3)]
    table = pd.DataFrame(rows, columns=["fit", "epoch", "train_loss", "monitored", "best"])
    png = curve_png(table, "head-1")
    assert png.startswith(b"\x89PNG")
    assert png == curve_png(table, "head-1")
