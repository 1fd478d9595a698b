"""What is old is removed a few rows at a time; what a promise rests on stays, and so does the story."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bridge.actions import Actions
from bridge.actions.asked import Dismiss
from bridge.app.mailer import ENTRY
from bridge.contract.catalogue import MailerEntry
from bridge.contract.command import Options
from bridge.contract.outbound import Receipt, Refused, Repeat, TryLater
from bridge.dispatch.nothing import Nothing
from bridge.dispatch.retry import RetryPolicy, decide
from bridge.dispatch.settle import nothing, settlement
from bridge.dispatch.work import compute
from bridge.jobs import pruning
from bridge.jobs.pruning import Pruning
from bridge.jobs.retention import Retention
from bridge.kit.clock import SetClock, milliseconds
from bridge.ledger import alerts, claims, lookups, notices, removals, reports, schedule
from bridge.ledger.alerts import Sighting, Told
from bridge.ledger.lookups import LookupRow
from bridge.ledger.repairs import record
from bridge.ledger.store import Ledger
from bridge.ledger.story import story
from tests.ledger.rig import (
    ADA,
    BOB,
    CRM,
    LMS,
    NEWS,
    OPERATIONS,
    SCHOOL,
    World,
    at,
    buy,
    cancel,
    refund,
    request,
    with_targets,
)
from tests.ledger.test_replay import once_more

YEAR = timedelta(days=400)
KEPT = {"attempts": YEAR, "deliveries": YEAR, "lookups": YEAR, "alerts": YEAR, "actions": None}


def in_days(days: float) -> datetime:
    """Return a time so many days after the tests' own."""
    return at(10_000) + timedelta(days=days)


async def pruned(world: World, days: float = 401, **changed: timedelta | None) -> None:
    """Let so many days pass, and what is old by then go."""
    await Pruning(world.ledger, lambda: KEPT | changed, SetClock(in_days(days))).run()


async def tried(world: World) -> list[tuple[str, str, str, str]]:
    rows = await world.rows(
        "SELECT d.target, a.operation, a.outcome, a.exchanges FROM attempt a JOIN delivery d ON d.id = a.delivery_id ORDER BY a.id"
    )
    return [tuple(row) for row in rows]


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_AT_ONCE", 2)
    monkeypatch.setattr(pruning, "_LOOKED_AT", 3)


async def test_attempts_go_and_a_line_of_what_gave_access_or_took_it_stays(world: World):
    """Bare: what was sent and came back goes with the others."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO", order="o-1"))
    (claimed,) = await world.claim("lms")
    await world.settle(claimed, TryLater("busy", after=0.0))
    world.now += 60_000
    await world.deliver("lms")
    await world.deliver("crm")
    await world.accept(cancel(business_key="o-1"))
    await world.deliver("lms")
    await world.ledger.write(lambda unit: unit.run("""UPDATE attempt SET exchanges = '[{"url":"https://x"}]'"""))
    assert len(before := await tried(world)) > 3
    await pruned(world, 399)
    assert await tried(world) == before
    await pruned(world, deliveries=None)
    assert await tried(world) == [("lms", "grant", "receipt", "[]"), ("lms", "revoke", "receipt", "[]")]
    assert await world.one("SELECT count(*) FROM delivery WHERE target = 'crm'") > 0


async def test_settled_deliveries_go_with_their_attempts(world: World):
    """But for those that gave access: their line needs them."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO", order="o-1"))
    await world.deliver("lms")
    await world.deliver("crm")
    await pruned(world, attempts=None)
    assert await world.outbox("crm") == []
    assert [state for _, state in await world.outbox("lms")] == ["done"]
    assert [row[:3] for row in await tried(world)] == [("lms", "grant", "receipt")]


async def test_what_is_not_settled_keeps_everything(world: World):
    """Dead letters, however old, with every attempt that tells why; and what is still to be done."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO"))
    await world.deliver("lms", Refused("No.", "Look."))
    before = await tried(world), await world.outbox("lms"), await world.outbox("crm")
    assert before[0]
    await pruned(world, 4_000)
    assert (await tried(world), await world.outbox("lms"), await world.outbox("crm")) == before


async def test_what_was_settled_lately_keeps_old_attempts(world: World):
    """The age of a delivery counts from when it was settled."""
    await world.accept(buy("INTRO"))
    (claimed,) = await world.claim("lms")
    await world.settle(claimed, TryLater("busy", after=0.0))
    world.now = milliseconds(in_days(390))
    await world.deliver("lms")
    await pruned(world)
    assert [outcome for _, _, outcome, _ in await tried(world)] == ["later", "receipt"]
    await pruned(world, 791)
    assert [outcome for _, _, outcome, _ in await tried(world)] == ["receipt"]


async def test_what_an_operator_acted_on_stays(world: World):
    """By its number the story knows what was done about it, and by whom."""
    world.catalogue = with_targets(LMS, CRM)
    for who, outcome in ((ADA, None), (BOB, Refused("No.", "Look."))):
        await world.accept(buy("INTRO", who=who))
        await world.deliver("lms")
        await world.deliver("crm", outcome)
    told, dead = [row.id for row in await world.rows("SELECT id FROM delivery WHERE target = 'crm' ORDER BY id")]
    actions = Actions(world.ledger, lambda: world.catalogue, SetClock(at(10_000)))
    await actions.do("dismiss", Dismiss(ids=(dead,), why="told by phone"), "ada")
    await world.ledger.write(lambda unit: record(unit, "ada", "retry", f"4711,{told}", "", world.now))
    deliveries = next(kind for kind in removals.KINDS if kind.what == "deliveries")
    assert await world.ledger.read(lambda c: removals.count(c, deliveries, milliseconds(in_days(9)))) == 0
    await pruned(world)
    assert [row.id for row in await world.rows("SELECT id FROM delivery WHERE target = 'crm'")] == [told, dead]
    for days in (402.5, 404):  # without the record of it, a delivery still tells why it was dismissed
        await pruned(world, days, actions=YEAR)
    assert [row.why for row in await world.rows("SELECT why FROM delivery WHERE target = 'crm'")] == ["told by phone"]


async def test_who_was_never_let_in_is_known_after_years(world: World):
    """A CRM is told of an old purchase that was cancelled that they were enrolled, or that they never were."""
    world.catalogue = with_targets(LMS, NEWS)
    for who, gets_in in ((ADA, True), (BOB, False)):
        await world.accept(buy("INTRO", who=who, order=f"o-{who.remote_user_id}"))
        if gets_in:
            await world.deliver("lms")
        await world.accept(cancel(business_key=f"o-{who.remote_user_id}"))
        await world.deliver("lms")
        await world.deliver("news")
    await pruned(world, 4_000)
    for who, never in ((ADA, 0), (BOB, 1)):
        await world.accept(buy("ETHICS", who=who))
        (claimed,) = await world.claim("news")
        old = next(row for row in claimed.registrations if row.intent == "cancelled")
        assert old.never_in == never
        await world.settle(claimed)


async def test_a_late_repeat_and_a_late_refund_are_known(world: World):
    """Years after: nobody is enrolled twice, and whoever gets their money back is taken out, once."""
    bought = buy("INTRO", order="o-1")
    twice = request(headers={"x-id": "evt-1"})
    [number] = await world.ids(bought, event=twice)
    assert await world.operations("lms") == ["grant"]
    await empty_and_prune(world)
    assert await world.ids(bought, event=twice) == [number]
    assert await world.ids(buy("INTRO", order="o-1", minute=3)) == [number]
    assert await world.operations("lms") == []
    await world.accept(refund(business_key="o-1", minute=5))
    assert await world.operations("lms") == ["revoke"]
    assert await world.state(number) == "cancelled"


async def empty_and_prune(world: World, days: float = 500) -> None:
    await Retention(world.ledger, lambda: YEAR, SetClock(in_days(days))).run()
    await pruned(world, days)


async def test_a_pruned_purchase_is_replayed_as_any_other(world: World):
    """As long as its bytes are kept: what stands is told of as before, and nothing goes out twice."""
    world.catalogue = with_targets(LMS, CRM)
    [number] = await world.ids(buy("INTRO", order="o-1"))
    await world.deliver("lms")
    await world.deliver("crm")
    before = await once_more(world, buy("INTRO", order="o-1"), dry_run=True)
    await pruned(world)
    assert await once_more(world, buy("INTRO", order="o-1")) == before
    assert (await world.operations("lms"), await world.state(number)) == ([], "active")
    await empty_and_prune(world)
    assert (await once_more(world, buy("INTRO", order="o-1"))).note.startswith("its bytes are older than")


def _with_mailer(world: World) -> None:
    found = with_targets(LMS, SCHOOL)
    views = {key: course.view for key, course in found.courses.items()}
    world.catalogue = replace(found, mailer=MailerEntry(("office@example.org",), views))


async def test_a_confirmation_that_was_never_sent_can_wait_again(world: World):
    """By its attempts it is known that nobody was sent it; they stay until it is emptied."""
    _with_mailer(world)
    [number] = await world.ids(buy("INTRO", order="o-1", options=Options(send_email=True)))
    await world.deliver("lms")
    (claimed,) = await world.claim("mailer")
    work = compute(claimed, ENTRY, OPERATIONS, world.catalogue)
    assert not isinstance(work, Nothing)
    settled = nothing(claimed, Nothing("there was no access to tell of"), at=world.now)
    await world.ledger.submit(claims.settle, settled)
    await pruned(world)
    await world.ledger.write(lambda unit: notices.wait_again(unit, [number], world.now))
    assert [state for _, state in await world.outbox("mailer")] == ["waiting"]


async def test_a_notice_that_is_emptied_loses_its_delivery_and_is_not_sent_again(world: World):
    """The notice itself stays, and by it a replay knows that it was planned."""
    _with_mailer(world)
    bought = buy("INTRO", order="o-1", options=Options(send_email=True))
    await world.accept(bought)
    await world.deliver("lms")
    (claimed,) = await world.claim("mailer")
    work = compute(claimed, ENTRY, OPERATIONS, world.catalogue)
    assert not isinstance(work, Nothing)
    following = decide(Receipt(), 0, 0.0, Repeat.KEYED, RetryPolicy(), 0.5)
    settled = settlement(claimed, work, Receipt(), following, [], at=world.now, ms=0)
    await world.ledger.submit(claims.settle, settled)
    await pruned(world, 401)
    assert await world.outbox("mailer") == [("notice:1", "done")]
    await once_more(world, bought)
    assert await world.outbox("mailer") == [("notice:1", "done")]
    await empty_and_prune(world)
    assert await world.outbox("mailer") == []
    assert await world.one("SELECT count(*) FROM notice") == 1
    await world.accept(cancel(business_key="o-1"))
    await world.accept(buy("INTRO", order="o-1", minute=-5, options=Options(send_email=True)))
    assert await world.outbox("mailer") == []


async def test_answered_lookups_go_once_their_event_is_emptied(world: World):
    """Until then a replay would ask them again; what is not answered stays."""
    for order in ("o-1", "o-2"):
        await world.accept(buy("INTRO", order=order))
    rows = [LookupRow(event_id, "shop", "order", str(event_id)) for event_id in (1, 2)]
    await world.ledger.write(lambda unit: lookups.keep(unit, rows, world.now))
    await world.ledger.write(lambda unit: lookups.finish(unit, [1], world.now))
    await pruned(world, 500)
    assert (await world.counts("lookup"))["lookup"] == 2
    await empty_and_prune(world, 502)
    assert [row.id for row in await world.rows("SELECT id FROM lookup")] == [2]


async def test_alerts_that_are_over_go_and_open_ones_stay(world: World):
    """With who was told of them."""
    sightings = [Sighting("dead", cause, "Said.") for cause in ("a", "b")]
    await world.ledger.write(lambda unit: alerts.seen(unit, sightings, world.now))
    await world.ledger.write(lambda unit: alerts.told(unit, [Told(n, "slack", "begun") for n in (1, 2)], world.now))
    await world.ledger.write(lambda unit: alerts.still(unit, [("dead", "b")], world.now + 10))
    await world.ledger.write(lambda unit: alerts.recover(unit, world.now + 5, world.now + 10))
    await pruned(world, 399)
    assert await world.counts("alert", "alert_telling") == {"alert": 2, "alert_telling": 2}
    await pruned(world)
    assert [row.cause for row in await world.rows("SELECT cause FROM alert")] == ["b"]
    assert (await world.counts("alert_telling"))["alert_telling"] == 1


async def test_the_record_of_operators_goes_only_where_that_is_asked_for(world: World):
    """It is an audit, and small."""
    await world.ledger.write(lambda unit: record(unit, "ada", "pause", "lms", "", world.now))
    await pruned(world, 4_000)
    assert (await world.counts("operator_action"))["operator_action"] == 1
    await pruned(world, 4_002, actions=YEAR)
    assert (await world.counts("operator_action"))["operator_action"] == 0


async def _many(world: World, people: int = 7) -> None:
    world.catalogue = with_targets(LMS, CRM)
    for n in range(people):
        who = ADA.model_copy(update={"remote_user_id": f"u{n}", "email": f"u{n}@example.org"})
        await world.accept(buy("INTRO", who=who))
    await world.deliver("lms")
    await world.deliver("crm")


class PowerCutError(Exception):
    """The machine went down."""


@pytest.mark.usefixtures("few_at_once")
async def test_a_crash_between_two_batches_costs_nothing(world: World, ledger: Ledger, url: str):
    """The next run goes on where the last commit was, and counts each row once."""
    await _many(world)
    batches: list[int] = []

    def cut(_what: str, rows: int) -> None:
        batches.append(rows)
        if len(batches) == 2:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        await Pruning(ledger, lambda: KEPT, SetClock(in_days(401)), cut).run()
    await ledger.close()
    again = World(Ledger(url))
    await again.ledger.open()
    try:
        left = (await again.ledger.read(removals.progress))["attempts"]
        assert left.place > 0
        assert (left.removed, left.ended_at) == (sum(batches), None)
        looked: list[int] = []
        look = removals.look

        def noted(connection, kind, before, after, limit, kept):
            looked.append(after)
            return look(connection, kind, before, after, limit, kept)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(removals, "look", noted)
            await pruned(again, 401.1)
        assert looked[0] == left.place
        done = (await again.ledger.read(removals.progress))["attempts"]
        assert (done.place, done.removed, done.ended_at) == (0, 7, milliseconds(in_days(401.1)))
        assert [row[0] for row in await tried(again)] == ["lms"] * 7
        assert await again.counts("delivery") == {"delivery": 7}
    finally:
        await again.ledger.close()


@pytest.mark.usefixtures("few_at_once")
async def test_whoever_leads_no_more_leaves_the_rest_to_others(world: World):
    """Nothing is said to have run to its end."""
    await _many(world)
    batches: list[int] = []

    def removed(_what: str, rows: int) -> None:
        batches.append(rows)

    await Pruning(world.ledger, lambda: KEPT, SetClock(in_days(401)), removed, lambda: len(batches) < 2).run()
    assert batches == [2, 2]
    assert len(await tried(world)) == 10
    assert await world.ledger.read(schedule.last_ran) == {}
    await pruned(world)
    assert len(await tried(world)) == 7
    assert await world.ledger.read(schedule.last_ran) == {"pruning": milliseconds(in_days(401))}


async def test_a_pass_is_made_once_a_day_and_at_once_where_less_is_to_be_kept(world: World):
    """Looking through millions of rows that stay is not done every hour."""
    await _many(world, 1)
    await pruned(world, 399.5)
    await pruned(world, 400.4)
    assert len(await tried(world)) == 2
    await pruned(world, 400.4, attempts=timedelta(days=30))
    assert len(await tried(world)) == 1
    await pruned(world, 400.6)
    assert (await world.counts("delivery"))["delivery"] == 1


@pytest.mark.usefixtures("few_at_once")
async def test_a_pass_that_goes_on_keeps_what_is_to_be_kept_by_now(world: World):
    """The operator thought better of it while a pass was under way."""
    await _many(world)
    leads = [True]

    def removed(_what: str, _rows: int) -> None:
        leads[0] = False

    short = KEPT | {"attempts": timedelta(days=30), "deliveries": None}
    await Pruning(world.ledger, lambda: short, SetClock(in_days(40)), removed, lambda: leads[0]).run()
    left = await tried(world)
    await pruned(world, 41)
    assert await tried(world) == left
    known = (await world.ledger.read(removals.progress))["attempts"]
    assert (known.older_than, known.place) == (milliseconds(in_days(10)), 0)  # what is gone is gone, and is told of


async def test_the_story_says_what_is_gone(world: World):
    """Of an old purchase; one of today has lost nothing."""
    world.catalogue = with_targets(LMS, CRM)
    [old] = await world.ids(buy("INTRO"))
    await world.deliver("lms")
    await world.deliver("crm")
    await pruned(world)
    world.now = milliseconds(in_days(401))
    [young] = await world.ids(buy("INTRO", who=BOB), event=request(received_at=in_days(401)))
    before = in_days(1)
    told = await told_of(world, old)
    assert told["removed"] == [{"what": "attempts", "before": before}, {"what": "deliveries", "before": before}]
    assert [entry["operation"] for entry in told["story"] if entry["what"] == "attempt"] == ["grant"]
    assert [entry["effect"] for entry in told["story"] if entry["what"] == "event"] == ["created"]
    assert (await told_of(world, young))["removed"] == []
    delivery = await world.ledger.read(lambda c: reports.delivery(c, told["deliveries"][0]["delivery_id"]))
    assert delivery is not None
    assert delivery["removed"] == [{"what": "attempts", "before": before}]


async def test_the_story_says_that_only_lines_are_left(world: World):
    """Where every attempt gave access, none is gone; what was sent and came back is, and the story says so."""
    [old] = await world.ids(buy("INTRO"))
    await world.deliver("lms")
    assert (await told_of(world, old))["removed"] == []
    await pruned(world)
    told = await told_of(world, old)
    assert [entry["operation"] for entry in told["story"] if entry["what"] == "attempt"] == ["grant"]
    assert told["removed"] == [{"what": "attempts", "before": in_days(1)}]


async def told_of(world: World, registration_id: int) -> dict:
    found = await world.ledger.read(lambda c: story(c, str(registration_id), "registration"))
    assert found is not None
    (purchase,) = found["purchases"]
    return purchase


@pytest.mark.usefixtures("few_at_once")
async def test_two_bridges_that_both_take_themselves_to_lead_remove_nothing_twice(pair: tuple[World, World]):
    """The lead passes on within seconds, and a run may take longer."""
    await _many(pair[0], 12)
    await asyncio.gather(*(pruned(world) for world in pair))
    known = await pair[0].ledger.read(removals.progress)
    assert {what: known[what].removed for what in ("attempts", "deliveries")} == {"attempts": 12, "deliveries": 12}
    assert [row[:3] for row in await tried(pair[0])] == [("lms", "grant", "receipt")] * 12
