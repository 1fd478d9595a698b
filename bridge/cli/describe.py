"""What a settings model says of itself: its fields, in the operator's words and in TOML.

The example file and the tables of the docs are made from this, so a setting is described once, by its owner: in the
``Attributes:`` of the model's docstring, in the field's type, and in its default.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from bridge.cli.kinds import kind_of
from bridge.contract.settings import Rate

_ATTRIBUTE = re.compile(r"    (\w+): (.*)")
_ROLE = re.compile(r":\w+:`[~.]?([^`]*)`")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Described:
    """One field of a settings model.

    Attributes:
        text: what the docstring says of it; may be empty.
        kind: what may be written, in words.
        default: as TOML; None when the field is required, or when its default is to be absent.
        choices: as TOML, where only certain values are taken.
        secret: whether it holds a credential. ``several``: whether it takes a list of them while they rotate.
        example: as TOML, of a required table.
        table: the model of its own, or the free names it holds, where it is a table.
    """

    name: str
    text: str
    kind: str
    required: bool
    default: str | None
    choices: tuple[str, ...]
    secret: bool
    several: bool
    example: str | None
    annotation: Any
    table: BaseModel | dict[str, Any] | None


def fields_of(model: type[BaseModel], below: type[BaseModel] | None = None) -> list[Described]:
    """Describe the fields of a model.

    Args:
        model: to describe.
        below: a parent; then only what the model adds to it, changes, or says more about.
    """
    texts = attribute_texts(model)
    own = None if below is None else _declared(model, below) | set(_texts_of(model))
    return [
        _described(name, field, texts.get(name, ""))
        for name, field in model.model_fields.items()
        if own is None or name in own
    ]


def attribute_texts(model: type) -> dict[str, str]:
    """Return what the docstrings of a class and its parents say of each attribute; the class itself wins."""
    texts: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        texts |= _texts_of(kind)
    return texts


def first_sentence(text: str | None) -> str:
    """Return the first paragraph of a docstring on one line, up to its first full stop."""
    paragraph = " ".join(plain(inspect.cleandoc(text or "")).split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".") + "."


def plain(text: str) -> str:
    """Return a docstring's mark-up as Markdown's."""
    return _ROLE.sub(r"`\1`", text).replace("``", "`")


def toml(value: Any) -> str | None:
    """Return a default as it would stand in the file; None for what can't stand there."""
    if value is None or isinstance(value, SecretStr | BaseModel):
        return None
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, timedelta):
        return f'"{span(value)}"'
    if isinstance(value, Rate):
        return f'"{value.requests}/{value.seconds:g}s"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(filter(None, map(toml, value)))}]"
    if isinstance(value, dict):
        return None if value else "{}"
    return json.dumps(str(value), ensure_ascii=False)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_inline(held)}' for name, held in value.items())} }}"
    return toml(value) or '""'


def span(value: timedelta) -> str:
    """Return a duration in its largest whole unit."""
    seconds = value.total_seconds()
    for size, unit in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _described(name: str, field: FieldInfo, text: str) -> Described:
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    secret = _holds(field.annotation, SecretStr)
    return Described(
        name=field.alias or name,
        text=text,
        kind=kind_of(field.annotation, field.metadata),
        required=field.is_required(),
        default=toml(default),
        choices=tuple(json.dumps(choice) for choice in _choices(field.annotation)),
        secret=secret,
        several=secret and get_origin(field.annotation) is tuple,
        example=_inline(field.examples[0]) if field.examples else None,
        annotation=field.annotation,
        table=default if isinstance(default, BaseModel | dict) and default != {} else None,
    )


def _declared(model: type, below: type) -> set[str]:
    found: set[str] = set()
    for kind in model.__mro__:
        if kind is below:
            break
        found |= set(inspect.get_annotations(kind))
    return found


def _texts_of(kind: type) -> dict[str, str]:
    texts: dict[str, str] = {}
    name = ""
    _, _, block = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    for line in block.splitlines():
        if match := _ATTRIBUTE.fullmatch(line):
            name = match[1]
            texts[name] = match[2]
        elif line.startswith("     ") and name:
            texts[name] += " " + line.strip()
        elif line.strip():
            break
    return {name: plain(text).removesuffix(".") for name, text in texts.items()}


def _holds(annotation: Any, wanted: type, seen: frozenset[Any] = frozenset()) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, wanted):
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inside = annotation.model_fields.values() if annotation not in seen else ()  # rules hold rules
        return any(_holds(field.annotation, wanted, seen | {annotation}) for field in inside)
    return any(_holds(inner, wanted, seen) for inner in get_args(annotation))


def _choices(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
