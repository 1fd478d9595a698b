"""PayPal: webhooks of the REST API, and Instant Payment Notification (IPN) at the same address.

Webhooks are signed with RSA over transmission id, transmission time, webhook id and the CRC32 of the raw body. The
certificate is fetched from one of PayPal's hosts and must lead to a trusted root in a name of ``paypal.com``; or PayPal's
API is asked instead. The signature bears no useful replay window, since a retry comes up to three days later: ``id`` of
the event tells repeats. PayPal sends up to 25 times in three days, in no order. A network fault answers 503.

Capture, sale and refund events name no buyer: order, payment or subscription is looked up with the app's own login, and
so is whether a refund took everything. A captured payment is one purchase, whether its order, its capture or its IPN
tells of it. The beginning of a subscription and its first payment are one purchase, every later payment is another.

An IPN is proven by posting its bytes back. PayPal verifies every IPN it sent, also one that pays a stranger, so the
receiver is compared first. ``txn_id`` with ``payment_status`` tells repeats. Of IPN only the manual of 2004 was at hand.

A subscription that is cancelled or has expired is charged no more; what was charged lasts until its period ends, as the
event or its last payment says, and ends at once where neither does.

Sources: PayPal's pages on webhooks, their simulator and the verification API; PayPal-Python-SDK for the signed text;
captured deliveries in hookdeck/webhook-samples. From no source: how v1 payments, agreements and refunds are laid out.

Map: settings; proof (signature and certificate); api (login and call); events (webhooks); ipn; here: the adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import quote

import orjson

from bridge.contract.command import EnrollmentCommand, Refund
from bridge.contract.errors import PayloadInvalid, SignatureInvalid, TransportFault
from bridge.contract.inbound import InboundAdapter, InboundEvent, Lookup, Meaning, Reception, Response, Route
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.contract.settings import Rate, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.http import Answer, Http
from bridge.kit.payload import Payload
from connectors.inbound.paypal import events, ipn
from connectors.inbound.paypal.api import Api, NoToken, bad
from connectors.inbound.paypal.proof import CERT_URL, Certificates, Transmission
from connectors.inbound.paypal.settings import PaypalSettings

_VERIFY = "/v1/notifications/verify-webhook-signature"
_PATHS = {  # kind of lookup -> where it is; of several the first that knows it
    "order": ("/v2/checkout/orders/",),
    "capture": ("/v2/payments/captures/",),
    "payment": ("/v1/payments/payment/",),
    "subscription": ("/v1/billing/subscriptions/", "/v1/payments/billing-agreements/"),
    "refunded capture": ("/v2/payments/captures/",),
    "refunded sale": ("/v1/payments/sale/",),
    "refunded payment": ("/v2/payments/captures/", "/v1/payments/sale/"),
}


class Paypal:
    """Takes payments, subscriptions, refunds and disputes from PayPal."""

    Settings: ClassVar[type[SourceSettings]] = PaypalSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset({CERT_URL})
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(10, 1.0),)  # PayPal publishes none
    product_id: ClassVar[str] = (
        "An item's `sku`; where no item has one the purchase unit's `custom_id`, else its `reference_id`, else the item's "
        "name; of a subscription the `plan_id`; of an IPN `item_number`, else `item_name`."
    )
    setup: ClassVar[Sequence[str]] = (
        "In PayPal's developer dashboard, under *Apps & Credentials*, choose *Live* and the REST app that takes the payments.",
        "Its client id and secret are `client_id` and `client_secret`.",
        "On the app's page choose *Add Webhook* and paste `{url}`; the webhook's id is `webhook_id`.",
        "Tick *Checkout order completed*; of *Payment capture* and *Payment sale* completed, refunded and reversed.",
        "Tick *Customer dispute*; of *Billing subscription* activated, re-activated, suspended, cancelled, expired and payment failed.",
        "Give every item of an order a `sku`, or every purchase unit a `custom_id`, and map it.",
        "For older payment buttons: in the account's *Instant payment notifications* paste `{url}`; set `receiver_email`.",
        "Let subscriptions come by webhook or by IPN, not by both: nothing tells that a first payment is the same.",
        "To try it out, use another source with `test_mode = true` and an app of the *Sandbox*, not the webhooks simulator.",
    )
    unverified: ClassVar[str] = (
        'PayPal\'s certificate chain of today (if its issuer is unknown, set `trust_root` or `verify = "api"`), the '
        "sandbox's certificate host, the v1 lookups (payments, sales, agreements), outcome codes of disputes, and most of "
        "IPN: its hosts, encodings, subscription types, and whether a button's payment can be asked for."
    )

    def __init__(self, settings: PaypalSettings) -> None:
        """Take the settings of one source."""
        self._settings = settings
        self._certificates = Certificates(settings.trust_root)
        self._api: Api | None = None

    def credentials(self) -> Sequence[str]:
        """Return none: the address is the source's own."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return None."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Refuse what can't be PayPal's for us; :meth:`verify_afar` proves the rest.

        Raises:
            SignatureInvalid: headers are missing or foreign, or an IPN pays somebody else.
            PayloadInvalid: an IPN's form can't be read.
        """
        if ipn.is_ipn(event):
            ipn.check(event, self._settings)
        else:
            Transmission.of(event, self._settings.cert_hosts)

    async def verify_afar(self, event: InboundEvent, http: Http) -> None:
        """Check the signature with PayPal's certificate or by PayPal's API, or ask PayPal about an IPN.

        Raises:
            SignatureInvalid: PayPal has not sent it.
            TransportFault: PayPal can't be asked now.
        """
        if ipn.is_ipn(event):
            await ipn.ask(event, self._settings, http)
            return
        transmission = Transmission.of(event, self._settings.cert_hosts)
        if self._settings.verify == "api":
            proven = await self._confirmed(transmission, event, http)
        else:
            key = await self._certificates.key(transmission.cert_url, event.received_at, http)
            proven = transmission.signed_by(key, self._settings.webhook_ids, event.body)
        if not proven:
            raise SignatureInvalid("the signature is not PayPal's for this webhook_id")

    async def _confirmed(self, transmission: Transmission, event: InboundEvent, http: Http) -> bool:
        try:
            _ = event.json  # one JSON value and nothing after it, so that it can be put into another as it is
        except PayloadInvalid:
            return False
        for webhook_id in self._settings.webhook_ids:
            question = {
                "auth_algo": transmission.algorithm,
                "cert_url": transmission.cert_url,
                "transmission_id": transmission.id,
                "transmission_sig": transmission.signature,
                "transmission_time": transmission.time,
                "webhook_id": webhook_id,
                "webhook_event": orjson.Fragment(event.body),  # written anew, its numbers and order would change
            }
            try:
                answer = await self._calls(http).call("POST", _VERIFY, question)
            except NoToken as fault:
                raise TransportFault(str(fault)) from None
            if answer.status not in (200, 400, 422):
                raise TransportFault(f"ask PayPal about the webhook: HTTP {answer.status}")
            if Payload(answer.json).text("verification_status") == "SUCCESS" and answer.ok:
                return True
        return False

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return what the event means by itself; for most that is a lookup.

        Raises:
            PayloadInvalid: a field is missing or wrong.
        """
        if ipn.is_ipn(event):
            return ipn.meaning(event, self._settings)
        return events.meaning(event, self._settings.period_grace, self._settings.failed_payment_grace)

    def lookups(self, event: InboundEvent) -> list[Lookup]:
        """Return the order, payment, subscription or refunded payment to be asked for.

        None of an event that this source leaves out: the live API does not know what happened in the sandbox.
        """
        if ipn.is_ipn(event):
            return ipn.lookups(event, self._settings)
        if events.told(event).base["livemode"] is self._settings.test_mode:
            return []
        return events.lookups(event)

    async def look_up(
        self, event: InboundEvent, lookup: Lookup, http: Http
    ) -> Sequence[Meaning] | TryLater | NeedsOperator | Refused:
        """Ask PayPal for one thing.

        Raises:
            PayloadInvalid: the answer does not say enough.
            TransportFault: nobody answered.
        """
        try:
            answer = await self._found(lookup, http)
            if lookup.kind == "capture" and answer.ok:
                order = Payload(answer.json).needed_text("supplementary_data.related_ids.order_id")
                lookup = Lookup("order", order)
                answer = await self._found(lookup, http)
        except NoToken as fault:
            return fault.outcome
        if answer.status == 404:
            return Refused(
                f"PayPal knows no {lookup.kind} {lookup.key}", "Check that client_id is of the same account."
            )
        if not answer.ok:
            return bad(answer, f"get the {lookup.kind}")
        if ipn.is_ipn(event):
            state = Payload(answer.json).needed_text("status", "state")
            return [ipn.refund(event, lookup.key, full=state.upper() == "REFUNDED")]
        return self._meaning(events.told(event), lookup, Payload(answer.json))

    async def _found(self, lookup: Lookup, http: Http) -> Answer:
        for path in _PATHS[lookup.kind]:
            answer = await self._calls(http).call("GET", path + quote(lookup.key, safe=""))
            if answer.status != 404:
                break
        return answer

    def _meaning(self, envelope: events.Told, lookup: Lookup, found: Payload) -> list[EnrollmentCommand]:
        if lookup.kind == "order":
            return events.of_order(found, envelope, envelope.resource.needed_text("id"))
        if lookup.kind == "payment":
            return events.of_payment(found, envelope)
        if lookup.kind == "subscription":
            return [events.of_subscription(found, envelope, self._settings.period_grace, envelope.resource)]
        # The payment's own state says whether this refund took the last of it.
        full = found.text("status", "state").upper() == "REFUNDED"
        return [events.refund(envelope, lookup.key, Refund(full=full))]

    def _calls(self, http: Http) -> Api:
        if self._api is None:
            self._api = Api(self._settings, http)
        return self._api

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; an IPN with an empty body."""
        said = acknowledge(reception)
        if said.status == 200 and ipn.is_ipn(event):
            return Response(200, b"", said.headers, "text/plain")
        return said


ADAPTER: type[InboundAdapter] = Paypal
