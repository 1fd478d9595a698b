"""WooCommerce: orders by webhook.

Authentication: ``X-WC-Webhook-Signature``, the HMAC-SHA256 of the raw body in base64. WordPress decodes the HTML entities
of the secret before it signs with it: ``a&amp;b`` and ``a&b`` are one secret. No time is signed, so there is no replay
window.

Saving a webhook sends a ping first: the form ``webhook_id=123`` without signature or any header of WooCommerce's, which
must be answered with exactly 200. A delivery is made once, in the background: one that fails is lost, and after more than
five in a row the webhook is switched off. So the body may show a later state than the one that caused it.

Nothing names an occurrence: ``X-WC-Webhook-Delivery-ID`` is made from the second and changes with every attempt. The
order's id, status, time of change and refunds do. The business key is the order's id.

``order.updated`` comes with every change of anything. A paid order is therefore dated by its payment (or by its
completion, which every time it is set to completed renews), and not by the change: what was taken back since stays taken
back, whoever changes a note in the order. What takes back is dated by the change.

``refunds`` of an order tells amounts and no lines. One that was given back in part is only noted.

Source: the webhook class of WooCommerce and its REST API documentation, v3. Not from a source: the body of the legacy API
(``{"order": {...}}``), and what is sent once the webhook's owner has lost their rights.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from html import unescape
from typing import Any, ClassVar, Literal

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Meaning, Reception, Response, Route, Unreadable
from bridge.contract.settings import Secrets, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.money import major
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import signed_with

ProductField = Literal["product_id", "variation_id", "sku"]

_PRODUCT: Mapping[ProductField, Sequence[str]] = {
    "product_id": ("product_id", "variation_id", "sku"),
    "variation_id": ("variation_id", "product_id", "sku"),
    "sku": ("sku", "variation_id", "product_id"),
}
_MOST = 1_000_000  # what is more is no number of seats

_PING = re.compile(rb"\s*webhook_id=[0-9]+\s*")

_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|#0*(?:38|60|62|34|39)|#x0*(?:26|3c|3e|22|27));", re.IGNORECASE)
"""What WordPress decodes, and nothing else."""

_BOUGHT = frozenset({"processing", "completed"})
_ENDED = frozenset({"cancelled", "failed", "trash"})

_HOOKS = {
    "woocommerce_order_status_cancelled": Action.CANCEL,
    "woocommerce_cancelled_order": Action.CANCEL,
    "woocommerce_order_status_failed": Action.CANCEL,
    "woocommerce_trash_order": Action.CANCEL,
    "woocommerce_order_status_refunded": Action.REFUND,
    "woocommerce_order_fully_refunded": Action.REFUND,
}
"""Hooks of the topics ``action.*`` whose argument is the order's id, and that need no more than it."""

_BUYING_HOOKS = frozenset(
    {"woocommerce_payment_complete", "woocommerce_order_status_processing", "woocommerce_order_status_completed"}
)


class WooCommerceSettings(SourceSettings):
    """``[sources.NAME]`` with ``adapter = "woocommerce"``.

    Attributes:
        signing_secrets: the secret of each webhook that posts here, as it was typed in.
        product_field: which field of an order's line is the product: the product with all its variations, the variation,
            or the SKU. Where a line leaves it empty, the others are tried, then its name.
    """

    signing_secrets: Secrets
    product_field: ProductField = "product_id"


class WooCommerce:
    """Takes purchases, cancellations and refunds from a WooCommerce shop."""

    Settings: ClassVar[type[SourceSettings]] = WooCommerceSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset({"x-wc-webhook-topic"})
    product_id: ClassVar[str] = (
        "`product_id` of the order's line; with `product_field` its `variation_id` or `sku`. Where that is empty or 0 the "
        "other two count, and of a line without any of them the name."
    )
    setup: ClassVar[Sequence[str]] = (
        (
            "In WordPress, under WooCommerce, Settings, Advanced and Webhooks, add a webhook with the topic Order updated, the "
            "delivery URL `{url}`, and API version 3."
        ),
        "Make up a secret, enter it there, and put it into `signing_secrets`; set the status to Active.",
        "Add the same for the topics Order created, Order deleted and Order restored.",
        (
            "An order set back from cancelled to processing keeps the date of its payment, and stays taken back here: set it "
            "to completed instead."
        ),
    )
    unverified: ClassVar[str] = (
        "The body of the legacy API versions 1 and 2. Which lines a refund in part was for is not told, so it takes nothing "
        "away."
    )

    def __init__(self, settings: WooCommerceSettings) -> None:
        """Take the settings of one source."""
        secrets = [secret.get_secret_value() for secret in settings.signing_secrets]
        self._keys = tuple({text.encode(): None for secret in secrets for text in (_decoded(secret), secret)})
        self._product = (*_PRODUCT[settings.product_field], "name")

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def handshake(self, event: InboundEvent) -> Response | None:
        """Answer the ping that is sent when a webhook is saved."""
        if "x-wc-webhook-topic" in event.headers or not _PING.fullmatch(event.body):
            return None
        return Response(200, {"status": "received"})

    def verify(self, event: InboundEvent) -> None:
        """Check the signature of the raw body.

        Raises:
            SignatureInvalid: it is missing, or of no secret of ours.
        """
        presented = [event.headers.get("x-wc-webhook-signature", "")]
        if not signed_with(self._keys, event.body, presented, encoding="base64"):
            raise SignatureInvalid("the X-WC-Webhook-Signature fits no secret of this source")

    def normalise(self, event: InboundEvent) -> Sequence[Meaning]:
        """Return what an order's status means; nothing for other things than orders, and for one that is not paid yet.

        Raises:
            PayloadInvalid: the order's id, the e-mail or the lines of a purchase are missing.
        """
        topic = event.headers.get("x-wc-webhook-topic", "").strip().lower()
        resource, _, what = topic.partition(".")
        if resource not in ("", "order", "action"):
            return []
        body = Payload(event.json)
        if resource == "action":
            return _hooked(body, what, event.received_at)
        order = body.at("order") if isinstance(body.at("order").value, Mapping) else body
        order_id = order.needed_text("id")
        if what == "deleted":  # nothing else is told
            return [_command(Action.CANCEL, order_id, event.received_at)]
        status = order.text("status").removeprefix("wc-")
        changed = order.moment("date_modified_gmt") or order.moment("updated_at") or event.received_at
        told = _Told(order, order_id, status, changed, restored=what == "restored")
        if status in _ENDED:
            return [told.command(Action.CANCEL, changed)]
        if status == "refunded" or told.is_given_back:
            return [told.command(Action.REFUND, changed, refund={"full": True})]
        if status not in _BOUGHT:
            return []
        found = self._bought(told, event.received_at if told.restored else told.paid_at)
        if told.refunds:
            found.append(told.command(Action.REFUND, changed, refund={"full": False}))
        return found

    def _bought(self, told: _Told, at: datetime) -> list[Meaning]:
        order = told.order
        items, bad = self._items(order)
        if not items:
            return bad
        bought = told.command(
            Action.ENROLL,
            at,
            learner=_learner(order),
            items=items,
            order={
                "number": order.maybe("number", "order_number"),
                "status": told.status,
                "total": major(order.at("total").value),
                "currency": order.text("currency").upper() or None,
                "coupon": next(iter(order.at("coupon_lines")), Payload(None)).maybe("code"),
                "payment_method": order.maybe("payment_method", "payment_details.method_id"),
                "transaction_id": order.maybe("transaction_id", "payment_details.transaction_id"),
                "refs": [told.order_id],
            },
        )
        return [bought, *bad]

    def _items(self, order: Payload) -> tuple[list[dict[str, Any]], list[Meaning]]:
        if not order.at("line_items"):
            raise PayloadInvalid({"line_items": "is missing"})
        items: list[dict[str, Any]] = []
        bad: list[Meaning] = []
        for line in order.at("line_items"):
            # A product without variations has the variation 0.
            product = next((text for field in self._product if (text := line.text(field)) not in ("", "0")), "")
            if not product:
                fault = {f"line_items.{self._product[0]}": "is missing"}
                bad.append(Unreadable(line.text("id") or "line_items", fault))
                continue
            items.append(
                {
                    "remote_product_id": product,
                    "line": line.text("id"),
                    "quantity": min(max(line.whole("quantity", 1), 1), _MOST),
                    "amount_paid": major(line.at("total").value),
                    "currency": order.text("currency").upper() or None,
                }
            )
        return items, bad

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; WooCommerce reads only the status."""
        return acknowledge(reception)


class _Told:
    """An order as an event shows it.

    Attributes:
        changed: when anything of it was changed last.
        restored: it came back out of the trash.
        refunds: ids and amounts of its refunds.
    """

    def __init__(self, order: Payload, order_id: str, status: str, changed: datetime, *, restored: bool) -> None:
        self.order, self.order_id, self.status, self.changed = order, order_id, status, changed
        self.restored = restored
        self.refunds = [(refund.text("id"), _amount(refund)) for refund in order.at("refunds")]

    @property
    def paid_at(self) -> datetime:
        """When it was paid, or set to completed after that; an order that is paid on delivery has no such time."""
        times = [self.order.moment("date_paid_gmt")]
        if self.status == "completed":
            times += [self.order.moment("date_completed_gmt"), self.order.moment("completed_at")]
        made = self.order.moment("date_created_gmt") or self.order.moment("created_at") or self.changed
        return max((time for time in times if time), default=made)

    @property
    def is_given_back(self) -> bool:
        """Whether all of the money is back, although the status does not say so."""
        total = major(self.order.at("total").value)
        return bool(self.refunds) and total is not None and 0 < total <= sum(amount for _, amount in self.refunds)

    def command(self, action: Action, at: datetime, **values: Any) -> EnrollmentCommand:
        """Make a command about the order."""
        refunds = ",".join(sorted(f"{name}={amount}" for name, amount in self.refunds))
        said = f"{self.status}|{self.changed.isoformat()}|{refunds}|{'restored' if self.restored else ''}"
        key = f"{self.order_id}:{hashlib.sha256(said.encode('utf-8', 'replace')).hexdigest()[:32]}"
        return _command(action, self.order_id, at, event_key=key, **values)


def _decoded(secret: str) -> str:
    return _ENTITY.sub(lambda entity: unescape(entity[0]), secret)


def _command(action: Action, order_id: str, at: datetime, **values: Any) -> EnrollmentCommand:
    return command(action=action, occurred_at=at, business_key=order_id, **values)


def _hooked(body: Payload, hook: str, at: datetime) -> list[Meaning]:
    order_id = body.text("arg", "arg.id")
    if hook in _BUYING_HOOKS:
        raise PayloadInvalid({"arg": "is only an order's id; use the topic Order updated, which tells what was bought"})
    if hook not in _HOOKS or not order_id:
        return []
    return [_command(_HOOKS[hook], order_id, at, **({"refund": {}} if _HOOKS[hook] is Action.REFUND else {}))]


def _amount(refund: Payload) -> Decimal:
    return abs(major(refund.at("total").value) or Decimal(0))


def _learner(order: Payload) -> dict[str, Any]:
    # The account's id names no learner: whoever buys for somebody else under it would take it along to that address.
    billing = order.at("billing") or order.at("billing_address")
    first, last = first_and_last(billing.text("first_name"), billing.text("last_name"))
    customer_id = order.text("customer_id")
    email = billing.text("email") or order.text("customer.email") or order.needed_text("billing.email")
    return {
        "email": email,
        "first_name": first,
        "last_name": last,
        "phone": billing.text("phone"),
        "attributes": {"woocommerce_customer": customer_id} if customer_id not in ("", "0") else {},
    }


ADAPTER: type[InboundAdapter] = WooCommerce
