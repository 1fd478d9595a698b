"""What Keap's API tells of orders, subscriptions and contacts, and what that means.

Amounts are objects in v2 (``{"amount": 49.9, "currency_code": "USD"}``) and were numbers in v1; both are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from urllib.parse import quote

from bridge.contract.command import Action, EnrollmentCommand, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.kit.answers import judge
from bridge.kit.http import Http
from bridge.kit.money import major
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command

_V1, _V2 = "/crm/rest/v1", "/crm/rest/v2"
_SOON = timedelta(days=1)


class NotTold(Exception):
    """Keap did not answer the question; ``outcome`` says what follows."""

    def __init__(self, outcome: TryLater | NeedsOperator | Refused) -> None:
        """Keep the outcome."""
        self.outcome = outcome
        super().__init__(outcome.why)


class Api:
    """Questions to Keap. Addresses are built from ids; a key goes into its own header, as the vendor wants it."""

    def __init__(self, http: Http, token: str) -> None:
        """Ask through ``http`` under a Service Account Key or a Personal Access Token."""
        self._http = http
        self._headers = {"X-Keap-API-Key": token, "Accept": "application/json"}

    async def order(self, number: str) -> Payload:
        """Return an order."""
        return await self._get(f"{_V2}/orders/{quote(number, safe='')}", "order", number)

    async def subscription(self, number: str) -> Payload:
        """Return a subscription."""
        return await self._get(f"{_V2}/subscriptions/{quote(number, safe='')}", "subscription", number)

    async def contact(self, number: str) -> Payload:
        """Return a contact."""
        return await self._get(f"{_V2}/contacts/{quote(number, safe='')}", "contact", number)

    async def orders_of_payment(self, number: str) -> Sequence[str]:
        """Return the ids of the orders that a payment pays."""
        found = await self._get(f"{_V1}/transactions/{quote(number, safe='')}", "transaction", number)
        numbers = [told.text() for told in found.at("order_ids")] or found.text("order_ids").split(",")
        return [number.strip() for number in numbers if number.strip()]

    async def _get(self, path: str, kind: str, number: str) -> Payload:
        answer = await self._http.send("GET", path, headers=self._headers)
        if answer.status == 404:
            raise NotTold(Refused(f"Keap has no {kind} {number}", "Look whether it was deleted in Keap."))
        if not answer.ok:
            raise NotTold(cast("TryLater | NeedsOperator | Refused", judge(answer, f"ask for {kind} {number}")))
        if not isinstance(answer.json, dict):
            raise PayloadInvalid({kind: "is no JSON object in Keap's answer"})
        return Payload(answer.json)


async def order_meanings(
    api: Api, order: Payload, number: str, at: datetime, *, part_paid: bool, grace: timedelta
) -> list[EnrollmentCommand]:
    """Say what an order's state means; nothing where it holds no product.

    Raises:
        PayloadInvalid: it does not say whether it is paid, or by whom.
    """
    items = _items(order)
    if not items:
        return []
    at = max(at, order.moment("modification_time") or order.moment("modification_date") or at)
    total, refunded = _amount(order, "total"), _amount(order, "refund_total") or Decimal(0)
    subscription_id = next(
        (item.text("subscription_id") for item in order.at("order_items") if item.text("subscription_id")), None
    )
    known = {
        "occurred_at": at,
        "business_key": number,
        "order": {
            "number": number,
            "status": order.maybe("status"),
            "total": total,
            "currency": order.maybe("total.currency_code"),
            "subscription_id": subscription_id,
        },
    }
    key = f"order:{number}:{at.isoformat()}"
    if total and refunded >= total:
        return [command(**known, action=Action.REFUND, event_key=f"{key}:refunded", refund=Refund(full=True))]
    bought = command(
        **known,
        action=Action.ENROLL,
        event_key=key,
        paid=_is_paid(order, total, refunded, part_paid=part_paid),
        learner=await _buyer(api, order),
        items=items,
        options={"expires_at": await _period_end(api, subscription_id, at, grace)},
    )
    if not refunded:
        return [bought]
    return [bought, command(**known, action=Action.REFUND, event_key=f"{key}:{refunded}", refund=Refund(full=False))]


def subscription_ends(number: str, subscription: Payload, at: datetime) -> EnrollmentCommand:
    """Return the end of a subscription: nothing more is charged, and what was charged lasts until its period ends."""
    return command(
        action=Action.CANCEL,
        occurred_at=max(at, subscription.moment("modification_time") or at),
        event_key=f"subscription:{number}:{at.isoformat()}",
        order={"subscription_id": number},
        at_period_end=True,
    )


def learner_of(contact: Payload, number: str) -> dict[str, Any]:
    """Return the learner that a contact is.

    Raises:
        PayloadInvalid: it has no e-mail address.
    """
    addresses = sorted(contact.at("email_addresses"), key=lambda told: told.text("field") != "EMAIL1")
    email = contact.text("email") or next((told.text("email") for told in addresses if told.text("email")), "")
    if not email:
        raise PayloadInvalid({"contact.email_addresses": f"contact {number} has no e-mail address"})
    first, last = first_and_last(
        contact.text("given_name", "first_name"), contact.text("family_name", "last_name"), contact.text("full_name")
    )
    phone = next((told.text("number") for told in contact.at("phone_numbers") if told.text("number")), "")
    return {"remote_user_id": number, "email": email, "first_name": first, "last_name": last, "phone": phone}


async def _buyer(api: Api, order: Payload) -> Mapping[str, Any]:
    contact = order.at("contact")
    number = contact.needed_text("id")
    return learner_of(contact if contact.text("email") else await api.contact(number), number)


async def _period_end(api: Api, subscription_id: str | None, at: datetime, grace: timedelta) -> datetime | None:
    if subscription_id is None:
        return None
    subscription = await api.subscription(subscription_id)
    ends = subscription.moment("next_bill_date")
    # One that lies in the past was not moved on yet: it is the end of the period before.
    return ends + grace if ends is not None and subscription.flag("active") and ends > at + _SOON else None


def _is_paid(order: Payload, total: Decimal | None, refunded: Decimal, *, part_paid: bool) -> bool:
    if order.text("status").upper() == "PAID":
        return True
    paid, due = _amount(order, "total_paid"), _amount(order, "total_due")
    if paid is None and due is None:
        raise PayloadInvalid({"order.total_paid": "is missing, and the status is not PAID"})
    if due == 0 or (paid is not None and total is not None and paid + refunded >= total):
        return True
    return part_paid and paid is not None and paid > 0


def _items(order: Payload) -> list[dict[str, Any]]:
    """Return the products, one item each: other events name no lines, and shipping, tax and discounts are no products."""
    found: dict[str, dict[str, Any]] = {}
    for told in order.at("order_items"):
        product = told.text("product.id", "product_id")
        if not product or product == "0":
            continue
        quantity = max(1, told.whole("quantity", 1))
        price = _amount(told, "price_per_unit", "price")
        item = found.setdefault(
            product,
            {
                "remote_product_id": product,
                "quantity": 0,
                "amount_paid": None,
                "currency": order.maybe("total.currency_code"),
            },
        )
        item["quantity"] += quantity
        if price is not None:
            item["amount_paid"] = (item["amount_paid"] or Decimal(0)) + price * quantity
    return list(found.values())


def _amount(told: Payload, *paths: str) -> Decimal | None:
    for path in paths:
        value = told.at(f"{path}.amount").value
        found = major(told.at(path).value if value is None else value)
        if found is not None:
            return found
    return None
