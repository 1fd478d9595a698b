"""The sections of ``bridge.toml.example``: one for every adapter and connector, rendered from its class.

A line that begins with ``#`` and no space is a setting that can be switched on; ``# `` begins words.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from bridge.cli.describe import Described, fields_of, first_sentence, plain, toml
from bridge.contract.inbound import InboundAdapter
from bridge.contract.outbound import OutboundConnector
from bridge.contract.settings import CourseTable, SourceSettings, TargetSettings
from bridge.registry import Registry, adapter_class, connector_class

_WIDTH = 118


def sources() -> list[str]:
    """Return the lines of all sources."""
    lines = _shared("source", SourceSettings, "adapter")
    for name in ours(Registry().adapters(), adapter_class):
        lines += ["", *_source(name, adapter_class(name))]
    return lines


def targets() -> list[str]:
    """Return the lines of all targets."""
    lines = _shared("target", TargetSettings, "connector")
    for name in ours(Registry().connectors(), connector_class):
        lines += ["", *_target(name, connector_class(name))]
    return lines


def ours(names: Any, loaded: Any) -> list[str]:
    """Return the types that live in our own folder; a stranger's package documents itself."""
    return [name for name in names if loaded(name).__module__.startswith("connectors.")]


def module_text(kind: type) -> str:
    """Return the docstring of a connector's file, or of its package where it outgrew one file."""
    return sys.modules[".".join(kind.__module__.split(".")[:3])].__doc__ or ""


def unconfirmed(text: str) -> str | None:
    """Return what a docstring says after "Not confirmed by any source we have:", up to the end of its paragraph."""
    _, found, rest = plain(text).partition("Not confirmed by any source we have:")
    return rest.partition("\n\n")[0].strip() if found else None


def example_course(model: type[CourseTable]) -> dict[str, Any]:
    """Return the smallest table that the model takes: empty, or with one of its fields."""
    tables: list[dict[str, Any]] = [{}, *({name: value} for value in (42, "42") for name in model.model_fields)]
    for table in tables:
        try:
            model.model_validate(table)
        except ValidationError:
            continue
        return table
    return {name: (field.examples or ["42"])[0] for name, field in model.model_fields.items() if field.is_required()}


def _shared(what: str, model: type[BaseModel], kind: str) -> list[str]:
    lines = _words(f"Every {what} takes these besides its own:")
    for field in fields_of(model):
        if field.name in (kind, "base_url"):
            continue
        given = f" = {field.default}" if field.default is not None else " (not set)"
        lines += _words(f"{field.name}{given}: {_meaning(field)}", indent="  ")
    return lines


def _source(name: str, kind: type[InboundAdapter]) -> list[str]:
    return [
        *_words(f"{name}: {first_sentence(module_text(kind))}"),
        *_words(f"remote_product_id: {plain(kind.product_id)}"),
        f"#[sources.{name}]",
        f'#adapter = "{name}"',
        *_settings(fields_of(kind.Settings, SourceSettings), f"sources.{name}", f"{name}_source"),
    ]


def _target(name: str, kind: type[OutboundConnector]) -> list[str]:
    lines = [
        *_words(f"{name}: {first_sentence(module_text(kind))}"),
        f"#[targets.{name}]",
        f'#connector = "{name}"',
    ]
    if kind.rate_limit:
        lines += [
            *_words("the vendor's published limits, or a polite guess"),
            f"#rate_limit = {toml(list(kind.rate_limit))}",
        ]
    lines += _settings(fields_of(kind.Settings, TargetSettings), f"targets.{name}", f"{name}_target")
    return lines + ([] if kind.Course is None else _course(name, kind, kind.Course))


def _course(name: str, kind: type[OutboundConnector], model: type[CourseTable]) -> list[str]:
    fate = "a course without this table is not for this target" if kind.needs_table else "a course may go without"
    lines = _words(f"a course's table for this target ({fate}):")
    for field in fields_of(model):
        lines += _words(f"{field.name}: {_meaning(field)}", indent="  ")
    table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in example_course(model).items())
    return [*lines, f"#[courses.course-at-{name.replace('_', '-')}]", f"#{name} = {{ {table} }}".replace("{  }", "{}")]


def _settings(fields: list[Described], table: str, prefix: str) -> Iterator[str]:
    for field in sorted(fields, key=lambda field: field.table is not None):
        if field.table is not None:
            yield from _table(field, table)
            continue
        value = _value(field, prefix)
        if value is None:
            yield from _words(f"{field.name} (not set): {_meaning(field)}")
        else:
            yield from _words(_meaning(field))
            yield f"#{field.name} = {value}"


def _table(field: Described, table: str) -> Iterator[str]:
    yield from _words(_meaning(field))
    if isinstance(field.table, BaseModel):
        yield from _words(first_sentence(field.table.__doc__), indent="  ")
    yield f"#[{table}.{field.name}]"
    rows: Mapping[str, Any] = field.table if isinstance(field.table, dict) else dict(field.table or ())
    for key, value in rows.items():
        if (shown := toml(value)) is not None:
            yield f"#{key} = {shown}"


def _value(field: Described, prefix: str) -> str | None:
    if field.required and field.example is not None:
        return field.example
    if field.secret and field.required:
        return f'"${{{prefix.upper()}_{field.name.upper()}}}"'
    if not field.required:
        return None if field.default == '""' else field.default
    if field.name == "base_url":
        return f'"https://{prefix.rpartition("_")[0].replace("_", "-")}.example.org"'
    return "42" if field.annotation is int else f'"YOUR_{field.name.upper()}"'


def _meaning(field: Described) -> str:
    text = field.text or "see the vendor's documentation"
    if field.choices:
        text += f"; one of {', '.join(field.choices)}"
    if field.several:
        text += ': ["${NEW}", "${OLD}"]'
    return text


def _words(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f"# {indent}", subsequent_indent=f"# {indent}  ", break_on_hyphens=False
    )
