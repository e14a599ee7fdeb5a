"""Values computed with R, and the data sets behind them."""

import json

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def reference(shared):
    """(whole reference file, its data set) by the file's name; exact digits of the data are kept."""

    def load(name: str) -> tuple[dict, pd.DataFrame]:
        found = json.loads((shared / "reference" / f"{name}.json").read_text())
        return found, pd.read_csv(shared / "reference" / found["dataset"], float_precision="round_trip")

    return load
