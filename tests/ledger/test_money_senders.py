"""The same with what Stripe and PayPal really send: money decides, whatever their events overtake."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.contract.inbound import InboundAdapter, InboundEvent
from connectors.inbound.paypal import ADAPTER as PAYPAL
from tests.connectors.inbound import stripe_rig as stripe
from tests.connectors.inbound.paypal_rig import capture, order, webhook
from tests.ledger.rig import SHOP, World, request

CHARGE = {"id": "ch_1", "object": "charge", "payment_intent": "pi_1", "amount": 4990}
REFUND = {"id": "re_1", "object": "refund", "charge": "ch_1", "payment_intent": "pi_1"}
DISPUTE = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1"}
SESSION = stripe.session(metadata={"remote_product_id": "INTRO"})
AT_STRIPE = {
    "bought": ("checkout.session.completed", SESSION),
    "paid": ("checkout.session.async_payment_succeeded", SESSION),
    "disputed": ("charge.dispute.created", {**DISPUTE, "status": "needs_response"}),
    "won": ("charge.dispute.closed", {**DISPUTE, "status": "won"}),
    "lost": ("charge.dispute.closed", {**DISPUTE, "status": "lost"}),
    "pending": ("refund.created", {**REFUND, "status": "pending"}),
    "part": ("charge.refunded", {**CHARGE, "refunded": False}),
    "refunded": ("charge.refunded", {**CHARGE, "refunded": True}),
    "failed": ("refund.failed", {**REFUND, "status": "failed"}),
    "updated": ("charge.refund.updated", {**REFUND, "status": "failed"}),
}
DISPUTED = {"disputed_transactions": [{"seller_transaction_id": "C-1"}]}
WON = {**DISPUTED, "status": "RESOLVED", "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"}}
BOUGHT = order(
    purchase_units=[{"custom_id": "INTRO", "invoice_id": "1001", "payments": {"captures": [capture("C-1", "10.00")]}}]
)
AT_PAYPAL = {
    "bought": ("CHECKOUT.ORDER.COMPLETED", BOUGHT),
    "disputed": ("CUSTOMER.DISPUTE.CREATED", {**DISPUTED, "status": "OPEN"}),
    "won": ("CUSTOMER.DISPUTE.RESOLVED", WON),
    "reversed": ("PAYMENT.CAPTURE.REVERSED", {"id": "C-1"}),
}


def from_stripe(word: str, minute: int, event_id: str) -> InboundEvent:
    kind, thing = AT_STRIPE[word]
    return stripe.told(kind, thing, event_id=event_id, at=stripe.NOW - 600 + minute)


def from_paypal(word: str, minute: int, event_id: str) -> InboundEvent:
    kind, resource = AT_PAYPAL[word]
    return request(webhook(kind, resource, name=event_id, at=f"2026-02-01T10:{minute:02}:00Z"))


async def ends(
    world: World, adapter: InboundAdapter, event: Callable[[str, int, str], InboundEvent], words: str
) -> str:
    """Let events come in, each with an id of its own; return what is wanted then."""
    for n, word in enumerate(words.split()):
        kind = word.rstrip("0123456789")
        told = event(kind, int(word.removeprefix(kind)), f"evt_{n}")
        reception = await world.intake.receive(SHOP, adapter, told)
        assert reception.kind == "accepted", (word, reception)
    return str(await world.one("SELECT intent FROM registration"))


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ("bought0 disputed2 won6 paid0 refunded3", "cancelled"),
        ("bought0 disputed2 won6 paid4 refunded3", "live"),
        ("bought0 pending1 disputed2 failed3 won4 refunded1", "live"),
        ("bought0 refunded1 failed3 updated3 disputed4 won5 refunded1", "live"),
        ("bought0 disputed2 won6 refunded3 failed4", "live"),
        ("bought0 failed3 disputed4 won6 refunded5", "cancelled"),
        ("bought0 part1 failed3 disputed4 won6 part1", "live"),
        ("bought0 refunded1 failed3 disputed4 lost5 refunded1", "cancelled"),
        ("bought0 refunded3 failed3 refunded3", "live"),
        ("bought0 refunded1 disputed2 failed3", "suspended"),
        ("bought0 refunded1 failed3 disputed2", "suspended"),
        ("bought0 refunded1 disputed2 failed3 won4", "live"),
        ("bought0 refunded1 disputed2 failed3 lost4", "cancelled"),
    ],
)
async def test_stripe_s_events_end_where_the_money_is(world: World, words: str, end: str):
    """Whether a charge was refunded, and whether that failed, is told by events that may come in any order."""
    assert await ends(world, stripe.adapter(), from_stripe, words) == end


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ("bought0 disputed2 won6 bought0 reversed3", "cancelled"),
        ("bought0 disputed2 won6 bought5 reversed3", "live"),
        ("bought0 disputed2 won6 reversed3 bought0", "cancelled"),
    ],
)
async def test_paypal_s_events_end_where_the_money_is(world: World, words: str, end: str):
    """PayPal tells of an order again when it is captured, and of a reversal beside the dispute it came of."""
    settings = {"adapter": "paypal", "webhook_id": "W", "client_id": "c", "client_secret": "s"}
    adapter = PAYPAL(PAYPAL.Settings.model_validate(settings))
    assert await ends(world, adapter, from_paypal, words) == end
