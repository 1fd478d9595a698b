"""Two whole bridges on one PostgreSQL: any of them takes a call, any of them delivers, nothing is done twice."""

from __future__ import annotations

import asyncio
from contextlib import closing

import aiohttp
import psycopg
import pytest

from bridge.actions import ActionRefused, Actions
from bridge.app import Bridge
from bridge.jobs.expiry import expire
from bridge.kit.clock import SetClock, milliseconds
from bridge.registry import Registry
from config.load import load
from tests.acceptance.rig import Client, configuration, emulators, live, until
from tests.ledger.rig import World, at, buy

PEOPLE = 30


async def test_the_same_purchases_by_two_roads_have_one_effect(tmp_path, shared_url: str) -> None:
    """Every purchase is posted to both at once; each gets one id, and every target holds everybody once."""
    async with emulators("elevate", "hubspot") as targets, aiohttp.ClientSession() as session:
        path = configuration(tmp_path, targets)
        path.write_text(path.read_text().replace(f"sqlite:///{tmp_path}/bridge.db", shared_url))
        bridges = [Bridge(load(path, Registry(), env={}).settings) for _ in range(2)]
        for bridge in bridges:
            await bridge.start()
        clients = [Client(f"http://127.0.0.1:{bridge.port}", session) for bridge in bridges]
        answers = await asyncio.gather(
            *(client.register(f"u{number}") for number in range(PEOPLE) for client in clients)
        )
        assert {status for status, _ in answers} == {200}
        assert len({body["registration_id"] for _, body in answers}) == PEOPLE
        await until(lambda: all(len(live(target)) == PEOPLE for target in targets.values()), 30)
        assert all(len(target.holdings()) == PEOPLE for target in targets.values())
        for bridge in bridges:
            await bridge.stop()


async def test_a_reload_is_asked_of_each_bridge(pair):
    """The verb writes to a shared ledger itself, and must not say that nobody runs there."""
    actions = Actions(pair[0].ledger, lambda: pair[0].catalogue, SetClock(at(0)))
    with pytest.raises(ActionRefused, match="SIGHUP"):
        await actions.act("reload", {}, "ada")


async def test_access_that_is_renewed_while_its_end_is_kept_stays(pair: tuple[World, World], shared_url: str):
    """The job has found the old end and another bridge keeps the new one: who paid again is not taken out."""
    world, _ = pair
    await world.accept(buy("YEAR"))
    over = milliseconds(at(366 * 24 * 60))
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with (
        closing(psycopg.connect(shared_url)) as other,
        closing(psycopg.connect(shared_url, autocommit=True)) as looking,
    ):
        other.execute('UPDATE "grant" SET expires_at = expires_at + %s', [over])
        ending = asyncio.create_task(world.ledger.write(lambda unit: expire(unit, world.catalogue, over)))
        await until(lambda: looking.execute(waiting).fetchone() is not None)
        other.commit()
        await ending
    assert await world.one('SELECT live FROM "grant"') == 1
    assert await world.wanted() == {"id:shop:ada": 1}
    assert await world.one("SELECT intent FROM registration") == "live"
