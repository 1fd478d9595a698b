"""Ids that are known before the rows are written, of rows that others in the same transaction add to as well."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bridge.ledger import events
from bridge.ledger.events import EventRow
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


@pytest.mark.parametrize("count", [1, 3, 70, 600])
async def test_each_new_row_is_told_by_its_place(world: World, count: int):
    """Of rows some of which are there already, first, last and in between, or stand twice, each new one gets its own id."""
    kept = {0, 1, count // 2, count - 1}
    await world.ledger.write(lambda unit: events.insert(unit, [_event(n) for n in sorted(kept)]))
    told = await world.ledger.write(
        lambda unit: events.insert(unit, [_event(n) for n in (*range(count), count, count)])
    )
    there = {row.event_key: row.id for row in await world.rows("SELECT id, event_key FROM event")}
    assert len(there) == max(kept | {count}) + 1
    new = set(range(count + 1)) - kept
    assert told == [there[f"k{n}"] if n in new else None for n in range(count + 1)] + [None]


def _event(number: int) -> EventRow:
    return replace(events.placeholder("shop", "x", 0), event_key=f"k{number}")


def test_values_have_nameless_places():
    """A place with a number counts as a name, and from Python 3.12 on a sequence is not taken for names any more."""
    made = PUT, Insertion("event", KEPT, computed={**MORE, "received_at": ":now", "note": "r.source || r.source"})
    for insertion in made:
        for statement, bound in insertion.chunks([dict.fromkeys(KEPT, "a")] * 3, {"now": 1}):
            assert statement.count("?") == len(bound)
            assert not re.search(r"\?\d", statement)


def test_a_column_of_both_kinds_of_values_is_refused():
    """What a row says is bound before what all rows share; a column that needs both at once has no place."""
    with pytest.raises(ValueError, match="event: note can't be made"):
        Insertion("event", KEPT, computed={"note": "r.source || :now"})


async def test_what_was_just_parked_is_seen_in_the_same_group(world: World):
    """A purchase, a cancellation of another one that has not come, and that one at last: all in one transaction."""
    receptions = await world.together(
        buy("INTRO", order="o-1", minute=1), cancel(business_key="o-2", minute=3), buy("INTRO", order="o-2", minute=2)
    )
    assert "unavailable" not in {reception.kind for reception in receptions}
    rows = await world.rows("SELECT business_key, intent FROM registration ORDER BY business_key")
    assert [(row.business_key, row.intent) for row in rows] == [("o-1", "live"), ("o-2", "cancelled")]
