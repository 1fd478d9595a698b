"""Operators who act on many at once, and two who act on the same: each is told and recorded what they did themselves."""

from __future__ import annotations

import asyncio
from contextlib import closing

import psycopg
import pytest

from bridge.actions import Actions, ground
from bridge.contract.command import Learner
from bridge.contract.outbound import Refused
from bridge.kit.clock import SetClock, moment
from bridge.ledger import lookups, overview, removals
from bridge.ledger.lookups import LookupRow
from bridge.ledger.story import story
from tests.acceptance.rig import until
from tests.ledger.rig import BOB, World, buy

LOCKED = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def actions(world: World) -> Actions:
    return Actions(world.ledger, lambda: world.catalogue, SetClock(moment(world.now)))


async def recorded(world: World) -> list[tuple[str, str, str]]:
    rows = await world.ledger.read(lambda connection: overview.audit(connection, None, 100))
    return [(row["operator"], row["action"], row["subject"]) for row in reversed(rows)]


async def test_every_one_of_many_is_recorded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many an operator acts on at once, the record names each: its story tells of it, and its delivery stays."""
    monkeypatch.setattr(ground, "_LONGEST_SUBJECT", 5)
    many = [Learner(remote_user_id=f"u{number}", email=f"u{number}@example.org") for number in range(8)]
    for who in many:
        await world.accept(buy("INTRO", who=who))
    await world.deliver("lms", Refused("No.", "Look."))
    dead = [row.id for row in await world.rows("SELECT id FROM delivery WHERE state = 'dead' ORDER BY id")]
    assert len(dead) == len(many)
    await actions(world).act("requeue", {"every": True}, "olga")
    record = await recorded(world)
    assert {(operator, action) for operator, action, _ in record} == {("olga", "requeue")}
    assert [int(one) for _, _, subject in record for one in subject.split(",")] == dead
    assert max(len(subject) for _, _, subject in record) <= 5
    last = await world.one("SELECT max(id) FROM registration")
    told = await world.ledger.read(lambda connection: story(connection, str(last), "registration"))
    assert [entry["operator"] for entry in told["purchases"][0]["story"] if entry["what"] == "action"] == ["olga"]
    deliveries = next(kind for kind in removals.KINDS if kind.what == "deliveries")
    assert await world.ledger.read(lambda connection: removals.acted_on(connection, deliveries)) == set(dead)


@pytest.mark.parametrize(("action", "more"), [("requeue", {}), ("dismiss", {"why": "by hand"})])
async def test_whoever_comes_second_has_done_nothing(
    pair: tuple[World, World], shared_url: str, action: str, more: dict[str, str]
) -> None:
    """Two press the same button at two bridges: the second waits for the first, and is told and recorded only the rest."""
    world, _ = pair
    await world.accept(buy("INTRO"))
    await world.accept(buy("INTRO", who=BOB))
    await world.deliver("lms", Refused("No.", "Look."))
    first, second = [row.id for row in await world.rows("SELECT id FROM delivery ORDER BY id")]
    with (
        closing(psycopg.connect(shared_url)) as other,
        closing(psycopg.connect(shared_url, autocommit=True)) as looking,
    ):
        other.execute("UPDATE delivery SET state = 'open' WHERE id = %s", [first])
        acting = asyncio.create_task(actions(world).act(action, {"ids": [first, second], **more}, "olga"))
        await until(lambda: looking.execute(LOCKED).fetchone() is not None)
        other.commit()
        told = await acting
    assert [row["delivery_id"] for row in told] == [second]
    assert await recorded(world) == [("olga", action, str(second))]


async def test_a_lookup_that_was_answered_meanwhile_is_not_asked_again(
    pair: tuple[World, World], shared_url: str
) -> None:
    """Somebody else has opened it again, and the sender has answered: it stays done."""
    world, _ = pair
    result = await world.accept(buy("INTRO"))
    row = LookupRow(result.event_id, "shop", "order", "1")
    await world.ledger.write(lambda unit: lookups.keep(unit, [row], world.now))
    await world.ledger.write(lambda unit: unit.run("UPDATE lookup SET state = 'dead'"))
    with (
        closing(psycopg.connect(shared_url)) as other,
        closing(psycopg.connect(shared_url, autocommit=True)) as looking,
    ):
        other.execute("UPDATE lookup SET state = 'done'")
        acting = asyncio.create_task(actions(world).act("requeue", {"lookups": True, "every": True}, "olga"))
        await until(lambda: looking.execute(LOCKED).fetchone() is not None)
        other.commit()
        assert await acting == []
    assert await world.one("SELECT state FROM lookup") == "done"
    assert await recorded(world) == []
