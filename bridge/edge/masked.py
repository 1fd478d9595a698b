"""What people are shown of the ledger, on a terminal and in the console alike: learners unreadable, secrets blank, plain text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson

from bridge.kit.masking import BLANK, mask, mask_text
from bridge.ledger.events import body_bytes

_PERSONAL = frozenset({"first_name", "last_name", "phone"})
_STAFF = frozenset(
    {"operator", "paused_by", "undone_by"}
)  # who did something; an OpenID provider names them by their address


def veil(value: Any, name: str = "", *, reveal: bool = False) -> Any:
    """Return a copy of what the ledger told, with learners unreadable unless they are to be revealed.

    An address keeps its first letter and the last part of its domain, so that two can be told apart.
    """
    if reveal or name in _STAFF:
        return value
    if isinstance(value, str):
        return BLANK if name in _PERSONAL and value else mask_text(value)
    if isinstance(value, Mapping):
        hidden = name == "attributes"
        return {key: BLANK if hidden else veil(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [veil(item, name) for item in value]
    return value


def plain(value: Any) -> str:
    """Return a value as text: times to the second (UTC), nothing for None, no control characters."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in str(value))


def body_of(event: Mapping[str, Any], *, reveal: bool) -> Any:
    """Return an event's body as JSON or as form fields, masked by field name unless it is to be revealed; else as text."""
    text = body_bytes(event["body"], event["encoding"]).decode("utf-8", "replace")
    body: Any = text
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        if "form" in str(event["headers"].get("content-type", "")):
            body = dict(parse_qsl(text, keep_blank_values=True))
    if reveal:
        return body
    return mask_text(body) if isinstance(body, str) else mask(body)
