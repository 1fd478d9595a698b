"""A running bridge takes over what the operator wrote since, or changes nothing and says why."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path

import aiohttp
import pytest

from bridge.actions import Actions
from bridge.app import Bridge
from bridge.app.reload import ReloadRefused
from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import asked
from tests.acceptance.rig import (
    AMS_KEY,
    OTHER_KEY,
    Client,
    Daemon,
    configuration,
    emulators,
    free_port,
    live,
    running,
    until,
)

MORE = """
[courses.law]
title = "Law"
elevate = { remote_product_id = "LAW" }

[[products]]
source = "ams"
remote_product_id = "LAW-1"
courses = ["law"]
"""


def settings(path: Path):
    return load(path, Registry(), env={}).settings


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def without(path: Path, target: str) -> None:
    """Take a target out of the file, with its tables."""
    head, _, rest = path.read_text().partition(f"[targets.{target}]")
    lines = [line for line in head.splitlines() if not line.startswith(f"{target} = ")]
    tail = rest.partition("\n[")[2]
    path.write_text("\n".join(lines) + (f"\n[{tail}" if tail else "\n"))


async def test_a_product_that_is_mapped_now_opens_its_course(tmp_path) -> None:
    """Without a restart, and what waited for it can be released."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        status, _ = await ams.register(product="LAW-1")
        assert status == 422
        path = configuration(tmp_path, targets, extra=MORE)
        done = await bridge.reload(settings(path))
        assert (done.added, done.mapping_changed) == ({"courses": ["law"]}, True)
        status, _ = await ams.register(user="77", product="LAW-1")
        assert status == 200
        await until(lambda: live(targets["elevate"]) == [("77@example.org", "LAW")])


async def test_work_under_way_keeps_the_mapping_it_was_made_with(tmp_path) -> None:
    """What was bought before leads to where it led then; what is bought after, to the new place."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        fault = targets["elevate"].now_fails("status", status=503)
        await ams.register(user="1")
        path = configuration(tmp_path, targets)
        change(path, '"INTRO"', '"INTRO-2"')
        await bridge.reload(settings(path))
        await ams.register(user="2")
        targets["elevate"].recovers(fault)
        await until(lambda: len(live(targets["elevate"])) == 2)
        assert live(targets["elevate"]) == [("1@example.org", "INTRO"), ("2@example.org", "INTRO-2")]
        rows = await bridge.ledger.read(
            lambda connection: connection.exec_driver_sql(
                "SELECT count(DISTINCT mapping_version_id) FROM registration"
            ).scalar()
        )
        assert rows == 2


async def test_a_target_that_did_not_change_is_not_disturbed(tmp_path) -> None:
    """Its lane goes on, with its breaker, its rate and its connections; one with other settings has a new one."""
    async with emulators("elevate", "hubspot") as targets, running(tmp_path, targets) as (bridge, _):
        before = dict(bridge.dispatcher.lanes)
        path = configuration(tmp_path, targets)
        change(path, 'connector = "hubspot"', 'connector = "hubspot"\nconcurrency = 3')
        done = await bridge.reload(settings(path))
        assert done.changed_targets == ("hubspot",)
        assert bridge.dispatcher.lanes["elevate"] is before["elevate"]
        assert bridge.dispatcher.lanes["hubspot"] is not before["hubspot"]
        assert bridge.dispatcher.running


async def test_a_call_under_way_at_a_changed_target_ends_first(tmp_path) -> None:
    """It is neither cut off nor made twice."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        school = targets["elevate"]
        school.now_fails("delay", seconds=0.5, times=1)
        await ams.register()
        await until(lambda: len(school.journal) == 1)
        path = configuration(tmp_path, targets)
        change(path, 'connector = "elevate"', 'connector = "elevate"\nconcurrency = 2')
        await bridge.reload(settings(path))
        await until(lambda: len(live(school)) == 1)
        await ams.register(user="2")
        await until(lambda: len(live(school)) == 2)
        assert len(school.journal) == 2


async def test_a_pause_by_an_operator_outlives_the_change(tmp_path) -> None:
    """It is the target's, not the lane's."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        await asked("pause", "elevate", "--config", tmp_path / "bridge.toml")
        path = configuration(tmp_path, targets)
        change(path, 'connector = "elevate"', 'connector = "elevate"\nconcurrency = 2')
        await bridge.reload(settings(path))
        await ams.register()
        assert bridge.dispatcher.lanes["elevate"].paused_by is not None
        assert live(targets["elevate"]) == []


async def test_a_source_can_come_and_go(tmp_path) -> None:
    """Its key counts from then on, at the address that its protocol prescribes, and an old key no more."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        path = configuration(tmp_path, targets)
        change(path, f'"{AMS_KEY}"', '"a-new-key-for-tests"')
        change(path, '[sources.checkout]\nadapter = "tenxpro"', '[sources.checkout]\nadapter = "getcourse"')
        change(path, "secret = ", "key = ")
        done = await bridge.reload(settings(path))
        assert done.added == {}
        assert (await ams.register())[0] == 401
        assert (await ams.register(key="a-new-key-for-tests"))[0] == 200
        assert (await ams.register(key=OTHER_KEY, user="5"))[0] == 200
        status, said = await ams.post("/pl/api/users", data={"key": "wrong", "action": "add", "params": "e30="})
        assert (status, said["success"]) == (200, False)
        assert (await ams.get("/nowhere"))[0] == 404


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('[log]\nlevel = "warning"', '[log]\nlevel = "error"', "log.level"),
        ('max_body = "64KiB"', 'max_body = "32KiB"', "server.max_body"),
        ("bridge.db", "other.db", "ledger.url"),
    ],
)
async def test_what_is_read_at_start_up_only_is_refused(tmp_path, old: str, new: str, named: str) -> None:
    """Half of a file taken over would be worse than none."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        path = configuration(tmp_path, targets, extra=MORE)
        change(path, old, new)
        with pytest.raises(ReloadRefused, match=named):
            await bridge.reload(settings(path))
        assert (await ams.register(product="LAW-1"))[0] == 422


async def test_a_target_with_open_work_cannot_just_vanish(tmp_path) -> None:
    """Somebody may have paid for it; who wants it gone all the same says so."""
    async with emulators("elevate", "hubspot") as targets, running(tmp_path, targets) as (bridge, ams):
        await targets["hubspot"].stop()
        await ams.register()
        await until(lambda: live(targets["elevate"]))
        path = configuration(tmp_path, targets)
        without(path, "hubspot")
        with pytest.raises(ReloadRefused, match=r"hubspot \(1 deliveries to be made\)"):
            await bridge.reload(settings(path))
        path = configuration(tmp_path, targets)
        change(path, 'connector = "hubspot"', 'connector = "hubspot"\ndrop = true')
        await bridge.reload(settings(path))
        assert sorted(bridge.dispatcher.lanes) == ["elevate"]
        without(path, "hubspot")
        await bridge.reload(settings(path))


async def test_an_lms_where_somebody_is_in_cannot_just_vanish(tmp_path) -> None:
    """A later refund would take nothing away, because nobody would do it."""
    async with emulators("elevate", "hubspot") as targets, running(tmp_path, targets) as (bridge, ams):
        await ams.register()
        await until(lambda: live(targets["hubspot"]))
        path = configuration(tmp_path, targets)
        without(path, "elevate")
        with pytest.raises(ReloadRefused, match=r"elevate \(1 rights held or wanted\)"):
            await bridge.reload(settings(path))


async def test_an_lms_that_is_given_up_holds_nobody_back(tmp_path) -> None:
    """The registration counts on what is left, and the CRM is told."""
    async with (
        emulators("elevate", "academy_of_mine", "hubspot") as targets,
        running(tmp_path, targets) as (bridge, ams),
    ):
        targets["academy_of_mine"].now_fails("status", status=503)
        _, said = await ams.register()
        await until(lambda: live(targets["elevate"]))
        path = configuration(tmp_path, targets)
        change(path, 'connector = "academy_of_mine"', 'connector = "academy_of_mine"\ndrop = true')
        await bridge.reload(settings(path))
        await until(lambda: live(targets["hubspot"]))
        assert (await ams.cancel(said["registration_id"]))[0] == 200
        await until(lambda: live(targets["elevate"]) == [])


async def test_the_daemon_reloads_by_verb_and_by_signal(tmp_path) -> None:
    """A file that can't be used changes nothing; the verb says what is wrong with it, the log does after a signal."""
    async with emulators("elevate") as targets:
        port = free_port()
        path = configuration(tmp_path, targets, port=port)
        daemon = Daemon(path, port)
        await daemon.start()
        try:
            path = configuration(tmp_path, targets, port=port, extra=MORE)
            good = await asked("reload", "--config", path)
            assert (good.code, good.err) == (0, "")
            assert "courses added: law" in good.out
            path.write_text(path.read_text().replace("elevate = { remote_product_id", "elevat = { remote_product_id"))
            daemon.process.send_signal(signal.SIGHUP)
            await until(lambda: "bridge.not_reloaded" in daemon.log.read_text())
            assert "courses.law.elevat" in daemon.log.read_text()
            configuration(tmp_path, targets, port=port)
            daemon.process.send_signal(signal.SIGHUP)
            async with aiohttp.ClientSession() as session:
                ams = Client(daemon.base_url, session)
                for _ in range(200):
                    if (await ams.register(user="9", product="LAW-1"))[0] == 422:
                        break
                    await asyncio.sleep(0.05)
                else:
                    raise AssertionError("the signal was not followed")
        finally:
            assert await daemon.stop() == 0


async def test_without_a_daemon_there_is_nothing_to_reload(tmp_path) -> None:
    """And the verb says so."""
    path = configuration(tmp_path, {}, ledger=False)
    Bridge(settings(path))
    assert (await asked("db", "upgrade", "--config", path)).code == 0
    said = await asked("reload", "--config", path)
    assert said.code == 1
    assert "no daemon runs on this ledger" in said.err


async def test_a_pause_while_its_lane_is_exchanged_is_not_lost(tmp_path) -> None:
    """The new lane is paused as its former was in the end; and a probe does not take the bridge for broken meanwhile."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        targets["elevate"].now_fails("delay", seconds=1, times=1)
        await ams.register()
        await until(lambda: targets["elevate"].journal)
        path = configuration(tmp_path, targets)
        change(path, 'connector = "elevate"', 'connector = "elevate"\nconcurrency = 2')
        former = bridge.dispatcher.lanes["elevate"]
        reloading = asyncio.create_task(bridge.reload(settings(path)))
        await until(lambda: former._draining and former._at_rest.is_set())
        actions = Actions(bridge.ledger, lambda: bridge.catalogue, bridge.clock, bridge.dispatcher.lanes)
        assert (await ams.get("/readyz"))[0] == 200
        await actions.act("pause", {"target": "elevate"}, "ada")
        assert not reloading.done()
        await reloading
        assert bridge.dispatcher.lanes["elevate"].paused_by == "ada"


async def test_a_target_that_hangs_keeps_no_other_lane_from_being_exchanged(tmp_path) -> None:
    """What is bought meanwhile is delivered elsewhere."""
    async with emulators("elevate", "academy_of_mine") as targets, running(tmp_path, targets) as (bridge, ams):
        targets["academy_of_mine"].now_fails("delay", seconds=2, times=1)
        await ams.register()
        await until(lambda: targets["academy_of_mine"].journal)
        path = configuration(tmp_path, targets)
        path.write_text(path.read_text().replace("[dispatch]", '[dispatch]\nmax_age = "2d"'))
        reloading = asyncio.create_task(bridge.reload(settings(path)))
        await asyncio.sleep(0.2)
        await ams.register(user="2")
        await until(lambda: len(live(targets["elevate"])) == 2)
        assert not reloading.done()
        await reloading


async def test_what_an_exchanged_lane_could_not_end_is_taken_up_when_its_lease_is_over(tmp_path) -> None:
    """Nobody has to wait for the next start of the bridge."""
    async with emulators("elevate") as targets, running(tmp_path, targets) as (bridge, ams):
        await ams.register()
        await until(lambda: live(targets["elevate"]))
        former = bridge.dispatcher.lanes["elevate"].owner
        await bridge.ledger.write(
            lambda unit: unit.run(
                "UPDATE delivery SET state = 'leased', lease = 'x', lease_owner = :owner, lease_until = 1", owner=former
            )
        )
        path = configuration(tmp_path, targets)
        change(path, 'connector = "elevate"', 'connector = "elevate"\nconcurrency = 2')
        await bridge.reload(settings(path))
        await bridge.dispatcher.tick()
        # The lane of today may have claimed it already; under the former lease it is no more.
        leases = await bridge.ledger.read(lambda c: c.exec_driver_sql("SELECT lease FROM delivery").scalars().all())
        assert leases != ["x"]


async def test_of_two_reloads_at_once_the_newest_file_counts(tmp_path) -> None:
    """However long the reading of the older one took."""
    async with emulators("elevate") as targets:
        path = configuration(tmp_path, targets)
        read = 0

        def reread():
            nonlocal read
            read += 1
            found = settings(path)
            if read == 1:
                threading.Event().wait(0.5)
            return found

        bridge = Bridge(settings(path), reread=reread)
        await bridge.start()
        try:
            older = asyncio.create_task(bridge.reread())
            await asyncio.sleep(0.2)
            change(path, 'title = "Ethics"', 'title = "The newest"')
            await bridge.reread()
            await older
            assert bridge.catalogue.courses["ethics"].title == "The newest"
        finally:
            await bridge.stop()


async def test_what_was_in_flight_at_a_target_that_is_given_up_ends_at_the_start(tmp_path) -> None:
    """So that the target can be taken out of the file with the next reload."""
    async with emulators("elevate", "hubspot") as targets:
        async with running(tmp_path, targets) as (bridge, ams):
            await targets["hubspot"].stop()
            await ams.register()
            await until(lambda: live(targets["elevate"]))
            await bridge.dispatcher.drain()
            await bridge.ledger.write(
                lambda unit: unit.run("UPDATE delivery SET state = 'leased', lease = 'x' WHERE target = 'hubspot'")
            )
        path = configuration(tmp_path, targets)
        change(path, 'connector = "hubspot"', 'connector = "hubspot"\ndrop = true')
        bridge = Bridge(settings(path))
        await bridge.start()
        try:
            without(path, "hubspot")
            await bridge.reload(settings(path))
        finally:
            await bridge.stop()


async def test_a_bridge_that_stops_begins_nothing_anew(tmp_path) -> None:
    """A lane that a late signal made would be cut off in the middle of a call."""
    async with emulators("elevate") as targets, aiohttp.ClientSession() as session:
        path = configuration(tmp_path, targets)
        bridge = Bridge(settings(path))
        await bridge.start()
        targets["elevate"].now_fails("delay", seconds=1, times=1)
        await Client(f"http://127.0.0.1:{bridge.port}", session).register()
        await until(lambda: targets["elevate"].journal)
        change(path, 'connector = "elevate"', 'connector = "elevate"\nconcurrency = 2')
        former = bridge.dispatcher.lanes["elevate"]
        stopping = asyncio.create_task(bridge.stop())
        await until(lambda: former._draining)
        with pytest.raises(ReloadRefused, match="stopping"):
            await bridge.reload(settings(path))
        await stopping
