"""Promise 3: one transaction for everything an event comes to, and one for everything an attempt came to."""

from __future__ import annotations

import pytest

from bridge.contract.outbound import Receipt, Refs
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit
from tests.ledger.rig import CRM, LMS, TABLES, World, buy, cancel, with_targets


class Broken(Exception):
    """The fault that a test injects."""


class FailingUnit(Unit):
    """A unit that breaks down at its n-th statement."""

    left = 1_000

    def _count(self) -> None:
        type(self).left -= 1
        if type(self).left < 0:
            raise Broken

    def rows(self, statement, **values):
        self._count()
        return super().rows(statement, **values)

    def run(self, statement, **values):
        self._count()
        return super().run(statement, **values)

    def each(self, statement, columns, rows, **values):
        self._count()
        return super().each(statement, columns, rows, **values)

    def insert(self, into, rows, **values):
        self._count()
        return super().insert(into, rows, **values)

    def put(self, into, rows, **values):
        self._count()
        super().put(into, rows, **values)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Let transactions break down at the n-th statement until told otherwise."""

    def after(statements: int) -> None:
        FailingUnit.left = statements
        monkeypatch.setattr("bridge.ledger.transactions.Unit", FailingUnit)

    yield after
    FailingUnit.left = 1_000


async def contents(world: World) -> dict[str, list]:
    """Return every row of the ledger."""
    return {table: await world.rows(f'SELECT * FROM "{table}" ORDER BY 1, 2') for table in (*TABLES, "mapping_version")}


async def breaks_at_every_statement(world: World, failing, work) -> int:
    """Break the work off after each of its statements in turn; nothing may be left of it. Return how many there are."""
    before = await contents(world)
    for statements in range(200):
        failing(statements)
        if await work():
            return statements
        assert await contents(world) == before, f"after {statements} statements"
    raise AssertionError("it never got through")


async def test_a_purchase_is_kept_whole_or_not_at_all(world: World, failing):
    """A fault between any two statements leaves nothing at all."""
    world.catalogue = with_targets(LMS, CRM)

    async def work() -> bool:
        return (await world.accept(buy("BUNDLE", "BOOK", "UNKNOWN", order="o-1"))).kind == "accepted"

    assert await breaks_at_every_statement(world, failing, work) > 8
    assert await world.counts("event", "registration", "grant", "right", "quarantine") == {
        "event": 1,
        "registration": 2,
        "grant": 3,
        "right": 2,
        "quarantine": 1,
    }


async def test_a_cancellation_is_kept_whole_or_not_at_all(world: World, failing):
    """Intent, rights and outbox change together."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("BUNDLE", order="o-1"))

    async def work() -> bool:
        return (await world.accept(cancel(business_key="o-1"))).kind == "accepted"

    assert await breaks_at_every_statement(world, failing, work) > 5


async def test_a_settlement_is_kept_whole_or_not_at_all(world: World, ledger: Ledger, failing):
    """Attempt, outbox, right, remote ids and state change together."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO", order="o-1"))
    claimed = (await world.claim("lms"))[0]

    async def work() -> bool:
        try:
            return await world.settle(claimed, Receipt(Refs(person={"user": "81"}, right={"enrollment": "112"})))
        except Exception:  # noqa: BLE001 - whatever the writer makes of it
            return False

    assert await breaks_at_every_statement(world, failing, work) > 5
    assert await world.one("SELECT state FROM registration") == "active"
