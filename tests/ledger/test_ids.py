"""Ids that are given by us, of rows that others in the same transaction add to as well."""

from __future__ import annotations

import pytest

from bridge.ledger import events
from bridge.ledger.insertion import Insertion
from bridge.ledger.unit import Unit
from tests.ledger.rig import World, buy, cancel

KEPT = {"source": "text", "adapter": "text", "event_key": "text", "received_at": "int", "method": "text"}
MORE = dict.fromkeys(("path", "query", "headers", "body", "encoding", "state"), "''")
PUT = Insertion("event", KEPT, computed=MORE, conflict="")
BESIDE = (
    "INSERT INTO event (source, adapter, received_at, method, path, query, headers, body, encoding, state)"
    " VALUES ('shop', 'x', 0, '', '', '', '', '', '', 'accepted')"
)


def beside(unit: Unit) -> None:
    unit.run(BESIDE)


def put(unit: Unit) -> None:
    unit.put(PUT, [{"source": "shop", "adapter": "x", "event_key": None, "received_at": 0, "method": ""}])


@pytest.mark.parametrize("other", [beside, put])
async def test_nobody_gets_an_id_that_somebody_else_was_given(world: World, other):
    """A row that took an id in between would be in the way of the next one, and that would pass for a repeat."""

    def work(unit: Unit) -> list[int | None]:
        found = events.insert(unit, [events.placeholder("shop", "x", 0)] * 2)
        other(unit)
        return found + events.insert(unit, [events.placeholder("shop", "x", 0)] * 2)

    ids = await world.ledger.write(work)
    assert None not in ids
    assert len(set(ids)) == 4
    assert len(await world.rows("SELECT id FROM event")) == 5


async def test_what_was_just_parked_is_seen_in_the_same_group(world: World):
    """A purchase, a cancellation of another one that has not come, and that one at last: all in one transaction."""
    receptions = await world.together(
        buy("INTRO", order="o-1", minute=1), cancel(business_key="o-2", minute=3), buy("INTRO", order="o-2", minute=2)
    )
    assert "unavailable" not in {reception.kind for reception in receptions}
    rows = await world.rows("SELECT business_key, intent FROM registration ORDER BY business_key")
    assert [(row.business_key, row.intent) for row in rows] == [("o-1", "live"), ("o-2", "cancelled")]
