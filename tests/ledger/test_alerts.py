"""Alerts on both databases: each cause is told once, again while it lasts for long, and once when it is over."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from bridge.contract.alerts import AlertKind
from bridge.contract.errors import LedgerError
from bridge.contract.outbound import Refused
from bridge.jobs.alerts import AlertPolicy
from bridge.jobs.alerts.digest import compose
from bridge.kit.clock import SetClock, milliseconds
from bridge.ledger import causes, lookups, quarantine, repairs
from bridge.ledger.quarantine import QuarantineRow
from bridge.ledger.rhythm import HOUR, Hour, longest_usual
from bridge.ledger.store import Ledger
from tests.alerts.rig import Job, Receiver, receiver
from tests.ledger.rig import ADA, BOB, World, at, buy

QUIET = AlertPolicy(disk_free=0)
ADDRESS = "ada@example.org"


@pytest.fixture
async def slack():
    async with receiver() as found:
        yield found


@pytest.fixture
def clock() -> SetClock:
    return SetClock(at(10_000))


@pytest.fixture
def job(ledger: Ledger, clock: SetClock, slack: Receiver) -> Job:
    return Job(ledger, clock, [slack.slack(clock)])


async def _bury(world: World, *who) -> None:
    for learner in who:
        await world.accept(buy("INTRO", who=learner))
        (claimed,) = await world.claim("lms")
        await world.settle(claimed, Refused("No such course ada@example.org", "Correct the mapping."))


async def _mend(world: World) -> None:
    await world.ledger.write(lambda unit: repairs.requeue(unit, repairs.dead_letters(unit, [], None), world.now))


async def _waits(world: World, kind: str, *, of: int, created: datetime | None = None) -> None:
    row = QuarantineRow(of, "shop", kind, ADDRESS, "", "", "", "", milliseconds(at(0)), "field: wrong")
    await world.ledger.write(lambda unit: quarantine.add(unit, [row], milliseconds(created or at(10_000))))


async def _released(world: World) -> None:
    await world.ledger.write(lambda unit: unit.run("UPDATE quarantine SET state = 'released'"))


async def test_dead_letters_are_told_once_and_their_end_once(world: World, job: Job, slack: Receiver):
    """However many join the cause, it is one alert; the operator hears when none is left."""
    await _bury(world, ADA)
    await job.run()
    await _bury(world, BOB)
    await job.run(1, times=3)
    assert len(slack.texts) == 1
    assert "1 delivery to lms has failed for good" in slack.texts[0]
    assert "Correct the mapping." in slack.texts[0]
    assert "bridge requeue --target lms" in slack.texts[0]
    await _mend(world)
    await job.run(1, times=8)
    assert len(slack.texts) == 2
    assert slack.texts[1].startswith("Over")


async def test_what_is_told_names_no_learner(world: World, job: Job, slack: Receiver):
    """A reason quotes what the target said of one person; an alert says only what is the same for everybody."""
    await _bury(world, ADA)
    await world.accept(buy("NOBODY-KNOWS", who=ADA))
    await job.run()
    assert "example" not in slack.texts[0].lower()
    assert "lovelace" not in slack.texts[0].lower()


async def test_two_causes_are_two_alerts_of_one_message(world: World, job: Job, slack: Receiver):
    """The operator gets one message with all that is new, not one for each."""
    await world.accept(buy("POTTERY"))
    await world.accept(buy("WEAVING"))
    await job.run()
    assert len(slack.texts) == 1
    assert "POTTERY" in slack.texts[0]
    assert "WEAVING" in slack.texts[0]
    await world.accept(buy("KNITTING"))
    await job.run(1)
    assert "KNITTING" in slack.texts[1]
    assert "POTTERY" not in slack.texts[1]


@pytest.mark.parametrize("kind", ["unreadable", "early"])
async def test_what_waits_in_quarantine_is_told_and_its_end_too(world: World, job: Job, slack: Receiver, kind: str):
    """Unreadable calls at once; a refund only when its purchase has not come for days."""
    await world.accept(buy("INTRO"))
    await _waits(world, kind, of=1, created=at(10_000) - timedelta(days=3))
    await job.run()
    assert len(slack.texts) == 1
    await job.run(1)
    assert len(slack.texts) == 1
    await _released(world)
    await job.run(1, times=8)
    assert [one.split()[0] for one in slack.texts] == ["New:", "Over"]


async def test_a_young_early_refund_is_no_cause(world: World, job: Job, slack: Receiver):
    """Refunds overtake purchases all the time."""
    await world.accept(buy("INTRO"))
    await _waits(world, "early", of=1)
    await job.run()
    assert slack.texts == []


async def test_lookups_given_up_are_told_and_their_end_too(world: World, job: Job, slack: Receiver):
    """Whoever bought by a thin event is not in until somebody acts."""
    await world.accept(buy("INTRO"))
    row = lookups.LookupRow(1, "shop", "order", "7")
    await world.ledger.write(lambda unit: lookups.keep(unit, [row], world.now))
    dead = lookups.Unanswered(1, "dead", world.now, 1, 0, "HTTP 403", "Widen the key.")
    await world.ledger.write(lambda unit: lookups.put_off(unit, [dead], world.now))
    await job.run(1, times=2)
    assert len(slack.texts) == 1
    assert "Widen the key." in slack.texts[0]
    await world.ledger.write(lambda unit: lookups.requeue(unit, [1], None, world.now, dry_run=False))
    await job.run(1, times=8)
    assert len(slack.texts) == 2


async def test_an_alert_that_lasts_is_told_again_after_a_day(world: World, job: Job, slack: Receiver):
    """A reminder, and no more than one a day."""
    await world.accept(buy("POTTERY"))
    await job.run()
    await job.run(60, times=23)
    assert len(slack.texts) == 1
    await job.run(60, times=3)
    assert len(slack.texts) == 2
    assert slack.texts[1].startswith("Still there (since 2026-03-08 10:40 UTC)")


async def test_a_restart_tells_nothing_again_and_ends_nothing_at_once(world: World, job: Job, slack: Receiver):
    """What was told stands in the ledger, and a bridge that has just begun does not know yet what it will find."""
    await world.accept(buy("POTTERY"))
    await job.run()
    job.clock.move(3600)
    job.again()
    await _released(world)
    await job.run()
    assert len(slack.texts) == 1
    await job.run(1, times=8)
    assert len(slack.texts) == 2
    assert slack.texts[1].startswith("Over")


async def test_a_cause_that_comes_back_within_minutes_was_never_away(world: World, job: Job, slack: Receiver):
    """What flickers is told once."""
    await _bury(world, ADA)
    await job.run()
    for _ in range(4):
        await _mend(world)
        await job.run(2)
        (claimed,) = await world.claim("lms")
        await world.settle(claimed, Refused("No such course", "Correct the mapping."))
        await job.run(2)
    assert len(slack.texts) == 1


async def test_a_cause_that_comes_back_later_is_a_new_alert(world: World, job: Job, slack: Receiver):
    """It had been told that it was over."""
    await _bury(world, ADA)
    await job.run()
    await _mend(world)
    await job.run(1, times=8)
    (claimed,) = await world.claim("lms")
    await world.settle(claimed, Refused("No such course", "Correct the mapping."))
    await job.run(1)
    assert [one.split()[0] for one in slack.texts] == ["New:", "Over", "New:"]


async def test_a_channel_that_was_down_is_told_when_it_is_back(world: World, job: Job, slack: Receiver):
    """Nothing is lost, the failure is counted, and it is not asked every minute for ever."""
    slack.status = 500
    await world.accept(buy("POTTERY"))
    await job.run()
    await job.run(1, times=30)
    assert slack.texts == []
    assert set(job.failures) == {"slack"}
    assert len(job.failures) < 10
    slack.status = 200
    await job.run(1, times=16)
    assert len(slack.texts) == 1
    assert "POTTERY" in slack.texts[0]


async def test_what_came_and_went_while_a_channel_was_down_is_told_as_past(world: World, job: Job, slack: Receiver):
    """The operator hears that there was something, in one paragraph."""
    slack.status = 500
    await world.accept(buy("POTTERY"))
    await job.run()
    await _released(world)
    await job.run(1, times=10)
    slack.status = 200
    await job.run(1, times=16)
    assert len(slack.texts) == 1
    assert slack.texts[0].startswith("Was there, and is over")


async def test_one_dead_channel_keeps_no_other_from_being_told(ledger: Ledger, world: World, clock: SetClock):
    """Each channel has its own account of what it knows."""
    async with receiver() as down, receiver() as up:
        down.status = 500
        job = Job(ledger, clock, [down.slack(clock), up.webhook(clock)])
        await world.accept(buy("POTTERY"))
        await job.run(1, times=3)
        assert len(up.bodies) == 1
        down.status = 200
        await job.run(1, times=16)
        assert len(up.bodies) == 1
        assert len(down.texts) == 1


async def test_a_crash_between_telling_and_keeping_repeats_under_the_same_id(
    ledger: Ledger, world: World, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """A receiver of Standard Webhooks can drop the repeat."""
    async with receiver() as hook:
        job = Job(ledger, clock, [hook.webhook(clock)])
        await world.accept(buy("POTTERY"))

        async def dies() -> None:
            raise LedgerError("the process is gone")

        write = ledger.write
        monkeypatch.setattr(ledger, "write", lambda work: dies() if hook.calls else write(work))
        with pytest.raises(LedgerError):
            await job.run()
        monkeypatch.setattr(ledger, "write", write)
        job.again()
        await job.run(1)
        await job.run(1)
        first, second = (headers["webhook-id"] for headers, _ in hook.taken)
        assert first == second


async def test_a_muted_kind_is_not_told(ledger: Ledger, world: World, clock: SetClock, slack: Receiver):
    """What the operator does not want to hear of is left alone; the rest is told."""
    muted = replace(QUIET, mute=frozenset({AlertKind.UNMAPPED}))
    job = Job(ledger, clock, [slack.slack(clock)], muted)
    await world.accept(buy("POTTERY"))
    await _bury(world, ADA)
    await job.run()
    assert len(slack.texts) == 1
    assert "POTTERY" not in slack.texts[0]


async def test_a_clock_that_is_off_is_told_where_no_target_agrees_with_it(
    ledger: Ledger, clock: SetClock, slack: Receiver
):
    """One target with a wrong clock is that target's affair."""
    job = Job(ledger, clock, [slack.slack(clock)], offsets={"lms": 600.0, "crm": 1.0})
    await job.run()
    assert slack.texts == []
    job.offsets["crm"] = 595.0
    await job.run(1, times=3)
    assert len(slack.texts) == 1
    assert "595 seconds ahead of the clocks of crm, lms" in slack.texts[0]
    job.offsets.update(lms=0.0, crm=0.0)
    await job.run(1, times=8)
    assert len(slack.texts) == 2


async def _sold(world: World, moments: list[datetime]) -> None:
    rows = [{"at": milliseconds(moment)} for moment in moments]
    await world.ledger.write(
        lambda unit: unit.each(
            "INSERT INTO event (source, adapter, received_at, method, path, body, state)"
            " SELECT 'shop', 'fake', at, 'POST', '/', '', 'accepted' FROM {rows} WHERE true ORDER BY r.at",
            {"at": "int"},
            rows,
        )
    )


def _hours(first: datetime, last: datetime) -> list[datetime]:
    """Return three purchases an hour, from eight to eight."""
    found, moment = [], first
    while moment < last:
        if 8 <= moment.hour < 20:
            found.append(moment)
        moment += timedelta(minutes=20)
    return found


NOW = datetime(2026, 3, 30, 12, 1, tzinfo=UTC)  # a Monday


async def test_a_source_that_falls_silent_at_its_usual_hours_is_told(ledger: Ledger, world: World, slack: Receiver):
    """It is learnt from the weeks before; the next purchase ends it."""
    clock = SetClock(NOW)
    await _sold(world, _hours(NOW - timedelta(days=30), NOW))
    job = Job(ledger, clock, [slack.slack(clock)])
    await job.run()
    await job.run(10, times=6)
    assert slack.texts == []
    await job.run(10, times=6)
    assert len(slack.texts) == 1
    assert "shop has sent nothing for" in slack.texts[0]
    job.again()
    await job.run(10, times=6)
    assert len(slack.texts) == 1
    await _sold(world, [clock.now()])
    await job.run(1, times=8)
    assert [one.split()[0] for one in slack.texts] == ["New:", "Over"]


async def test_a_silent_night_is_no_cause(ledger: Ledger, world: World, slack: Receiver):
    """At night it is always silent."""
    evening = NOW.replace(hour=20)
    clock = SetClock(evening)
    await _sold(world, _hours(evening - timedelta(days=30), evening))
    job = Job(ledger, clock, [slack.slack(clock)])
    await job.run(0)
    await job.run(30, times=23)
    assert slack.texts == []


async def test_a_source_with_little_history_is_never_quiet(ledger: Ledger, world: World, slack: Receiver):
    """Nobody knows what is usual."""
    clock = SetClock(NOW)
    await _sold(world, _hours(NOW - timedelta(days=10), NOW))
    job = Job(ledger, clock, [slack.slack(clock)])
    await job.run(60, times=24)
    assert slack.texts == []


async def test_a_source_stays_quiet_for_weeks(ledger: Ledger, world: World, slack: Receiver):
    """Silence does not become usual by lasting."""
    clock = SetClock(NOW)
    await _sold(world, _hours(NOW - timedelta(days=30), NOW))
    job = Job(ledger, clock, [slack.slack(clock)], replace(QUIET, remind=timedelta(0)))
    await job.run()
    await job.run(12 * 60, times=60)
    assert len(slack.texts) == 1


def test_usual_silence_is_that_of_the_same_hour_of_the_week() -> None:
    """Hours without an event count with all the silence before their end."""
    week = 7 * 24
    at_hour = 10_000
    busy = [
        Hour("shop", at_hour - n * week + more, 30, (at_hour - n * week + more) * HOUR + 3_500_000, 120_000)
        for n in (4, 3, 2, 1)
        for more in (-1, 0, 1)
    ]
    assert longest_usual(busy, at_hour) == 120_000
    without = [hour for hour in busy if hour.hour != at_hour - week]
    assert longest_usual(without, at_hour) == 3_700_000
    assert longest_usual(busy[6:], at_hour) is None


async def test_of_two_bridges_one_tells(ledger: Ledger, shared_url: str, slack: Receiver):
    """The other takes over when the first is gone, and repeats nothing."""
    shared = Ledger(shared_url)
    await shared.open()
    try:
        clock = SetClock(at(10_000))
        world = World(shared)
        leader = ["one"]
        one = Job(shared, clock, [slack.slack(clock)], leads=lambda: leader == ["one"])
        two = Job(shared, clock, [slack.slack(clock)], leads=lambda: leader == ["two"])
        await world.accept(buy("POTTERY"))
        await asyncio.gather(one.run(), two.run())
        await asyncio.gather(one.run(), two.run())
        assert len(slack.texts) == 1
        leader[0] = "two"
        await world.accept(buy("WEAVING"))
        await one.run(1)
        assert len(slack.texts) == 1
        await two.run()
        assert len(slack.texts) == 2
        assert "POTTERY" not in slack.texts[1]
    finally:
        await shared.close()


async def test_the_digest_of_yesterday_comes_once_a_day(ledger: Ledger, world: World, slack: Receiver):
    """In the operator's zone: how much was sold, how long people waited, and what is still to be done."""
    zone = ZoneInfo("Europe/Berlin")
    clock = SetClock(at(10_000).replace(day=9, hour=6, minute=0))
    await world.accept(buy("INTRO", order="1"))
    await world.accept(buy("POTTERY", order="2", who=BOB))
    world.now += 4_000
    (claimed,) = await world.claim("lms")
    await world.settle(claimed)
    digest = replace(QUIET, digest=time(7, 30), digest_zone=zone, mute=frozenset(AlertKind))
    job = Job(ledger, clock, [slack.slack(clock)], digest)
    await job.run()
    assert slack.texts == []
    await job.run(30, times=4)
    job.again()
    await job.run(30)
    assert len(slack.texts) == 1
    assert "Purchases: 1 (shop 1)." in slack.texts[0]
    assert "half of them within 4.0 s" in slack.texts[0]
    assert "1 of shop's product 'POTTERY'" in slack.texts[0]
    await job.run(24 * 60)
    assert len(slack.texts) == 2
    assert "Purchases: none." in slack.texts[1]


async def test_looking_reads_what_is_not_settled_and_nothing_else(tmp_path, sqlite_template):
    """However much has been done, the job's questions go through partial indexes; none walks through a whole table."""
    shutil.copy(sqlite_template, tmp_path / "bridge.db")
    ledger = Ledger(f"sqlite:///{tmp_path}/bridge.db")
    await ledger.open()
    looked: list[str] = []
    walked: list[str] = []

    def watch(_connection, cursor, statement, parameters, _context, _many) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            looked.append(statement)
            walked.extend(
                f"{row[3]}: {statement}" for row in plan if row[3].startswith("SCAN") and "INDEX" not in row[3]
            )

    event.listen(ledger._reading, "after_cursor_execute", watch)
    try:
        clock = SetClock(at(10_000))
        job = Job(ledger, clock, [], replace(QUIET, digest=time(0, 0)))
        await job.run()
        await ledger.read(lambda connection: compose(connection, at(0)))
    finally:
        await ledger.close()
    small = (
        "SCAN a:",
        "SCAN lane:",
        "SCAN source_hour:",
        "SCAN job_place:",
        "SCAN c:",
        "SCAN (",
    )  # the last two: what was found
    assert len(looked) > 10
    assert [one for one in walked if not one.startswith(small)] == []


async def test_a_ledger_that_is_away_is_told_though_nothing_can_be_kept(tmp_path, sqlite_template, slack: Receiver):
    """A disk that is full keeps every other alert from being kept; this one is told once, and its end once."""
    shutil.copy(sqlite_template, tmp_path / "bridge.db")
    ledger = Ledger(f"sqlite:///{tmp_path}/bridge.db")
    await ledger.open()
    clock = SetClock(at(10_000))
    job = Job(ledger, clock, [slack.slack(clock)])
    try:
        await job.run()
        (tmp_path / "bridge.db").rename(tmp_path / "elsewhere.db")
        for _ in range(5):
            with pytest.raises(LedgerError):
                await job.run(1)
        assert len(slack.texts) == 1
        assert "The ledger can't be written" in slack.texts[0]
        (tmp_path / "elsewhere.db").rename(tmp_path / "bridge.db")
        await job.run(1, times=3)
        assert [one.split()[0] for one in slack.texts] == ["New:", "Over"]
    finally:
        await ledger.close()


async def test_a_flood_hides_nobody_elses_trouble(world: World, monkeypatch: pytest.MonkeyPatch):
    """More is dead, and more waits, than is counted: the one learner who is not in is told of all the same."""
    monkeypatch.setattr(causes, "MOST", 20)
    await world.accept(buy("INTRO"))

    def flood(unit):
        numbers = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < :many)"
        for target, many in (("crm", 30), ("school", 1)):
            unit.run(
                f"{numbers} INSERT INTO delivery (target, kind, key, person, learner_id, event_id, state, due_at, why, created_at,"
                " updated_at) SELECT :target, 'contact', 'k' || i, 'p' || i, 1, 1, 'dead', 1, 'no', 1, 1 FROM c",
                many=many,
                target=target,
            )
        lines = [("ams", "A", "unmapped", 30), ("ams", "Z", "unmapped", 1), ("shop", "B", "unmapped", 2)]
        for source, product, kind, many in [*lines, ("ams", "", "unreadable", 30), ("shop", "", "unreadable", 1)]:
            unit.run(
                f"{numbers} INSERT INTO quarantine (event_id, source, kind, learner_key, remote_product_id, occurred_at, state,"
                " created_at, updated_at) SELECT 1, :source, :kind, 'l' || i, :product, 1, 'waiting', 1, 1 FROM c",
                many=many,
                source=source,
                product=product,
                kind=kind,
            )

    await world.ledger.write(flood)
    dead = await world.ledger.read(causes.dead_letters)
    assert [(row.target, row.n) for row in dead] == [("crm", 20), ("school", 1)]
    unmapped = await world.ledger.read(causes.unmapped)
    assert {(row.source, row.remote_product_id) for row in unmapped} == {("ams", "A"), ("ams", "Z"), ("shop", "B")}
    unreadable = await world.ledger.read(causes.unreadable)
    assert [(row.source, row.n) for row in unreadable] == [("ams", 20), ("shop", 1)]
