"""Old events are emptied a few at a time, and nobody who buys meanwhile waits for the look at what is empty already."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from bridge.jobs import retention
from bridge.jobs.retention import Retention
from bridge.kit.clock import SystemClock
from bridge.ledger import ageing
from bridge.ledger.libpq import Libpq
from bridge.ledger.unit import Unit
from tests.ledger.rig import BOB, World, buy

STATES = "SELECT encoding, count(*) AS found FROM event GROUP BY encoding ORDER BY encoding"


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 3)


async def emptied(world: World) -> list[tuple[str, int]]:
    await Retention(world.ledger, lambda: timedelta(days=-36_500), SystemClock()).run()
    return [tuple(row) for row in await world.rows(STATES)]


@pytest.mark.usefixtures("few_at_once")
async def test_what_waits_keeps_nothing_behind_it_from_being_emptied(world: World):
    """More events in quarantine than are looked at in one go, all of one moment with others: only they keep their bodies."""
    await world.together(*(buy("NOWHERE", who=BOB, order=f"q-{n}") for n in range(5)))
    await world.together(*(buy("INTRO", who=BOB, order=f"o-{n}") for n in range(8)))
    assert await emptied(world) == [("emptied", 8), ("utf-8", 5)]
    assert await emptied(world) == [("emptied", 8), ("utf-8", 5)]


async def test_an_event_that_waits_by_now_is_passed_over(world: World):
    """Between the look and the write somebody may have asked for it again."""
    await world.accept(buy("NOWHERE", who=BOB))
    ids = [row.id for row in await world.rows("SELECT id FROM event")]
    assert await world.ledger.write(partial(ageing.empty_events, ids=ids, before=2**50)) == 0
    assert [tuple(row) for row in await world.rows(STATES)] == [("utf-8", 1)]


@pytest.mark.usefixtures("few_at_once")
async def test_the_writer_does_not_look_for_what_is_old(world: World, monkeypatch: pytest.MonkeyPatch):
    """It is handed the ids: the look through all that was emptied before is a reader's."""
    await world.together(*(buy("INTRO", who=BOB, order=f"o-{n}") for n in range(4)))
    written: list[str] = []
    asked, result = Unit._asked, Libpq._result

    def noted(unit: Unit, statement: str, bound: Any) -> Any:
        written.append(statement)
        return asked(unit, statement, bound)

    def noted_there(libpq: Libpq, statement: str, values: Any) -> Any:
        written.append(statement)
        return result(libpq, statement, values)

    monkeypatch.setattr(Unit, "_asked", noted)
    monkeypatch.setattr(Libpq, "_result", noted_there)
    assert await emptied(world) == [("emptied", 4)]
    ours = [statement for statement in written if "UPDATE event" in statement]
    assert len(ours) == 2
    assert all("ORDER BY e.received_at" not in statement for statement in ours)
