"""Blanks credential fields before an event is stored. What holds none is stored as it came."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

import orjson

from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent
from bridge.kit.masking import BLANK
from bridge.ledger.events import body_text

_BOM = b"\xef\xbb\xbf"


def stored_body(event: InboundEvent, fields: frozenset[str], secrets: Collection[str]) -> tuple[str, str]:
    """Return the body as it may be kept, and its encoding; credential fields are blank at every depth.

    Whatever form the body has and whatever it says of itself, the source's own ``secrets`` are blanked in it as well.
    """
    body = _blank_fields(event, fields)
    for secret in secrets:
        for spelling in {
            secret.encode(),
            quote_plus(secret).encode(),
            quote(secret).encode(),
            orjson.dumps(secret)[1:-1],
        }:
            body = body.replace(spelling, BLANK.encode())
    return body_text(body)


def _blank_fields(event: InboundEvent, fields: frozenset[str]) -> bytes:
    if not fields or not event.body:
        return event.body
    # Told by its first bytes, as adapters tell it: a header that names another form would leave a secret where it is.
    start = event.body.removeprefix(_BOM).lstrip()[:1]
    if start in (b"{", b"["):
        return _json(event, fields)
    return _loose(_form(event.body, fields), fields)


def stored_query(event: InboundEvent, fields: frozenset[str]) -> str:
    """Return the query as JSON, credential fields blank."""
    if not event.query:
        return "{}"
    kept = {name: BLANK if name in fields else value for name, value in event.query.items()}
    return orjson.dumps({stored_text(name): stored_text(value) for name, value in kept.items()}).decode()


def stored_headers(event: InboundEvent, kept: frozenset[str]) -> str:
    """Return the headers the adapter needs to understand the event again, as JSON."""
    found = {name: value for name, value in event.headers.items() if name in kept or name == "content-type"}
    return orjson.dumps({name: stored_text(value) for name, value in found.items()}).decode()


def stored_text(text: str) -> str:
    """Return text that can be stored: what was no UTF-8 in a header or a path arrives as half a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _json(event: InboundEvent, fields: frozenset[str]) -> bytes:
    if b"\\u" not in event.body and not any(f'"{name}"'.encode() in event.body for name in fields):
        return event.body  # a name may also be written with escapes: then it is looked at more closely
    try:
        return orjson.dumps(_blanked(event.json, fields))
    except (PayloadInvalid, RecursionError, orjson.JSONEncodeError):
        return _loose(event.body, fields)


def _blanked(value: Any, fields: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: BLANK if name in fields else _blanked(item, fields) for name, item in value.items()}
    if isinstance(value, list):
        return [_blanked(item, fields) for item in value]
    return value


def _form(body: bytes, fields: frozenset[str]) -> bytes:
    pairs = [pair.partition(b"=") for pair in body.split(b"&")]
    return b"&".join(
        name + equals + (quote_plus(BLANK).encode() if unquote_plus(name.decode("latin-1")) in fields else value)
        for name, equals, value in pairs
    )


def _loose(body: bytes, fields: Collection[str]) -> bytes:
    """Blank what looks like a credential field in a body of no known form: ``"name": "value"``, ``<name>value</name>``."""
    names = b"|".join(re.escape(name.encode()) for name in sorted(fields))
    blank = BLANK.encode()
    body = re.sub(rb'("(?:' + names + rb')"\s*:\s*")(?:[^"\\]|\\.)*', lambda match: match[1] + blank, body)
    # A tag ends before the next one begins: looked for beyond that, a body full of openings would take hours.
    value = rb"(?:[^<]|<!\[CDATA\[[^\]]*(?:\](?!\]>)[^\]]*)*(?:\]\]>|\Z))*"
    return re.sub(rb"(<(?:\w+:)?(?:" + names + rb")(?:\s[^<>]*)?>)" + value, lambda match: match[1] + blank, body)
