"""Square: payments, refunds, disputes and invoices, by webhook.

Authentication: ``x-square-hmacsha256-signature``, the HMAC-SHA256 of the notification URL and the raw body, one behind
the other, under the subscription's signature key, in base64. The URL is the one that was registered, to the letter; what
a proxy makes of it does not count, so it is a setting. No time is signed. An empty body is never signed (official library).

``event_id`` names an occurrence and stays when it is sent again: for a day at least, after anything but a quick 2xx; three
weeks without one switch the webhook off (the vendor's pages, which differ).

Events do not say what was bought. A completed payment, or a paid invoice, asks for its order, and for the customer where
no e-mail comes with it. The order's id is the business key, and the purchase is dated by its first payment: the many
updates of a payment, among them those that a refund makes, say the same. An order that is paid in parts counts once
nothing is due.

A refund asks for its payment, whose ``refunded_money`` tells whether all of it is back, and for the order that the refund
made, which names the lines. Money without lines is only noted. Each invoice of a subscription is a purchase; the
subscription's end finds them by its id.

Field names are those of the official library (types Payment, Order, OrderReturnLineItem, Dispute, Invoice). Not from a
source: that a refund's ``order_id`` is the order with the returns (where it is the sale, its lines are not told), that an
order names its payments in ``tenders``, and the polite rate limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Lookup, Meaning, Reception, Response, Route
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.contract.settings import CallsOut, Rate, Secrets, SourceSettings, TellsFailedPayments
from bridge.kit.acknowledge import acknowledge
from bridge.kit.http import Http
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import signed_with
from bridge.kit.subscriptions import payment_failed
from connectors.inbound.square.api import Api, NotTold
from connectors.inbound.square.purchases import (
    bought,
    is_paid,
    learner_is_known,
    recipients,
    returned_items,
    tenders,
)

_PAYMENTS = frozenset({"payment.created", "payment.updated"})
_REFUNDS = frozenset({"refund.created", "refund.updated"})
_DISPUTES = frozenset({"dispute.created", "dispute.state.updated", "dispute.state.changed"})
_DISPUTED: Mapping[str, Action] = {  # INQUIRY_* takes no money
    "EVIDENCE_REQUIRED": Action.SUSPEND,
    "PROCESSING": Action.SUSPEND,
    "WON": Action.RESUME,
    "LOST": Action.CANCEL,
    "ACCEPTED": Action.CANCEL,
}
_SUBSCRIPTION_ENDS = frozenset({"CANCELED", "DEACTIVATED", "COMPLETED"})


class SquareSettings(TellsFailedPayments, CallsOut):
    """``[sources.NAME]`` with ``adapter = "square"``.

    Attributes:
        base_url: address of Square's API; that of the sandbox is https://connect.squareupsandbox.com.
        signing_secrets: the signature key of the webhook subscription; the old one as well while it rotates.
        notification_url: the address as it was registered at Square, to the letter: scheme, host, path, slash at the end.
        api_key: access token that may read payments, orders and customers.
    """

    base_url: str = "https://connect.squareup.com"
    signing_secrets: Secrets
    notification_url: Annotated[str, Field(min_length=1)]
    api_key: Annotated[SecretStr, Field(min_length=1)]


class Square:
    """Takes purchases, refunds and disputes from Square."""

    Settings: ClassVar[type[SourceSettings]] = SquareSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(10, 1.0),)
    product_id: ClassVar[str] = (
        "`catalog_object_id` of the order's line: the id of the item's variation in Square's catalogue; of a line that is "
        "not in the catalogue its name."
    )
    setup: ClassVar[Sequence[str]] = (
        "In Square's Developer Console, open your application and, under Webhooks, add a subscription with the URL `{url}`.",
        "Put exactly that URL into `notification_url`, and the subscription's signature key into `signing_secrets`.",
        (
            "Select `payment.updated`, `refund.created`, `refund.updated`, `dispute.created`, `dispute.state.updated`, "
            "`invoice.payment_made`, `invoice.scheduled_charge_failed` and `subscription.updated`."
        ),
        "Put the application's access token, which may read payments, orders and customers, into `api_key`.",
        (
            "For the sandbox make a second source with its own key, token and subscription, and "
            '`base_url = "https://connect.squareupsandbox.com"`.'
        ),
    )
    unverified: ClassVar[str] = (
        "Which order a refund names: where it is the sale itself and not one of returns, a refund in part is only noted. The "
        "names of the dispute events after the first, of `invoice.scheduled_charge_failed`, and the states of a subscription."
    )

    def __init__(self, settings: SquareSettings) -> None:
        """Take the settings of one source."""
        self._keys = tuple(secret.get_secret_value().encode() for secret in settings.signing_secrets)
        self._url = settings.notification_url.encode()
        self._payment_grace = settings.failed_payment_grace
        self._api_key = settings.api_key.get_secret_value()

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Check the signature of address and body.

        Raises:
            SignatureInvalid: it is missing, of no key of ours, or of an empty body.
        """
        presented = [event.headers.get("x-square-hmacsha256-signature", "")]
        if not event.body or not signed_with(self._keys, self._url + event.body, presented, encoding="base64"):
            raise SignatureInvalid("the x-square-hmacsha256-signature fits no key and notification_url of this source")

    def normalise(self, event: InboundEvent) -> Sequence[Meaning]:
        """Return what an event means by itself: disputes, refunds under way, the end of a subscription.

        Raises:
            PayloadInvalid: it does not say which payment or order it is about.
        """
        told = _Told(event)
        if told.asks():
            return []
        if told.type in _REFUNDS and told.thing.text("status") == "PENDING":
            return [told.change(Action.REFUND, _payment_of(told), refund={"full": False, "pending": True})]
        if told.type in _DISPUTES and (action := _DISPUTED.get(told.thing.text("state"))):
            return [told.change(action, told.thing.needed_text("disputed_payment.payment_id", "payment_id"))]
        if told.type == "subscription.updated" and told.thing.text("status") in _SUBSCRIPTION_ENDS:
            order = {"subscription_id": told.thing.needed_text("id")}
            return [command(**told.common, action=Action.CANCEL, occurred_at=told.at, order=order)]
        if told.type == "invoice.scheduled_charge_failed" and (subscription := told.thing.text("subscription_id")):
            order = {"subscription_id": subscription}
            return [payment_failed(self._payment_grace, {**told.common, "occurred_at": told.at}, order=order)]
        return []

    def lookups(self, event: InboundEvent) -> Sequence[Lookup]:
        """Return what is asked: the order of a payment or an invoice, the payment of a refund."""
        with suppress(PayloadInvalid):
            if found := _Told(event).asks():
                return (found,)
        return ()

    async def look_up(
        self, event: InboundEvent, lookup: Lookup, http: Http
    ) -> Sequence[Meaning] | TryLater | NeedsOperator | Refused:
        """Ask for an order with what belongs to it, or for what a refund gave back.

        Raises:
            PayloadInvalid: the answer does not say what was bought, or by whom.
            TransportFault: nobody answered.
        """
        told, api = _Told(event), Api(self._api_key, http)
        try:
            if told.type in _REFUNDS:
                return await _refunded(told, api, lookup.key)
            if lookup.kind == "order":
                return await _purchase(told, api, lookup.key, told.thing)
            payment = await api.get("payment", lookup.key)
            return await _purchase(told, api, payment.needed_text("order_id"), payment)
        except NotTold as reason:
            return reason.outcome

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Square reads only the status."""
        return acknowledge(reception)


class _Told:
    """An event, opened.

    Attributes:
        thing: the object that it is about, as it was when the event was made.
        common: what all its commands share.
    """

    def __init__(self, event: InboundEvent) -> None:
        envelope = Payload(event.json)
        self.type = envelope.needed_text("type")
        self.at: datetime = envelope.moment("created_at") or event.received_at
        self.common: Mapping[str, Any] = {"event_key": envelope.maybe("event_id")}
        self.thing = envelope.at(f"data.object.{self.type.partition('.')[0]}")

    def asks(self) -> Lookup | None:
        """Say what must be asked.

        Raises:
            PayloadInvalid: the event lacks the id by which to ask.
        """
        status = self.thing.text("status")
        if self.type in _PAYMENTS and status == "COMPLETED":
            order_id = self.thing.text("order_id")
            return Lookup("order", order_id) if order_id else Lookup("payment", self.thing.needed_text("id"))
        if self.type in _REFUNDS and status == "COMPLETED":
            return Lookup("payment", _payment_of(self))
        if self.type == "invoice.payment_made" and status == "PAID":
            return Lookup("order", self.thing.needed_text("order_id"))
        return None

    def change(self, action: Action, payment_id: str, **more: Any) -> EnrollmentCommand:
        """Make a command about whatever a payment bought."""
        at = self.thing.moment("updated_at") or self.at
        order = {"transaction_id": payment_id, "refs": [payment_id]}
        return command(**self.common, action=action, occurred_at=at, order=order, **more)


def _payment_of(told: _Told) -> str:
    return told.thing.needed_text("payment_id")


async def _purchase(told: _Told, api: Api, order_id: str, thing: Payload) -> Sequence[Meaning] | TryLater:
    """Say what a payment or an invoice bought: ``thing`` is either, as the event or the API shows it."""
    order = await api.get("order", order_id)
    is_invoice = told.type.startswith("invoice.")
    payment_id = "" if is_invoice else thing.needed_text("id")
    if not is_paid(order) and not is_invoice:
        if payment_id in tenders(order):
            return []  # a part of it; the payment of the rest tells
        return TryLater("the order: it does not show its payment yet", cause="busy")
    people = [thing, thing.at("primary_recipient"), *recipients(order)]
    if not learner_is_known(people):
        customer_id = next((found for each in (*people, order) if (found := each.text("customer_id"))), "")
        customer = await api.find("customer", customer_id) if customer_id else None
        people += [customer] if customer else []
    return bought(
        told.common,
        _paid_at(order, thing) or told.at,
        order,
        people,
        payment_id=payment_id,
        invoice_id=thing.text("id") if is_invoice else "",
        subscription_id=thing.text("subscription_id"),
    )


def _paid_at(order: Payload, thing: Payload) -> datetime | None:
    """Return when the first payment was made: an invoice tells the same purchase, and must not be newer than a refund."""
    times = [moment for tender in order.at("tenders") if (moment := tender.moment("created_at"))]
    return min(times, default=None) or thing.moment("created_at")


async def _refunded(told: _Told, api: Api, payment_id: str) -> Sequence[Meaning] | TryLater:
    payment, refund = await api.get("payment", payment_id), told.thing
    if payment.at("refund_ids") and refund.text("id") not in [each.text() for each in payment.at("refund_ids")]:
        return TryLater("the payment: it does not show its refund yet", cause="busy")
    order_id, back_id = payment.text("order_id"), refund.text("order_id")
    sale = await api.find("order", order_id) if order_id else None
    given_back = max(payment.whole("refunded_money.amount"), refund.whole("amount_money.amount"))
    is_all = given_back >= payment.whole("amount_money.amount", default=2**62)
    if is_all and (sale is None or len(tenders(sale)) < 2):
        return [told.change(Action.REFUND, payment_id, refund={"full": True})]
    back = sale if back_id == order_id else await api.find("order", back_id) if back_id else None
    items = returned_items(sale, back) if sale and back else []
    return [told.change(Action.REFUND, payment_id, refund={"full": False}, items=items)]


ADAPTER: type[InboundAdapter] = Square
