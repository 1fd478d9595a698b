"""What a sender wrote, as one document: JSON as it is, a form or a query as an object with its brackets unfolded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import parse_qsl

from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent

Format = Literal["auto", "json", "form", "query"]

_MOST_FIELDS = 1_000
_DEEPEST = 12
_BRACKETS = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_PLACE = re.compile(r"[0-9]{1,6}")


def document(event: InboundEvent, form: Format = "auto") -> Any:
    """Return what an event says.

    Judged by its first bytes where ``auto``: a replay has the body only, and senders' headers are often wrong. An
    event without a body says what its query says.

    Raises:
        PayloadInvalid: it can't be read (field ``body``).
    """
    if form == "query" or (form == "auto" and not event.body.strip()):
        return unfolded(event.query.items())
    start = event.body.removeprefix(b"\xef\xbb\xbf").lstrip()[:2]
    if form == "json" or (form == "auto" and start[:1] in (b"{", b"[")):
        return event.json
    if start == b"--":
        raise PayloadInvalid({"body": "A multipart form is not read; send JSON or a urlencoded form."}, readable=False)
    try:
        pairs = parse_qsl(event.body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise PayloadInvalid({"body": "The request body is not a valid form."}, readable=False) from None
    return unfolded(pairs)


def unfolded(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return form fields as an object, with the brackets of PHP unfolded.

    ``customer[email]`` is the field ``email`` of ``customer``; ``items[]`` and ``items[0]`` are members of a list. Of a
    repeated name the last value counts.
    """
    root: dict[str, Any] = {}
    for name, value in pairs:
        head, *keys = _steps(name)
        node, key = root, head
        for following in keys:
            inner = node.get(key)
            if not isinstance(inner, dict):
                inner = node[key] = {}
            node, key = inner, following or str(len(inner))
        node[key] = value
    return {name: _with_lists(value) for name, value in root.items()}


def _steps(name: str) -> list[str]:
    match = _BRACKETS.fullmatch(name) if "[" in name and name.count("[") <= _DEEPEST else None
    return [name] if match is None else [match[1], *match[2][1:-1].split("][")]


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(held) for name, held in value.items()}
    if inner and all(_PLACE.fullmatch(name) for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
