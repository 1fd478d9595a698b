"""Paddle Billing: the signature in a header, and what its events mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bridge.contract.command import Action, EnrollmentCommand, Refund
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundEvent
from bridge.kit.money import minor
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import fresh, signed_with
from bridge.kit.subscriptions import payment_failed

SIGNATURE = "paddle-signature"

_TIME = re.compile(r"[0-9]{1,11}")
_AHEAD = 300.0  # seconds that Paddle's clock may be before ours
_MOST = 1_000_000

_SUBSCRIPTIONS = {
    "subscription.canceled": Action.CANCEL,
    "subscription.paused": Action.SUSPEND,
    "subscription.resumed": Action.RESUME,
}
_NO_PURCHASE = "subscription_payment_method_change"  # a transaction of nothing, by which a card is replaced


def verify(event: InboundEvent, secrets: Sequence[str], tolerance: timedelta) -> None:
    """Check ``ts=...;h1=...``, of which there may be several ``h1`` while a secret rotates.

    Raises:
        SignatureInvalid: it is missing, wrong or too old.
    """
    pairs = [part.partition("=") for part in event.headers.get(SIGNATURE, "").split(";")]
    times = [value for name, _, value in pairs if name == "ts"]
    if len(times) != 1 or not _TIME.fullmatch(times[0]):
        raise SignatureInvalid("the Paddle-Signature has no time")
    presented = [value for name, _, value in pairs if name == "h1"]
    if not signed_with([secret.encode() for secret in secrets], times[0].encode() + b":" + event.body, presented):
        raise SignatureInvalid("the Paddle-Signature does not fit the body and any of the secrets")
    signed_at = datetime.fromtimestamp(int(times[0]), UTC)
    if not fresh(signed_at, event.received_at, window=tolerance.total_seconds(), ahead=_AHEAD):
        raise SignatureInvalid("the Paddle-Signature is too old")


def base_of(event: InboundEvent) -> tuple[str, Payload, dict[str, Any]]:
    """Return the event's type, its data, and what every command of it says."""
    said = Payload(event.json)
    at = said.moment("occurred_at") or event.received_at
    return said.text("event_type"), said.at("data"), {"event_key": said.maybe("event_id"), "occurred_at": at}


def is_purchase(event: InboundEvent) -> bool:
    """Say whether the event is a transaction that was paid.

    ``transaction.paid`` comes first, and of a new subscription before it has an id: that one is taken when completed.
    """
    kind, data, _ = base_of(event)
    if kind not in ("transaction.paid", "transaction.completed") or data.text("origin") == _NO_PURCHASE:
        return False
    return kind == "transaction.completed" or bool(data.text("subscription_id")) or not any(_recurring(data).values())


def meaning(
    event: InboundEvent,
    learner_of: Callable[[Payload], Mapping[str, Any] | None],
    grace: timedelta,
    payment_grace: timedelta,
) -> list[EnrollmentCommand]:
    """Say what the event means; of a purchase nothing where ``learner_of`` does not know the buyer without asking."""
    kind, data, base = base_of(event)
    if is_purchase(event):
        learner = learner_of(data)
        return [] if learner is None else purchase(event, learner, grace)
    if kind in ("adjustment.created", "adjustment.updated"):
        return _adjustment(data, base)
    if kind == "subscription.past_due":
        return [payment_failed(payment_grace, base, order={"subscription_id": data.needed_text("id")})]
    if (action := _SUBSCRIPTIONS.get(kind)) is not None:
        return [command(**base, action=action, order={"subscription_id": data.needed_text("id")})]
    return []


def purchase(event: InboundEvent, learner: Mapping[str, Any], grace: timedelta) -> list[EnrollmentCommand]:
    """Return a paid transaction: what recurs with the end of its period and its subscription, what doesn't without.

    Raises:
        PayloadInvalid: it names no product.
    """
    _, data, base = base_of(event)
    recurring = _recurring(data)
    currency = data.maybe("currency_code")
    lines = list(data.at("details.line_items")) or list(data.at("items"))
    if not lines:
        raise PayloadInvalid({"data.items": "is missing"})
    end = data.moment("billing_period.ends_at")
    found = []
    for recurs in (True, False):
        items = [_item(line, data, currency) for line in lines if recurring.get(_price_id(line), False) is recurs]
        if not items:
            continue
        order = _order(data, currency)
        if recurs:
            order["subscription_id"] = data.maybe("subscription_id")
        expires = {"expires_at": end + grace} if recurs and end is not None else {}
        key = data.needed_text("id")
        found.append(
            command(
                **base,
                action=Action.ENROLL,
                business_key=key,
                learner=learner,
                items=items,
                order=order,
                options=expires,
            )
        )
    return found


def customer(said: Payload, field: str) -> dict[str, Any]:
    """Return the learner that a customer is: known by e-mail, since Paddle's id means nothing to an LMS.

    Raises:
        PayloadInvalid: there is no e-mail.
    """
    first, last = first_and_last("", "", said.text("name"))
    if not (email := said.text("email")):
        raise PayloadInvalid({f"{field}.email": "is missing"})
    return {"email": email, "first_name": first, "last_name": last}


def _order(data: Payload, currency: str | None) -> dict[str, Any]:
    captured = next((one for one in data.at("payments") if one.text("status") == "captured"), Payload(None))
    invoice = data.text("invoice_id")
    return {
        "number": data.maybe("invoice_number"),
        "status": data.maybe("status"),
        "total": _money(data.at("details.totals"), currency, "grand_total", "total"),
        "currency": currency,
        "coupon": data.maybe("discount_id"),
        "payment_method": captured.maybe("method_details.type"),
        "transaction_id": data.needed_text("id"),
        "refs": (invoice,) if invoice else (),
    }


def _item(line: Payload, data: Payload, currency: str | None) -> dict[str, Any]:
    product = _price_id(line)
    price = next((one.at("price") for one in data.at("items") if _price_id(one) == product), Payload(None))
    if price.text("type") == "custom":  # made for one sale: only the product is the same the next time
        product = price.text("product_id") or product
    return {
        "remote_product_id": product or line.needed_text("price_id"),
        "quantity": min(max(1, line.whole("quantity", 1)), _MOST),
        "amount_paid": _money(line.at("totals"), currency, "total"),
        "currency": currency,
        "line": line.text("id"),
    }


def _price_id(line: Payload) -> str:
    return line.text("price_id", "price.id")


def _recurring(data: Payload) -> dict[str, bool]:
    return {_price_id(item): bool(item.at("price.billing_cycle")) for item in data.at("items")}


def _money(said: Payload, currency: str | None, *names: str) -> Decimal | None:
    return minor(said.text(*names), currency)


def _adjustment(data: Payload, base: Mapping[str, Any]) -> list[EnrollmentCommand]:
    kind, status = data.text("action"), data.text("status")
    if kind not in ("refund", "chargeback", "chargeback_reverse") or status not in ("approved", "pending_approval"):
        return []  # a credit or a warning takes nothing, and a refund that was rejected never was
    about = {**base, "business_key": data.needed_text("transaction_id")}
    about["order"] = {"transaction_id": data.text("transaction_id"), "refs": [data.needed_text("id")]}
    if kind == "refund" and status == "pending_approval":
        return [command(**about, action=Action.REFUND, refund=Refund(full=_whole(data), pending=True))]
    if kind == "refund":
        items = [] if _whole(data) else _taken_back(data)
        return [command(**about, action=Action.REFUND, refund=Refund(full=_whole(data)), items=items)]
    if status != "approved":
        return []
    return [command(**about, action=Action.SUSPEND if kind == "chargeback" else Action.RESUME)]


def _whole(data: Payload) -> bool:
    return data.text("type") == "full"


def _taken_back(data: Payload) -> list[dict[str, Any]]:
    """Return the lines that were refunded as a whole. They are told by the line's id; the product is not named."""
    lines = [item.needed_text("item_id") for item in data.at("items") if item.text("type") == "full"]
    return [{"remote_product_id": line, "line": line} for line in lines]
