"""Shopify: paid orders, cancellations, refunds line by line, disputes and subscription contracts, by webhook.

Authentication: ``X-Shopify-Hmac-Sha256``, the HMAC-SHA256 of the raw body under the secret as text, in base64. Headers
are not signed, and no time is. ``X-Shopify-Webhook-Id`` is one delivery's and stays the same when it is sent again;
where a proxy drops it, topic and id of the body stand for it.

The topic decides what an event means, not the body: a captured test send of ``orders/paid`` has a body that calls itself
voided and cancelled. The business key is the order's id. Refunds, disputes and the end of a contract carry neither e-mail
nor product, but that id. All times are those of ``X-Shopify-Triggered-At`` (nine decimals) where it is there, so that one
clock tells what came first.

A refund names the lines that were returned; one without transactions only puts goods back on the shelf. What a line has
left decides whether it is gone: one seat of two is none. Whether all of the money is back, a refund does not say, so
money without lines is only noted.

Retries: eight in four hours, with the same body, after anything but a 2xx within five seconds; then the subscription to
the topic is removed (shopify.dev, changelog of September 2024).

Not from a source: that a delivery keeps its id when it is sent again; that a refund whose transaction is pending will be
made, as no later webhook tells of it; ``current_quantity`` in a refund's line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import (
    InboundAdapter,
    InboundEvent,
    Meaning,
    Reception,
    Response,
    Route,
    Unreadable,
)
from bridge.contract.settings import MarksTestOrders, Secrets, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.money import major
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command, parsed
from bridge.kit.signatures import signed_with

ProductField = Literal["product_id", "variant_id", "sku"]

_PRODUCT: Mapping[ProductField, Sequence[str]] = {
    "product_id": ("product_id", "variant_id", "sku"),
    "variant_id": ("variant_id", "product_id", "sku"),
    "sku": ("sku", "variant_id", "product_id"),
}
_UNNAMED = ("title", "name")  # of a line that somebody typed into the order: it has no ids
_MOST = 1_000_000  # what is more is no number of seats

_DISPUTES = {
    "needs_response": Action.SUSPEND,
    "under_review": Action.SUSPEND,
    "won": Action.RESUME,
    "lost": Action.CANCEL,
    "accepted": Action.CANCEL,
}
_FAILED = frozenset({"failure", "error"})


class ShopifySettings(MarksTestOrders):
    """``[sources.NAME]`` with ``adapter = "shopify"``.

    Attributes:
        signing_secrets: what the shop or the app signs webhooks with; the old one as well while it rotates.
        product_field: which field of an order's line is the product: the product with all its variants, the variant, or
            the SKU. Where a line leaves it empty, the others are tried, then its title.
    """

    signing_secrets: Secrets
    product_field: ProductField = "product_id"


class Shopify:
    """Takes purchases, refunds and disputes from a Shopify shop."""

    Settings: ClassVar[type[SourceSettings]] = ShopifySettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset(
        {"x-shopify-topic", "x-shopify-webhook-id", "x-shopify-triggered-at", "x-shopify-test"}
    )
    product_id: ClassVar[str] = (
        "`product_id` of the order's line; with `product_field` its `variant_id` or `sku`. Where that is empty the other "
        "two count, and of a line without any of them the title."
    )
    setup: ClassVar[Sequence[str]] = (
        (
            "In Shopify's admin, under Settings, Notifications and Webhooks, create a webhook with format JSON and the address "
            "`{url}` for each of these events: Order payment, Order cancellation, Refund create."
        ),
        "Copy the key shown below the list, with which all webhooks are signed, into `signing_secrets`.",
        (
            "For disputes and subscriptions let an app of your own subscribe to `disputes/create`, `disputes/update` and "
            "`subscription_contracts/cancel` at `{url}`, and add the app's client secret to `signing_secrets`."
        ),
        "Send a test notification: it is counted, and has an effect only with `test_mode = true`.",
        "Give a course that is sold by subscription a `duration` of one period: each renewal is an order of its own.",
    )
    unverified: ClassVar[str] = (
        "That a delivery keeps its `X-Shopify-Webhook-Id` when it is sent again; without it, topic and id tell. Renewals of a "
        "subscription do not name its contract, so a cancelled contract takes only its first order back."
    )

    def __init__(self, settings: ShopifySettings) -> None:
        """Take the settings of one source."""
        self._keys = tuple(secret.get_secret_value().encode() for secret in settings.signing_secrets)
        self._product = (*_PRODUCT[settings.product_field], *_UNNAMED)

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
        presented = [event.headers.get("x-shopify-hmac-sha256", "")]
        if not signed_with(self._keys, event.body, presented, encoding="base64"):
            raise SignatureInvalid("the X-Shopify-Hmac-Sha256 fits no secret of this source")

    def normalise(self, event: InboundEvent) -> Sequence[Meaning]:
        """Return what an event means by its topic; nothing for topics of no use, the mandatory privacy ones among them.

        Raises:
            PayloadInvalid: the topic, the order's id, or the e-mail of a purchase is missing.
        """
        told = _Told(event)
        match told.topic:
            case "orders/paid":
                return self._purchase(told)
            case "orders/create" if told.body.text("financial_status") == "paid":
                return self._purchase(told)
            case "orders/cancelled":
                return [told.command(Action.CANCEL, told.body.needed_text("id"), "cancelled_at")]
            case "refunds/create":
                return self._refunded(told)
            case "disputes/create" | "disputes/update":
                return _disputed(told)
            case "subscription_contracts/cancel":
                return [told.command(Action.CANCEL, told.body.needed_text("origin_order_id"), "updated_at")]
            case _:  # also of subscription_billing_attempts/success: the renewal's own orders/paid tells who and what
                return []

    def _purchase(self, told: _Told) -> list[Meaning]:
        order = told.body
        items, bad = self._items(order)
        if not items:
            return bad
        currency, order_id = order.text("currency").upper() or None, order.needed_text("id")
        bought = told.command(
            Action.ENROLL,
            order_id,
            "updated_at",
            learner=_learner(order),
            items=items,
            order={
                "number": order.maybe("name", "order_number"),
                "status": order.maybe("financial_status"),
                "total": major(order.at("total_price").value),
                "currency": currency,
                "coupon": _first(order.at("discount_codes")).maybe("code"),
                "payment_method": _first(order.at("payment_gateway_names")).maybe(),
                "refs": [order_id],
            },
        )
        return [bought, *bad]

    def _items(self, order: Payload) -> tuple[list[dict[str, Any]], list[Meaning]]:
        """Return the lines as items, and those that can't be read. One that was removed before it was paid is none."""
        if not order.at("line_items"):
            raise PayloadInvalid({"line_items": "is missing"})
        items: list[dict[str, Any]] = []
        bad: list[Meaning] = []
        currency = order.text("currency").upper() or None
        for line in order.at("line_items"):
            if line.text("current_quantity") == "0":
                continue
            try:
                items.append(
                    {**self._item(line), "quantity": _quantity(line), "amount_paid": _paid(line), "currency": currency}
                )
            except PayloadInvalid as fault:
                bad.append(Unreadable(line.text("id") or line.text("name") or "line_items", fault.faults))
        return items, bad

    def _item(self, line: Payload) -> dict[str, Any]:
        return {"remote_product_id": line.needed_text(*self._product), "line": line.text("id")}

    def _refunded(self, told: _Told) -> list[Meaning]:
        refund = told.body
        if all(made.text("status") in _FAILED for made in refund.at("transactions")):
            return []  # also where there are none: goods were put back, or taken off an order that nobody paid
        items = [
            {**self._item(returned.at("line_item")), "line": returned.text("line_item_id", "line_item.id")}
            for returned in refund.at("refund_line_items")
            if _is_gone(returned)
        ]
        order_id = refund.needed_text("order_id")
        return [told.command(Action.REFUND, order_id, "processed_at", items=items, refund={"full": False})]

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Shopify reads only the status."""
        return acknowledge(reception)


class _Told:
    """One event, opened."""

    def __init__(self, event: InboundEvent) -> None:
        self._headers = event.headers
        self._received_at = event.received_at
        self.body = Payload(event.json)
        self.topic = Payload(event.headers.get("x-shopify-topic"), "X-Shopify-Topic").needed_text().lower()

    def command(self, action: Action, order_id: str, dated: str, **values: Any) -> EnrollmentCommand:
        """Make a command about an order; ``dated`` is the body's field for when it happened, where no header tells."""
        about = f"{self.topic}:{self.body.text('id') or order_id}:{self.body.text('status')}".rstrip(":")
        test = self._headers.get("x-shopify-test", "").strip().lower() == "true" or self.body.flag("test")
        return command(
            action=action,
            occurred_at=self._triggered() or self.body.moment(dated) or self._received_at,
            event_key=self._headers.get("x-shopify-webhook-id", "").strip() or about,
            business_key=order_id,
            livemode=not test,
            **values,
        )

    def _triggered(self) -> datetime | None:
        return parsed(self._headers.get("x-shopify-triggered-at", "").strip())


def _learner(order: Payload) -> dict[str, Any]:
    # The order's own e-mail is where its confirmation went; the customer's account may have another. Its id names no
    # learner either: who buys for somebody else under one account would carry that account to the other's address.
    customer, billing = order.at("customer"), order.at("billing_address")
    first, last = first_and_last(customer.text("first_name"), customer.text("last_name"))
    if not (first or last):
        first, last = first_and_last(billing.text("first_name"), billing.text("last_name"), billing.text("name"))
    customer_id = customer.text("id")
    return {
        "email": order.needed_text("email", "contact_email", "customer.email"),
        "first_name": first,
        "last_name": last,
        "phone": order.text("phone", "customer.phone", "billing_address.phone"),
        "attributes": {"shopify_customer": customer_id} if customer_id else {},
    }


def _first(values: Payload) -> Payload:
    return next(iter(values), Payload(None))


def _quantity(line: Payload) -> int:
    return min(max(line.whole("current_quantity") or line.whole("quantity", 1), 1), _MOST)


def _paid(line: Payload) -> Decimal | None:
    """Return what a line cost, its discounts taken off; None where no price is told."""
    price = major(line.at("price").value)
    if price is None:
        return None
    shares = [major(share.at("amount").value) for share in line.at("discount_allocations")]
    discount = sum((share for share in shares if share), Decimal(0)) or major(line.at("total_discount").value)
    return price * max(line.whole("quantity", 1), 0) - (discount or 0)


def _is_gone(returned: Payload) -> bool:
    line = returned.at("line_item")
    return line.text("current_quantity") == "0" or returned.whole("quantity", 1) >= line.whole("quantity", 1)


def _disputed(told: _Told) -> list[Meaning]:
    # An inquiry takes no money; one that becomes a chargeback is told again.
    dispute = told.body
    action = _DISPUTES.get(dispute.text("status"))
    if action is None or dispute.text("type") == "inquiry":
        return []
    dated = "finalized_on" if dispute.text("finalized_on") else "initiated_at"
    return [told.command(action, dispute.needed_text("order_id"), dated)]


ADAPTER: type[InboundAdapter] = Shopify
