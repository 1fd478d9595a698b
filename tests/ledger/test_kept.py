"""Promise 1: kept before answered. No result without a committed row."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import create_engine, text

from bridge.contract.errors import LedgerError
from bridge.ledger.engine import ledger_url
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit
from tests.ledger.rig import World, buy


def count_from_outside(url: str, table: str) -> int:
    """Count rows on a connection that has nothing to do with the writer."""
    engine = create_engine(ledger_url(url))
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    engine.dispose()
    return int(found)


async def test_the_row_is_there_for_others_when_the_answer_is(world: World, url: str):
    """Another connection finds event and registration as soon as intake has answered."""
    reception = await world.accept(buy("INTRO"))
    assert reception.kind == "accepted"
    assert (count_from_outside(url, "event"), count_from_outside(url, "registration")) == (1, 1)


async def test_a_commit_that_fails_returns_no_result(world: World, ledger: Ledger):
    """The work itself succeeds and only the commit fails: the caller gets an error, and the next write works."""
    await _let_commits_fail(ledger)

    def work(unit: Unit) -> str:
        if unit.dialect.name == "sqlite":
            unit.run("PRAGMA defer_foreign_keys = ON")
        unit.run("INSERT INTO effect (event_id, registration_id, effect) VALUES (404, 404, 'noted')")
        return "done"

    with pytest.raises(LedgerError):
        await ledger.write(work)
    assert await world.one("SELECT count(*) FROM effect") == 0
    assert (await world.accept(buy("INTRO"))).kind == "accepted"


async def test_a_commit_that_fails_is_unavailable_to_the_sender(world: World, ledger: Ledger):
    """A purchase that shares its transaction with a failing commit is kept by a transaction of its own."""
    await _let_commits_fail(ledger)

    def poison(unit: Unit) -> None:
        if unit.dialect.name == "sqlite":
            unit.run("PRAGMA defer_foreign_keys = ON")
        unit.run("INSERT INTO effect (event_id, registration_id, effect) VALUES (404, 404, 'noted')")

    bad, good = await asyncio.gather(ledger.write(poison), world.accept(buy("INTRO")), return_exceptions=True)
    assert isinstance(bad, LedgerError)
    assert good.kind == "accepted"
    assert await world.one("SELECT count(*) FROM registration") == 1


async def _let_commits_fail(ledger: Ledger) -> None:
    """On PostgreSQL a foreign key is judged at commit only where it is declared so; on SQLite a pragma does it."""

    def work(unit: Unit) -> None:
        if unit.dialect.name == "postgresql":
            for name in ("fk_effect_event_id", "fk_effect_registration_id"):
                unit.run(f"ALTER TABLE effect ALTER CONSTRAINT {name} DEFERRABLE INITIALLY DEFERRED")

    await ledger.write(work)


async def test_a_ledger_that_cant_take_it_answers_unavailable(world: World, ledger: Ledger):
    """A closed ledger gives neither a registration nor an accepted answer."""
    await ledger.close()
    assert (await world.accept(buy("INTRO"))).kind == "unavailable"


async def test_what_comes_while_the_ledger_closes_is_kept_or_refused_and_does_not_hang(
    world: World, ledger: Ledger, url: str
):
    """Everything handed in before closing is written, everything after is refused, and nobody waits for ever."""
    before = [asyncio.ensure_future(world.accept(buy("INTRO", order=f"o-{n}"))) for n in range(5)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(ledger.close())
    kinds: list[str] = []
    while "unavailable" not in kinds:
        late = world.accept(buy("INTRO", order=f"late-{len(kinds)}"))
        kinds.append((await asyncio.wait_for(late, 5)).kind)
    await closing
    assert {(await one).kind for one in before} == {"accepted"}
    assert count_from_outside(url, "registration") == 5 + kinds.count("accepted")
