"""Lookups: the event is safe before the first question, and nothing that was asked is lost or counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from bridge.actions import Actions
from bridge.actions.asked import Requeue
from bridge.contract.command import Order
from bridge.contract.errors import PayloadInvalid, Unreachable
from bridge.contract.inbound import InboundEvent, Lookup, Unreadable
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.dispatch.retry import RetryPolicy
from bridge.jobs.lookups import LookupPolicy, Lookups
from bridge.kit.clock import SystemClock
from tests.ledger.rig import BOB, SHOP, World, buy, refund, request

SOON = RetryPolicy(steps=(timedelta(milliseconds=20),), max_age=timedelta(milliseconds=50), jitter=0)


class Thin:
    """A sender whose events say only which orders there are; ``says`` is what its API answers, one after the other."""

    synchronous = False
    credential_fields = frozenset({"token"})
    kept_headers = frozenset({"x-topic"})

    def __init__(self, says: Sequence[Any] = (), orders: Sequence[str] = ("1",)) -> None:
        self.says = list(says)
        self.orders = orders
        self.asked: list[tuple[InboundEvent, Lookup]] = []

    def credentials(self) -> Sequence[str]:
        return ()

    def normalise(self, _event: InboundEvent) -> list[Any]:
        return []

    def lookups(self, _event: InboundEvent) -> list[Lookup]:
        return [Lookup("order", order) for order in self.orders]

    async def look_up(self, event: InboundEvent, lookup: Lookup, _http: Any) -> Any:
        self.asked.append((event, lookup))
        answer = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def asking(world: World, adapter: Thin, retry: RetryPolicy = SOON) -> AsyncIterator[Lookups]:
    """Ask as the daemon does: woken by commits."""
    policy = LookupPolicy(concurrency=2, timeout=1.0, retry=retry)
    seen: list[tuple[str, str]] = []
    asker = Lookups(
        SHOP,
        adapter,
        world.ledger,
        world.intake,
        SimpleNamespace(),
        policy,
        SystemClock(),
        lambda *what: seen.append(what),
    )
    world.ledger.on_commit(asker.wake)
    task = asyncio.create_task(asker.run())
    yield asker
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _now(**more: Any) -> InboundEvent:
    return request(b'{"token": "secret", "id": 1}', headers={"x-topic": "paid", "x-other": "1"}, **more)


async def _received(world: World, adapter: Thin) -> Any:
    event = InboundEvent(
        "POST", "/in/shop", {"x-topic": "paid", "x-other": "1"}, {}, b'{"token":"s"}', datetime.now(UTC)
    )
    return await world.intake.receive(SHOP, adapter, event)


async def _until(world: World, statement: str, wanted: Any) -> None:
    for _ in range(500):
        if (found := [tuple(row) for row in await world.rows(statement)]) == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{found} did not become {wanted}")


STATES = "SELECT state FROM lookup ORDER BY id"


async def test_a_thin_event_becomes_a_purchase_once_the_sender_was_asked(world: World):
    """Under the event that told of it; the adapter is handed the event without its credential."""
    adapter = Thin([[buy("INTRO", order="1")]])
    async with asking(world, adapter):
        reception = await _received(world, adapter)
        assert reception.event_id is not None
        await _until(world, STATES, [("done",)])
    [(event, lookup)] = adapter.asked
    assert (lookup.key, event.headers, b"s" in event.json["token"].encode()) == ("1", {"x-topic": "paid"}, False)
    rows = await world.rows("SELECT event_id, effect FROM effect")
    assert [tuple(row) for row in rows] == [(reception.event_id, "created")]
    assert await world.wanted() == {"id:shop:ada": 1}


async def test_it_is_asked_after_a_restart_too(world: World):
    """The event and its question were on disk before anybody asked."""
    adapter = Thin([[buy("INTRO", order="1")]])
    await _received(world, adapter)
    assert await world.wanted() == {}
    async with asking(world, adapter):
        await _until(world, STATES, [("done",)])
    assert await world.wanted() == {"id:shop:ada": 1}


async def test_an_api_that_is_down_delays_the_purchase(world: World):
    """And loses nothing."""
    trouble = [Unreachable("no connection"), TryLater("HTTP 503", cause="outage"), [buy("INTRO", order="1")]]
    adapter = Thin(trouble)
    async with asking(world, adapter, RetryPolicy(steps=(timedelta(milliseconds=20),), jitter=0)):
        await _received(world, adapter)
        await _until(world, STATES, [("done",)])
    assert len(adapter.asked) == 3
    assert await world.wanted() == {"id:shop:ada": 1}


async def test_what_is_never_answered_waits_for_an_operator_who_can_have_it_asked_again(world: World):
    """With the reason, which holds no learner's address."""
    adapter = Thin([TryLater("HTTP 500, ada@example.org", cause="outage")])
    async with asking(world, adapter):
        await _received(world, adapter)
        await _until(world, STATES, [("dead",)])
        [(why,)] = await world.rows("SELECT why FROM lookup")
        assert "HTTP 500" in why
        assert "ada@example.org" not in why
        adapter.says = [[buy("INTRO", order="1")]]
        actions = Actions(world.ledger, lambda: world.catalogue, SystemClock())
        assert [
            row["lookup_id"]
            for row in await actions.do("requeue", Requeue(lookups=True, every=True, dry_run=True), "a")
        ] == [1]
        assert await world.rows(STATES) == [("dead",)]
        await actions.do("requeue", Requeue(lookups=True, every=True), "ada")
        await _until(world, STATES, [("done",)])
    assert await world.wanted() == {"id:shop:ada": 1}


async def test_refused_and_broken_lookups_are_dead_at_once(world: World):
    """Nothing gets better by asking again; the other questions go on."""
    adapter = Thin(
        [Refused("HTTP 404", "Look whether the order is there."), KeyError("x"), [buy("INTRO")]], orders="123"
    )
    async with asking(world, adapter):
        await _received(world, adapter)
        await _until(
            world, "SELECT state, count(*) FROM lookup GROUP BY state ORDER BY state", [("dead", 2), ("done", 1)]
        )


async def test_credentials_that_are_refused_kill_no_question(world: World):
    """Once they are mended, everything is asked again by itself."""
    adapter = Thin([NeedsOperator("HTTP 401", "Check the token.", "lane")])
    async with asking(world, adapter):
        await _received(world, adapter)
        await _until(world, "SELECT state, attempts, remedy FROM lookup", [("open", 0, "Check the token.")])


async def test_an_answer_nobody_understands_waits_in_quarantine(world: World):
    """Under its event, with what is wrong."""
    adapter = Thin([PayloadInvalid({"email": "is missing"})])
    async with asking(world, adapter):
        await _received(world, adapter)
        await _until(world, STATES, [("done",)])
    assert await world.rows("SELECT kind, note FROM quarantine") == [("unreadable", "order 1: email: is missing")]


async def test_an_answer_that_is_of_no_use_ends_the_lookup(world: World):
    """An unpaid order, say."""
    adapter = Thin([[]])
    async with asking(world, adapter):
        await _received(world, adapter)
        await _until(world, STATES, [("done",)])
    assert await world.counts("registration") == {"registration": 0}


async def test_a_refund_waits_while_its_purchase_is_looked_up(world: World):
    """It comes first, and takes the purchase back when that is understood."""
    bought = buy("INTRO", order="1", minute=1).model_copy(update={"order": Order(refs=("ch_1",))})
    adapter = Thin([[bought]])
    await _received(world, adapter)
    await world.accept(refund(order=Order(refs=("ch_1",)), minute=2))
    async with asking(world, adapter):
        await _until(world, STATES, [("done",)])
    assert await world.wanted() == {"id:shop:ada": 0}


async def test_a_lookup_made_twice_counts_once(world: World):
    """Two machines, or one that died between the answer and its receipt."""
    adapter = Thin([[]])
    await _received(world, adapter)
    event = _now()
    assert len(await world.intake.accept_found(SHOP, 1, [buy("INTRO", order="1")], event, 1)) == 1
    assert await world.intake.accept_found(SHOP, 1, [buy("ETHICS", order="2", who=BOB)], event, 1) == []
    assert await world.counts("registration") == {"registration": 1}


async def test_a_redelivered_event_is_not_asked_about_twice(world: World):
    """Where the sender gives its occurrences an id."""
    adapter = Thin([[buy("INTRO", order="1")]])
    adapter.lookups = lambda _event: [Lookup("order", "1", event_key="evt_1")]
    for _ in range(2):
        await _received(world, adapter)
    assert await world.counts("event", "lookup") == {"event": 1, "lookup": 1}
    adapter.normalise = lambda _event: [refund(event_key="evt_2", order=Order(refs=("x",)))]
    adapter.lookups = lambda _event: [Lookup("order", "1", event_key="evt_2"), Lookup("order", "2", event_key="evt_2")]
    for _ in range(2):
        await _received(world, adapter)
    assert await world.counts("event", "lookup") == {"event": 2, "lookup": 3}


async def test_a_bad_row_does_not_sink_the_questions(world: World):
    """It waits in quarantine, and what can be asked is asked."""
    adapter = Thin([[buy("INTRO", order="1")]])
    adapter.normalise = lambda _event: [Unreadable("row 2", {"id": "is missing"})]
    async with asking(world, adapter):
        await _received(world, adapter)
        await _until(world, STATES, [("done",)])
    assert await world.counts("registration", "quarantine") == {"registration": 1, "quarantine": 1}


async def test_many_questions_of_one_event_are_all_asked(world: World):
    """More than are asked at once."""
    adapter = Thin([[]], orders=[str(n) for n in range(50)])
    async with asking(world, adapter):
        await _received(world, adapter)
        await _until(world, "SELECT state, count(*) FROM lookup GROUP BY state", [("done", 50)])
    assert {lookup.key for _, lookup in adapter.asked} == {str(n) for n in range(50)}
