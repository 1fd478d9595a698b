"""Several bridges on one PostgreSQL: who is gone is replaced, who is cut off holds still, and nobody needs a restart."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import aiohttp
import psycopg
import pytest

from bridge.actions import Actions
from bridge.app import Bridge
from bridge.contract.role import Role
from bridge.dispatch.presence import Rhythm
from bridge.kit.clock import Clock, FollowingClock, SetClock, SystemClock
from bridge.ledger import claims, heartbeat
from bridge.ledger.claims import ClaimRequest
from bridge.ledger.store import Ledger
from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import asked
from tests.acceptance.rig import Client, configuration, emulators, live, until
from tests.ledger.rig import ADA, World, at, buy


class Ahead(SystemClock):
    """A machine's clock that is hours ahead."""

    def now(self):
        return super().now() + timedelta(hours=5)


class Company:
    """Bridges on one ledger, in this process."""

    def __init__(self, path: Path, stack: AsyncExitStack, session: aiohttp.ClientSession) -> None:
        self.bridges: list[Bridge] = []
        self.clients: list[Client] = []
        self._path, self._stack, self._session = path, stack, session

    async def join(self, role: Role = Role.ALL, clock: Clock | None = None) -> Bridge:
        bridge = Bridge(load(self._path, Registry(), env={}).settings, clock=clock, role=role)
        await bridge.start()
        self._stack.push_async_callback(bridge.stop)
        self.bridges.append(bridge)
        self.clients.append(Client(f"http://127.0.0.1:{bridge.port}", self._session))
        return bridge


@asynccontextmanager
async def company(folder: Path, url: str, targets, lease: int = 4, request: int = 1):
    """Bridges on one ledger whose leases last four seconds, and calls half of that."""
    path = configuration(folder, targets)
    text = path.read_text().replace(f"sqlite:///{folder}/bridge.db", url)
    path.write_text(
        text.replace(
            "[dispatch]", f'[dispatch]\nlease = "{lease}s"\ndeadline = "{lease // 2}s"\nrequest_timeout = "{request}s"'
        )
    )
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Company(path, stack, session)


async def _claim(world: World, owner: str, limit: int = 10):
    request = ClaimRequest("lms", limit, owner, world.now, 1_000, by_email=False)
    return (await world.ledger.submit(claims.claim, request)).claimed


async def _beat(world: World, owner: str, dead: int = 60_000) -> heartbeat.Beat:
    return await world.ledger.aside(lambda unit: heartbeat.beat(unit, {owner: heartbeat.LANE}, dead))


async def test_leases_return_when_the_heart_stops_and_not_before(world: World):
    """A lease that is long over stays its living owner's; when the owner is taken for dead, any other bridge opens it again."""
    await world.ids(buy("INTRO"))
    await _beat(world, "gone")
    assert len(await _claim(world, "gone")) == 1
    late = world.now + 3_600_000
    assert await world.ledger.write(lambda unit: claims.return_expired(unit, late)) == 0
    assert (await _beat(world, "here")).returned == 0
    await asyncio.sleep(0.05)
    found = await _beat(world, "here", dead=20)
    assert found.returned == 1
    assert len(await _claim(world, "here")) == 1
    assert (await _beat(world, "gone")).unknown == {"gone"}


async def test_who_is_taken_for_dead_takes_nothing_back(world: World):
    """What it settles late keeps its attempt, and the lease of its successor stands."""
    await world.ids(buy("INTRO"))
    await _beat(world, "gone")
    (mine,) = await _claim(world, "gone")
    await asyncio.sleep(0.05)
    await _beat(world, "here", dead=20)
    (theirs,) = await _claim(world, "here")
    assert theirs.delivery.id == mine.delivery.id
    back = [(mine.delivery.id, mine.delivery.lease)]
    assert await world.ledger.write(lambda unit: claims.give_back(unit, back, world.now)) == 0


async def test_who_is_just_coming_back_is_not_buried_unawares(pair: tuple[World, World], shared_url: str):
    """His beat is not committed yet when another who is dead is buried: nobody waits for him, and his lease stays his."""
    one, _ = pair
    await one.ids(buy("INTRO"))
    await _beat(one, "back")
    await _beat(one, "gone")
    (mine,) = await _claim(one, "back")
    await asyncio.sleep(0.05)
    with closing(psycopg.connect(shared_url)) as connection:
        connection.execute("UPDATE heartbeat SET beat_at = beat_at + 60000 WHERE owner = 'back'")
        assert (await _beat(one, "here", dead=20)).returned == 0
        connection.commit()
    assert await one.rows("SELECT owner FROM heartbeat ORDER BY owner") == [("back",), ("here",)]
    assert await one.one("SELECT lease FROM delivery WHERE id = :id", id=mine.delivery.id) == mine.delivery.lease


async def test_an_owner_who_leaves_is_nobody(world: World):
    """A bridge that ended in good order is not waited for."""
    await _beat(world, "here")
    await world.ledger.aside(lambda unit: heartbeat.leave(unit, ["here"]))
    assert await world.rows("SELECT * FROM heartbeat") == []


def test_whoever_is_cut_off_has_ended_before_others_begin():
    """From the last beat on: what may still begin, and how long it takes, ends within the lease."""
    usual = Rhythm.of(lease=30.0, deadline=25.0)
    assert usual.fence + 25.0 <= usual.dead
    assert usual.beat * 3 == pytest.approx(usual.fence)


async def test_a_person_is_in_one_bridge_s_hands_at_a_time(pair: tuple[World, World]):
    """Both claim at once, again and again: of everybody's three deliveries one is under way."""
    one, other = pair
    for number in range(10):
        who = ADA.model_copy(update={"remote_user_id": f"u{number}", "email": f"u{number}@example.org"})
        await one.ids(buy("INTRO", "ETHICS", "YEAR", who=who))
    claimed = await asyncio.gather(*(_claim(world, owner, 4) for world, owner in ((one, "a"), (other, "b")) * 6))
    people = [item.delivery.person for group in claimed for item in group]
    assert len(people) == len(set(people)) == 10


async def test_a_claim_does_not_wait_for_what_another_bridge_claims(pair: tuple[World, World], shared_url: str):
    """Two that each want what the other holds would stand still until the database ends one of them, with all of its group."""
    one, _ = pair
    await one.accept(buy("BUNDLE"))
    with closing(psycopg.connect(shared_url)) as other:
        other.execute("SELECT 1 FROM delivery WHERE id = (SELECT max(id) FROM delivery) FOR NO KEY UPDATE")
        (claimed,) = await one.claim("lms")  # it would fail when the lock is not to be had in time
        other.rollback()
    assert await one.claim("lms") == []
    await one.settle(claimed)
    assert len(await one.claim("lms")) == 1


async def test_clocks_that_differ_by_hours_do_no_harm(tmp_path, shared_url: str):
    """What one machine puts off for a moment is due for the other then, and all times in the ledger are the database's."""
    async with emulators("elevate") as targets, company(tmp_path, shared_url, targets) as several:
        early = await several.join(clock=Ahead())
        await several.join()
        targets["elevate"].now_fails("status", times=3)
        for number in range(6):
            assert (await several.clients[number % 2].register(f"u{number}"))[0] == 200
        await until(lambda: len(live(targets["elevate"])) == 6, 30)
        with closing(psycopg.connect(shared_url)) as asked:
            newest = "SELECT max(updated_at) - extract(epoch FROM now()) * 1000 FROM delivery"
            assert abs(asked.execute(newest).fetchone()[0]) < 60_000
        assert early.clock.now() - SystemClock().now() < timedelta(minutes=1)


async def test_a_slow_look_at_the_clock_is_worth_less_than_a_prompt_one():
    """Events are put in order by these times: a second of doubt must not get into them, and a clock that was set must."""
    own = SetClock(at(0))
    clock = FollowingClock(own)
    clock.follow(at(60), 0.0, 0.01)
    own.move(1.0)
    clock.follow(at(60), -1.0, 1.0)  # somewhen in these two seconds
    assert abs((clock.now() - at(60)).total_seconds() - 1.0) < 0.1
    clock.follow(at(0), 0.0, 1.0)
    assert abs((clock.now() - at(0)).total_seconds()) <= 1.0


async def test_one_bridge_does_the_jobs_and_another_takes_over(pair: tuple[World, World], shared_url: str):
    """The lock goes on when its holder ends, and comes back to somebody when the connections are cut."""
    leads = [world.ledger.lead() for world in pair]
    for lead in leads:
        lead.start()
    try:
        await until(lambda: any(lead.held for lead in leads))
        assert sum(lead.held for lead in leads) == 1
        holder = next(lead for lead in leads if lead.held)
        with closing(psycopg.connect(shared_url, autocommit=True)) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        await until(lambda: sum(lead.held for lead in leads) == 1)
        holder = next(lead for lead in leads if lead.held)
        await asyncio.to_thread(holder.stop)
        await until(lambda: sum(lead.held for lead in leads) == 1)
        assert not holder.held
    finally:
        for lead in leads:
            await asyncio.to_thread(lead.stop)


async def test_each_role_does_its_part(tmp_path, shared_url: str):
    """One takes calls and delivers nothing; the other delivers at once what the first was told, and takes no calls."""
    async with emulators("elevate") as targets, company(tmp_path, shared_url, targets) as several:
        await several.join(Role.INGEST)
        await several.join(Role.DISPATCH)
        ingest, dispatch = several.clients
        assert (await ingest.register("ada"))[0] == 200
        await until(lambda: len(live(targets["elevate"])) == 1)
        assert (await dispatch.register("bob"))[0] == 404
        status, ready = await ingest.get("/readyz")
        assert (status, ready["role"], ready["lanes"], ready["leads"]) == (200, "ingest", {}, False)
        status, ready = await dispatch.get("/readyz")
        assert (status, ready["role"], ready["lanes"]) == (200, "dispatch", {"elevate": "running"})


async def test_a_part_of_the_work_needs_others_to_do_the_rest(tmp_path):
    """On SQLite there are no others: whoever asks for a role is told so, and nothing is made."""
    path = configuration(tmp_path, {}, ledger=False)
    said = await asked("run", "--role", "ingest", "--config", path)
    assert said.code == 2
    assert "PostgreSQL" in said.err
    assert not (tmp_path / "bridge.db").exists()
    with pytest.raises(ValueError, match="PostgreSQL"):
        Bridge(load(path, Registry(), env={}).settings, role=Role.DISPATCH)


async def test_a_job_is_done_where_the_lead_is(tmp_path, shared_url: str):
    """Of three bridges one does it; the ingest role never leads."""
    async with company(tmp_path, shared_url, {}) as several:
        bridges = [await several.join(role) for role in (Role.ALL, Role.INGEST, Role.DISPATCH)]
        await until(lambda: any(bridge.company.lead.held for bridge in bridges))
        done: list[int] = []
        for number, bridge in enumerate(bridges):

            async def job(number: int = number) -> None:
                done.append(number)

            await bridge.company.alone(job)()
        assert len(done) == 1
        assert done != [1]


async def test_a_pause_and_a_resume_reach_all(tmp_path, shared_url: str):
    """Given by the command line, which asks no daemon: within a beat nobody delivers, and then everybody does again."""
    async with emulators("elevate") as targets, company(tmp_path, shared_url, targets) as several:
        bridges = [await several.join() for _ in range(2)]
        operator = Actions(bridges[0].ledger, lambda: bridges[0].catalogue, SystemClock())
        await operator.act("pause", {"target": "elevate"}, "ada")
        await until(lambda: all(lane.paused_by == "ada" for lane in _lanes(bridges)), 5)
        assert (await several.clients[0].register("ada"))[0] == 200
        await operator.act("resume", {"target": "elevate"}, "ada")
        await until(lambda: all(lane.paused_by is None for lane in _lanes(bridges)), 5)
        await until(lambda: len(live(targets["elevate"])) == 1)


def _lanes(bridges: list[Bridge]):
    return [bridge.dispatcher.lanes["elevate"] for bridge in bridges]


async def test_a_pause_that_comes_while_the_heart_beats_holds(tmp_path, shared_url: str):
    """The beat has read that there is none: it must not let the lane go on that an operator has just paused."""
    async with emulators("hubspot") as targets, company(tmp_path, shared_url, targets) as several:
        bridge = await several.join()
        lane = bridge.dispatcher.lanes["hubspot"]
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        with (
            closing(psycopg.connect(shared_url)) as other,
            closing(psycopg.connect(shared_url, autocommit=True)) as look,
        ):
            other.execute("LOCK TABLE lane_trouble IN ACCESS EXCLUSIVE MODE")  # read after the pauses
            beat = asyncio.create_task(bridge.company.presence.beat())
            await until(lambda: look.execute(waiting).fetchone() is not None)
            lane.pause("ada")
            other.commit()
            await beat
        assert lane.paused_by == "ada"


async def test_of_a_target_that_is_down_one_bridge_asks(tmp_path, shared_url: str):
    """The breaker that opens in one bridge is open in all; the one that asks finds the target well, and all go on."""
    async with emulators("hubspot") as targets, company(tmp_path, shared_url, targets) as several:
        bridges = [await several.join() for _ in range(2)]
        lanes = [bridge.dispatcher.lanes["hubspot"] for bridge in bridges]
        targets["hubspot"].now_fails("status")
        for number in range(8):
            await several.clients[number % 2].register(f"u{number}")
        await until(lambda: any(lane.condition.breaker.is_open for lane in lanes), 20)
        await until(lambda: sum(lane.condition.elsewhere for lane in lanes) == 1, 10)
        assert {lane.status for lane in lanes} == {"open"}
        assert sorted(lane.condition.until_probe is None for lane in lanes) == [False, True]
        targets["hubspot"].recovers()
        await until(lambda: {lane.status for lane in lanes} == {"running"}, 20)
        await until(lambda: len(live(targets["hubspot"])) == 8, 30)


async def test_who_asks_a_target_and_dies_is_replaced(tmp_path, shared_url: str):
    """Nobody would ever find out that the target is well again."""
    async with emulators("hubspot") as targets, company(tmp_path, shared_url, targets) as several:
        bridge = await several.join()
        with closing(psycopg.connect(shared_url, autocommit=True)) as asked:
            asked.execute("INSERT INTO lane_trouble (target, owner, since) VALUES ('hubspot', 'a-bridge-that-died', 0)")
            assert (await several.clients[0].register("ada"))[0] == 200
            await until(lambda: len(live(targets["hubspot"])) == 1, 20)
            await until(lambda: asked.execute("SELECT * FROM lane_trouble").fetchall() == [], 10)
        assert bridge.dispatcher.lanes["hubspot"].status == "running"


async def test_who_was_taken_for_dead_lets_go(tmp_path, shared_url: str):
    """What it had claimed and not begun is another's by then: it is told to the target once, under the new lease."""
    async with (
        emulators("elevate") as targets,
        company(tmp_path, shared_url, targets, lease=16, request=7) as bridges,
    ):
        lane = (await bridges.join()).dispatcher.lanes["elevate"]
        judge = Ledger(shared_url)
        await judge.open()
        targets["elevate"].now_fails("delay", seconds=5.0, times=8)
        await asyncio.gather(*(bridges.clients[0].register(f"u{number}") for number in range(30)))
        await until(lambda: lane._ready and lane.in_flight == 8)
        waiting = {item.work.learner.email for item in lane._ready}
        leases = {item.claimed.delivery.lease for item in lane._ready}
        found = await judge.aside(lambda unit: heartbeat.beat(unit, {"judge": heartbeat.LANE}, -1_000))
        assert found.returned >= len(waiting)
        await judge.close()
        await until(lambda: not leases & {item.claimed.delivery.lease for item in lane._ready}, 5)
        await until(lambda: len(live(targets["elevate"])) == 30, 40)
        await until(lambda: not lane.unsettled, 20)
        told = Counter(seen.json["email"] for seen in targets["elevate"].journal)
        assert {who: told[who] for who in waiting} == dict.fromkeys(waiting, 1)
