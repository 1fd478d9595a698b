"""What a webhook of PayPal's REST API means, by itself and with what the API tells besides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from bridge.contract.command import Action, EnrollmentCommand, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent, Lookup
from bridge.kit.money import major
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from bridge.kit.subscriptions import payment_failed
from connectors.inbound.paypal.proof import CERT_URL

_PAID = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})
_FIRST_PAYMENT = timedelta(days=1)  # the shortest period of a plan: a payment this near to the start is the first
_MOST = 1_000_000
_CAPTURE = re.compile(r"/captures/([A-Za-z0-9-]+)$")
_SALE = re.compile(r"/sale/([A-Za-z0-9-]+)$")

# PayPal's outcome codes; RESOLVED_WITH_PAYOUT and NONE don't say who keeps the money.
_WON = frozenset({"RESOLVED_SELLER_FAVOUR", "CANCELED_BY_BUYER", "DENIED"})
_LOST = frozenset({"RESOLVED_BUYER_FAVOUR", "ACCEPTED"})

_SUBSCRIPTION_ENDS = frozenset({"BILLING.SUBSCRIPTION.CANCELLED", "BILLING.SUBSCRIPTION.EXPIRED"})
_SUBSCRIPTION_CHANGES = {
    "BILLING.SUBSCRIPTION.SUSPENDED": Action.SUSPEND,
    "BILLING.SUBSCRIPTION.RE-ACTIVATED": Action.RESUME,
}

_FAILED = "BILLING.SUBSCRIPTION.PAYMENT.FAILED"


@dataclass(frozen=True, slots=True)
class Told:
    """An event's envelope.

    Attributes:
        base: what every command of it says.
    """

    kind: str
    resource: Payload
    base: Mapping[str, Any]

    @property
    def at(self) -> datetime:
        """When it happened."""
        found: datetime = self.base["occurred_at"]
        return found


def told(event: InboundEvent) -> Told:
    """Read the envelope; one of PayPal's own samples has the month 19, so a date is never needed."""
    said = Payload(event.json)
    resource = said.at("resource")
    at = said.moment("create_time") or resource.moment("update_time") or resource.moment("create_time")
    live = ".sandbox." not in event.headers.get(CERT_URL, "")
    base = {"event_key": said.maybe("id"), "livemode": live, "occurred_at": at or event.received_at}
    return Told(said.text("event_type").upper(), resource, base)


def meaning(event: InboundEvent, grace: timedelta, payment_grace: timedelta) -> list[EnrollmentCommand]:
    """Say what the event means by itself; nothing where it has to be looked up, or is of no use."""
    envelope = told(event)
    _asked(envelope)
    if envelope.kind == "CHECKOUT.ORDER.COMPLETED":
        return of_order(envelope.resource, envelope)
    if envelope.kind == "BILLING.SUBSCRIPTION.ACTIVATED":
        return [of_subscription(envelope.resource, envelope, grace)]
    if envelope.kind in _SUBSCRIPTION_ENDS or envelope.kind in _SUBSCRIPTION_CHANGES or envelope.kind == _FAILED:
        return [_changed(envelope, payment_grace)]
    if envelope.kind in ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.SALE.REFUNDED"):
        pending = _state(envelope.resource) == "PENDING"
        return [refund(envelope, original(envelope.resource), Refund(pending=True))] if pending else []
    if envelope.kind in ("PAYMENT.CAPTURE.REVERSED", "PAYMENT.SALE.REVERSED"):
        payment = _found(envelope.resource) or envelope.resource.needed_text("id")
        return [refund(envelope, payment, Refund())]
    if envelope.kind.startswith("CUSTOMER.DISPUTE."):
        return _dispute(envelope)
    return []


def _changed(envelope: Told, payment_grace: timedelta) -> EnrollmentCommand:
    subscription = {"subscription_id": envelope.resource.needed_text("id")}
    if envelope.kind == _FAILED:
        return payment_failed(payment_grace, envelope.base, order=subscription)
    if envelope.kind in _SUBSCRIPTION_CHANGES:
        return command(**envelope.base, action=_SUBSCRIPTION_CHANGES[envelope.kind], order=subscription)
    # Nothing more is charged from now on, and what was charged is paid until its period ends.
    end = _next_charge(envelope.resource)
    ahead = end if end is not None and end > envelope.at else None
    return command(**envelope.base, action=Action.CANCEL, order=subscription, effective_at=ahead, at_period_end=True)


def lookups(event: InboundEvent) -> list[Lookup]:
    """Say what has to be asked about an event that :func:`meaning` could read."""
    envelope = told(event)
    return [replace(asked, event_key=envelope.base["event_key"]) for asked in _asked(envelope)]


def _asked(envelope: Told) -> list[Lookup]:
    resource, state = envelope.resource, _state(envelope.resource)
    if envelope.kind == "PAYMENT.CAPTURE.COMPLETED" and state in ("", "COMPLETED"):
        order_id, capture = resource.text("supplementary_data.related_ids.order_id"), resource.needed_text("id")
        return [Lookup("order", order_id) if order_id else Lookup("capture", capture)]
    if envelope.kind == "PAYMENT.SALE.COMPLETED" and state in ("", "COMPLETED"):
        resource.needed_text("id")
        subscription = resource.text("billing_agreement_id")
        return [
            Lookup("subscription", subscription)
            if subscription
            else Lookup("payment", resource.needed_text("parent_payment", "billing_agreement_id"))
        ]
    if envelope.kind == "PAYMENT.CAPTURE.REFUNDED" and state in ("", "COMPLETED"):
        return [Lookup("refunded capture", original(resource))]
    if envelope.kind == "PAYMENT.SALE.REFUNDED" and state in ("", "COMPLETED"):
        return [Lookup("refunded sale", original(resource))]
    return []


def of_order(order: Payload, envelope: Told, capture_id: str = "") -> list[EnrollmentCommand]:
    """Return one purchase for each payment that was captured for an order (v2), or for the one capture.

    Raises:
        PayloadInvalid: it names no buyer or no product, or not this capture.
    """
    paid = [
        (unit, capture)
        for unit in order.at("purchase_units")
        for capture in unit.at("payments.captures")
        if (capture.text("id") == capture_id if capture_id else _state(capture) in _PAID)
    ]
    if capture_id and not paid:
        raise PayloadInvalid({"purchase_units": "no unit holds the capture of the event"})
    return [_unit(order, unit, capture, envelope) for unit, capture in paid]


def _unit(order: Payload, unit: Payload, capture: Payload, envelope: Told) -> EnrollmentCommand:
    key = capture.needed_text("id")
    currency = capture.maybe("amount.currency_code") or unit.maybe("amount.currency_code")
    total = major(capture.text("amount.value")) or major(unit.text("amount.value"))
    invoice, number = capture.text("invoice_id") or unit.text("invoice_id"), order.text("id")
    return command(
        **envelope.base,
        action=Action.ENROLL,
        business_key=key,
        learner=_learner(
            order.text("payer.email_address", "payment_source.paypal.email_address"),
            "payer.email_address",
            order.at("payer.name") or order.at("payment_source.paypal.name"),
        ),
        items=_items(unit, "items", ("custom_id", "reference_id"), total, currency),
        order={
            "number": number or None,
            "status": order.maybe("status"),
            "payment_method": "paypal",
            "total": total,
            "currency": currency,
            "transaction_id": key,
            "refs": _refs(number, invoice),
        },
    )


def of_payment(payment: Payload, envelope: Told) -> list[EnrollmentCommand]:
    """Return the purchase behind a sale without subscription, from its payment (v1)."""
    sale = envelope.resource
    sale_id = sale.needed_text("id")
    transactions = list(payment.at("transactions"))
    holding = [one for one in transactions if sale_id in _sales(one)] or transactions[:1]
    if not holding:
        raise PayloadInvalid({"transactions": "is missing"})
    currency, total = sale.maybe("amount.currency"), major(sale.text("amount.total"))
    invoice, parent = sale.text("invoice_number") or holding[0].text("invoice_number"), sale.text("parent_payment")
    info = payment.at("payer.payer_info")
    bought = command(
        **envelope.base,
        action=Action.ENROLL,
        business_key=sale_id,
        learner=_learner(info.text("email"), "payer.payer_info.email", info),
        items=_items(holding[0], "item_list.items", ("custom",), total, currency),
        order={
            "number": parent or None,
            "status": sale.maybe("state"),
            "payment_method": "paypal",
            "total": total,
            "currency": currency,
            "transaction_id": sale_id,
            "refs": _refs(parent, invoice),
        },
    )
    return [bought]


def of_subscription(
    subscription: Payload, envelope: Told, grace: timedelta, sale: Payload | None = None
) -> EnrollmentCommand:
    """Return one period of a subscription, in either shape (v2, or v1's "Agreement").

    Its beginning and its first payment are one purchase; every later payment is its own.
    """
    key = subscription.needed_text("id")
    start = subscription.moment("start_time") or subscription.moment("start_date")
    paid_at = (sale.moment("create_time") if sale else None) or envelope.at
    first = sale is None or (start is not None and abs(paid_at - start) < _FIRST_PAYMENT)
    sale_id = sale.needed_text("id") if sale else None
    end = _next_charge(subscription)
    currency = sale.maybe("amount.currency", "amount.currency_code") if sale else None
    total = major(sale.text("amount.total", "amount.value")) if sale else None
    person = subscription.at("subscriber") or subscription.at("payer.payer_info")
    item = {
        # A v1 agreement has no plan id; its description is all that says what was sold.
        "remote_product_id": subscription.needed_text("plan_id", "plan.id", "custom_id", "description"),
        "quantity": _quantity(subscription),
        "amount_paid": total,
        "currency": currency,
    }
    return command(
        **envelope.base,
        action=Action.ENROLL,
        business_key=f"{key}:start" if first else sale_id,
        learner=_learner(
            person.text("email_address", "email"), "subscriber.email_address", person.at("name") or person
        ),
        items=[item],
        order={
            "status": subscription.maybe("status", "state"),
            "payment_method": "paypal",
            "total": total,
            "currency": currency,
            "transaction_id": sale_id,
            "subscription_id": key,
            "refs": _refs(sale.text("invoice_number") if sale else ""),
        },
        options={"expires_at": end + grace} if end is not None and end > envelope.at else {},
    )


def _next_charge(subscription: Payload) -> datetime | None:
    return subscription.moment("billing_info.next_billing_time") or subscription.moment(
        "agreement_details.next_billing_date"
    )


def refund(envelope: Told, payment: str, kind: Refund) -> EnrollmentCommand:
    """Return the refund of a payment, of which the event says no more."""
    order = {"transaction_id": payment, "refs": _refs(envelope.resource.text("id"))}
    return command(**envelope.base, action=Action.REFUND, order=order, refund=kind)


def original(resource: Payload) -> str:
    """Return the id of the payment that a refund is of: v2 says it only in a link.

    Raises:
        PayloadInvalid: it names none.
    """
    if not (found := _found(resource)):
        raise PayloadInvalid({"resource.links": "no link leads to the payment that was refunded"})
    return found


def _found(resource: Payload) -> str:
    named = resource.text("sale_id", "capture_id", "supplementary_data.related_ids.capture_id")
    for link in () if named else resource.at("links"):
        for shape in (_CAPTURE, _SALE):
            if link.text("rel") in ("up", "sale", "capture") and (match := shape.search(link.text("href"))):
                return match[1]
    return named


def _dispute(envelope: Told) -> list[EnrollmentCommand]:
    resource, action = envelope.resource, Action.SUSPEND
    if envelope.kind.endswith(".RESOLVED") or _state(resource) == "RESOLVED":
        code = resource.text("dispute_outcome.outcome_code").upper()
        if code not in _WON | _LOST:
            raise PayloadInvalid({"resource.dispute_outcome.outcome_code": "does not say who keeps the money"})
        action = Action.RESUME if code in _WON else Action.CANCEL
    payments = [one.text("seller_transaction_id") for one in resource.at("disputed_transactions")]
    if not any(payments):
        raise PayloadInvalid({"resource.disputed_transactions.0.seller_transaction_id": "is missing"})
    return [
        command(**envelope.base, action=action, order={"transaction_id": payment}) for payment in payments if payment
    ]


def _learner(email: str, field: str, name: Payload) -> dict[str, str]:
    if not email:
        raise PayloadInvalid({field: "is missing"})
    first, last = first_and_last(
        name.text("given_name", "first_name"), name.text("surname", "last_name"), name.text("full_name")
    )
    return {"email": email, "first_name": first, "last_name": last}


def _items(
    unit: Payload, path: str, fallbacks: Sequence[str], total: Decimal | None, currency: str | None
) -> list[dict[str, Any]]:
    """Return the items by their SKU; where none has one, the whole unit by what the seller called it, else by item name."""
    items = list(unit.at(path))
    whole = next((text for name in fallbacks if (text := unit.text(name)) and text != "default"), "")
    if whole and not any(item.text("sku") for item in items):
        return [{"remote_product_id": whole, "amount_paid": total, "currency": currency}]
    if not items:
        raise PayloadInvalid({fallbacks[0]: "is missing, and so are items: there is nothing to tell the product by"})
    return [
        {
            "remote_product_id": item.needed_text("sku", "name"),
            "quantity": _quantity(item),
            "amount_paid": total if len(items) == 1 else _amount(item),
            "currency": currency,
        }
        for item in items
    ]


def _amount(item: Payload) -> Decimal | None:
    price = major(item.text("unit_amount.value", "price"))
    return None if price is None else price * _quantity(item)


def _quantity(said: Payload) -> int:
    return min(max(1, said.whole("quantity", 1)), _MOST)


def _sales(transaction: Payload) -> set[str]:
    return {one.text("sale.id") for one in transaction.at("related_resources")}


def _state(said: Payload) -> str:
    return said.text("status", "state").upper()


def _refs(*ids: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found for found in ids if found))
