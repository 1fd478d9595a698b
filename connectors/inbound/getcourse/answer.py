"""GetCourse's envelope, in the one shape that every known client reads right.

Clients differ in what they look at: ``success``, ``result.success``, ``result.error``; some take any failure for a
success as long as one of them says so. So a failure says it in all three, with real booleans, and ``result`` is always an
object. The text of a failure stands wherever one of them looks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import AcceptedLine, InboundEvent, Reception, Response
from connectors.inbound.getcourse.call import Call, call_of
from connectors.inbound.getcourse.deals import Deal, Does, deal_of

GROUP = "group:"
"""What stands before a group's name in the ``remote_product_id``."""

_UNAUTHORISED = "Неавторизованное API-обращение"  # clients know a wrong key by exactly these words
_NOT_MAPPED = "The offer is not known here yet. The deal is kept, and waits until the operator maps the offer."
_NO_SUCH_DEAL = "There is no deal of this number and e-mail here, and the call names no offer to make one of."
_NAMES_NO_SECRET = "The key is missing or not valid."  # noqa: S105 - words about one

_STATUSES: Mapping[str, int] = {
    "no_such_address": 404,
    "method_not_allowed": 405,
    "too_large": 413,
    "unavailable": 503,
}
_PROBLEMS: Mapping[str, str] = {
    "unauthorised": _UNAUTHORISED,
    "no_such_address": "There is nothing at this address.",
    "method_not_allowed": "This address takes POST only.",
    "too_large": "The request body is too large.",
    "unreadable": "The request could not be read.",
    "invalid": "The parameters could not be understood.",
    "unavailable": "The call could not be kept. Please send it again later.",
}


def answer(event: InboundEvent, reception: Reception) -> Response:
    """Say what became of a call."""
    call, deal = _asked(event)
    line = next((line for line in reception.lines if not line.remote_product_id.startswith(GROUP)), None)
    if reception.kind in _PROBLEMS:
        problem = " ".join(reception.faults.values()) or _PROBLEMS[reception.kind]
    else:
        problem = _trouble(deal, line, reception) if deal else ""
    said = _envelope(call.action if call else "", problem, _result(call, deal, line, reception))
    if reception.kind == "unauthorised":
        said["error_message"] = _NAMES_NO_SECRET  # one client tells a wrong key by the word
    headers = {"Retry-After": str(reception.retry_after)} if reception.kind == "unavailable" else {}
    return Response(_STATUSES.get(reception.kind, 200), said, headers)


def _asked(event: InboundEvent) -> tuple[Call | None, Deal | None]:
    call = None
    try:
        call = call_of(event)
        return call, deal_of(call.blocks.at("deal")) if call.of_deal else None
    except PayloadInvalid:
        return call, None


def _trouble(deal: Deal, line: AcceptedLine | None, reception: Reception) -> str:
    # What is to be taken away and isn't there is taken away; what the operator wants no part of is well where it is.
    if line is not None or deal.does in (Does.TAKES, Does.REFUNDS) or reception.kind == "ignored":
        return ""
    if deal.product:
        return _NOT_MAPPED if deal.number or deal.does is Does.GIVES else ""
    return _NO_SUCH_DEAL if deal.does in (Does.GIVES, Does.NOTES) else ""


def _envelope(action: str, problem: str, result: Mapping[str, Any]) -> dict[str, Any]:
    failed = bool(problem)
    said: dict[str, Any] = {
        "success": not failed,
        "action": action,
        "result": {"success": not failed, **result, "error": failed, "error_message": problem},
    }
    return said | {"error": problem, "error_message": problem} if failed else said


def _result(call: Call | None, deal: Deal | None, line: AcceptedLine | None, reception: Reception) -> dict[str, Any]:
    known = reception.learner_id is not None and call is not None
    told: dict[str, Any] = {
        "user_id": reception.learner_id,
        "user_status": {"add": "added", "update": "updated"}[call.action] if known and call else None,
        "deal_id": line.registration_id if line else None,
        # What was no text of Unicode can't be answered as such.
        "deal_number": deal.number.encode("utf-8", "replace").decode() if deal else "",
    }
    if call is not None and call.blocks.flag("system.return_payment_link"):
        told["payment_link"] = (line.product_url if line else None) or ""
    return told
