"""An event of Stripe, opened, and how ids stand in its objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.contract.inbound import InboundEvent
from bridge.kit.payload import Payload


@dataclass(frozen=True, slots=True)
class Told:
    """An event, opened.

    Attributes:
        thing: the object that it is about, as it was when the event was made.
        common: what all its commands share.
        account: the connected account that it happened at, or nothing.
    """

    type: str
    thing: Payload
    livemode: bool
    at: datetime
    common: Mapping[str, Any]
    account: str


def opened(event: InboundEvent) -> Told | None:
    """Open an event; None for a thin notification of API v2 (``v2.core.event``), which is another protocol.

    Raises:
        PayloadInvalid: it is no event at all.
    """
    envelope = Payload(event.json)
    if envelope.text("object") not in ("", "event"):
        return None
    at = envelope.moment("created") or event.received_at
    livemode = envelope.at("livemode").value is not False
    common = {"event_key": envelope.maybe("id"), "livemode": livemode, "occurred_at": at}
    kind = envelope.needed_text("type")
    return Told(kind, envelope.at("data.object"), livemode, at, common, envelope.text("account"))


def id_of(thing: Payload, *fields: str) -> str:
    """Return the id that stands in the first of these fields, where the object itself may stand as well."""
    return thing.text(*(path for field in fields for path in (field, f"{field}.id")))


def refs(*ids: str) -> list[str]:
    """Return those that are there, each once."""
    return list(dict.fromkeys(each for each in ids if each))
