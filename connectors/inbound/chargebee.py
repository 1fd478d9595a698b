"""Chargebee: subscriptions, one-time invoices and refunds, by webhook.

Authentication: HTTP Basic with the user name and password that the merchant made up for the webhook. The header is
compared as it came, in constant time, with what the pair encodes to. The user name holds no colon, so the first colon
ends it. Nothing is signed: anyone who knows the password can send anything, and the address must be https.

An event's ``id`` (``ev_...``) makes it unique and stays the same when it is sent again: seven times in two days, in any
order, now and then twice. One purchase is told by several events (``subscription_created`` and ``payment_succeeded``, say):
its business key is the invoice, its time is when that was paid, and the lines keep Chargebee's own ids. An invoice of
several subscriptions becomes one command for each of them and each end of a period.

An invoice that is not paid yet means nothing. A subscription that begins with a trial is a purchase until the trial
ends. Test sites are accounts of their own; their events carry no mark.

Sources: a third party's guide to Chargebee's webhooks (Basic authentication, envelope, event types, retries). Not from a
source: amounts in the currency's smallest unit, the fields of invoices' and credit notes' lines.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import StringConstraints

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Reception, Response, Route
from bridge.contract.settings import Duration, Secrets, SourceSettings, TellsFailedPayments
from bridge.kit.acknowledge import acknowledge
from bridge.kit.money import minor
from bridge.kit.names import clean
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import any_same
from bridge.kit.subscriptions import payment_failed

_BOUGHT = frozenset(
    {"subscription_created", "subscription_activated", "subscription_renewed", "payment_succeeded", "invoice_generated"}
)

_CHANGES = {
    "subscription_cancelled": Action.CANCEL,  # at the end of the term, where that was chosen
    "subscription_paused": Action.SUSPEND,
    "subscription_resumed": Action.RESUME,
}


class ChargebeeSettings(TellsFailedPayments):
    """``[sources.NAME]`` with ``adapter = "chargebee"``.

    Attributes:
        username: the user name that the webhook was given; without a colon.
        password: the password that goes with it; several while it changes.
        trials: whether a subscription's trial opens the course already.
        period_grace: how long access outlasts a subscription's period, so that a late renewal finds it.
    """

    username: Annotated[str, StringConstraints(pattern=r"^[^:]+$")]
    password: Secrets
    trials: bool = True
    period_grace: Duration = timedelta(days=3)


class Chargebee:
    """Takes purchases, renewals, refunds and cancellations from Chargebee."""

    Settings: ClassVar[type[SourceSettings]] = ChargebeeSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = (
        "The `entity_id` of the invoice's line: the id of the item price (`Intro-USD-Monthly`), or of the plan or addon on "
        "older sites; else the line's description."
    )
    setup: ClassVar[Sequence[str]] = (
        "In Chargebee, under Settings, Configure Chargebee and Webhooks, add a webhook with the address `{url}`, API version 2.",
        "Protect it with basic authentication: make up a user name and a password, and put them into `username` and `password`.",
        (
            "Select `subscription_created`, `subscription_activated`, `subscription_renewed`, `subscription_cancelled`, "
            "`payment_succeeded`, `payment_failed`, `payment_refunded` and `invoice_generated`; more do no harm."
        ),
        "For the test site make a second source with a password of its own.",
    )
    unverified: ClassVar[str] = (
        "The names of the events `payment_failed`, `subscription_paused` and `subscription_resumed`; that amounts are in the "
        "smallest unit of their currency, the names of the lines' fields, and how a credit note names "
        "the invoice's lines."
    )

    def __init__(self, settings: ChargebeeSettings) -> None:
        """Take the settings of one source."""
        self._settings = settings
        self._shown = [
            shown
            for password in settings.password
            for shown in _encodings(f"{settings.username}:{password.get_secret_value()}")
        ]

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Compare user name and password.

        Raises:
            SignatureInvalid: they are missing or wrong.
        """
        scheme, _, shown = event.headers.get("authorization", "").partition(" ")
        if not any_same(shown.strip(), self._shown) or scheme.lower() != "basic":
            raise SignatureInvalid("the user name or the password is not this source's")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return what an event means; nothing for an invoice that is not paid.

        Raises:
            PayloadInvalid: an id, the e-mail or what was bought is missing.
        """
        body = Payload(event.json)
        told, content = body.text("event_type"), body.at("content")
        at = body.moment("occurred_at") or event.received_at
        common = {"occurred_at": at, "event_key": body.maybe("id")}
        if told in _BOUGHT and content.text("invoice.status") == "paid":
            return self._bought(content, common)
        if (
            told == "subscription_created"
            and content.text("subscription.status") == "in_trial"
            and self._settings.trials
        ):
            return [self._trial(content, common)]
        if told in _CHANGES:
            subscription = content.needed_text("subscription.id")
            return [command(action=_CHANGES[told], order={"subscription_id": subscription}, **common)]
        if told == "payment_failed" and (subscription := content.text("subscription.id")):
            grace = self._settings.failed_payment_grace
            return [payment_failed(grace, common, order={"subscription_id": subscription})]
        if told == "payment_refunded":
            return [_refunded(content, common)]
        return []

    def _bought(self, content: Payload, common: dict[str, Any]) -> list[EnrollmentCommand]:
        invoice = content.at("invoice")
        number, currency = invoice.needed_text("id"), invoice.maybe("currency_code")
        common = {**common, "occurred_at": invoice.moment("paid_at") or common["occurred_at"]}
        parts: dict[tuple[str, datetime | None], list[dict[str, Any]]] = {}
        for line in invoice.at("line_items"):
            subscription = line.text("subscription_id") or invoice.text("subscription_id")
            parts.setdefault((subscription, _period_end(line)), []).append(_item(line, currency))
        if not parts:
            raise PayloadInvalid({"content.invoice.line_items": "is missing or empty"})
        payments = list(_payments(content))
        return [
            command(
                action=Action.ENROLL,
                business_key=number,
                learner=_learner(content),
                items=items,
                order={
                    "number": number,
                    "status": "paid",
                    "total": minor(invoice.at("total").value, currency),
                    "currency": currency,
                    "coupon": next(
                        (found for line in invoice.at("discounts") if (found := line.maybe("entity_id"))), None
                    ),
                    "transaction_id": next(iter(payments), None),
                    "subscription_id": subscription or None,
                    "refs": payments,
                },
                options=self._until(end),
                **common,
            )
            for (subscription, end), items in parts.items()
        ]

    def _trial(self, content: Payload, common: dict[str, Any]) -> EnrollmentCommand:
        subscription = content.at("subscription")
        number = subscription.needed_text("id")
        items = [
            {"remote_product_id": line.needed_text("item_price_id"), "quantity": max(1, line.whole("quantity", 1))}
            for line in subscription.at("subscription_items")
        ]
        return command(
            action=Action.ENROLL,
            business_key=f"trial:{number}",
            learner=_learner(content),
            items=items or [{"remote_product_id": subscription.needed_text("plan_id")}],
            order={"status": "in_trial", "subscription_id": number},
            options=self._until(subscription.moment("trial_end")),
            **common,
        )

    def _until(self, end: datetime | None) -> dict[str, Any]:
        with suppress(OverflowError):  # a period that ends with the year 9999 has no end
            return {"expires_at": end + self._settings.period_grace if end else None}
        return {}

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Chargebee reads only the status."""
        return acknowledge(reception)


def _encodings(pair: str) -> Iterator[str]:
    for encoding in ("utf-8", "latin-1"):  # the header's encoding is nowhere laid down
        with suppress(UnicodeEncodeError):
            yield base64.b64encode(pair.encode(encoding)).decode()


def _learner(content: Payload) -> dict[str, Any]:
    customer = content.at("customer")
    email = customer.text("email", "billing_address.email") or content.text("invoice.billing_address.email")
    if not email:
        raise PayloadInvalid({"content.customer.email": "is missing"})
    return {
        "email": email,
        "first_name": clean(customer.text("first_name", "billing_address.first_name")),
        "last_name": clean(customer.text("last_name", "billing_address.last_name")),
        "phone": customer.text("phone"),
    }


def _item(line: Payload, currency: str | None) -> dict[str, Any]:
    return {
        "remote_product_id": line.text("entity_id") or line.needed_text("description"),
        "quantity": max(1, line.whole("quantity", 1)),
        "amount_paid": minor(line.at("amount").value, currency),
        "currency": currency,
        "line": line.text("id"),
    }


def _period_end(line: Payload) -> datetime | None:
    """Return when a line's period ends; a one-time charge has none, it begins and ends in one moment."""
    begin, end = line.moment("date_from"), line.moment("date_to")
    recurring = line.text("entity_type").startswith(("plan", "addon"))
    return end if recurring and begin and end and end > begin else None


def _payments(content: Payload) -> Iterator[str]:
    found = [content.text("transaction.id"), *(paid.text("txn_id") for paid in content.at("invoice.linked_payments"))]
    yield from dict.fromkeys(sorted({payment for payment in found if payment}))


def _refunded(content: Payload, common: dict[str, Any]) -> EnrollmentCommand:
    invoice, note, transaction = content.at("invoice"), content.at("credit_note"), content.at("transaction")
    number = invoice.text("id") or note.text("reference_invoice_id")
    payment = transaction.text("reference_transaction_id")
    if not number and not payment:
        raise PayloadInvalid({"content.invoice.id": "is missing"})
    total = invoice.whole("total") or invoice.whole("amount_paid")
    returned = max(
        transaction.whole("amount"), sum(note.whole("cn_total") for note in invoice.at("issued_credit_notes"))
    )
    full = 0 < total <= returned
    return command(
        action=Action.REFUND,
        business_key=number or None,
        refund={"full": full},
        items=[] if full else list(_returned_lines(invoice, note)),
        order={"number": number or None, "refs": [payment] if payment else []},
        **common,
    )


def _returned_lines(invoice: Payload, note: Payload) -> Iterator[dict[str, Any]]:
    """Yield the invoice's lines that a credit note gives back in full; of a part of a line's money nothing follows."""
    returned = {line.text("reference_line_item_id"): line.whole("amount") for line in note.at("line_items")}
    for line in invoice.at("line_items"):
        if line.text("id") and returned.get(line.text("id"), -1) >= line.whole("amount"):
            yield _item(line, invoice.maybe("currency_code"))


ADAPTER: type[InboundAdapter] = Chargebee
