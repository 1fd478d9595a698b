"""Razorpay: payments, orders, subscriptions, refunds and disputes, by webhook.

Authentication: ``X-Razorpay-Signature``, the HMAC-SHA256 of the raw body under the webhook's secret, in hex. A retry may
still be signed with the secret before the current one, so keep the old one for a day. No time is signed, so there is no
replay window; an event that is sent again has the same ``x-razorpay-event-id``.

One payment is told as ``payment.captured`` and as ``order.paid``, in any order; both name the order, which is the
business key. A payment of an invoice (each charge of a subscription has one) is told by ``subscription.charged`` or
``invoice.paid`` instead, which know what was bought; its ``payment.captured`` and ``order.paid`` mean nothing here.
Amounts are whole numbers in the currency's smallest unit. Test and live events look the same: only the secret tells them
apart.

Retries: with growing pauses for 24 hours, then the webhook is switched off (razorpay.com/docs/webhooks, also for the
events' names, the refund's body, and ``captured`` being false in refunds of payments that were never taken).

Not from a source: which notes name product, person and e-mail is up to the shop, hence the settings; the bodies of
subscriptions, invoices and disputes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Reception, Response, Route
from bridge.contract.settings import Duration, Secrets, SourceSettings, TellsFailedPayments
from bridge.kit.acknowledge import acknowledge
from bridge.kit.money import minor
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import signed_with
from bridge.kit.subscriptions import payment_failed

_BOUGHT = frozenset({"payment.captured", "order.paid"})
_DISPUTES: Mapping[str, Action] = {
    "payment.dispute.created": Action.SUSPEND,
    "payment.dispute.won": Action.RESUME,
    "payment.dispute.lost": Action.CANCEL,
}
_SUBSCRIPTION_CHANGES: Mapping[str, Action] = {
    "subscription.paused": Action.SUSPEND,
    "subscription.resumed": Action.RESUME,
}
_FAILED = frozenset({"subscription.pending", "subscription.halted"})  # it is tried again; it is not tried any more
_NOBODY = "void@razorpay.com"  # what stands for an e-mail that the checkout did not ask for

NoteKeys = tuple[Annotated[str, Field(min_length=1)], ...]


class RazorpaySettings(TellsFailedPayments):
    """``[sources.NAME]`` with ``adapter = "razorpay"``.

    Attributes:
        signing_secrets: the webhook's secret; the old one as well for a day after it changed.
        product_notes: keys of the notes that name the product; the first that is there counts, commas separate several.
        email_notes: keys of the notes that name the learner's e-mail, where that is not the payer's.
        name_notes: keys of the notes that name the learner.
        period_grace: how long access outlasts a subscription's period, so that a late renewal finds it.
    """

    signing_secrets: Secrets
    product_notes: Annotated[NoteKeys, Field(min_length=1)] = ("product_id",)
    email_notes: NoteKeys = ("learner_email",)
    name_notes: NoteKeys = ("name", "learner_name")
    period_grace: Duration = timedelta(days=3)


class Razorpay:
    """Takes purchases, renewals, refunds and disputes from Razorpay."""

    Settings: ClassVar[type[SourceSettings]] = RazorpaySettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    quantities: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset({"x-razorpay-event-id"})
    product_id: ClassVar[str] = (
        "The note under one of `product_notes` of the payment, the order, the subscription or the invoice, in this order; "
        "commas separate several. A subscription without such a note is its `plan_id`."
    )
    setup: ClassVar[Sequence[str]] = (
        (
            "Have your checkout put the product's id into the `notes` of the payment or the order, under the key "
            "`product_id`; name another key in `product_notes`."
        ),
        "In Razorpay's Dashboard, under Account & Settings and Webhooks, add a webhook with the address `{url}`.",
        "Make up a secret, enter it there, and put it into `signing_secrets`.",
        (
            "Select `payment.captured` where your notes are the payment's, or `order.paid` where they are the order's (both "
            "where they are in both), and `subscription.charged`, `subscription.pending`, `subscription.cancelled`, `invoice.paid`, "
            "`refund.processed`, `payment.dispute.created`, `payment.dispute.won`, `payment.dispute.lost`."
        ),
        "Test and live mode have webhooks of their own: make a source for each, with different secrets.",
    )
    unverified: ClassVar[str] = (
        "The events `subscription.pending`, `halted`, `paused` and `resumed`, the bodies of subscriptions, invoices and disputes, and the header `x-razorpay-event-id`; without it the ids in the "
        "body tell events apart."
    )

    def __init__(self, settings: RazorpaySettings) -> None:
        """Take the settings of one source."""
        self._keys = [secret.get_secret_value().encode() for secret in settings.signing_secrets]
        self._settings = settings

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Check the signature of the raw body.

        Raises:
            SignatureInvalid: it is missing, or of no secret of ours.
        """
        if not signed_with(self._keys, event.body, [event.headers.get("x-razorpay-signature", "")]):
            raise SignatureInvalid("the X-Razorpay-Signature fits no secret of this source")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return what an event means; nothing for what another event tells better.

        Raises:
            PayloadInvalid: an id, the e-mail or the product is missing.
        """
        told = _Told(event)
        if told.type in _BOUGHT and not told.payment.text("invoice_id"):
            return [self._purchase(told)]
        if told.type == "invoice.paid" and not told.entity("invoice").text("subscription_id"):
            return [self._purchase(told)]
        if told.type == "subscription.charged":
            return [self._purchase(told)]
        if told.type == "subscription.cancelled":
            subscription = told.entity("subscription").needed_text("id")
            return [told.command(Action.CANCEL, subscription, order={"subscription_id": subscription})]
        if told.type in _SUBSCRIPTION_CHANGES:
            about, order = self._subscription(told)
            return [told.command(_SUBSCRIPTION_CHANGES[told.type], about, order=order)]
        if told.type in _FAILED:
            about, order = self._subscription(told)
            common = {"occurred_at": told.at, "event_key": told.key(about)}
            return [payment_failed(self._settings.failed_payment_grace, common, order=order)]
        if told.type == "refund.processed":
            return _refunded(told)
        if told.type in _DISPUTES:
            dispute = told.entity("dispute")
            payment = told.payment.text("id") or dispute.needed_text("payment_id")
            return [told.command(_DISPUTES[told.type], dispute.text("id") or payment, order=_of_payment(payment))]
        return []

    def _subscription(self, told: _Told) -> tuple[str, dict[str, Any]]:
        subscription = told.entity("subscription").needed_text("id")
        return f"{subscription}:{told.at.isoformat()}", {"subscription_id": subscription}  # it may come about again

    def _purchase(self, told: _Told) -> EnrollmentCommand:
        payment, subscription = told.payment, told.entity("subscription")
        payment_id, order_id = payment.needed_text("id"), payment.text("order_id") or told.entity("order").text("id")
        currency = payment.text("currency") or "INR"
        paid = minor(payment.at("amount").value, currency)
        products = self._products(told)
        items = [
            {"remote_product_id": product, "amount_paid": paid if len(products) == 1 else None, "currency": currency}
            for product in products
        ]
        refs = {order_id, payment.text("invoice_id"), told.entity("invoice").text("id")} - {""}
        until = subscription.moment("current_end")
        return told.command(
            Action.ENROLL,
            payment_id,
            # Of the payment, not of the event: two events that tell one payment were not made in one moment.
            occurred_at=payment.moment("created_at") or told.at,
            business_key=order_id or payment_id,
            learner=self._learner(told),
            items=items,
            order={
                "number": order_id or None,
                "total": paid,
                "currency": currency,
                "payment_method": payment.maybe("method"),
                "transaction_id": payment_id,
                "subscription_id": subscription.maybe("id"),
                "refs": sorted(refs),
            },
            options={"expires_at": until + self._settings.period_grace if until else None},
        )

    def _products(self, told: _Told) -> list[str]:
        named = told.note(self._settings.product_notes) or told.entity("subscription").text("plan_id")
        products = [part.strip() for part in named.split(",") if part.strip()]
        if not products:
            key = self._settings.product_notes[0]
            raise PayloadInvalid(
                {f"payload.payment.entity.notes.{key}": "is missing, and nothing else names the product"}
            )
        return list(dict.fromkeys(products))

    def _learner(self, told: _Told) -> dict[str, Any]:
        payer = told.payment.text("email")
        email = told.note(self._settings.email_notes) or ("" if payer.lower() == _NOBODY else payer)
        if not email:
            raise PayloadInvalid({"payload.payment.entity.email": "is missing"})
        first, last = first_and_last("", "", told.note(self._settings.name_notes))
        return {"email": email, "first_name": first, "last_name": last, "phone": told.payment.text("contact")}

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Razorpay reads only the status."""
        return acknowledge(reception)


class _Told:
    """One event, opened."""

    def __init__(self, event: InboundEvent) -> None:
        self._body = Payload(event.json)
        self._id = event.headers.get("x-razorpay-event-id", "").strip()
        self.type = self._body.text("event")
        self.at: datetime = self._body.moment("created_at") or event.received_at
        self.payment = self.entity("payment")

    def entity(self, name: str) -> Payload:
        return self._body.at(f"payload.{name}.entity")

    def note(self, keys: Sequence[str]) -> str:
        for name in ("payment", "order", "subscription", "invoice"):
            notes = self.entity(name).at("notes").value  # an empty list where there are none
            for key in keys if isinstance(notes, dict) else ():
                if text := Payload(notes.get(key)).text():
                    return text
        return ""

    def command(self, action: Action, about: str, **values: Any) -> EnrollmentCommand:
        return command(**{"action": action, "occurred_at": self.at, "event_key": self.key(about), **values})

    def key(self, about: str) -> str:
        return self._id or f"{self.type}:{about}"


def _refunded(told: _Told) -> list[EnrollmentCommand]:
    refund, payment = told.entity("refund"), told.payment
    if payment.at("captured").value is False:
        return []  # an authorisation that was let go: nothing was bought with it
    payment_id = refund.text("payment_id") or payment.needed_text("id")
    what = {"full": _is_full(refund, payment)}
    return [told.command(Action.REFUND, refund.needed_text("id"), refund=what, order=_of_payment(payment_id))]


def _is_full(refund: Payload, payment: Payload) -> bool:
    if payment.text("refund_status"):
        return payment.text("refund_status") == "full"
    return refund.whole("amount") >= payment.whole("amount", default=2**62)


def _of_payment(payment_id: str) -> dict[str, Any]:
    return {"transaction_id": payment_id}


ADAPTER: type[InboundAdapter] = Razorpay
