"""ThriveCart: orders, subscription payments, cancellations and refunds, by webhook.

Authentication: the account's secret word stands in the body, as ``thrivecart_secret``. Nothing is signed. Before ThriveCart
saves an address it wants 2xx for a HEAD, a GET or an empty POST.

A body is a form with PHP's bracket names, or JSON of the same shape. Every scalar is text; one that is absent may be the
word "null" or "false", and names are escaped for HTML. Amounts are in hundredths. An address gets every event of the
account, of all products and of test mode too.

There is no id of the occurrence: it is made of the event's name, the order, the invoice, the charges and, of a refund or a
cancellation, of all that the event says of it. The order is the purchase; each later payment of a subscription is one of its own,
named by order and invoice. A period whose end is told (``future_charges``) gives access until then. Repeats: one
developer's comment claims them, no page does.

Sources: the vendor's page "Using webhook notifications", a captured ``order.success`` of the public library magloft/thrivecart.
The other three events were never seen: where they name their product, subscription and amount is read tolerantly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any, ClassVar

import orjson

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Reception, Response, Route
from bridge.contract.settings import Duration, MarksTestOrders, Secrets, SourceSettings, TellsFailedPayments
from bridge.kit.acknowledge import acknowledge
from bridge.kit.brackets import each, fields_of
from bridge.kit.money import minor
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import any_same
from bridge.kit.subscriptions import payment_failed

_SECRET = "thrivecart_secret"  # noqa: S105 - the field's name
_NOTHING = frozenset({"null", "false"})
_DEEPEST = 12


class ThrivecartSettings(MarksTestOrders, TellsFailedPayments):
    """``[sources.NAME]`` with ``adapter = "thrivecart"``.

    Attributes:
        secret: the account's secret word; several while it changes.
        period_grace: how long access outlasts a subscription's period, so that a late payment finds it.
    """

    secret: Secrets
    period_grace: Duration = timedelta(days=3)


class Thrivecart:
    """Takes orders, subscription payments, cancellations and refunds from ThriveCart."""

    Settings: ClassVar[type[SourceSettings]] = ThrivecartSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("GET", "POST")
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset({_SECRET})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = (
        "What ThriveCart's `purchase_map` calls it: `product-12`, `bump-3`, `upsell-4`, `downsell-5`, always with a hyphen."
    )
    setup: ClassVar[Sequence[str]] = (
        "In ThriveCart, under Settings, API & Webhooks and ThriveCart order validation, copy the secret word into `secret`.",
        "Under Webhooks & notifications add a webhook with the address `{url}`; the bridge must run by then.",
        "The address gets all products of the account: map them, mark the others with `ignore = true`, or set `unmapped`.",
        "Test purchases come to the same address: for them make a second source with `test_mode = true` and add its address too.",
    )
    unverified: ClassVar[str] = (
        "Everything of `order.subscription_payment`, `order.subscription_cancelled`, `order.rebill_failed` and `order.refund` beside the fields that they "
        "share with `order.success`, and whether a delivery that failed is repeated."
    )

    def __init__(self, settings: ThrivecartSettings) -> None:
        """Take the settings of one source."""
        self._secrets = tuple(secret.get_secret_value() for secret in settings.secret)
        self._payment_grace = settings.failed_payment_grace
        self._grace = settings.period_grace

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def handshake(self, event: InboundEvent) -> Response | None:
        """Answer what ThriveCart asks before it saves the address: a GET, or a POST of nothing."""
        probe = event.method != "POST" or not event.body.strip()
        return Response(200, {"status": "ready"}) if probe else None

    def verify(self, event: InboundEvent) -> None:
        """Compare the secret word.

        Raises:
            SignatureInvalid: it is missing or wrong, or the body can't be read.
        """
        try:
            shown = fields_of(event).get(_SECRET)
        except PayloadInvalid:
            shown = None
        if not isinstance(shown, str) or not any_same(shown, self._secrets):
            raise SignatureInvalid("the secret word is not this source's")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return what an event means; nothing for those of affiliates.

        Raises:
            PayloadInvalid: the order's id, the e-mail or what was bought is missing.
        """
        body = Payload(_without_nothing(fields_of(event)))
        told = body.text("event")
        common = {
            "occurred_at": event.received_at,
            "event_key": _event_key(body),
            "livemode": body.text("mode") != "test" and body.text("mode_int") != "1",
        }
        if told == "order.success":
            at = body.moment("order_timestamp") or body.moment("order.date_unix") or event.received_at
            key = f"order:{body.needed_text('order_id')}"
            return self._bought(body, _products(body), {**common, "occurred_at": at, "business_key": key})
        if told == "order.subscription_payment":
            charges = body.text("invoice_id") or "+".join(_values(body, "transactions"))
            key = f"order:{body.needed_text('order_id')}:{charges or common['event_key']}"
            paid = _told_product(body.at("subscription"))
            return self._bought(body, [paid] if paid else _products(body), {**common, "business_key": key[:500]})
        if told == "order.subscription_cancelled":
            return [command(action=Action.CANCEL, at_period_end=True, **_of_subscription(body), **common)]
        if told == "order.rebill_failed":
            about = _of_subscription(body)  # of an order alone: what was bought beside its subscription is paid
            told_which = about["items"] or "refs" in about["order"]
            return [payment_failed(self._payment_grace, common, **about)] if told_which else []
        return [_refunded(body, common)] if told == "order.refund" else []

    def _bought(self, body: Payload, products: Sequence[str], common: Mapping[str, Any]) -> list[EnrollmentCommand]:
        """Return one command for each subscription and end of a period: both are said of a command, not of a line."""
        order, currency = body.at("order"), body.maybe("currency")
        amounts, ends = _amounts(order, currency), _ends(order)
        parts: dict[tuple[tuple[str, ...], datetime | None], list[dict[str, Any]]] = {}
        for product in products:
            named = (body.text(f"{name}.{product}") for name in ("subscriptions", "subscription_ids"))
            item = {
                "remote_product_id": product,
                "quantity": _quantity(order, product),
                "amount_paid": amounts.get(product),
                "currency": currency,
            }
            parts.setdefault((tuple(filter(None, named)), ends.get(product)), []).append(item)
        if not parts:
            raise PayloadInvalid({"purchase_map": "is missing or empty"})
        charges = _values(body, "transactions")
        return [
            command(
                action=Action.ENROLL,
                learner=_learner(body),
                items=items,
                order={
                    "number": body.needed_text("order_id"),
                    "total": minor(order.at("total").value, currency, digits=2),
                    "currency": currency,
                    "coupon": order.maybe("coupon"),
                    "payment_method": order.maybe("processor"),
                    "transaction_id": next(iter(charges), None),
                    "subscription_id": next(iter(ids), None),
                    "refs": [*charges, *(_ref(subscription) for subscription in ids)],
                },
                options=self._until(end),
                **common,
            )
            for (ids, end), items in parts.items()
        ]

    def _until(self, end: datetime | None) -> dict[str, Any]:
        with suppress(OverflowError):  # a period that ends with the year 9999 has no end
            return {"expires_at": end + self._grace if end else None}
        return {}

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; ThriveCart reads only the status."""
        return acknowledge(reception)


def _of_subscription(body: Payload) -> dict[str, Any]:
    """Name a subscription with all its periods: by the product that is told, else all of the order."""
    number, product = body.needed_text("order_id"), _told_product(body.at("subscription"))
    ids = [
        identifier
        for name in ("subscriptions", "subscription_ids")
        for of, identifier in _pairs(body, name)
        if not product or of == product
    ]
    return {
        "items": [{"remote_product_id": product}] if product else [],
        "order": {"refs": [_ref(identifier) for identifier in dict.fromkeys(ids)]} if ids else {"number": number},
    }


def _refunded(body: Payload, common: Mapping[str, Any]) -> EnrollmentCommand:
    """Return a refund of a product, of the order, or of some money, which changes no access."""
    order, refund, currency = body.at("order"), body.at("refund"), body.maybe("currency")
    product = _told_product(refund)
    returned = minor(refund.at("amount").value, currency, digits=2)
    paid = _amounts(order, currency).get(product) if product else minor(order.at("total").value, currency, digits=2)
    part = refund.text("type") == "partial" if returned is None or paid is None else returned < paid
    return command(
        action=Action.REFUND,
        refund={"full": not part and not product},
        items=[{"remote_product_id": product}] if product and not part else [],
        # By the number and not by the business key: it may be the money of a later payment that went back.
        order={"number": body.needed_text("order_id"), "refs": _values(body, "transactions")},
        **common,
    )


def _event_key(body: Payload) -> str:
    said = {name: body.at(name).value for name in ("refund", "subscription", "transactions")}
    digest = hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    return ":".join((body.text("event"), body.text("order_id"), body.text("invoice_id"), digest))[-500:]


def _products(body: Payload) -> list[str]:
    listed = [Payload(name).text() for name in each(body.at("purchase_map").value)]
    charged = [_told_product(charge) for charge in _charges(body.at("order"), "charges")]
    base = body.text("base_product")
    found = [product for product in listed if product] or [product for product in charged if product]
    return list(dict.fromkeys(found or ([f"product-{base}"] if base else [])))


def _told_product(thing: Payload) -> str:
    """Return a charge's, refund's or subscription's product as ``purchase_map`` writes it."""
    named = thing.text("item_identifier")
    kind, number = thing.text("item_type"), thing.text("reference", "id")
    return named.replace("_", "-", 1) if named else f"{kind}-{number}" if kind and number else ""


def _charges(order: Payload, name: str) -> Iterator[Payload]:
    yield from (Payload(charge) for charge in each(order.at(name).value))


def _amounts(order: Payload, currency: str | None) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for charge in _charges(order, "charges"):
        amount = minor(charge.at("amount").value, currency, digits=2)
        if amount is not None:
            found[_told_product(charge)] = found.get(_told_product(charge), Decimal(0)) + amount
    return found


def _quantity(order: Payload, product: str) -> int:
    counts = [charge.whole("quantity", 1) for charge in _charges(order, "charges") if _told_product(charge) == product]
    return max(1, *counts) if counts else 1


def _ends(order: Payload) -> dict[str, datetime]:
    """Return when the period of each subscription ends: when its next charge is due."""
    found: dict[str, datetime] = {}
    for charge in _charges(order, "future_charges"):
        due = charge.moment("defer_date") or charge.moment("due")
        if due is not None:
            found.setdefault(_told_product(charge), due)
    return found


def _learner(body: Payload) -> dict[str, Any]:
    customer = body.at("customer")
    first, last = first_and_last(
        customer.text("first_name", "firstname"), customer.text("last_name", "lastname"), customer.text("name")
    )
    email = unescape(customer.needed_text("email"))
    return {"email": email, "first_name": first, "last_name": last, "phone": customer.text("contactno", "phone")}


def _ref(subscription: str) -> str:
    # ThriveCart's own ids of subscriptions are short numbers, as those of orders are.
    return f"subscription:{subscription}"


def _pairs(body: Payload, name: str) -> Iterator[tuple[str, str]]:
    value = body.at(name).value
    for product, held in value.items() if isinstance(value, Mapping) else ():
        if text := Payload(held).text():
            yield str(product), text


def _values(body: Payload, name: str) -> list[str]:
    return list(dict.fromkeys(text for _, text in _pairs(body, name)))


def _without_nothing(value: Any, depth: int = _DEEPEST) -> Any:
    """Return the fields with nothing where ThriveCart writes a word for it."""
    if isinstance(value, dict):
        return {name: _without_nothing(held, depth - 1) for name, held in value.items()} if depth else {}
    if isinstance(value, list):
        return [_without_nothing(held, depth - 1) for held in value] if depth else []
    return "" if isinstance(value, str) and value in _NOTHING else value


ADAPTER: type[InboundAdapter] = Thrivecart
