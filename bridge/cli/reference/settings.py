"""Every key of ``bridge.toml``: the bridge's own, those of each adapter and connector, and what they share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from bridge.cli import example
from bridge.cli.describe import Described, fields_of, first_sentence
from bridge.cli.kinds import holds_many, models_of
from bridge.cli.reference.tables import table
from bridge.contract.settings import AllOf, AnyOf, Condition, CourseTable, SourceSettings, TargetSettings
from bridge.kit.mapping import EventFields, Fields, Money, Value
from bridge.registry import Registry, adapter_class, connector_class
from config.settings import Settings

WITHOUT_EFFECT: frozenset[str] = frozenset()
"""Settings that are checked and kept, and that nothing reads yet."""

Row = tuple[str, str, str, str]

_HEAD = ("key", "what may be written", "default", "what it means")
_GIVEN = {"courses.NAME.title": "the course's name"}  # by config.sections, not by the model
_SHARED: Mapping[type[BaseModel], str] = {
    Condition: "[rules](#rules)",
    AllOf: "[rules](#rules)",
    AnyOf: "[rules](#rules)",
    EventFields: "[fields](#fields)",
    Fields: "[fields](#fields)",
    Value: "[value](#values)",
    Money: "[amount](#values)",
}
"""Tables that many settings take: described once, and linked to."""


def settings() -> Iterator[str]:
    """Yield the sections of the file that every bridge has."""
    for name, field in Settings.model_fields.items():
        model = next(models_of(field.annotation))
        key = name + holds_many(field.annotation)
        text = _of_a_table(model)
        yield from (f"### `{_heading(key)}`", "", text[0].upper() + text[1:], "")
        yield from table(_HEAD, _rows(model, f"{key}."))
        yield ""


def adapters() -> Iterator[str]:
    """Yield what each adapter's sources take besides what every source takes."""
    for name in example.ours(Registry().adapters(), adapter_class):
        kind = adapter_class(name)
        yield from (f"### Source `{name}`", "", first_sentence(example.module_text(kind)), "")
        yield from table(_HEAD, _rows(kind.Settings, "", SourceSettings))
        yield ""


def connectors() -> Iterator[str]:
    """Yield what each connector's targets take besides what every target takes, and a course's table."""
    for name in example.ours(Registry().connectors(), connector_class):
        kind = connector_class(name)
        yield from (f"### Target `{name}`", "", first_sentence(example.module_text(kind)), "")
        yield from table(_HEAD, _rows(kind.Settings, "", TargetSettings))
        yield ""
        if kind.Course is not None:
            yield from (
                f"Of a course, in the table `TARGET = {{ ... }}` of `[courses.NAME]`{_need(kind.needs_table)}:",
                "",
            )
            yield from table(_HEAD, _rows(kind.Course, "", CourseTable))
            yield ""


def shared() -> Iterator[str]:
    """Yield the tables that several settings take."""
    yield from (
        "### Rules",
        "",
        "Of `only_if`. A rule is a condition, or an `all` or `any` of rules, to any depth.",
        "",
    )
    yield from table(_HEAD, [*_rows(Condition, ""), *_rows(AllOf, ""), *_rows(AnyOf, "")])
    yield from (
        "",
        "### Values",
        "",
        'Where one field comes from. A text alone is an expression, as in `email = "customer.email"`.',
        "",
    )
    yield from table(_HEAD, _rows(Money, ""))
    yield from (
        "",
        "### Fields",
        "",
        "What `fields` of a source may name, and `fields` of one of its `actions` (without `action`).",
        "",
    )
    yield from table(_HEAD, _rows(Fields, ""))
    yield ""


def _need(needed: bool) -> str:
    return "; a course without it is not for this target" if needed else "; it may be left out"


def _heading(key: str) -> str:
    return f"[[{key.removesuffix('[]')}]]" if key.endswith("[]") else f"[{key}]"


def _rows(model: type[BaseModel], prefix: str, below: type[BaseModel] | None = None) -> Iterator[Row]:
    for field in fields_of(model, below):
        key = prefix + field.name
        inner = list(dict.fromkeys(models_of(field.annotation)))
        if CourseTable in inner:  # each connector has its own, and says it there
            continue
        yield f"`{key}`", _kind(field, inner), _default(key, field), _said(key, field, model, inner)
        yield from _inner_rows(field, key, [kind for kind in inner if kind not in _SHARED])


def _inner_rows(field: Described, key: str, kinds: Sequence[type[BaseModel]]) -> Iterator[Row]:
    """Yield the rows of the tables in a field; where it takes several kinds of them, what only one has says of which."""
    tables = {kind: list(_rows(kind, f"{key}{holds_many(field.annotation)}.")) for kind in kinds}
    for place, (kind, rows) in enumerate(tables.items()):
        which = next((one for one in fields_of(kind) if len(one.choices) == 1), None)
        for row in rows:
            everywhere = all(row in others for others in tables.values())
            if which is None or row[0].endswith(f".{which.name}`"):
                yield row
            elif not everywhere:
                yield (*row[:3], f"with `{which.name} = {which.choices[0]}`: {row[3]}")
            elif place == 0:
                yield row


def _kind(field: Described, inner: Sequence[type[BaseModel]]) -> str:
    links = list(dict.fromkeys(_SHARED[model] for model in inner if model in _SHARED))
    return " or ".join(links) if links and all(model in _SHARED for model in inner) else field.kind


def _default(key: str, field: Described) -> str:
    if field.required:
        return _GIVEN.get(key, "required")
    if isinstance(field.table, BaseModel):
        return ""
    return "not set" if field.default is None else f"`{field.default}`"


def _of_a_table(model: type[BaseModel]) -> str:
    """Return what a model says it is, without the name of its table before it."""
    return re.sub(r"^`[^`]*`(?: with `[^`]*`)?: ", "", first_sentence(model.__doc__))


def _said(key: str, field: Described, model: type[BaseModel], inner: Sequence[type[BaseModel]]) -> str:
    # A key with one choice says which table this is; a table without words of its own, what stands in it.
    told_by = [model] if len(field.choices) == 1 else inner
    text = field.text or "; ".join(_of_a_table(kind).removesuffix(".") for kind in told_by)
    return f"{text}. **Without effect yet.**" if key in WITHOUT_EFFECT else text
