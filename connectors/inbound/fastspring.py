"""FastSpring: orders, returns and subscriptions, by webhook.

Authentication: ``X-FS-Signature``, the HMAC-SHA256 of the raw body under the webhook's secret, in base64. FastSpring signs
only where a secret is set, so a post without a signature is refused here. No time is signed.

One post holds many events; each has an ``id`` of its own, which an automatic repeat keeps. A repeat by hand makes a new
id, so an order is one purchase by its own id. A renewal is ``subscription.charge.completed`` and has an order of its own;
the first charge is only ``order.completed``, and ``subscription.activated`` tells nothing more, so it means nothing here.
Events carry ``live``: what is false is a test order. Amounts are numbers in major units, times are milliseconds.
An order whose ``completed`` is false (an order by wire transfer or purchase order that is not paid, say) is kept and
lets nobody in until FastSpring tells of it completed.

``order.canceled`` takes the order back, ``return.created`` refunds it: all of it when the return is as large as the
order, else the products that it names, by as many units as came back. Part of a line's price may be given back alone, with a
quantity of 0: then nobody loses anything. A return is known by its own id, so one repeated by hand takes no unit twice.
``order.chargeback`` suspends it. An order's time is its ``changed``, which a
repeat by hand leaves as it was: so an old order that is sent again does not undo its return.

Without webhook expansion a charge holds ids only, which say neither who nor what: it waits in quarantine, and so does an
event that can't be read, without its neighbours.

Sources: FastSpring's pages on webhooks; bodies of orders and returns as two shops' open code shows them. Not from a
source: the body of a chargeback; that 202 with ids acknowledges a part, which is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
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
from bridge.contract.settings import Duration, MarksTestOrders, Secrets, SourceSettings, TellsFailedPayments
from bridge.kit.acknowledge import acknowledge
from bridge.kit.money import major
from bridge.kit.names import clean
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import signed_with
from bridge.kit.subscriptions import payment_failed

_YEAR_9999 = 253_402_300_799_000
_ENDS = "subscription.deactivated"  # ``subscription.canceled`` comes earlier: access lasts until the period is over
_FAILED = "subscription.charge.failed"
_CHARGED = "subscription.charge.completed"


class FastspringSettings(MarksTestOrders, TellsFailedPayments):
    """``[sources.NAME]`` with ``adapter = "fastspring"``.

    Attributes:
        signing_secrets: the webhook's HMAC SHA256 secret; several while it changes.
        sold_by: what names the product: its path, or the SKU that it was given.
        partial_returns: whether the products of a return that is smaller than the order end, or it is only noted. What gives
            back a part of their price alone is noted always.
        period_grace: how long access outlasts a subscription's period, so that a late renewal finds it.
    """

    signing_secrets: Secrets
    sold_by: Literal["product", "sku"] = "product"
    partial_returns: Literal["end", "note"] = "end"
    period_grace: Duration = timedelta(days=3)


class Fastspring:
    """Takes orders, renewals, returns and chargebacks from FastSpring."""

    Settings: ClassVar[type[SourceSettings]] = FastspringSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = 'The product path (`intro-course`); with `sold_by = "sku"` its SKU, else the path.'
    setup: ClassVar[Sequence[str]] = (
        "In the FastSpring App, under Developer Tools, Webhooks and Configuration, add a webhook and give it the URL `{url}`.",
        "Enter an HMAC SHA256 secret there, and put it into `signing_secrets`: without it nothing is signed, and all is refused.",
        "Enable webhook expansion, so that renewals say who paid and for what.",
        (
            "Select `order.completed`, `order.canceled`, `return.created`, `order.chargeback`, "
            "`subscription.charge.completed`, `subscription.charge.failed` and `subscription.deactivated`; more do no harm."
        ),
        "For test orders add a second webhook that gets test events only, and a second source with `test_mode = true`.",
    )
    unverified: ClassVar[str] = (
        "That a post repeated by hand holds a return as one event alone, or with the same neighbours; the name and the body of `subscription.charge.failed`, the body of `order.chargeback`, the field of a subscription's next charge, and that an order's `changed` stays the same "
        "when the event is sent again by hand."
    )

    def __init__(self, settings: FastspringSettings) -> None:
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
        if not signed_with(self._keys, event.body, [event.headers.get("x-fs-signature", "")], encoding="base64"):
            raise SignatureInvalid("the X-FS-Signature fits no secret of this source")

    def normalise(self, event: InboundEvent) -> list[Meaning]:
        """Return what each event of the post means; one that can't be read is named by its id, else by its place.

        Raises:
            PayloadInvalid: there is no list of events.
        """
        events = Payload(event.json).at("events")
        if not isinstance(events.value, list):
            raise PayloadInvalid({"events": "is missing"})
        found: list[Meaning] = []
        for place, told in enumerate(events):
            try:
                found += self._meaning(told, event.received_at)
            except PayloadInvalid as fault:
                if _is_live(told) is self._settings.test_mode:
                    continue  # it would have had no effect
                found.append(Unreadable(told.text("id") or str(place), fault.faults))
        return found

    def _meaning(self, told: Payload, received_at: datetime) -> list[EnrollmentCommand]:
        kind, data = told.text("type"), told.at("data")
        common = {
            "event_key": told.maybe("id"),
            "occurred_at": _milliseconds(told.at("created").value) or received_at,
            "livemode": _is_live(told),
        }
        if kind == "order.completed":
            return self._bought(data, common)
        if kind == _CHARGED:
            return self._charged(data, common)
        if kind == "return.created":
            return [self._returned(data, common)]
        if kind in ("order.canceled", "order.chargeback"):
            action = Action.CANCEL if kind == "order.canceled" else Action.SUSPEND
            number = _id(data, "order") or data.needed_text("id")
            return [command(action=action, business_key=number, order={"number": number}, **common)]
        if kind in (_ENDS, _FAILED):
            subscription = _id(data, "subscription") or data.needed_text("id")
            if kind == _FAILED:
                grace = self._settings.failed_payment_grace
                return [payment_failed(grace, common, order={"subscription_id": subscription})]
            return [command(action=Action.CANCEL, order={"subscription_id": subscription}, **common)]
        return []

    def _bought(
        self, order: Payload, common: Mapping[str, Any], charge: Payload | None = None
    ) -> list[EnrollmentCommand]:
        """Return one command for each subscription and end of a period: both are said of a command, not of a line."""
        number = _id(order, "order") or order.needed_text("id")
        parts: dict[tuple[str, datetime | None], list[dict[str, Any]]] = {}
        for line in order.at("items"):
            parts.setdefault(_subscription(charge or line), []).append(self._item(line, order))
        if not parts:
            raise PayloadInvalid({"data.items": "is missing or empty"})
        return [
            command(
                action=Action.ENROLL,
                paid=order.at("completed").value not in (False, "false"),
                business_key=number,
                learner=_learner(order),
                items=items,
                order={
                    "number": number,
                    "total": major(order.at("total").value),
                    "currency": order.maybe("currency"),
                    "coupon": next((found for coupon in order.at("coupons") if (found := coupon.maybe())), None),
                    "payment_method": order.maybe("payment.type"),
                    "subscription_id": subscription or None,
                    "refs": [reference] if (reference := order.text("reference")) else [],
                },
                options={"expires_at": until + self._settings.period_grace if until else None},
                **{**common, "occurred_at": _milliseconds(order.at("changed").value) or common["occurred_at"]},
            )
            for (subscription, until), items in parts.items()
        ]

    def _charged(self, data: Payload, common: Mapping[str, Any]) -> list[EnrollmentCommand]:
        if not isinstance(data.at("order").value, Mapping):
            raise PayloadInvalid({"data.order": "is only an id; enable webhook expansion at FastSpring"})
        return self._bought(data.at("order"), common, data)

    def _returned(self, data: Payload, common: Mapping[str, Any]) -> EnrollmentCommand:
        original = data.at("original")
        number = _id(original, "order") or original.needed_text("id")
        given, paid = major(data.at("totalReturn").value), major(original.at("total").value)
        full = given is not None and paid is not None and given >= paid
        only_noted = full or self._settings.partial_returns == "note"
        items = [] if only_noted else [self._came_back(line, data) for line in data.at("items") if _is_returned(line)]
        refs = [reference] if (reference := original.text("reference")) else []
        return command(
            action=Action.REFUND,
            business_key=number,
            refund={"full": full},
            items=items,
            order={"number": number, "refs": refs},
            **{**common, "event_key": _return_key(data) or common["event_key"]},
        )

    def _came_back(self, line: Payload, data: Payload) -> dict[str, Any]:
        item = self._item(line, data)
        return {**item, "returned": item["quantity"]}

    def _item(self, line: Payload, order: Payload) -> dict[str, Any]:
        product = line.text("sku") if self._settings.sold_by == "sku" else ""
        return {
            "remote_product_id": product or line.needed_text("product"),
            "quantity": max(1, line.whole("quantity", 1)),
            "amount_paid": major(line.at("subtotal").value),
            "currency": order.maybe("currency"),
        }

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge all events of the post; FastSpring reads only the status."""
        return acknowledge(reception)


def _is_returned(line: Payload) -> bool:
    """Say whether units of a line came back, and not only a part of their price."""
    units = 0 if line.text("refundType").lower().startswith("partial") else 1
    return line.whole("quantity", units) > 0


def _return_key(data: Payload) -> str:
    return f"return:{number}" if (number := data.text("return", "id")) else ""


def _is_live(told: Payload) -> bool:
    return told.at("live").value is not False and told.at("data.live").value is not False


def _id(holder: Payload, name: str) -> str:
    """Return an id that stands alone, or in the object that webhook expansion puts in its place."""
    return holder.text(name, f"{name}.id", f"{name}.{name}")


def _learner(order: Payload) -> dict[str, Any]:
    # Bought as a gift, the recipient is somebody else than the customer who pays.
    recipient = next((entry.at("recipient") for entry in order.at("recipients") if entry.text("recipient.email")), None)
    person = recipient or order.at("customer")
    return {
        "email": person.needed_text("email"),
        "first_name": clean(person.text("first")),
        "last_name": clean(person.text("last")),
        "phone": person.text("phone"),
    }


def _subscription(holder: Payload) -> tuple[str, datetime | None]:
    """Return the subscription of a line or a charge and the time of its next charge, as far as the event says them."""
    found = _id(holder, "subscription")
    return found, _milliseconds(holder.at("subscription.next").value) if found else None


def _milliseconds(value: Any) -> datetime | None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < _YEAR_9999:
        return None
    return datetime.fromtimestamp(value / 1000, UTC)


ADAPTER: type[InboundAdapter] = Fastspring
