"""Braintree: subscriptions, settled transactions and disputes, by webhook.

When the address is entered, Braintree asks whether it is ours: ``GET ?bt_challenge=HEX`` is answered with
``PUBLIC_KEY|HMAC``. Only 20 to 32 hexadecimal digits are ever signed there, which no notification can consist of.

A notification is a form. ``bt_payload`` is XML in base64; ``bt_signature`` is ``PUBLIC_KEY|HEX``, several joined by ``&``:
the HMAC-SHA1 of the payload's text under the SHA-1 of the private key. A payload that lost its last line break on the way
counts as signed, too. No time is signed apart from the payload. XML is read without entities and document types.

A notification has no id. What happened happens once to a transaction, a dispute or a subscription, so kind and id make it
unique. Each charge of a subscription is a purchase of its own, known by its transaction. Notifications may come in any
order; their time is ``timestamp``.

Sources: the vendor's guide to webhooks, its open libraries (challenge, signature, sample notifications). Not from a
source: retries (every hour for a day, it is said), the fields of a subscription's transactions, and refunds: the notice
of a settled credit does not say how much of the purchase it was, so it is only noted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Self
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import BeforeValidator, Field, model_validator

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Reception, Response, Route
from bridge.contract.settings import Duration, Secrets, SourceSettings, TellsFailedPayments
from bridge.kit.acknowledge import acknowledge
from bridge.kit.money import major
from bridge.kit.names import clean
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import signed_with
from bridge.kit.subscriptions import payment_failed

_CHALLENGE = re.compile(r"[a-f0-9]{20,32}")
_BASE64 = re.compile(r"[A-Za-z0-9+=/\n]+")
_LAST_DAY = datetime(9999, 1, 1, tzinfo=UTC)
_DEEPEST = 24  # levels of a notification; the vendor's have seven
_ENDS = frozenset({"subscription_canceled", "subscription_expired"})
_FAILED = frozenset({"subscription_charged_unsuccessfully", "subscription_went_past_due"})
_DISPUTES: Mapping[str, Action] = {
    "dispute_opened": Action.SUSPEND,
    "dispute_won": Action.RESUME,
    "dispute_lost": Action.CANCEL,
}

Names = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(min_length=1),
]


class BraintreeSettings(TellsFailedPayments):
    """``[sources.NAME]`` with ``adapter = "braintree"``.

    Attributes:
        public_key: of the API keys; several while they change, the current one first.
        private_key: that belongs to it; as many, in the same order.
        product_fields: custom fields of a transaction that name the product; they go before the plan.
        email_fields: custom fields of a transaction that name the learner's e-mail, where the customer has none.
        period_grace: how long access outlasts a subscription's period, so that a late renewal finds it.
    """

    public_key: Secrets
    private_key: Secrets
    product_fields: Names = ("product_id",)
    email_fields: Names = ("email",)
    period_grace: Duration = timedelta(days=3)

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len(self.public_key) != len(self.private_key):
            msg = "public_key and private_key must be as many, in the same order"
            raise ValueError(msg)
        return self


class Braintree:
    """Takes subscriptions' charges, settled transactions and disputes from Braintree."""

    Settings: ClassVar[type[SourceSettings]] = BraintreeSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("GET", "POST")
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    quantities: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset({"bt_signature"})  # holds the public key
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = (
        "The custom field under `product_fields` of the transaction, else the id of the subscription's plan."
    )
    setup: ClassVar[Sequence[str]] = (
        "In Braintree's Control Panel, under Settings and API, copy the public and the private key into `public_key` and `private_key`.",
        "Start the bridge: the Control Panel asks the address at once.",
        (
            "Under API and Webhooks, create a webhook with the destination URL `{url}` and select Subscription Charged "
            "Successfully, Subscription Charged Unsuccessfully, Canceled, Expired, Transaction Settled, and Dispute Opened, Won and Lost."
        ),
        "For sales without a plan, make a custom field `product_id` that is stored and passed back, and fill it at the checkout.",
        "The sandbox is an account of its own: make a second source for it.",
    )
    unverified: ClassVar[str] = (
        "`paid_through_date` of a subscription that ends: without it access ends with the last period that was charged. The fields of a subscription's transactions and of a settled one. Refunds are only noted, because no notification says "
        "whether they were full."
    )

    def __init__(self, settings: BraintreeSettings) -> None:
        """Take the settings of one source."""
        digests = [hashlib.sha1(key.get_secret_value().encode()).digest() for key in settings.private_key]  # noqa: S324 - Braintree's way
        self._keys = [
            (key.get_secret_value(), digest) for key, digest in zip(settings.public_key, digests, strict=True)
        ]
        self._settings = settings

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def handshake(self, event: InboundEvent) -> Response | None:
        """Answer the challenge with which Braintree tests the address."""
        challenge = event.query.get("bt_challenge", "")
        if event.method != "GET" or not _CHALLENGE.fullmatch(challenge):
            return None
        public, key = self._keys[0]
        signature = hmac.digest(key, challenge.encode(), "sha1").hex()
        return Response(200, f"{public}|{signature}".encode(), content_type="text/plain")

    def verify(self, event: InboundEvent) -> None:
        """Check the signature of the payload under the key pair that it names.

        Raises:
            SignatureInvalid: it is missing, or of no key of ours.
        """
        try:
            payload, shown = _payload(event), event.form.get("bt_signature", "")
        except PayloadInvalid:
            raise SignatureInvalid("the body is not a signed notification") from None
        if _CHALLENGE.fullmatch(payload):  # anybody gets a signature of that: see handshake
            raise SignatureInvalid("the payload is a challenge, and no notification")
        pairs = [pair.strip().partition("|") for pair in shown.split("&")]
        found = False
        for public, key in self._keys:
            signatures = [signature for name, _, signature in pairs if name == public]
            for message in (payload, payload + "\n"):
                found |= signed_with([key], message.encode(), signatures, algorithm="sha1")
        if not found:
            raise SignatureInvalid("no part of bt_signature fits this payload and this source's keys")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return what a notification means.

        Raises:
            PayloadInvalid: it is no notification, or an id, the e-mail or the product is missing.
        """
        told = _Told(event)
        if told.kind == "subscription_charged_successfully":
            return [self._charged(told)]
        if told.kind == "transaction_settled" and not told.subject.text("transaction.subscription_id"):
            return [self._settled(told)]
        if told.kind in _ENDS or told.kind in _FAILED:
            return [self._subscription_changed(told)]
        if told.kind in _DISPUTES and told.subject.text("dispute.kind") != "retrieval":  # an inquiry takes no money
            dispute = told.subject.at("dispute")
            order = {"transaction_id": dispute.needed_text("transaction.id")}
            return [told.command(_DISPUTES[told.kind], dispute.needed_text("id"), order=order)]
        return []

    def _subscription_changed(self, told: _Told) -> EnrollmentCommand:
        subscription = told.subject.needed_text("subscription.id")
        order = {"subscription_id": subscription}
        if told.kind in _FAILED:  # a payment may fail more than once
            common = {"occurred_at": told.at, "event_key": f"{told.kind}:{subscription}:{told.at.isoformat()}"}
            return payment_failed(self._settings.failed_payment_grace, common, order=order)
        # Nothing more is charged from now on, and what was charged is paid until its period ends.
        last_day = told.subject.moment("subscription.paid_through_date")
        until = last_day + timedelta(days=1) if last_day and last_day < _LAST_DAY else None
        ahead = until if until and until > told.at else None
        return told.command(Action.CANCEL, subscription, order=order, effective_at=ahead, at_period_end=True)

    def _charged(self, told: _Told) -> EnrollmentCommand:
        subscription = told.subject.at("subscription")
        charges = list(subscription.at("transactions"))
        if not charges:
            raise PayloadInvalid({"subject.subscription.transactions": "is empty, so nothing says who paid"})
        newest = max(charges, key=lambda charge: charge.moment("created_at") or datetime.min.replace(tzinfo=UTC))
        last_day = subscription.moment("billing_period_end_date")
        try:
            until = last_day + timedelta(days=1) + self._settings.period_grace if last_day else None
        except OverflowError:
            until = None
        return self._bought(told, newest, subscription, until)

    def _settled(self, told: _Told) -> EnrollmentCommand:
        transaction = told.subject.at("transaction")
        refunded = transaction.text("refunded_transaction_id")
        if transaction.text("type") != "credit" and not refunded:
            return self._bought(told, transaction, Payload({}), None)
        number = transaction.needed_text("id")
        order = {"transaction_id": refunded or number}
        return told.command(Action.REFUND, number, refund={"full": False}, order=order)

    def _bought(
        self, told: _Told, transaction: Payload, subscription: Payload, until: datetime | None
    ) -> EnrollmentCommand:
        number, currency = transaction.needed_text("id"), transaction.maybe("currency_iso_code")
        custom = transaction.at("custom_fields")
        paid = major(transaction.text("amount"))
        product = (
            _first(custom, self._settings.product_fields) or subscription.text("plan_id") or transaction.text("plan_id")
        )
        if not product:
            raise PayloadInvalid({f"custom_fields.{self._settings.product_fields[0]}": "is missing, and so is a plan"})
        email = transaction.text("customer.email") or _first(custom, self._settings.email_fields)
        if not email:
            raise PayloadInvalid({"transaction.customer.email": "is missing"})
        return told.command(
            Action.ENROLL,
            number,
            occurred_at=transaction.moment("created_at") or told.at,
            business_key=number,
            learner={
                "email": email,
                "first_name": clean(transaction.text("customer.first_name")),
                "last_name": clean(transaction.text("customer.last_name")),
                "phone": transaction.text("customer.phone"),
            },
            items=[{"remote_product_id": product, "amount_paid": paid, "currency": currency}],
            order={
                "number": transaction.maybe("order_id"),
                "total": paid,
                "currency": currency,
                "payment_method": transaction.maybe("payment_instrument_type"),
                "transaction_id": number,
                "subscription_id": subscription.maybe("id"),
            },
            options={"expires_at": until},
        )

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Braintree reads only the status."""
        return acknowledge(reception)


class _Told:
    """One notification, opened."""

    def __init__(self, event: InboundEvent) -> None:
        body = Payload(_notification(event))
        self.kind = body.needed_text("kind")
        self.at = body.moment("timestamp") or event.received_at
        self.subject = Payload(body.at("subject").value, "subject")

    def command(self, action: Action, about: str, **values: Any) -> EnrollmentCommand:
        return command(**{"action": action, "occurred_at": self.at, "event_key": f"{self.kind}:{about}", **values})


def _payload(event: InboundEvent) -> str:
    payload = event.form.get("bt_payload", "").replace(" ", "+")  # a plus sign that nobody escaped arrives as a space
    if not _BASE64.fullmatch(payload):
        raise PayloadInvalid({"bt_payload": "is missing, or no base64"})
    return payload


def _notification(event: InboundEvent) -> Any:
    try:
        root = fromstring(base64.b64decode(_payload(event)), forbid_dtd=True)
        return _value(root, 0)
    except (ParseError, DefusedXmlException, ValueError, LookupError):  # an encoding that nobody knows is a LookupError
        raise PayloadInvalid({"bt_payload": "is no XML that can be read"}, readable=False) from None


def _value(element: Element, depth: int) -> Any:
    """Return an element as JSON would hold it: a list, an object, or text; names with underscores."""
    if depth > _DEEPEST:
        raise ValueError
    if element.get("type") == "array" or element.tag == "transactions":
        return [_value(child, depth + 1) for child in element]
    if len(element):
        return {child.tag.replace("-", "_"): _value(child, depth + 1) for child in element}
    return element.text or ""


def _first(fields: Payload, names: Sequence[str]) -> str:
    return next((found for name in names if (found := fields.text(name.replace("-", "_")))), "")


ADAPTER: type[InboundAdapter] = Braintree
