"""What time ends: access that was sold for a while, and events that are old. With a clock that the test sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from bridge.app import Bridge
from bridge.jobs.expiry import Expiry
from bridge.jobs.retention import Retention
from bridge.kit.clock import SetClock
from bridge.registry import Registry
from config.load import load
from tests.acceptance.rig import Client, configuration, emulators, live, until

DAY = 86_400.0


@pytest.fixture
async def bridge(tmp_path):
    """A bridge whose course lasts thirty days and two of grace."""
    import aiohttp  # noqa: PLC0415 - only this fixture needs a session of its own

    async with emulators("elevate", "mailchimp") as targets, aiohttp.ClientSession() as session:
        path = configuration(tmp_path, targets)
        access = 'title = "Ethics"\naccess = { duration = "30d", grace = "2d" }'
        path.write_text(path.read_text().replace('title = "Ethics"', access))
        clock = SetClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
        running = Bridge(load(path, Registry(), env={}).settings, clock)
        await running.start()
        yield running, clock, Client(f"http://127.0.0.1:{running.port}", session), targets
        await running.stop()


async def test_access_ends_after_its_time_and_grace(bridge) -> None:
    """Not a day before; and the other course of the bundle, sold without end, stays."""
    running, clock, client, targets = bridge
    expiry = Expiry(running.ledger, lambda: running.catalogue, clock)
    await client.register(product="BUNDLE")
    await until(lambda: len(live(targets["elevate"])) == 2)
    clock.move(31 * DAY)
    await expiry.run()
    assert len(live(targets["elevate"])) == 2
    clock.move(2 * DAY)
    await expiry.run()
    await until(lambda: live(targets["elevate"]) == [("123456@example.org", "INTRO")])
    assert await _states(running) == ["active"]


async def test_a_registration_of_which_nothing_is_left_is_expired(bridge) -> None:
    """The mailing list hears of it, and a later purchase is a new registration."""
    running, clock, client, targets = bridge
    expiry = Expiry(running.ledger, lambda: running.catalogue, clock)
    fields = {
        "secret": "checkout-secret-for-tests",
        "type": "purchase",
        "forum_category_id": "5",
        "email": "a@example.org",
    }
    _, first = await client.get("/customapi.php", params=fields)
    await until(lambda: "ethics" in dict(live(targets["mailchimp"])).get("a@example.org", ""))
    clock.move(33 * DAY)
    await expiry.run()
    await until(lambda: not live(targets["elevate"]))
    await until(lambda: "ethics" not in dict(live(targets["mailchimp"]))["a@example.org"])
    assert await _states(running) == ["expired"]
    _, again = await client.get("/customapi.php", params=fields)
    assert again["registration_id"] != first["registration_id"]
    await until(lambda: len(live(targets["elevate"])) == 1)


async def test_bought_again_before_the_end_lasts_longer(bridge) -> None:
    """A renewal keeps its registration, and nobody who renewed is shut out; a repeat within the day changes nothing."""
    running, clock, client, targets = bridge
    expiry = Expiry(running.ledger, lambda: running.catalogue, clock)
    fields = {
        "secret": "checkout-secret-for-tests",
        "type": "purchase",
        "forum_category_id": "5",
        "email": "a@example.org",
    }
    _, first = await client.get("/customapi.php", params=fields)
    await until(lambda: len(live(targets["elevate"])) == 1)  # or the days pass while its delivery is under way
    clock.move(20 * DAY)
    _, renewed = await client.get("/customapi.php", params=fields)
    assert renewed["registration_id"] == first["registration_id"]
    clock.move(25 * DAY)
    await expiry.run()
    assert await _states(running) in (["active"], ["pending"])
    assert len(live(targets["elevate"])) == 1
    clock.move(8 * DAY)
    await expiry.run()
    await until(lambda: not live(targets["elevate"]))


async def test_old_events_are_emptied_and_the_story_stays(bridge) -> None:
    """What the sender wrote goes after the time the operator set; what came of it stays."""
    running, clock, client, _ = bridge
    await client.register()
    await client.register(product="UNKNOWN")
    clock.move(400 * DAY + 1)
    await client.register("later")
    await Retention(running.ledger, lambda: running.settings.ledger.keep_events, clock).run()
    rows = await running.ledger.read(
        lambda c: c.execute(text("SELECT id, body, encoding FROM event ORDER BY id")).all()
    )
    assert [row.encoding for row in rows] == ["emptied", "utf-8", "utf-8"]  # the second still waits in quarantine
    assert rows[0].body == ""
    effects = await running.ledger.read(lambda c: c.execute(text("SELECT count(*) FROM effect")).scalar())
    assert effects == 2


async def test_a_clock_that_is_set_back_delays_nothing(bridge) -> None:
    """What was due in a second is not due in an hour because somebody mended the clock."""
    running, clock, client, targets = bridge
    assert running.dispatcher is not None
    targets["elevate"].now_fails("status", times=1, status=503)
    await running.dispatcher.tick()
    await client.register()
    await until(lambda: len(targets["elevate"].journal) == 1)
    await until(lambda: not running.dispatcher.lanes["elevate"].unsettled)  # what came of it is on disk
    clock._at -= timedelta(hours=1)
    clock._elapsed += 1.0
    await running.dispatcher.tick()
    clock.move(1.0)
    await running.dispatcher.tick()
    await until(lambda: len(live(targets["elevate"])) == 1)


async def _states(running: Bridge) -> list[str]:
    rows = await running.ledger.read(lambda c: c.execute(text("SELECT state FROM registration ORDER BY id")).all())
    return [row.state for row in rows]
