"""A published paper as data: its tables and figures, how ours are called, and the numbers that it prints."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gc_ray.settings import Settings


class Part(Settings):
    """One artefact: the name that it gets, and the file of the report that it is, without its ending.

    of: the model that it must be of, where the report draws its first model alone and names the file after none.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    source: Annotated[str, Field(pattern=r"^(figures|tables)/")]
    of: str = ""


class Item(Settings):
    """A table, figure or appendix of the paper. Either parts of ours stand for it, or ``missing`` says why not."""

    label: str
    about: str
    parts: tuple[Part, ...] = ()
    missing: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> Item:
        if bool(self.parts) == bool(self.missing):
            raise ValueError(f"{self.label}: wanted parts, or why there is none")
        return self


class Number(Settings):
    """Printed numbers by model: estimate, or estimate with 95 % limits. bound: printed as below or above a number."""

    item: str
    metric: str
    cohort: str
    bound: Literal["", "<", ">"] = ""
    values: dict[str, tuple[float] | tuple[float, float, float]]


class Kept(Settings):
    """The predictors that the paper's model kept, by the names of our study file."""

    item: str
    model: str
    predictors: tuple[str, ...]


class Paper(Settings):
    """What a paper shows and prints."""

    study: str
    citation: str
    doi: str
    item: tuple[Item, ...]
    number: tuple[Number, ...]
    kept: tuple[Kept, ...] = ()

    @model_validator(mode="after")
    def _attributed(self) -> Paper:
        labels = {item.label for item in self.item}
        for one in (*self.number, *self.kept):
            if one.item not in labels:
                raise ValueError(f"a number is of {one.item}, which is no item of the paper")
        names = [part.name for item in self.item for part in item.parts]
        if len(set(names)) < len(names):
            raise ValueError("two parts have one name")
        return self


def read_paper(study: str) -> Paper:
    """The paper that a packaged study follows; study: its packaged name."""
    text = resources.files("gc_ray.report.papers").joinpath(f"{study}.toml").read_text()
    return Paper.model_validate_json(json.dumps(tomllib.loads(text)))
