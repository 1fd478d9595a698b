"""What pydantic found wrong, in words for the person who wrote the file. No value is ever quoted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.lines import Key

_WANTED = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a table",
    "mapping": "a table",
    "model": "a table",
    "datetime": "a date and time",
    "date": "a date",
}
_OF_KIND = ("type", "parsing", "from_float", "attributes_type", "parsing_size")

_LIMITS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda ctx: f"expected {_plain(ctx['ge'])} or more",
    "greater_than": lambda ctx: f"expected more than {_plain(ctx['gt'])}",
    "less_than_equal": lambda ctx: f"expected {_plain(ctx['le'])} or less",
    "less_than": lambda ctx: f"expected less than {_plain(ctx['lt'])}",
    "too_short": lambda ctx: f"expected at least {ctx['min_length']} in the list",
    "too_long": lambda ctx: f"expected at most {ctx['max_length']} in the list",
    "string_too_short": lambda ctx: f"expected text of at least {_characters(ctx['min_length'])}",
    "string_too_long": lambda ctx: f"expected text of at most {_characters(ctx['max_length'])}",
    "string_pattern_mismatch": lambda ctx: f"expected text that matches {ctx['pattern']}",
    "literal_error": lambda ctx: f"expected {ctx['expected']}",
    "enum": lambda ctx: f"expected {ctx['expected']}",
    "union_tag_invalid": lambda ctx: f"expected {ctx['expected_tags']} as {ctx['discriminator']}",
    "union_tag_not_found": lambda ctx: f"expected the key {ctx['discriminator']}",
    "value_error": lambda ctx: str(ctx["error"]),
    "assertion_error": lambda ctx: str(ctx["error"]),
    "missing": lambda _: "missing; it is required",
}


def explain(error: ValidationError, model: type[BaseModel], tree: Any, key: Key) -> Iterator[tuple[Key, str]]:
    """Say each fault once.

    Args:
        error: what validating ``model`` raised.
        model: the model of the table at ``key``.
        tree: that table as read.
        key: where the table stands in the file.
    """
    by_key: dict[Key, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        by_key.setdefault(_written(details, tree), []).append(details)
    for inner, found in by_key.items():
        if found[0]["type"] == "extra_forbidden":
            yield key + inner, unknown_key(str(inner[-1]), _known_keys(model, inner[:-1]))
        else:
            yield key + inner, _said(found)


def unknown_key(name: str, known: Collection[str]) -> str:
    """Say that a key is not known, and which one was probably meant."""
    return f"unknown key; {_instead(name, known)}"


def unknown_name(kind: str, name: str, known: Collection[str]) -> str:
    """Say that there is no such source, course, adapter, ..., and which one was probably meant."""
    return f"there is no {kind} '{name}'" + (f"; {_instead(name, known)}" if known else "")


def _instead(name: str, known: Collection[str]) -> str:
    known = set(known) - {name}  # of a union, another branch may have the very key that this one does not take
    nearest = get_close_matches(name, sorted(known), n=1)
    return f"did you mean '{nearest[0]}'?" if nearest else f"expected one of: {', '.join(sorted(known))}"


def _written(details: ErrorDetails, tree: Any) -> Key:
    """Return pydantic's location as far as the file has it: without branches of unions and wrapped single values."""
    key: Key = ()
    *parents, last = details["loc"] or ("",)
    for step in parents:
        found = _entry(tree, step)
        if found is not None:
            tree, key = found[0], (*key, step)
    absent = details["type"] == "missing" and isinstance(tree, dict)
    found = _entry(tree, last)
    if found is not None and details["type"] == "union_tag_invalid":
        return (*key, last, *_telling(details, found[0]))
    return (*key, last) if absent or found is not None else key


def _telling(details: ErrorDetails, table: Any) -> Key:
    """Return the key by which a table says what it is: what stands there is wrong, and not the table."""
    name = str(details.get("ctx", {}).get("discriminator", "")).strip("'")
    return (name,) if _entry(table, name) is not None else ()


def _entry(tree: Any, step: str | int) -> tuple[Any] | None:
    if isinstance(tree, dict) and step in tree:
        return (tree[step],)
    if isinstance(tree, list) and isinstance(step, int) and step < len(tree):
        return (tree[step],)
    return None


def _said(found: list[ErrorDetails]) -> str:
    wanted = [_wanted(details["type"]) for details in found]
    if all(wanted):  # the branches of a union, or the only one
        return f"expected {' or '.join(dict.fromkeys(map(str, wanted)))}, got {_kind(found[0]['input'])}"
    return "; or ".join(dict.fromkeys(map(_message, found)))


def _message(details: ErrorDetails) -> str:
    wanted = _wanted(details["type"])
    if wanted:
        return f"expected {wanted}, got {_kind(details['input'])}"
    found = details["type"]
    if found.startswith("too_") and not isinstance(details["input"], list | tuple | dict):
        found = f"string_{found}"  # a secret's length is reported the way a list's is
    if say := _LIMITS.get(found):
        return say(details.get("ctx", {}))
    return details["msg"].replace("Input should be", "expected").replace("Value error, ", "")


def _wanted(error_type: str) -> str | None:
    kind, _, trouble = error_type.partition("_")
    return _WANTED.get(kind) if trouble in _OF_KIND else None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "a whole number", float: "a number with decimals", list: "a list", dict: "a table"}
    if type(value) in names:
        return names[type(value)]
    return "a date or time" if isinstance(value, dt.date | dt.time) else "something else"


def _plain(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _characters(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"


def _known_keys(model: type[BaseModel], inner: Key) -> set[str]:
    models = {model}
    for step in inner:  # a position, or a name that is free to choose, leads to no other model
        models = {
            nested
            for outer in models
            for name, field in outer.model_fields.items()
            if step == (field.alias or name)
            for nested in _models_in(field.annotation)
        } or models
    return {field.alias or name for found in models for name, field in found.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
