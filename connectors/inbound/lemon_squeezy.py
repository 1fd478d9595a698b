"""Lemon Squeezy: orders, refunds and subscriptions, by webhook.

Authentication: ``X-Signature`` is the HMAC-SHA256 of the raw body under the webhook's signing secret, in hex. No time is
signed, so an event that is sent again is told by its key.

There is no id of the occurrence: it is made of the event's name, the object's id and ``updated_at``. The name stands in
the body, which is signed; the header ``X-Event-Name`` counts only where the body has none. One purchase is the order:
``order_created`` and ``subscription_created`` tell of the same one. Its subscription lives as long as Lemon Squeezy does not
say that it has expired: it is expired after the last paid period, and when dunning has failed. So access has no end of its own, a
cancelled subscription keeps it until it expires, and a renewal only confirms it (or gives it back).

Anything but 200 is repeated three times within minutes. Amounts are whole numbers of the currency's smallest unit.

Sources: the vendor's pages "Signing requests", "Webhook requests", "Event types" and "Webhooks" of its API. Not from a source: that
an order's ``refunded_amount`` counts all its refunds, and how a quantity is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Reception, Response, Route
from bridge.contract.settings import MarksTestOrders, Secrets, SourceSettings, TellsFailedPayments
from bridge.kit.acknowledge import acknowledge
from bridge.kit.money import minor
from bridge.kit.names import split
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import signed_with
from bridge.kit.subscriptions import payment_failed

_SUBSCRIPTION_CHANGES = {
    "subscription_expired": Action.CANCEL,
    "subscription_paused": Action.SUSPEND,
    "subscription_unpaused": Action.RESUME,
    "subscription_resumed": Action.RESUME,
}
_RUNNING = frozenset({"active", "on_trial"})
_PAID_AGAIN = frozenset({"subscription_payment_success", "subscription_payment_recovered"})


class LemonSqueezySettings(MarksTestOrders, TellsFailedPayments):
    """``[sources.NAME]`` with ``adapter = "lemon_squeezy"``.

    Attributes:
        signing_secrets: the signing secret of the webhook; several while it rotates.
    """

    signing_secrets: Secrets


class LemonSqueezy:
    """Takes orders, refunds and subscriptions from Lemon Squeezy."""

    Settings: ClassVar[type[SourceSettings]] = LemonSqueezySettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset({"x-event-name"})
    product_id: ClassVar[str] = "The variant's id (`variant_id`); the `product_id` where an event names no variant."
    setup: ClassVar[Sequence[str]] = (
        "In Lemon Squeezy, under Settings and Webhooks, add a webhook with the callback URL `{url}`.",
        "Make up a signing secret of 6 to 40 characters, enter it there and put it into `signing_secrets`.",
        (
            "Select `order_created`, `order_refunded`, `subscription_created`, `subscription_expired`, `subscription_paused`, "
            "`subscription_unpaused`, `subscription_resumed`, `subscription_payment_success`, `subscription_payment_recovered` "
            "and `subscription_payment_failed`; more do no harm."
        ),
        "For test mode add a webhook there, and a second source with `test_mode = true`.",
    )
    unverified: ClassVar[str] = (
        "That `refunded_amount` of an order counts all its refunds, and `quantity` of `first_order_item`. A subscription that "
        "changes to another variant is not followed."
    )

    def __init__(self, settings: LemonSqueezySettings) -> None:
        """Take the settings of one source."""
        self._payment_grace = settings.failed_payment_grace
        self._keys = [secret.get_secret_value().encode() for secret in settings.signing_secrets]

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Check the signature.

        Raises:
            SignatureInvalid: it is missing or not of this body.
        """
        if not signed_with(self._keys, event.body, [event.headers.get("x-signature", "")]):
            raise SignatureInvalid("the signature is missing or not valid")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return what an event means; nothing for an order that is not paid.

        Raises:
            PayloadInvalid: an id, the e-mail or what was bought is missing.
        """
        body = Payload(event.json)
        name = body.text("meta.event_name") or event.headers.get("x-event-name", "")
        thing = body.at("data.attributes")
        common = {
            "event_key": ":".join((name, body.text("data.id"), thing.text("updated_at")))[:500],
            "occurred_at": thing.moment("updated_at") or event.received_at,
            "livemode": not (thing.flag("test_mode") or body.flag("meta.test_mode")),
        }
        if name == "order_created" and thing.text("status") == "paid":
            return [_ordered(body, common)]
        if name == "order_refunded":
            return [_refunded(body, common)]
        if name == "subscription_created" and thing.text("status") in _RUNNING:
            return [_subscribed(body, common)]
        if name in _SUBSCRIPTION_CHANGES:
            order, subscription = thing.needed_text("order_id"), body.needed_text("data.id")
            action = _SUBSCRIPTION_CHANGES[name]
            return [
                command(
                    action=action,
                    continues=action is Action.RESUME,
                    business_key=f"order:{order}",
                    order={"refs": [_ref(subscription)]},
                    **common,
                )
            ]
        if name in _PAID_AGAIN and thing.text("billing_reason") != "initial":
            refs = [_ref(thing.needed_text("subscription_id"))]
            return [command(action=Action.RESUME, order={"refs": refs}, continues=True, **common)]
        if name == "subscription_payment_failed" and thing.text("billing_reason") != "initial":
            refs = [_ref(thing.needed_text("subscription_id"))]
            return [payment_failed(self._payment_grace, common, order={"refs": refs})]
        return []

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Lemon Squeezy reads only the status."""
        return acknowledge(reception)


def _ordered(body: Payload, common: dict[str, Any]) -> EnrollmentCommand:
    order, number = body.at("data.attributes"), body.needed_text("data.id")
    bought, currency = order.at("first_order_item"), order.maybe("currency")
    total = minor(order.at("total").value, currency)
    item = {
        "remote_product_id": _product(bought),
        "quantity": max(1, bought.whole("quantity", 1)),
        "amount_paid": total,
        "currency": currency,
    }
    refs = [ref for ref in (order.text("identifier"), order.text("order_number")) if ref]
    return command(
        action=Action.ENROLL,
        business_key=f"order:{number}",
        learner=_learner(order),
        items=[item],
        order={"number": number, "status": "paid", "total": total, "currency": currency, "refs": refs},
        **{**common, "occurred_at": order.moment("created_at") or common["occurred_at"]},
    )


def _subscribed(body: Payload, common: dict[str, Any]) -> EnrollmentCommand:
    bought, subscription = body.at("data.attributes"), body.needed_text("data.id")
    number = bought.needed_text("order_id")
    return command(
        action=Action.ENROLL,
        business_key=f"order:{number}",
        learner=_learner(bought),
        items=[{"remote_product_id": _product(bought)}],
        order={
            "number": number,
            "status": bought.maybe("status"),
            "subscription_id": subscription,
            "refs": [_ref(subscription)],
        },
        **{**common, "occurred_at": bought.moment("created_at") or common["occurred_at"]},
    )


def _refunded(body: Payload, common: dict[str, Any]) -> EnrollmentCommand:
    order, number = body.at("data.attributes"), body.needed_text("data.id")
    total, returned = order.whole("total"), order.whole("refunded_amount")
    full = returned >= total if total > 0 and returned > 0 else order.text("status") != "partial_refund"
    return command(
        action=Action.REFUND,
        business_key=f"order:{number}",
        refund={"full": full},
        order={"number": number},
        **{**common, "occurred_at": order.moment("refunded_at") or common["occurred_at"]},
    )


def _ref(subscription: str) -> str:
    # The order's event, which may come first, does not know its subscription: its registrations are found by this name.
    return f"subscription:{subscription}"


def _product(bought: Payload) -> str:
    return bought.text("variant_id") or bought.needed_text("product_id")


def _learner(thing: Payload) -> dict[str, Any]:
    first, last = split(thing.text("user_name"))
    return {"email": thing.needed_text("user_email"), "first_name": first, "last_name": last}


ADAPTER: type[InboundAdapter] = LemonSqueezy
