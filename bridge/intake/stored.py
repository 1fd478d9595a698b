"""An event as it comes back from the ledger: credential fields blank, and only the headers its adapter needs."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.contract.inbound import InboundEvent
from bridge.kit.clock import moment
from bridge.ledger.events import body_bytes


def event_of(row: Any) -> InboundEvent:
    """Return the event that an ``event`` row keeps."""
    return InboundEvent(
        method=row.method,
        path=row.path,
        headers=orjson.loads(row.headers),
        query=orjson.loads(row.query),
        body=body_bytes(row.body, row.encoding),
        received_at=moment(row.received_at),
    )
