"""What was bought by a session or an invoice of Stripe, whichever API version wrote it. Pure.

An event keeps the version of its endpoint for ever, so both shapes are read: ``invoice.subscription`` and
``invoice.parent.subscription_details.subscription``, ``line.price`` and ``line.pricing.price_details``, ``invoice.payment_intent``
and ``invoice.payments`` (official library 15.3 and fixtures; captured deliveries of 2022-11-15).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import Meaning, Unreadable
from bridge.kit.money import minor
from bridge.kit.names import split
from bridge.kit.payload import Payload, command
from connectors.inbound.stripe.told import Told, id_of, refs

_DIGITS = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Currencies that Stripe counts otherwise than ISO 4217 (the vendor's page on currencies)."""

_MOST = 1_000_000  # a quantity: what is more is no number of seats, and the ledger's column has an end

_NAMED = ("metadata", "parent.subscription_details.metadata", "subscription_details.metadata")
SUBSCRIPTION = (
    "subscription",
    "parent.subscription_details.subscription",  # of an invoice
    "parent.subscription_item_details.subscription",  # of its lines
    "parent.invoice_item_details.subscription",
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the operator wants purchases read: see the settings of the same names."""

    sold_by: Literal["price", "product"]
    product_metadata: str
    period_grace: timedelta


@dataclass(frozen=True, slots=True)
class _Line:
    product: str
    end: datetime | None
    quantity: int
    amount: Decimal | None


def named(thing: Payload, reading: Reading) -> str:
    """Return the product that the merchant wrote into the metadata of a session or an invoice, or nothing."""
    return thing.text(*(f"{place}.{reading.product_metadata}" for place in _NAMED))


def payments_missing(invoice: Payload) -> bool:
    """Say whether an invoice leaves out what paid it, as newer API versions do: refunds and disputes name nothing else."""
    shown = isinstance(invoice.value, Mapping) and "payment_intent" in invoice.value
    return not shown and not any(_payments(invoice)) and invoice.whole("amount_paid") > 0


def session_bought(
    told: Told, reading: Reading, lines: Iterable[Payload] = (), *, product: str = ""
) -> Sequence[Meaning]:
    """Say what a paid session means: its ``lines``, or the ``product`` that stands for all of it.

    Raises:
        PayloadInvalid: it does not say who bought.
    """
    session = told.thing
    currency = _currency(session)
    total = _money(session.at("amount_total"), currency)
    details = session.at("customer_details")
    email = details.text("email") or session.text("customer_email") or details.needed_text("email")
    bought, bad = _session_lines(lines, currency, reading)
    if product:
        bought = [_Line(product, None, 1, total)]
    intent, session_id = id_of(session, "payment_intent"), session.needed_text("id")
    shared = {
        **told.common,
        "business_key": f"payment:{intent}" if intent else f"session:{session_id}",
        "learner": _learner(session, email, details.text("name", "individual_name"), details.text("phone")),
        "order": {
            "number": session_id,
            "status": session.maybe("payment_status"),
            "total": total,
            "currency": currency,
            "coupon": _coupon(session),
            "transaction_id": intent or None,
            "subscription_id": id_of(session, "subscription") or None,
            "refs": refs(session_id, intent),
        },
    }
    return [*_enrolls(shared, bought, currency, reading), *bad]


def invoice_bought(told: Told, reading: Reading, invoice: Payload, lines: Iterable[Payload]) -> Sequence[Meaning]:
    """Say what a paid invoice means: something bought once, or one period of a subscription.

    Raises:
        PayloadInvalid: it does not say who bought.
    """
    currency = _currency(invoice)
    total = _money(invoice.at("amount_paid"), currency)
    bought, bad = _invoice_lines(lines, currency, reading)
    if bought and (product := named(invoice, reading)):
        bought, bad = [_Line(product, _last(bought), 1, total)], []
    invoice_id, payments = invoice.needed_text("id"), _payments(invoice)
    email, name, phone = invoice.needed_text("customer_email"), *map(invoice.text, ("customer_name", "customer_phone"))
    shared = {
        **told.common,
        # The invoice's own time, so that several events of it say the same.
        "occurred_at": invoice.moment("status_transitions.paid_at") or told.at,
        "business_key": f"invoice:{invoice_id}",
        "learner": _learner(invoice, email, name, phone),
        "order": {
            "number": invoice.maybe("number"),
            "status": "paid",
            "total": total,
            "currency": currency,
            "coupon": _coupon(invoice),
            "transaction_id": next(iter(payments), None),
            "subscription_id": id_of(invoice, *SUBSCRIPTION) or None,
            "refs": refs(invoice_id, *payments),
        },
    }
    return [*_enrolls(shared, bought, currency, reading), *bad]


def _enrolls(
    shared: Mapping[str, Any], lines: Sequence[_Line], currency: str | None, reading: Reading
) -> list[EnrollmentCommand]:
    """Return one command for each end of access: a subscription may have something beside it that is bought once."""
    by_end: dict[datetime | None, list[dict[str, Any]]] = {}
    for line in _merged(lines):
        item = {
            "remote_product_id": line.product,
            "quantity": min(max(line.quantity, 1), _MOST),
            "amount_paid": line.amount,
            "currency": currency,
        }
        by_end.setdefault(line.end, []).append(item)
    return [
        command(**shared, action=Action.ENROLL, items=items, options=_until(end, reading.period_grace))
        for end, items in by_end.items()
    ]


def _merged(lines: Sequence[_Line]) -> list[_Line]:
    """Return one line a product: two lists of one purchase give its lines different ids, but the product is the same."""
    by_product: dict[str, list[_Line]] = {}
    for line in lines:
        by_product.setdefault(line.product, []).append(line)
    merged = []
    for product, same in by_product.items():
        end = _last(same)
        # A changed quantity bills the rest of the running period beside the next one: those are no further seats.
        quantity = sum(line.quantity for line in same if line.end == end)
        amounts = [line.amount for line in same if line.amount is not None]
        merged.append(_Line(product, end, quantity, sum(amounts, Decimal(0)) if amounts else None))
    return merged


def _last(lines: Sequence[_Line]) -> datetime | None:
    ends = [line.end for line in lines if line.end is not None]
    return max(ends) if len(ends) == len(lines) else None


def _until(end: datetime | None, grace: timedelta) -> dict[str, Any]:
    try:
        return {} if end is None else {"expires_at": end + grace}
    except OverflowError:  # after the year 9999: without end
        return {}


def _session_lines(
    lines: Iterable[Payload], currency: str | None, reading: Reading
) -> tuple[list[_Line], list[Unreadable]]:
    found, bad = [], []
    for place, line in enumerate(lines):
        try:
            amount = _money(line.at("amount_total"), currency)
            found.append(_Line(_product(line, reading), None, line.whole("quantity", 1), amount))
        except PayloadInvalid as fault:
            bad.append(Unreadable(line.text("id") or str(place), fault.faults))
    return found, bad


def _invoice_lines(
    lines: Iterable[Payload], currency: str | None, reading: Reading
) -> tuple[list[_Line], list[Unreadable]]:
    found, bad = [], []
    for place, line in enumerate(lines):
        if line.whole("amount") < 0:
            continue  # gives back the rest of what a plan was before its change, or a discount: nothing was bought by it
        try:
            quantity, amount = line.whole("quantity", 1), _paid(line, currency)
            found.append(_Line(_product(line, reading), _period_end(line), quantity, amount))
        except PayloadInvalid as fault:
            bad.append(Unreadable(line.text("id") or str(place), fault.faults))
    return found, bad


def _product(line: Payload, reading: Reading) -> str:
    price = id_of(line, "price", "pricing.price_details.price", "plan")
    product = id_of(line, "price.product", "pricing.price_details.product", "plan.product")
    first, second = (product, price) if reading.sold_by == "product" else (price, product)
    # An amount that somebody typed into an invoice has neither; by its text it waits as an unmapped product.
    return first or second or line.text("description") or line.needed_text("price")


def _period_end(line: Payload) -> datetime | None:
    # What is bought once has a period as well: of no length, or one for the books, and neither says when access ends.
    start, end = line.moment("period.start"), line.moment("period.end")
    if end is None or not id_of(line, *SUBSCRIPTION):
        return None
    return end if start is None or end > start else None


def _paid(line: Payload, currency: str | None) -> Decimal | None:
    amount = _money(line.at("amount"), currency)
    if amount is None:
        return None
    discounts = (_money(each.at("amount"), currency) for each in line.at("discount_amounts"))
    return amount - sum((each for each in discounts if each is not None), Decimal(0))


def _payments(invoice: Payload) -> list[str]:
    """Return the payment intents of an invoice, then its charges."""
    paid = [invoice, *(each.at("payment") for each in invoice.at("payments.data"))]
    return refs(*(id_of(each, field) for field in ("payment_intent", "charge") for each in paid))


def _currency(thing: Payload) -> str | None:
    return thing.text("currency").upper() or None


def _money(value: Payload, currency: str | None) -> Decimal | None:
    return minor(value.value, currency, digits=_DIGITS.get(currency or ""))


def _learner(thing: Payload, email: str, name: str, phone: str) -> dict[str, Any]:
    # A customer's id names no person: each visit of a payment link may make another customer of the same address.
    first, last = split(name)
    kept = {"stripe_customer": id_of(thing, "customer"), "client_reference_id": thing.text("client_reference_id")}
    attributes = {key: text for key, text in kept.items() if text}
    return {"email": email, "first_name": first, "last_name": last, "phone": phone, "attributes": attributes}


def _coupon(thing: Payload) -> str | None:
    discount = next(iter(thing.at("discounts")), thing.at("discount"))
    return id_of(discount, "promotion_code", "coupon", "source.coupon") or None
