"""What an order of Square means that was paid, and what of it was given back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from bridge.contract.command import Action
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import Meaning, Unreadable
from bridge.kit.money import minor
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command

_MOST = 1_000_000  # what is more is no number of seats


def is_paid(order: Payload) -> bool:
    """Say whether nothing is due any more: an order may be paid in parts."""
    return order.whole("net_amount_due_money.amount") <= 0


def tenders(order: Payload) -> list[str]:
    """Return the payments of an order."""
    return [found for tender in order.at("tenders") if (found := tender.text("payment_id", "id"))]


def recipients(order: Payload) -> list[Payload]:
    """Return who gets the goods, as far as the order says."""
    kinds = ("digital", "pickup", "shipment", "delivery")
    return [each.at(f"{kind}_details.recipient") for each in order.at("fulfillments") for kind in kinds]


def _email(people: Sequence[Payload]) -> str:
    fields = ("buyer_email_address", "email_address")
    return next((found for person in people if (found := person.text(*fields))), "")


def learner_is_known(people: Sequence[Payload]) -> bool:
    """Say whether somebody has an e-mail and a name."""
    return bool(_email(people)) and any(any(_name(person)) for person in people)


def _learner(people: Sequence[Payload]) -> dict[str, Any]:
    # Several descriptions of one person, each of which may lack something: the first address counts.
    email = _email(people)
    if not email:
        raise PayloadInvalid({"payment.buyer_email_address": "is missing, and the customer has no e-mail either"})
    first, last = next((name for person in people if any(name := _name(person))), ("", ""))
    phone = next((found for person in people if (found := person.text("phone_number"))), "")
    customer = next((found for person in people if (found := person.text("customer_id"))), "")
    attributes = {"square_customer": customer} if customer else {}
    return {"email": email, "first_name": first, "last_name": last, "phone": phone, "attributes": attributes}


def bought(
    common: Mapping[str, Any],
    at: datetime,
    order: Payload,
    people: Sequence[Payload],
    *,
    payment_id: str,
    invoice_id: str,
    subscription_id: str,
) -> list[Meaning]:
    """Say what a paid order means.

    Raises:
        PayloadInvalid: it has no lines, or nobody knows the buyer's e-mail.
    """
    items, bad = _items(order)
    if not items:
        return bad
    order_id, payments = order.needed_text("id"), tenders(order)
    currency = order.text("total_money.currency").upper() or None
    refs = [order_id, *payments, payment_id, invoice_id]
    purchase = command(
        **common,
        action=Action.ENROLL,
        occurred_at=at,
        business_key=order_id,
        learner=_learner(people),
        items=items,
        order={
            "number": order.text("reference_id") or order_id,
            "status": order.maybe("state"),
            "total": minor(order.at("total_money.amount").value, currency),
            "currency": currency,
            "transaction_id": payment_id or next(iter(payments), None),
            "subscription_id": subscription_id or None,
            "refs": list(dict.fromkeys(ref for ref in refs if ref)),
        },
    )
    return [purchase, *bad]


def _items(order: Payload) -> tuple[list[dict[str, Any]], list[Meaning]]:
    if not order.at("line_items"):
        raise PayloadInvalid({"order.line_items": "is missing"})
    items: list[dict[str, Any]] = []
    bad: list[Meaning] = []
    for line in order.at("line_items"):
        currency = line.text("total_money.currency").upper() or None
        try:
            items.append(
                {
                    **_item(line),
                    "line": line.text("uid"),
                    "quantity": int(min(max(_quantity(line), Decimal(1)), Decimal(_MOST))),
                    "amount_paid": minor(line.at("total_money.amount").value, currency),
                    "currency": currency,
                }
            )
        except PayloadInvalid as fault:
            bad.append(Unreadable(line.text("uid") or "line_items", fault.faults))
    return items, bad


def returned_items(sale: Payload, back: Payload) -> list[dict[str, Any]]:
    """Return the lines of a sale that another order, the refund's, takes back as a whole: one seat of two is none."""
    sold = {line.text("uid"): line for line in sale.at("line_items")}
    sale_id, taken = sale.text("id"), dict.fromkeys(sold, Decimal(0))
    for each in back.at("returns"):
        if each.text("source_order_id") in ("", sale_id):
            for line in each.at("return_line_items"):
                if (uid := line.text("source_line_item_uid")) in taken:
                    taken[uid] += _quantity(line)
    return [
        {**_item(sold[uid]), "line": uid} for uid, quantity in taken.items() if 0 < _quantity(sold[uid]) <= quantity
    ]


def _item(line: Payload) -> dict[str, Any]:
    # An amount that somebody typed in has no object in the catalogue; by its name it waits as an unmapped product.
    return {"remote_product_id": line.needed_text("catalog_object_id", "name", "note")}


def _quantity(line: Payload) -> Decimal:
    """Return a quantity, which is written as a decimal."""
    try:
        found = Decimal(line.text("quantity") or "1")
    except InvalidOperation:
        return Decimal(1)
    return found if found.is_finite() else Decimal(1)


def _name(person: Payload) -> tuple[str, str]:
    whole = person.text("display_name")
    for place in ("", "billing_address.", "shipping_address."):
        first = person.text(*(place + field for field in ("given_name", "first_name")))
        last = person.text(*(place + field for field in ("family_name", "last_name")))
        if first or last:
            return first_and_last(first, last)
    return first_and_last("", "", whole)
