"""Form fields with PHP's bracket names: ``customer[email]=...`` is an object, ``items[0][sku]=...`` a list of objects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent

_NAME = re.compile(r"([^\[]+)((?:\[[^\[\]]*\])+)")
_STEP = re.compile(r"\[([^\[\]]*)\]")
_DEEPEST = 6  # levels of a name; known senders use four
_MOST_FIELDS = 1000
_BOM = b"\xef\xbb\xbf"


def fields_of(event: InboundEvent) -> Mapping[str, Any]:
    """Return the fields of a body that is a form with bracket names, or a JSON object of the same shape.

    Told by its first byte and not by a header, which a stored event has no longer. JSON that is no object has no fields.

    Raises:
        PayloadInvalid: it is neither (field ``body``).
    """
    if event.body.removeprefix(_BOM).lstrip()[:1] in (b"{", b"["):
        return event.json if isinstance(event.json, dict) else {}
    try:
        return nested(parse_qsl(event.body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise PayloadInvalid({"body": "The request body is not a valid form."}, readable=False) from None


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return form fields as PHP reads them and would write them as JSON.

    ``[]`` is the next place of a list. What is numbered from 0 without a gap is a list, in that order; everything else an
    object. A name that isn't well formed stands for itself; of a repeated one the last value counts.
    """
    found: dict[str, Any] = {}
    for name, text in pairs:
        match = _NAME.fullmatch(name)
        steps = [match[1], *_STEP.findall(match[2])] if match else [name]
        place = found
        for step in steps[:-1][:_DEEPEST]:
            key = step or str(len(place))
            inner = place.get(key)
            if not isinstance(inner, dict):
                inner = place[key] = {}
            place = inner
        place[steps[-1] or str(len(place))] = text
    return {name: _listed(value) for name, value in found.items()}


def each(value: Any) -> Sequence[Any]:
    """Return the items of a list, also of one that was written as an object, or of one value that stands for itself."""
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(item) for name, item in value.items()}
    numbers = [str(number) for number in range(len(inner))]
    return [inner[number] for number in numbers] if inner.keys() == set(numbers) else inner
