"""The reference of the study file, from its models: every section, field, type, default and reason."""

from __future__ import annotations

import inspect
import types
import typing
from importlib import resources

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gc_ray.settings import Settings
from gc_ray.study import Study
from gc_ray.study_cohort import Condition, Rule
from gc_ray.study_file import packaged_studies
from gc_ray.study_signatures import CommonScale, Harmonise, SignatureSettings, Step
from generators.markdown import code, page, table

INTRO = """
A study is one TOML file, read strictly: an unknown key, a value of another type, or two settings that contradict
each other end the command with exit code 2 and the key's name. What is left out has the default shown here.
`--study` takes a packaged name ({names}) or the path of your own file; `--set section.key=value` overrides one
field, as in `--set extract.timeout_s=600.0`. The resolved settings are
stored beside what they made, and a step is computed again only when its own section changes.

A good start is a copy of a [packaged study](packaged-studies.md). The columns of `[clinical.columns]` are described
with [the clinical table](clinical.md).
"""

PACKAGED = """
The study files that come with the package, as they are: what follows the paper says where, and what is an assumption
says so.
"""

CONDITION = 'Written as a table within a rule: `{ column = "time_months", is = ">=", value = 24 }`.'
STEPS = """
Written `{ step = "spearman", threshold = 0.7 }` and applied in the order of the list. Beside its own fields, each
takes:
"""

PLAIN = {bool, int, float, str}
NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false"}
LIMITS = {
    annotated_types.Ge: "from {0.ge}",
    annotated_types.Gt: "over {0.gt}",
    annotated_types.Le: "up to {0.le:,}",
    annotated_types.Lt: "and under {0.lt}",
    annotated_types.MinLen: ", {0.min_length} or more",
}


def study_file() -> str:
    """The page of all settings."""
    parts = [INTRO.format(names=", ".join(code(name) for name in packaged_studies()))]
    sections = {n: f for n, f in Study.model_fields.items() if _is_section(f)}
    parts += ["## At the top", fields_of(Study, leave_out=(*sections, "signature"))]
    for name, field in sections.items():
        parts += [f"## [{name}]", inspect.getdoc(field.annotation), fields_of(field.annotation)]
        if name == "clinical":
            parts += ["### [[clinical.rules]]", inspect.getdoc(Rule), fields_of(Rule)]
            parts += ["### A condition", CONDITION, fields_of(Condition)]
    parts += ["## [[signature]]", inspect.getdoc(SignatureSettings), fields_of(SignatureSettings)]
    parts += ["### Steps", STEPS, fields_of(CommonScale, leave_out=("step",))]
    for step in typing.get_args(typing.get_args(Step)[0]):
        parts += [f"#### {_tag(step)}", inspect.getdoc(step), fields_of(step, leave_out=("step", "families"))]
    parts += ["### [signature.harmonise]", inspect.getdoc(Harmonise), fields_of(Harmonise)]
    return page("The study file", *parts)


def studies() -> str:
    """The page of the packaged study files."""
    parts = [PACKAGED]
    for name in packaged_studies():
        text = resources.files("gc_ray.studies").joinpath(f"{name}.toml").read_text()
        parts += [f"## {name}", f"```toml\n{text.strip()}\n```"]
    return page("Packaged studies", *parts)


def fields_of(model: type[BaseModel], leave_out: tuple[str, ...] = ()) -> str:
    """A model's fields: name, type with its limits, default, and what it is for."""
    rows = [
        (code(field.alias or name), _type(field), _default(field), field.description or "")
        for name, field in model.model_fields.items()
        if name not in leave_out
    ]
    return table(("field", "type", "default", "meaning"), rows) if rows else ""


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Settings)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "left out"
    if value == "" or value == () or value == {}:
        return "empty"
    if value is PydanticUndefined or isinstance(value, Settings):
        return ""
    return code(_toml(value))


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _type(field: FieldInfo) -> str:
    return _limited(type_name(field.annotation), field.metadata)


def type_name(hint: object) -> str:
    """A type annotation in words, with the limits that it carries."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _limited(type_name(args[0]), args[1:])
    if origin in (typing.Union, types.UnionType):
        return _one_of([a for a in args if a is not types.NoneType])
    if origin is typing.Literal:
        return _either([code(_toml(a)) for a in args])
    if origin is tuple:
        return f"list of {type_name(args[0])}"
    if origin is dict:
        return f"table of {type_name(args[1])}"
    if isinstance(hint, type) and issubclass(hint, Settings):
        return _tag(hint)
    return NAMES.get(hint) or hint.__name__


def _one_of(hints: list) -> str:
    if set(hints) >= PLAIN:
        return _either(["value", *(type_name(h) for h in hints if h not in PLAIN)])
    return _either([type_name(h) for h in hints])


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _tag(model: type[BaseModel]) -> str:
    """What a section is called in TOML: the value of its field ``step`` or ``kind``, else its class in lower case."""
    for tag in ("step", "kind"):
        if tag in model.model_fields:
            return typing.get_args(model.model_fields[tag].annotation)[0]
    return model.__name__.lower()


def _limited(name: str, metadata: typing.Iterable) -> str:
    return " ".join([name, *_limits(metadata)]).replace(" ,", ",")


def _limits(metadata: typing.Iterable) -> list[str]:
    found = []
    for item in metadata:
        if isinstance(item, FieldInfo):
            found += _limits(item.metadata)
        elif type(item) in LIMITS:
            found.append(LIMITS[type(item)].format(item))
        elif getattr(item, "pattern", None):
            found.append(f"like {code(item.pattern)}")
    return found
