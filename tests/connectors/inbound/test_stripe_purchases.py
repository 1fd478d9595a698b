"""Stripe end to end: events in any order, a real ledger, lookups at a played API; one purchase is one registration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from bridge.contract.catalogue import ProductEntry
from bridge.contract.inbound import Enriches, InboundEvent, Reception
from bridge.dispatch.retry import RetryPolicy
from bridge.jobs.lookups import LookupPolicy, Lookups
from bridge.kit.clock import SystemClock
from bridge.ledger.store import Ledger
from tests.connectors.inbound.stripe_rig import (
    API_KEY,
    NOW,
    PlayedStripe,
    adapter,
    error,
    item,
    new_invoice,
    new_line,
    old_invoice,
    old_line,
    session,
    subscribed,
    told,
)
from tests.ledger.blank import blank_at
from tests.ledger.rig import SHOP, World, mapping

SOON = RetryPolicy(steps=(timedelta(milliseconds=20),), max_age=timedelta(seconds=60), jitter=0)
MONTH = 30 * 86_400
START = NOW - 3 * MONTH  # the first of three periods


class Shop:
    """A source of Stripe before a ledger; with ``played``, the lookups run as in the daemon."""

    def __init__(self, world: World, played: PlayedStripe | None = None) -> None:
        self.world = world
        self.played = played
        self.adapter = adapter(**({"api_key": API_KEY} if played else {}))

    async def take(self, *events: InboundEvent) -> list[Reception]:
        """Verify and take events, one after the other; what is to be looked up is looked up before the next one."""
        receptions = []
        for event in events:
            self.adapter.verify(event)
            receptions.append(await self.world.intake.receive(SHOP, self.adapter, event))
            await self.asked()
        return receptions

    async def asked(self) -> None:
        """Wait until no lookup is open."""
        for _ in range(1_000):
            if not await self.world.rows("SELECT id FROM lookup WHERE state = 'open'"):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("a lookup is still open")

    async def registrations(self) -> dict[str, str]:
        """Return business key -> intent."""
        rows = await self.world.rows("SELECT business_key, intent FROM registration ORDER BY id")
        found = {(row.business_key, row.intent) for row in rows}
        assert len({key for key, _ in found}) == len(found)
        return {row.business_key: row.intent for row in rows}

    async def waiting(self) -> list[str]:
        """Return the kinds of what waits in quarantine."""
        return [
            row.kind for row in await self.world.rows("SELECT kind FROM quarantine WHERE state = 'waiting' ORDER BY id")
        ]

    async def wanted(self) -> bool:
        """Say whether the one learner should be in."""
        rows = await self.world.rows('SELECT wanted FROM "right"')
        return [row.wanted for row in rows] == [1]


@asynccontextmanager
async def opened(ledger_file: Path) -> AsyncIterator[World]:
    ledger = Ledger(blank_at(ledger_file))
    await ledger.open()
    world = World(ledger)
    products = {("shop", name): ProductEntry(("web",)) for name in ("price_A", "INTRO")}
    world.catalogue = mapping(products={**mapping().products, **products})
    yield world
    await ledger.close()


@asynccontextmanager
async def asking(world: World, played: PlayedStripe) -> AsyncIterator[Shop]:
    """A shop whose lookups are made in the background."""
    shop = Shop(world, played)
    policy = LookupPolicy(concurrency=2, timeout=2.0, retry=SOON)
    async with played.reached() as http:
        thin = cast("Enriches", shop.adapter)
        job = Lookups(SHOP, thin, world.ledger, world.intake, http, policy, SystemClock(), lambda *_: None)
        world.ledger.on_commit(job.wake)
        task = asyncio.create_task(job.run())
        yield shop
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path / "bridge.db") as found:
        yield found


@pytest.fixture
async def plain(world: World) -> Shop:
    """Without api_key."""
    return Shop(world)


NAMED = {"metadata": {"remote_product_id": "INTRO"}}
CHARGE = {"id": "ch_1", "object": "charge", "payment_intent": "pi_1"}
DISPUTE = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1"}


def bought(**changes: Any) -> InboundEvent:
    return told("checkout.session.completed", session(**{**NAMED, **changes}), at=NOW - 500)


def refunded(
    charge: str = "ch_1", intent: str | None = "pi_1", *, at: int = NOW - 400, full: bool = True
) -> InboundEvent:
    thing = {**CHARGE, "id": charge, "payment_intent": intent, "refunded": full, "amount_refunded": 1}
    return told("charge.refunded", thing, at=at, event_id=f"evt_{charge}_{at}")


def dispute(kind: str, status: str, *, at: int, **changes: Any) -> InboundEvent:
    return told(f"charge.dispute.{kind}", {**DISPUTE, "status": status, **changes}, at=at)


def period(number: int, *, new: bool = False, kind: str = "invoice.paid", **changes: Any) -> InboundEvent:
    """The invoice of one period of a subscription, counted from 1."""
    start = START + (number - 1) * MONTH
    line = (new_line if new else old_line)(start=start, end=start + MONTH)
    ids = {"id": f"in_{number}", "billing_reason": "subscription_create" if number == 1 else "subscription_cycle"}
    ids["number"] = f"ABC-000{number}"
    if not new:
        ids |= {"payment_intent": f"pi_{number}", "charge": f"ch_{number}"}
    invoice = (new_invoice if new else old_invoice)(line, paid_at=start, **{**ids, **changes})
    return told(kind, invoice, at=start + 1, event_id=f"evt_{kind}_{number}")


async def test_bought_told_again_and_given_back(plain: Shop) -> None:
    """The same event, the same purchase by another event, then a refund that names the payment only."""
    first, again = await plain.take(bought(), bought())
    late = told("checkout.session.async_payment_succeeded", session(**NAMED), at=NOW - 450)
    (third,) = await plain.take(late)
    assert len({reception.lines[0].registration_id for reception in (first, again, third)}) == 1
    assert await plain.wanted()
    await plain.take(refunded())
    assert await plain.registrations() == {"payment:pi_1": "cancelled"}
    assert not await plain.wanted()
    await plain.take(bought())  # once more, late
    assert not await plain.wanted()
    assert await plain.waiting() == []


async def test_a_debit_that_fails_leaves_nothing_behind(plain: Shop) -> None:
    """Nothing was given, so nothing waits to be taken."""
    unpaid = session(payment_status="unpaid", **NAMED)
    kinds = ("checkout.session.completed", "checkout.session.async_payment_failed")
    receptions = await plain.take(*(told(kind, unpaid) for kind in kinds))
    assert [reception.kind for reception in receptions] == ["ignored", "ignored"]
    assert (await plain.registrations(), await plain.waiting()) == ({}, [])


async def test_a_part_that_is_given_back_takes_nothing_away(plain: Shop) -> None:
    """Until all of it is: the charge counts together."""
    part = told("refund.created", {"id": "re_1", **CHARGE, "charge": "ch_1", "status": "succeeded"}, at=NOW - 300)
    await plain.take(bought(), refunded(full=False), part)
    assert await plain.wanted()
    await plain.take(refunded(at=NOW - 200))
    assert not await plain.wanted()


async def test_a_refund_that_fails_gives_it_back(plain: Shop) -> None:
    """The bank did not take the money."""
    failed = told("refund.failed", {"id": "re_1", "charge": "ch_1", "payment_intent": "pi_1", "status": "failed"})
    await plain.take(bought(), refunded(), failed)
    assert await plain.wanted()


@pytest.mark.parametrize("named", [{}, {"charge": None}])
@pytest.mark.parametrize(("status", "wanted"), [("won", True), ("lost", False)])
async def test_a_dispute_suspends_until_it_is_decided(
    plain: Shop, named: dict[str, Any], status: str, *, wanted: bool
) -> None:
    """Told several times on the way."""
    await plain.take(
        bought(),
        dispute("created", "needs_response", at=NOW - 300, **named),
        dispute("funds_withdrawn", "needs_response", at=NOW - 300, **named),
        dispute("updated", "under_review", at=NOW - 200, **named),
    )
    assert await plain.registrations() == {"payment:pi_1": "suspended"}
    assert not await plain.wanted()
    await plain.take(dispute("closed", status, at=NOW - 100, **named))
    assert await plain.wanted() is wanted


async def test_a_dispute_that_names_the_charge_only_finds_the_invoice(plain: Shop) -> None:
    """Which has shown its charge."""
    await plain.take(period(1), dispute("created", "needs_response", at=NOW - 300, payment_intent=None))
    assert await plain.registrations() == {"invoice:in_1": "suspended"}


async def test_an_inquiry_takes_nothing(plain: Shop) -> None:
    """And it needs no purchase to wait for."""
    inquiry = dispute("created", "warning_needs_response", at=NOW - 300)
    await plain.take(inquiry, bought(), replace(inquiry), dispute("closed", "warning_closed", at=NOW - 200))
    assert await plain.registrations() == {"payment:pi_1": "live"}
    assert await plain.waiting() == []


@pytest.mark.parametrize(("status", "intent"), [("needs_response", "suspended"), ("lost", "cancelled")])
async def test_a_dispute_that_comes_first_waits_for_its_purchase(plain: Shop, status: str, intent: str) -> None:
    """Stripe keeps no order."""
    await plain.take(dispute("created", status, at=NOW - 300))
    assert await plain.waiting() == ["early"]
    await plain.take(bought())
    assert await plain.registrations() == {"payment:pi_1": intent}
    assert await plain.waiting() == []


async def test_events_of_a_dispute_in_any_order_end_alike(tmp_path: Path) -> None:
    """Bought, disputed, won: whichever comes first, the learner is in."""
    events = (
        bought(),
        dispute("created", "needs_response", at=NOW - 300),
        dispute("closed", "won", at=NOW - 100),
    )
    for place, order in enumerate(permutations(events)):
        async with opened(tmp_path / f"{place}.db") as world:
            shop = Shop(world)
            await shop.take(*order)
            assert await shop.registrations() == {"payment:pi_1": "live"}
            assert await shop.wanted()
            assert await shop.waiting() == []


async def test_periods_are_told_apart(plain: Shop) -> None:
    """Given back one, the others stand; the end of the subscription ends them all."""
    await plain.take(period(1), period(2), period(2, kind="invoice.payment_succeeded"), period(3))
    assert await plain.registrations() == {"invoice:in_1": "live", "invoice:in_2": "live", "invoice:in_3": "live"}
    await plain.take(refunded("ch_2", "pi_2"))
    assert await plain.registrations() == {"invoice:in_1": "live", "invoice:in_2": "cancelled", "invoice:in_3": "live"}
    assert await plain.wanted()
    going_on = {"id": "sub_1", "object": "subscription", "status": "active", "cancel_at_period_end": True}
    await plain.take(told("customer.subscription.updated", going_on))
    assert await plain.wanted()
    ended = {**going_on, "status": "canceled", "ended_at": NOW - 10}
    await plain.take(told("customer.subscription.deleted", ended, at=NOW - 9))
    assert set((await plain.registrations()).values()) == {"cancelled"}
    assert not await plain.wanted()


async def test_each_period_ends_with_its_grace(plain: Shop) -> None:
    """The last one says how long the learner is in."""
    await plain.take(period(1), period(2))
    rows = await plain.world.rows('SELECT expires_at FROM "grant" ORDER BY expires_at')
    assert [row.expires_at // 1000 for row in rows] == [START + number * MONTH + 3 * 86_400 for number in (1, 2)]


@pytest.mark.parametrize("order", list(permutations(("session", "paid", "succeeded"))))
@pytest.mark.parametrize("new", [False, True])
async def test_the_beginning_of_a_subscription_is_one_registration(
    world: World, order: Sequence[str], *, new: bool
) -> None:
    """Told by its session and by its invoice, in any order, by any version of the API."""
    played = PlayedStripe()
    line = new_line(start=START, end=START + MONTH)
    played.invoices["in_1"] = new_invoice(line, paid_at=START, payments=["pi_1"])
    events = {
        "session": told("checkout.session.completed", subscribed(), at=START + 5),
        "paid": period(1, new=new),
        "succeeded": period(1, new=new, kind="invoice.payment_succeeded"),
    }
    async with asking(world, played) as shop:
        await shop.take(*(events[name] for name in order))
        assert await shop.registrations() == {"invoice:in_1": "live"}
        assert len(await world.rows('SELECT id FROM "grant"')) == 1
        assert await world.one('SELECT expires_at FROM "grant"') == (START + MONTH + 3 * 86_400) * 1000
        await shop.take(refunded(charge="ch_9"))  # new versions tell no charge: the payment is enough
        assert await shop.registrations() == {"invoice:in_1": "cancelled"}
        assert await shop.waiting() == []


def invoiced(*, new: bool) -> dict[str, Any]:
    """The invoice that a one-time checkout makes."""
    nothing = {"subscription": None, "parent": None}
    once = {"billing_reason": "manual", **nothing} if new else {"billing_reason": "manual", "subscription": None}
    line = (new_line if new else old_line)(start=START, end=START, **nothing)
    return (new_invoice if new else old_invoice)(line, paid_at=START, **once)


MADE = {"invoice_creation": {"enabled": True}, "metadata": {"remote_product_id": "INTRO"}}


@pytest.mark.parametrize("order", list(permutations(("session", "paid"))))
@pytest.mark.parametrize("named", [None, "in_1"])
@pytest.mark.parametrize("new", [False, True])
async def test_a_checkout_that_makes_an_invoice_is_one_purchase(
    world: World, order: Sequence[str], named: str | None, *, new: bool
) -> None:
    """Also where it completes before its invoice is there: then it is asked for that, until Stripe has made it."""
    played = PlayedStripe()
    played.invoices["in_1"] = {
        **invoiced(new=True),
        "payments": new_invoice(paid_at=START, payments=["pi_1"])["payments"],
    }
    played.sessions["cs_1"] = session(**MADE, invoice="in_1")
    if named is None and order[0] == "session":
        played.faults = [lambda: web.json_response(session(**MADE))]
    events = {
        "session": told("checkout.session.completed", session(**MADE, invoice=named), at=START + 5),
        "paid": told("invoice.paid", invoiced(new=new), at=START + 1),
    }
    async with asking(world, played) as shop:
        await shop.take(*(events[name] for name in order))
        assert await shop.registrations() == {"invoice:in_1": "live"}
        await shop.take(refunded(charge="ch_9"))
        assert await shop.registrations() == {"invoice:in_1": "cancelled"}
        assert await shop.waiting() == []


async def test_without_a_key_the_invoice_of_a_checkout_tells_the_purchase(plain: Shop) -> None:
    """Whether or not the session names it."""
    await plain.take(bought(**MADE), told("invoice.paid", invoiced(new=False)))
    assert await plain.registrations() == {"invoice:in_1": "live"}


async def test_a_checkout_that_costs_nothing_waits_for_no_invoice(plain: Shop) -> None:
    """Nobody says that there will be one."""
    await plain.take(bought(**MADE, payment_status="no_payment_required", payment_intent=None, amount_total=0))
    assert await plain.registrations() == {"session:cs_1": "live"}


async def test_a_new_versions_refund_finds_its_invoice_in_either_order(world: World) -> None:
    """The payment is asked for; a refund that is faster waits until it is known."""
    played = PlayedStripe()
    for number in (1, 2):
        line = new_line(start=START, end=START + MONTH)
        played.invoices[f"in_{number}"] = new_invoice(line, paid_at=START, payments=[f"pi_{number}"], id=f"in_{number}")
    async with asking(world, played) as shop:
        await shop.take(refunded("ch_1", "pi_1"))
        assert await shop.waiting() == ["early"]
        await shop.take(period(1, new=True), period(2, new=True))
        assert await shop.registrations() == {"invoice:in_1": "cancelled", "invoice:in_2": "live"}
        assert await shop.waiting() == []


async def test_a_session_is_kept_while_stripe_is_down_and_a_refund_waits_for_it(world: World) -> None:
    """The lines are asked for until Stripe answers; the refund that came meanwhile is applied then."""
    played = PlayedStripe(page=1)
    played.lines["cs_1"] = [item(), item("price_UNMAPPED")]
    played.faults = [lambda: error(500, "down"), lambda: error(429, "slow down", **{"Retry-After": "0"})]
    async with asking(world, played) as shop:
        await shop.take(bought(metadata={}))
        assert len(played.asked) == 4
        assert await shop.registrations() == {"payment:pi_1": "live"}
        assert await shop.waiting() == ["unmapped"]
        await shop.take(refunded())
        assert await shop.registrations() == {"payment:pi_1": "cancelled"}
        assert await shop.waiting() == []


async def test_a_refund_that_overtakes_the_lookup_is_applied_after_it(world: World) -> None:
    """The question is still open when it comes."""
    played = PlayedStripe()
    played.lines["cs_1"] = [item()]
    shop = Shop(world, played)
    for event in (bought(metadata={}), refunded()):  # nobody asks yet
        await world.intake.receive(SHOP, shop.adapter, event)
    assert (await shop.registrations(), await shop.waiting()) == ({}, ["early"])
    async with asking(world, played) as later:
        await later.asked()
    assert await shop.registrations() == {"payment:pi_1": "cancelled"}
    assert await shop.waiting() == []


async def test_what_nobody_can_tell_waits_in_quarantine(plain: Shop) -> None:
    """Without api_key, metadata and payment link: nothing is lost, and the note says what to do."""
    await plain.take(bought(metadata={}))
    note = await plain.world.one("SELECT note FROM quarantine WHERE state = 'waiting'")
    assert "metadata.remote_product_id" in note
    assert "api_key" in note


async def test_test_orders_have_no_effect(plain: Shop) -> None:
    """Unless the source is for them."""
    for thing in (session(**NAMED), session()):
        (reception,) = await plain.take(told("checkout.session.completed", thing, livemode=False))
        assert reception.kind == "ignored"
    assert (await plain.registrations(), await plain.waiting()) == ({}, [])
