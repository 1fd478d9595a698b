"""Stripe: Checkout, payment links, invoices and subscriptions, by webhook.

Authentication: ``Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX]``, the HMAC-SHA256 of ``t.body`` under the endpoint's whole
signing secret, ``whsec_`` included; other schemes (``v0``) count for nothing. The body on the wire is pretty-printed, so
it is verified as it came. An event's id makes it unique and stays the same when it is sent again: for three days, in any
order (official library; third-party table of delivery rules).

One purchase is told several times. Its business key is ``invoice:ID`` wherever there is an invoice: the session names
it, ``invoice.paid`` and ``invoice.payment_succeeded`` are it, and each renewal has its own. Else it is
``payment:ID`` of the payment intent, else ``session:ID``.

A one-time checkout that makes an invoice (``invoice_creation``) may complete before it names that. What was paid is told by
the invoice all the same: with ``api_key`` the session is asked for it until it is there. What costs nothing is the session's.

A session does not say what was bought. It is asked for with ``api_key``: the invoice, where the session names one (what
the invoice events say, so either may come first), else the session's lines. Without ``api_key`` the invoice events tell
their purchases, and of a session without an invoice the metadata or the payment link is the product; one with neither
waits in quarantine. Newer invoices leave out their payment, by which refunds and disputes name it; that is asked for, too.

A session that is not paid yet means nothing, so there is nothing to take back either when its payment fails.

Not from a source: the time a signature may be ahead (a minute), and the polite rate limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr

from bridge.contract.command import EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import (
    InboundAdapter,
    InboundEvent,
    Lookup,
    Meaning,
    Reception,
    Response,
    Route,
    Unreadable,
)
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.contract.settings import (
    CallsOut,
    Duration,
    MarksTestOrders,
    Rate,
    Secrets,
    SourceSettings,
    TellsFailedPayments,
)
from bridge.kit.acknowledge import acknowledge
from bridge.kit.http import Http
from bridge.kit.payload import Payload
from bridge.kit.signatures import fresh, signed_with
from connectors.inbound.stripe.api import Api, NotTold
from connectors.inbound.stripe.changes import (
    disputed,
    refund_changed,
    refunded,
    renewal_failed,
    subscription_ended,
)
from connectors.inbound.stripe.purchases import Reading, invoice_bought, named, payments_missing, session_bought
from connectors.inbound.stripe.told import Told, id_of, opened

_SESSIONS = frozenset({"checkout.session.completed", "checkout.session.async_payment_succeeded"})
_INVOICES = frozenset({"invoice.paid", "invoice.payment_succeeded"})
_PAID = frozenset({"paid", "no_payment_required"})
_CHANGES: Mapping[str, Callable[[Told], Sequence[EnrollmentCommand]]] = {
    "charge.refunded": refunded,
    **dict.fromkeys(("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"), refund_changed),
    **dict.fromkeys(
        (f"charge.dispute.{what}" for what in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")),
        disputed,
    ),
    "customer.subscription.deleted": subscription_ended,
}
_SECONDS = re.compile(r"[0-9]{1,11}")


class StripeSettings(MarksTestOrders, TellsFailedPayments, CallsOut):
    """``[sources.NAME]`` with ``adapter = "stripe"``.

    Attributes:
        signing_secrets: of the webhook endpoint (``whsec_...``); several while they are rolled, or of several endpoints.
        api_key: a restricted key that may read Checkout Sessions and Invoices; without it sessions can't say their lines.
        sold_by: which id of Stripe's is the product: the price's, or the product's with all its prices.
        product_metadata: key of the metadata that names the product instead: of the subscription or the invoice where there
            is one (``subscription_data[metadata]``, ``invoice_creation[invoice_data][metadata]``), else of the session.
        tolerance: how old a signature may be.
        period_grace: how long access outlasts a subscription's period, so that a late renewal finds it.
    """

    base_url: str = "https://api.stripe.com"
    signing_secrets: Secrets
    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    sold_by: Literal["price", "product"] = "price"
    product_metadata: Annotated[str, Field(min_length=1)] = "remote_product_id"
    tolerance: Duration = timedelta(minutes=5)
    period_grace: Duration = timedelta(days=3)


class Stripe:
    """Takes purchases, renewals, refunds and disputes from Stripe."""

    Settings: ClassVar[type[SourceSettings]] = StripeSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset({"client_secret"})  # opens an embedded checkout
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(20, 1.0),)
    product_id: ClassVar[str] = (
        'The id of the price (`price_...`); with `sold_by = "product"` the id of its product (`prod_...`), whichever of its '
        "prices was paid; the other one where there is none, else the line's description. Metadata under `product_metadata` "
        "goes before all of them, and without `api_key` a payment link is `plink_...`."
    )
    setup: ClassVar[Sequence[str]] = (
        "In Stripe's Dashboard, under Developers and Webhooks, add an endpoint (snapshot events) with the address `{url}`.",
        (
            "Select `checkout.session.completed`, `checkout.session.async_payment_succeeded`, `invoice.paid`, "
            "`invoice.payment_failed`, `charge.refunded`, `refund.failed`, all of `charge.dispute` and "
            "`customer.subscription.deleted`; more do no harm."
        ),
        "Copy the endpoint's signing secret (`whsec_...`) into `signing_secrets`.",
        "Under API keys, make a restricted key with read access to Checkout Sessions and Invoices, and put it into `api_key`.",
        "For test orders make a second source with `test_mode = true`, and the secret and the key of the sandbox.",
    )
    unverified: ClassVar[str] = (
        "Whether a one-time checkout that makes an invoice names it when it completes (both are taken), and whether a "
        "restricted key needs more than the two rights. Without `api_key`, refunds and disputes of invoices of API versions from 2025 on find no "
        "purchase and wait in quarantine."
    )

    def __init__(self, settings: StripeSettings) -> None:
        """Take the settings of one source."""
        self._keys = tuple(secret.get_secret_value().encode() for secret in settings.signing_secrets)
        self._api_key = settings.api_key
        self._test_mode = settings.test_mode
        self._payment_grace = settings.failed_payment_grace
        self._tolerance = settings.tolerance.total_seconds()
        self._reading = Reading(settings.sold_by, settings.product_metadata, settings.period_grace)

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Check the signature, then its age.

        Raises:
            SignatureInvalid: there is none of scheme v1, none fits, or it is too old or ahead of us.
        """
        parts = [part.partition("=") for part in event.headers.get("stripe-signature", "").split(",")]
        times = [value for name, _, value in parts if name == "t"]
        if len(times) != 1 or not _SECONDS.fullmatch(times[0]):
            raise SignatureInvalid("the Stripe-Signature header has no time")
        message = times[0].encode() + b"." + event.body
        if not signed_with(self._keys, message, [value for name, _, value in parts if name == "v1"]):
            raise SignatureInvalid("no v1 signature fits this body and this source's secrets")
        signed_at = datetime.fromtimestamp(int(times[0]), UTC)
        if not fresh(signed_at, event.received_at, window=self._tolerance):
            raise SignatureInvalid("the signature's time is outside of the tolerance")

    def normalise(self, event: InboundEvent) -> Sequence[Meaning]:
        """Return what an event means; nothing for what only a lookup can tell.

        Raises:
            PayloadInvalid: it does not say whose purchase it is, or which.
        """
        if (told := opened(event)) is None:
            return []
        try:
            return self._meaning(told)
        except PayloadInvalid:
            if self._is_left_out(told):
                return []
            raise

    def _meaning(self, told: Told) -> Sequence[Meaning]:
        if told.type in _SESSIONS:
            return self._session(told)
        if told.type in _INVOICES:
            return self._invoice(told)
        if told.type == "invoice.payment_failed":
            return renewal_failed(told, self._payment_grace)
        read = _CHANGES.get(told.type)
        return read(told) if read else []

    def _session(self, told: Told) -> Sequence[Meaning]:
        if not _is_bought(told) or id_of(told.thing, "invoice") or _makes_invoice(told.thing):
            return []
        product = named(told.thing, self._reading)
        if not product and self._asks(told):
            return []
        if product := product or id_of(told.thing, "payment_link"):
            return session_bought(told, self._reading, product=product)
        key = f"data.object.metadata.{self._reading.product_metadata}"
        raise PayloadInvalid({key: "is missing, and without api_key nothing else says what was bought"})

    def _invoice(self, told: Told) -> Sequence[Meaning]:
        invoice = told.thing
        bought = invoice_bought(told, self._reading, invoice, invoice.at("lines.data"))
        if not isinstance(invoice.at("lines.data").value, list):
            raise PayloadInvalid({"data.object.lines.data": "is missing"})
        if not invoice.flag("lines.has_more"):
            return bought
        rest = Unreadable(
            "lines", {"data.object.lines": "has more lines than the event; set api_key, and send it again from Stripe"}
        )
        return [] if self._asks(told) else [*bought, rest]

    def lookups(self, event: InboundEvent) -> Sequence[Lookup]:
        """Return what is asked: the invoice, or the lines of a session without one. Nothing about orders that are left out."""
        with suppress(PayloadInvalid):
            if (told := opened(event)) is not None and self._asks(told):
                return tuple(replace(asked, event_key=told.common["event_key"]) for asked in self._questions(told))
        return ()

    def _questions(self, told: Told) -> Sequence[Lookup]:
        thing = told.thing
        if told.type in _SESSIONS and _is_bought(told):
            if invoice := id_of(thing, "invoice"):
                return (Lookup("invoice", invoice),)
            if _makes_invoice(thing):
                return (Lookup("made_invoice", thing.needed_text("id")),)
            return () if named(thing, self._reading) else (Lookup("session", thing.needed_text("id")),)
        if told.type in _INVOICES and (thing.flag("lines.has_more") or payments_missing(thing)):
            return (Lookup("invoice", thing.needed_text("id")),)
        return ()

    async def look_up(
        self, event: InboundEvent, lookup: Lookup, http: Http
    ) -> Sequence[Meaning] | TryLater | NeedsOperator | Refused:
        """Ask for a session's lines, for an invoice, or for the invoice that a session makes.

        Raises:
            PayloadInvalid: the answer does not say what was bought.
            TransportFault: nobody answered.
        """
        told = opened(event)
        if told is None or self._api_key is None:
            return NeedsOperator("there is no api_key any more", "Set api_key, then requeue the lookup.")
        api = Api(self._api_key.get_secret_value(), http, told.account)
        try:
            if lookup.kind == "session":
                return _needed(session_bought(told, self._reading, await api.session_lines(lookup.key)))
            made = lookup.kind == "made_invoice"
            invoice, lines = await api.invoice(await api.made_invoice(lookup.key) if made else lookup.key)
        except NotTold as reason:
            return reason.outcome
        # One that is still open tells by its own event when it is paid.
        return invoice_bought(told, self._reading, invoice, lines) if invoice.text("status") == "paid" else []

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Stripe reads only the status."""
        return acknowledge(reception)

    def _is_left_out(self, told: Told) -> bool:
        return told.livemode is self._test_mode

    def _asks(self, told: Told) -> bool:
        return self._api_key is not None and not self._is_left_out(told)


def _is_bought(told: Told) -> bool:
    return told.thing.text("payment_status") in _PAID and told.thing.text("mode") != "setup"


def _makes_invoice(session: Payload) -> bool:
    """Say whether a payment's session that names no invoice has one made, so that it is not to be a purchase beside that."""
    return session.flag("invoice_creation.enabled") and bool(id_of(session, "payment_intent"))


def _needed(meanings: Sequence[Meaning]) -> Sequence[Meaning]:
    if not meanings:
        raise PayloadInvalid({"line_items.data": "is empty"})
    return meanings


ADAPTER: type[InboundAdapter] = Stripe
