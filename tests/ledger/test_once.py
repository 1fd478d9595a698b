"""Promise 2: repeats are decided by unique indexes inside the insert."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from bridge.ledger.engine import ledger_url
from tests.ledger.rig import ADA, AMS, BOB, PAY, SHOP, World, buy, line


def lines(receptions) -> set[int]:
    return {found.registration_id for reception in receptions for found in reception.lines}


async def test_an_event_key_that_comes_twice_is_kept_once(world: World):
    """The second delivery of a webhook finds the first and answers the same."""
    first = await world.accept(buy("INTRO", event_key="evt-1", order="o-1"))
    second = await world.accept(buy("INTRO", event_key="evt-1", order="o-1"))
    assert lines([first]) == lines([second])
    assert (first.lines[0].repeat, second.lines[0].repeat) == (False, True)
    assert await world.counts("event", "registration", "delivery") == {"event": 1, "registration": 1, "delivery": 1}


async def test_an_event_key_that_comes_twice_in_one_group_is_kept_once(world: World):
    """Twins that share a transaction get one row and one id."""
    receptions = await world.together(*[buy("INTRO", event_key="evt-1", order="o-1") for _ in range(20)])
    assert len(lines(receptions)) == 1
    assert [reception.event_id for reception in receptions] == [receptions[0].event_id] * 20
    assert await world.counts("event", "registration") == {"event": 1, "registration": 1}


async def test_two_sources_may_use_the_same_event_key(world: World):
    """An event key belongs to its source."""
    await world.accept(buy("INTRO", event_key="evt-1", order="o-1"), source=SHOP)
    await world.accept(buy("INTRO", event_key="evt-1", order="o-2"), source=AMS)
    assert await world.counts("event", "registration") == {"event": 2, "registration": 2}


async def test_a_repeat_without_event_key_keeps_both_calls_and_one_registration(world: World):
    """Elevate's repeated registration: every call is kept, the live registration answers."""
    ids = [await world.ids(buy("INTRO", minute=n), source=AMS) for n in range(3)]
    assert ids[0] == ids[1] == ids[2]
    assert await world.counts("event", "registration") == {"event": 3, "registration": 1}


async def test_a_repeat_without_event_key_within_one_group_has_one_registration(world: World):
    """Twins of a keyless sender get the same id; exactly one of them made it."""
    receptions = await world.together(*[buy("INTRO") for _ in range(12)], source=AMS)
    assert len(lines(receptions)) == 1
    assert sorted(found.lines[0].repeat for found in receptions) == [False] + [True] * 11
    assert await world.counts("event", "registration", "delivery") == {"event": 12, "registration": 1, "delivery": 1}


async def test_the_same_purchase_by_two_roads_is_one_registration(world: World):
    """A business key is shared by sources that report the same orders."""
    first = await world.ids(buy("INTRO", order="o-1", event_key="a"), source=SHOP)
    second = await world.ids(buy("INTRO", order="o-1", event_key="b"), source=PAY)
    assert first == second
    assert await world.ids(buy("INTRO", order="o-1", event_key="c"), source=AMS) != first


async def test_one_product_twice_on_one_order_is_two_registrations(world: World):
    """The sender's line reference tells two lines of one product apart."""
    ids = await world.ids(buy(line("INTRO", "1"), line("INTRO", "2"), order="o-1"))
    assert len(set(ids)) == 2
    assert await world.ids(buy(line("INTRO", "1"), line("INTRO", "2"), order="o-1")) == ids


async def test_one_product_twice_in_one_call_without_lines_is_one_registration(world: World):
    """Nothing tells the two apart, so the second is a repeat of the first."""
    reception = await world.accept(buy("INTRO", "INTRO"), source=AMS)
    assert [found.repeat for found in reception.lines] == [False, True]
    assert len(lines([reception])) == 1


async def test_two_people_with_the_same_product_are_two_registrations(world: World):
    """In one group, too."""
    receptions = await world.together(buy("INTRO", who=ADA), buy("INTRO", who=BOB), source=AMS)
    assert len(lines(receptions)) == 2


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("event", "source, adapter, event_key, received_at, method, path, body, state"),
        (
            "registration",
            "source, learner_id, remote_product_id, intent, state, occurred_at, event_id, created_at, updated_at",
        ),
        ("learner", "namespace, remote_user_id, occurred_at, created_at, updated_at"),
        ('"right"', "target, person, course_key, course, learner_id, wanted, created_at, updated_at"),
        ("delivery", "target, kind, key, person, learner_id, state, due_at, created_at, updated_at"),
    ],
)
async def test_the_unique_indexes_decide(world: World, url: str, table: str, columns: str):
    """Whoever writes past the program is stopped by the database."""
    await world.accept(buy("INTRO", event_key="evt-1"))
    engine = create_engine(ledger_url(url))
    try:
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(text(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}"))
    finally:
        engine.dispose()


async def test_two_bridges_that_race_with_one_key_make_one_row(pair: tuple[World, World]):
    """Two processes' writers on one PostgreSQL: one row, and both answer its id."""
    for n in range(15):
        receptions = await asyncio.gather(
            *(world.accept(buy("INTRO", event_key=f"evt-{n}", order=f"o-{n}")) for world in pair for _ in range(3))
        )
        assert {reception.kind for reception in receptions} == {"accepted"}
        assert len({reception.event_id for reception in receptions}) == 1
        assert len(lines(receptions)) == 1
    assert await pair[0].counts("event", "registration") == {"event": 15, "registration": 15}


async def test_two_bridges_that_race_without_a_key_make_one_registration(pair: tuple[World, World]):
    """The index on live registrations decides between processes as well."""
    for n in range(15):
        who = ADA.model_copy(update={"remote_user_id": f"u{n}"})
        receptions = await asyncio.gather(
            *(world.accept(buy("INTRO", who=who), source=AMS) for world in pair for _ in range(2))
        )
        assert {reception.kind for reception in receptions} == {"accepted"}
        assert len(lines(receptions)) == 1
    assert await pair[0].counts("event", "registration", "learner") == {"event": 60, "registration": 15, "learner": 15}
