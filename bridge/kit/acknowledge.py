"""What a webhook's sender is answered: 200 for everything that is proven, because one that sees 4xx switches us off."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.contract.inbound import Kind, Reception, Response

_STATUS: Mapping[Kind, int] = {
    "unauthorised": 401,
    "no_such_address": 404,
    "method_not_allowed": 405,
    "too_large": 413,
    "unavailable": 503,
}
_SAID: Mapping[Kind, str] = {
    "accepted": "received",
    "unmapped": "received",
    "ignored": "received",
    "not_found": "received",
    "unreadable": "received",
    "invalid": "received",
    "unauthorised": "not authorised",
    "no_such_address": "no such address",
    "method_not_allowed": "method not allowed",
    "too_large": "too large",
    "unavailable": "not kept, send it again",
}


def acknowledge(reception: Reception) -> Response:
    """Return exactly 200 for what is kept, read or not; the error's own status for everything else. Never 410, never 3xx."""
    headers = {"Retry-After": str(reception.retry_after)} if reception.kind == "unavailable" else {}
    return Response(_STATUS.get(reception.kind, 200), {"status": _SAID[reception.kind]}, headers)
