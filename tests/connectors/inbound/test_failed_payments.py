"""A failed payment of a subscription, at every sender that tells of one: suspended later, and only the subscription."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.inbound import InboundEvent
from bridge.intake import due
from bridge.kit.clock import milliseconds
from bridge.registry import adapter_class
from tests.connectors.inbound.sellers_rig import shop

RECEIVED = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECONDS = 1_793_000_000
SECRETS: dict[str, dict[str, Any]] = {
    "stripe": {"signing_secrets": "whsec_x"},
    "paypal": {"webhook_id": "w", "client_id": "c", "client_secret": "s", "receiver_email": "seller@example.org"},
    "paddle": {"signing_secrets": "s", "public_key": []},
    "chargebee": {"username": "u", "password": "p"},
    "lemon_squeezy": {"signing_secrets": "s"},
    "razorpay": {"signing_secrets": "s"},
    "fastspring": {"signing_secrets": "s"},
    "thrivecart": {"secret": "s"},
    "authorize_net": {"signing_secrets": "s", "api_login_id": "a", "transaction_key": "t"},
    "square": {"signing_secrets": "s", "notification_url": "https://x.example/in/square", "api_key": "k"},
}
FAILED: dict[str, tuple[str, dict[str, Any]]] = {
    "stripe": (
        "stripe",
        {
            "id": "evt_1",
            "object": "event",
            "type": "invoice.payment_failed",
            "created": SECONDS,
            "data": {"object": {"id": "in_2", "subscription": "sub-1", "billing_reason": "subscription_cycle"}},
        },
    ),
    "paypal": (
        "paypal",
        {"id": "WH-1", "event_type": "BILLING.SUBSCRIPTION.PAYMENT.FAILED", "resource": {"id": "sub-1"}},
    ),
    "paddle": ("paddle", {"event_id": "evt_1", "event_type": "subscription.past_due", "data": {"id": "sub-1"}}),
    "chargebee": (
        "chargebee",
        {"id": "ev_1", "event_type": "payment_failed", "content": {"subscription": {"id": "sub-1"}}},
    ),
    "lemon_squeezy": (
        "lemon_squeezy",
        {
            "meta": {"event_name": "subscription_payment_failed"},
            "data": {"id": "7", "attributes": {"subscription_id": "sub-1", "billing_reason": "renewal"}},
        },
    ),
    "razorpay": (
        "razorpay",
        {"event": "subscription.pending", "payload": {"subscription": {"entity": {"id": "sub-1"}}}},
    ),
    "razorpay halted": (
        "razorpay",
        {"event": "subscription.halted", "payload": {"subscription": {"entity": {"id": "sub-1"}}}},
    ),
    "fastspring": (
        "fastspring",
        {"events": [{"id": "e1", "type": "subscription.charge.failed", "data": {"subscription": "sub-1"}}]},
    ),
    "thrivecart": (
        "thrivecart",
        {"event": "order.rebill_failed", "order_id": "1", "subscriptions": {"product-12": "sub-1"}},
    ),
    "authorize_net": (
        "authorize_net",
        {
            "notificationId": "n1",
            "eventType": "net.authorize.customer.subscription.failed",
            "payload": {"id": "sub-1"},
        },
    ),
    "square": (
        "square",
        {
            "event_id": "e1",
            "type": "invoice.scheduled_charge_failed",
            "data": {"object": {"invoice": {"id": "inv:1", "subscription_id": "sub-1"}}},
        },
    ),
}


def posted(body: bytes, kind: str = "application/json") -> InboundEvent:
    return InboundEvent("POST", "/in/shop", headers={"content-type": kind}, query={}, body=body, received_at=RECEIVED)


def meaning(adapter: str, event: InboundEvent, **changes: Any) -> list[EnrollmentCommand]:
    found = adapter_class(adapter)
    settings = found.Settings(adapter=adapter, **{**SECRETS[adapter], **changes})
    return list(found(settings).normalise(event))


@pytest.mark.parametrize("name", FAILED)
def test_a_failed_payment_suspends_its_subscription_in_a_while(name: str) -> None:
    """As long as the operator says, or as long as late renewals have; else a week."""
    adapter, said = FAILED[name]
    event = posted(orjson.dumps(said))
    (found,) = meaning(adapter, event, payment_grace="2d")
    assert (found.action, found.effective_at) == (Action.SUSPEND, found.occurred_at + timedelta(days=2))
    assert found.order.subscription_id == "sub-1" or found.order.refs == ("subscription:sub-1",)
    assert found.business_key is None
    days = 3 if hasattr(adapter_class(adapter).Settings(adapter=adapter, **SECRETS[adapter]), "period_grace") else 7
    (found,) = meaning(adapter, event)
    assert found.effective_at == found.occurred_at + timedelta(days=days)


@pytest.mark.parametrize("adapter", ["stripe", "fastspring", "chargebee"])
def test_more_time_for_late_renewals_is_more_time_for_failed_payments(adapter: str) -> None:
    """Whoever set the one before there was the other shuts nobody out sooner than before."""
    event = posted(orjson.dumps(FAILED[adapter][1]))
    (found,) = meaning(adapter, event, period_grace="14d")
    assert found.effective_at == found.occurred_at + timedelta(days=14)


def test_what_a_plan_change_bills_in_between_suspends_nobody() -> None:
    """The period is paid; and the first invoice of a subscription that fails bought nothing."""
    for reason in ("subscription_update", "subscription_create", "manual", ""):
        body = orjson.dumps(FAILED["stripe"][1]).replace(b"subscription_cycle", reason.encode())
        assert meaning("stripe", posted(body)) == []


def test_an_order_beside_its_subscription_is_not_suspended() -> None:
    """ThriveCart's event without a subscription names the whole order, and the rest of that is paid."""
    assert meaning("thrivecart", posted(b'{"event": "order.rebill_failed", "order_id": "1"}')) == []


@pytest.mark.parametrize("kind", ["subscr_failed", "recurring_payment_failed"])
def test_an_ipn_tells_a_failed_payment_too(kind: str) -> None:
    """Of a subscription button, or of a profile."""
    form = {"txn_type": kind, "subscr_id": "sub-1", "receiver_email": "seller@example.org"}
    (found,) = meaning("paypal", posted(urlencode(form).encode(), "application/x-www-form-urlencoded"))
    assert (found.action, found.order.subscription_id) == (Action.SUSPEND, "sub-1")
    assert found.effective_at == RECEIVED + timedelta(days=3)


def test_a_grace_beyond_the_calendar_is_no_fault() -> None:
    """It never ends."""
    (found,) = meaning("chargebee", posted(orjson.dumps(FAILED["chargebee"][1])), payment_grace="9999999d")
    assert found.effective_at is not None
    assert found.effective_at.year == 9999


def invoice(name: str, paid_at: int, days: int) -> dict[str, Any]:
    """What Stripe tells of a paid period."""
    line = {
        "id": f"il_{name}",
        "amount": 4900,
        "price": {"id": "price_A"},
        "subscription": "sub-1",
        "period": {"start": paid_at, "end": paid_at + days * 86_400},
    }
    thing = {
        "id": f"in_{name}",
        "status": "paid",
        "customer_email": "ada@example.org",
        "currency": "eur",
        "amount_paid": 4900,
        "payment_intent": f"pi_{name}",
        "subscription": "sub-1",
        "status_transitions": {"paid_at": paid_at},
        "lines": {"data": [line]},
    }
    return {"id": f"evt_{name}", "type": "invoice.paid", "created": paid_at, "data": {"object": thing}}


@pytest.mark.parametrize(("paid", "wanted"), [(True, "live"), (False, "suspended")])
async def test_a_yearly_subscription_whose_renewal_fails(tmp_path: Path, *, paid: bool, wanted: str) -> None:
    """Suspended when the grace is over, unless it is paid before; a payment afterwards is a period of its own."""
    now = int(RECEIVED.timestamp())
    settings = {"adapter": "stripe", **SECRETS["stripe"], "payment_grace": "1d", "period_grace": "30d"}
    stripe = adapter_class("stripe")
    failed = {**FAILED["stripe"][1], "id": "evt_failed", "created": now - 3600}
    async with shop(tmp_path, stripe(stripe.Settings(**settings)), "price_A") as world:
        first = posted(orjson.dumps(invoice("1", now - 365 * 86_400, 365)))
        second = posted(orjson.dumps(invoice("2", now - 60, 365)))
        await world.receive(first, posted(orjson.dumps(failed)), *([second] if paid else []))
        later = milliseconds(RECEIVED + timedelta(days=1))
        await world.world.ledger.write(lambda unit: due.take_effect(unit, world.world.catalogue, later, 200))
        assert (await world.intents())[0] == wanted
        if not paid:
            await world.receive(second)
        assert (await world.intents())[1] == "live"
        assert set((await world.world.wanted("school")).values()) == {1}


def test_a_cancelled_subscription_of_braintree_is_paid_through_a_day() -> None:
    """It ends with that day, and a notice without the day ends it with the period that was charged last."""
    found = adapter_class("braintree")
    given = {"adapter": "braintree", "public_key": "k", "private_key": "p"}
    day = "<paid-through-date type='date'>2026-12-24</paid-through-date>"
    for told, until in ((day, datetime(2026, 12, 25, tzinfo=UTC)), ("", None)):
        xml = (
            "<notification><kind>subscription_canceled</kind><timestamp>2026-11-22T09:00:00Z</timestamp>"
            f"<subject><subscription><id>sub-1</id>{told}</subscription></subject></notification>"
        )
        form = urlencode({"bt_payload": base64.b64encode(xml.encode()).decode(), "bt_signature": "k|x"}).encode()
        (command,) = found(found.Settings(**given)).normalise(posted(form, "application/x-www-form-urlencoded"))
        assert (command.action, command.effective_at, command.at_period_end) == (Action.CANCEL, until, True)
