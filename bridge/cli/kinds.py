"""What may be written for a setting, in words: from the field's type and the limits that stand with it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from bridge.kit.expressions import Expression

_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    dt.timedelta: "duration",
    dt.datetime: "date, or how long ago",
    dt.date: "date",
    dt.time: "time of day",
    SecretStr: "secret",
    Path: "path",
    IPv4Network: "network",
    IPv6Network: "network",
    Expression: "expression",
    Any: "any value",
}
_READ_BY = {
    "_rate": "rate",
    "_kept": 'duration of 7 days at least, or `"off"`',
    "size": "size",
    "http_address": "address",
    "_short": "value",
    "_time_of_day": "time of day",
}
"""What a validator takes says more than the type that it makes of it."""
_LIMITS = (("ge", "{} or more"), ("gt", "more than {}"), ("le", "{} at most"), ("lt", "less than {}"))


def kind_of(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Return what a field takes: ``whole number, 1 or more``, ``list of text``, one of the choices."""
    metadata = list(metadata)
    read = [_READ_BY[name] for name in map(_name_of, metadata) if name in _READ_BY]
    text = read[0] if read else _plain(annotation)
    if text.startswith("list of ") and "_several" in map(_name_of, metadata):
        one = text.removeprefix("list of ")
        text = f"{one}, or a list of them"
    return ", ".join([text, *_limits(metadata)])


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models of tables that stand somewhere in an annotation, each once for each place."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_of(inner)


def holds_many(annotation: Any) -> Literal["", "[]", ".NAME"]:
    """Say how the key of a table goes on: one table, a list of them, or one under each name."""
    for part in _without_none(annotation):
        origin = get_origin(part)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return ".NAME"
        if isinstance(origin, type) and issubclass(origin, Sequence):
            return "[]"
    return ""


def _plain(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(inner[0], _metadata(inner[1:]))
    if origin is Literal:
        return " or ".join(f"`{json.dumps(choice)}`" for choice in inner)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(kind_of(part) for part in _without_none(annotation)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table of {kind_of(inner[1])}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"list of {kind_of(inner[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{json.dumps(member.value)}`" for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return _WORDS.get(annotation, "text")


def _without_none(annotation: Any) -> list[Any]:
    """Return the branches of a union that can be written; of anything else itself."""
    if get_origin(annotation) not in (Union, UnionType):
        return [annotation]
    return [part for part in get_args(annotation) if part is not NoneType]


def _metadata(given: Iterable[Any]) -> Iterator[Any]:
    """Yield what stands with a type, also inside a ``Field()``."""
    for one in given:
        yield from getattr(one, "metadata", [one])


def _name_of(one: Any) -> str:
    return str(getattr(getattr(one, "func", None), "__name__", ""))


def _limits(metadata: Iterable[Any]) -> Iterator[str]:
    for one in metadata:
        for name, words in _LIMITS:
            limit = getattr(one, name, None)
            if limit is not None:
                yield words.format(limit)
