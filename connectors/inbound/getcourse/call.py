"""Reading a call: where action, key and params stand in it, and how params are written.

The protocol wants a form with ``action``, ``key`` and ``params``, the last one JSON in base64. Callers that are at work
today also send them in the address, as JSON, as a multipart form (what PHP's curl makes of an array), or leave ``params``
out and send its blocks themselves, as JSON or as ``user[email]=...``. Where body and address name the same, the body counts.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent
from bridge.kit.brackets import nested
from bridge.kit.payload import Payload

USERS, DEALS = "/pl/api/users", "/pl/api/deals"
ACTIONS = ("add", "update")

NO_ACTION = "Пустой параметр action"
NO_PARAMS = "Не указаны параметры"  # noqa: RUF001 - so it is written
_UNKNOWN_ACTION = "The action parameter must be add or update."
_UNREADABLE_FORM = "The request body is not a form in UTF-8."
_UNREADABLE_PARAMS = "The params parameter must be a JSON object in base64."

_BLOCKS = ("user", "deal")
_PART_NAME = re.compile(rb';\s*name="([^"]*)"', re.IGNORECASE)
_UNFOLDED = {ord("\r"): None, ord("\n"): None, ord("\t"): None, ord("-"): "+", ord("_"): "/", ord(" "): "+"}
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked.

    Attributes:
        action: one of :data:`ACTIONS`.
        blocks: ``user``, ``system``, ``session``, ``deal``; any of them may be absent, or an empty list.
        of_deal: whether it is about a deal, and not about a person alone.
    """

    action: str
    blocks: Payload
    of_deal: bool


def key_of(event: InboundEvent) -> str | None:
    """Return the key that was shown.

    Raises:
        PayloadInvalid: the body can't be read.
    """
    key = _fields(event).get("key")
    return key if isinstance(key, str) else None


def call_of(event: InboundEvent) -> Call:
    """Read a call.

    Raises:
        PayloadInvalid: something of it is missing or can't be read; in GetCourse's own words where they are known.
    """
    fields = _fields(event)
    params = fields.get("params")
    action = Payload(fields).text("action").lower()
    if isinstance(params, str) and params.strip():
        blocks = _decoded(params.strip())
    elif isinstance(params, Mapping) and params:
        blocks = params
    elif not params and any(name in fields for name in _BLOCKS):
        blocks, action = fields, action or "add"
    else:
        raise PayloadInvalid({"params": NO_PARAMS} if action else {"action": NO_ACTION})
    if action not in ACTIONS:
        raise PayloadInvalid({"action": _UNKNOWN_ACTION if action else NO_ACTION})
    path = event.path.rstrip("/")
    at_their_own = path in (USERS, DEALS)  # at a source's own address only the call itself can tell
    return Call(action, Payload(blocks), path == DEALS if at_their_own else bool(Payload(blocks).at("deal")))


def _fields(event: InboundEvent) -> dict[str, Any]:
    return {**nested(event.query.items()), **_body(event)}


def _body(event: InboundEvent) -> Mapping[str, Any]:
    # Judged by its first bytes, not by a header: callers' headers are often wrong.
    body = event.body.removeprefix(_BOM).lstrip()
    if body[:1] in (b"{", b"["):
        return event.json if isinstance(event.json, dict) else {}
    try:
        if body[:2] == b"--":
            return nested(_parts(body))
        return nested(parse_qsl(event.body.decode(), keep_blank_values=True, max_num_fields=1000))
    except ValueError:
        raise PayloadInvalid({"body": _UNREADABLE_FORM}, readable=False) from None


def _parts(body: bytes) -> Iterable[tuple[str, str]]:
    boundary, _, rest = body.partition(b"\r\n")
    for part in rest.split(b"\r\n" + boundary):
        head, blank, value = part.partition(b"\r\n\r\n")
        if blank and (name := _PART_NAME.search(head)):
            yield name[1].decode(), value.decode()


def _decoded(params: str) -> Mapping[str, Any]:
    try:
        value = orjson.loads(params if params[0] in "{[" else _bytes(params).removeprefix(_BOM))
    except (orjson.JSONDecodeError, binascii.Error, ValueError):
        raise PayloadInvalid({"params": _UNREADABLE_PARAMS}, readable=False) from None
    if value == []:
        return {}  # PHP's word for an empty object
    if not isinstance(value, dict):
        raise PayloadInvalid({"params": _UNREADABLE_PARAMS})
    return value


def _bytes(params: str) -> bytes:
    # A plus that nobody escaped has arrived as a space; folded lines, the alphabet for addresses and missing equals
    # signs are seen as well.
    text = params.translate(_UNFOLDED).rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
