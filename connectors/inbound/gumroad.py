"""Gumroad: sales by Ping, and what follows a sale by resource subscriptions.

Authentication: nothing is signed. The address is given with a secret in its query, ``?secret=...``, which nobody else knows.

A body is a form (or JSON, where the seller chose it). Values that hold others come with bracket names,
``custom_fields[name]=...``, or as a printed dictionary. The sale's id makes a purchase unique; each charge of a
subscription is a sale of its own. Together with the resource's name it makes an event unique. A Ping has no resource name.

A charge of a subscription gives access for the length of its recurrence, because a Ping never tells that one ended. A cancelled
subscription is paid until it ends, so only ``subscription_ended`` takes access. Amounts are in US cents, whatever the product's currency.
Anything but 200 is repeated once an hour for up to three hours.

Sources: the vendor's Ping page, and Gumroad's public code, where both forms of a payload are made. A refund says ``refunded`` when
all the money is back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Reception, Response, Route
from bridge.contract.settings import Duration, MarksTestOrders, Secrets, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.brackets import fields_of
from bridge.kit.money import minor
from bridge.kit.names import split
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import any_same

_OF_SUBSCRIPTION = {"subscription_ended": Action.CANCEL, "subscription_restarted": Action.RESUME}
_OF_SALE = {"dispute": Action.SUSPEND, "dispute_won": Action.RESUME}
_PERIODS = {  # days, at the longest
    "monthly": 31,
    "quarterly": 92,
    "biannually": 184,
    "yearly": 366,
    "every_two_years": 731,
}
_PRINTED = re.compile(
    r"""(?:"([^"]*)"|'([^']*)'|:?(\w+))\s*(?:=>|:)\s*(?:"([^"]*)"|'([^']*)'|(\w+))"""  # Ruby's, Python's or JSON's way
)
_LONGEST = 5_000  # characters of a printed dictionary that are read
_MOST = 50  # entries of it


class GumroadSettings(MarksTestOrders):
    """``[sources.NAME]`` with ``adapter = "gumroad"``.

    Attributes:
        secret: what stands as ``secret`` in the address's query; several while it changes.
        period_grace: how long access outlasts a subscription's period, so that a late charge finds it.
    """

    secret: Secrets
    period_grace: Duration = timedelta(days=3)


class Gumroad:
    """Takes sales, refunds, disputes and subscriptions from Gumroad."""

    Settings: ClassVar[type[SourceSettings]] = GumroadSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset({"secret"})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = "`product_id`; where it is missing, `short_product_id`."
    setup: ClassVar[Sequence[str]] = (
        "Make up a long secret and put it into `secret`.",
        "In Gumroad, under Settings, Advanced and Ping, enter `{url}?secret=SECRET` as the endpoint.",
        (
            "A Ping tells sales only. For refunds, disputes and the ends of subscriptions register the same address through Gumroad's "
            "API with `PUT /v2/resource_subscriptions` as `refund`, `dispute`, `dispute_won`, `subscription_ended` and "
            "`subscription_restarted`."
        ),
        "Gumroad's test ping repeats the last sale as a test: take it with a source that has `test_mode = true`.",
    )
    unverified: ClassVar[str] = (
        "The names of the recurrences, how a partial refund is told, and how a preorder is charged: its authorisation is left out."
    )

    def __init__(self, settings: GumroadSettings) -> None:
        """Take the settings of one source."""
        self._secrets = tuple(secret.get_secret_value() for secret in settings.secret)
        self._grace = settings.period_grace

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Compare the secret of the query.

        Raises:
            SignatureInvalid: it is missing or wrong.
        """
        if not any_same(event.query.get("secret"), self._secrets):
            raise SignatureInvalid("the secret is not this source's")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return what an event means; nothing for a cancellation, whose subscription is still paid.

        Raises:
            PayloadInvalid: an id, the e-mail or the product is missing.
        """
        body = Payload(fields_of(event))
        told = body.text("resource_name") or "sale"
        livemode = not body.flag("test")
        if told == "sale" and not body.flag("is_preorder_authorization") and not body.flag("refunded"):
            return [self._sold(body, event.received_at, livemode=livemode)]
        if told in _OF_SUBSCRIPTION:
            subscription = body.needed_text("subscription_id")
            when = body.text("ended_at", "restarted_at")
            return [
                command(
                    action=_OF_SUBSCRIPTION[told],
                    event_key=f"{told}:{subscription}:{when}",
                    occurred_at=body.moment("ended_at") or body.moment("restarted_at") or event.received_at,
                    livemode=livemode,
                    order={"subscription_id": subscription},
                )
            ]
        if told in _OF_SALE or told == "refund":
            sale, whole = body.needed_text("sale_id"), body.flag("refunded")
            return [
                command(
                    action=_OF_SALE.get(told, Action.REFUND),
                    event_key=f"{told}:{sale}:{'full' if whole else 'part'}" if told == "refund" else f"{told}:{sale}",
                    occurred_at=event.received_at,
                    business_key=f"sale:{sale}",
                    livemode=livemode,
                    refund={"full": whole} if told == "refund" else None,
                    order={"transaction_id": sale},
                )
            ]
        return []

    def _sold(self, body: Payload, received_at: datetime, *, livemode: bool) -> EnrollmentCommand:
        sale, at = body.needed_text("sale_id"), body.moment("sale_timestamp") or received_at
        paid = minor(body.at("price").value, "USD")
        item = {
            "remote_product_id": body.text("product_id") or body.needed_text("short_product_id"),
            "quantity": max(1, body.whole("quantity", 1)),
            "amount_paid": paid,
            "currency": None if paid is None else "USD",
        }
        return command(
            action=Action.ENROLL,
            event_key=f"sale:{sale}",
            business_key=f"sale:{sale}",
            occurred_at=at,
            livemode=livemode,
            learner=_learner(body),
            items=[item],
            order={
                "number": body.maybe("order_number"),
                "total": paid,
                "currency": item["currency"],
                "coupon": body.maybe("offer_code"),
                "transaction_id": sale,
                "subscription_id": body.maybe("subscription_id"),
            },
            options=self._until(at, body.text("recurrence") if body.text("subscription_id") else ""),
        )

    def _until(self, at: datetime, recurrence: str) -> dict[str, Any]:
        days = _PERIODS.get(recurrence)
        with suppress(OverflowError):  # nobody buys for the year 9999, but a body may say so
            return {"expires_at": at + timedelta(days=days) + self._grace} if days else {}
        return {}

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Gumroad reads only the status."""
        return acknowledge(reception)


def _learner(body: Payload) -> dict[str, Any]:
    fields = _dictionary(body, "custom_fields")
    named = next((text for name, text in fields.items() if name.lower() in ("name", "full name", "full_name")), "")
    first, last = split(body.text("full_name") or named)
    attributes = {**_dictionary(body, "variants"), **fields}
    return {
        "email": body.needed_text("email"),
        "first_name": first,
        "last_name": last,
        "attributes": attributes,
    }


def _dictionary(body: Payload, name: str) -> dict[str, str]:
    """Return a value that holds others, however it was written."""
    value = body.at(name).value
    if isinstance(value, Mapping):
        pairs = [(str(key), Payload(held).text()) for key, held in value.items()]
    else:
        matches = _PRINTED.findall(body.text(name)[:_LONGEST])
        pairs = [(a or b or c, d or e or f) for a, b, c, d, e, f in matches]
    return {key.replace("\0", "")[:100]: text[:500] for key, text in pairs[:_MOST] if key and text}


ADAPTER: type[InboundAdapter] = Gumroad
