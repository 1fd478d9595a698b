"""Promise 9: accept, claim and settle cost the same with many settled rows as with none: they go through partial indexes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import text

from bridge.contract.outbound import Receipt, Refs
from bridge.ledger import claims
from bridge.ledger.libpq import Libpq
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit
from tests.ledger.rig import ADA, BOB, CRM, LMS, World, buy, cancel, update, with_targets

MANY = 200_000
FEW = 40_000
BIG = ("event", "learner", "registration", "right", "grant", "delivery", "effect", "attempt")

_SERIES = {
    "sqlite": "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {upto}) SELECT n FROM c)",
    "postgresql": "(SELECT generate_series(1, {upto}) AS n)",
}
# The ledger holds one row of each already, so that the ids of these begin at 2.
_SETTLED = """
INSERT INTO event (source, adapter, event_key, received_at, method, path, body, state)
 SELECT 'shop', 'fake', 'old-' || n, n, 'POST', '/', '{{}}', 'accepted' FROM {few} s;
INSERT INTO learner (namespace, remote_user_id, email, email_key, occurred_at, created_at, updated_at)
 SELECT 'shop', 'old-' || n, 'old-' || n || '@example.org', 'old-' || n || '@example.org', 0, 0, 0 FROM {few} s;
INSERT INTO registration (source, learner_id, remote_product_id, business_scope, business_key, intent, state, occurred_at,
  order_number, event_id, created_at, updated_at)
 SELECT 'shop', n + 1, 'INTRO', 'shop', 'old-' || n, 'cancelled', 'cancelled', 0, 'old-' || n, n + 1, 0, 0 FROM {few} s;
INSERT INTO "right" (target, person, course_key, course, learner_id, wanted, created_at, updated_at)
 SELECT 'lms', 'id:shop:old-' || n, 'x', 'x', n + 1, 0, 0, 0 FROM {few} s;
INSERT INTO "grant" (registration_id, course, right_id, live) SELECT n + 1, 'intro', n + 1, 0 FROM {few} s;
INSERT INTO effect (event_id, registration_id, effect) SELECT n + 1, n + 1, 'created' FROM {few} s;
INSERT INTO delivery (target, kind, key, right_id, person, learner_id, registration_id, state, due_at, created_at, updated_at)
 SELECT 'lms', 'right', 'old:' || n, n % {upto} + 2, 'id:shop:old-' || n, n % {upto} + 2, n % {upto} + 2, 'done', n, 0, 0
 FROM {many} s;
INSERT INTO attempt (delivery_id, at, ms, operation, outcome) SELECT n + 1, 0, 1, 'grant', 'receipt' FROM {few} s
"""


def bury_in_settled_rows(unit: Unit) -> None:
    """Fill the ledger with what is over and done."""
    series = _SERIES[unit.dialect.name]
    if unit.dialect.name == "postgresql":
        unit.run("SET LOCAL session_replication_role = replica")  # no check of foreign keys row by row
    for statement in _SETTLED.split(";"):
        unit.run(statement.format(few=series.format(upto=FEW), many=series.format(upto=MANY), upto=FEW))
    if unit.dialect.name == "postgresql":
        unit.run("ANALYZE")


PLANNED = ("SELECT", "INSERT", "UPDATE", "WITH", "DELETE")


class Plans:
    """The plan of every statement that the writer runs, as the database makes it at that moment."""

    def __init__(self) -> None:
        self.found: list[tuple[str, list[str]]] = []

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the plan noted of whatever the writer runs from now on."""
        asked, result, found = Unit._asked, Libpq._result, self.found

        def explained(unit: Unit, statement: str, bound: Any) -> Any:
            if statement.split(maxsplit=1)[0].upper().startswith(PLANNED):
                lines = [row[3] for row in unit._driver.execute("EXPLAIN QUERY PLAN " + statement, bound)]
                found.append((" ".join(statement.split()), lines))
            return asked(unit, statement, bound)

        def explained_there(libpq: Libpq, statement: str, values: Any) -> Any:
            if statement.split(maxsplit=1)[0].upper().startswith(PLANNED):
                plan = result(libpq, "EXPLAIN " + statement, values)
                lines = [plan.get_value(row, 0).decode() for row in range(plan.ntuples)]
                found.append((" ".join(statement.split()), lines))
            return result(libpq, statement, values)

        monkeypatch.setattr(Unit, "_asked", explained)
        monkeypatch.setattr(Libpq, "_result", explained_there)

    def of(self, beginning: str) -> list[str]:
        """Return the plan of the statement that begins like this."""
        plans = [plan for statement, plan in self.found if statement.startswith(beginning)]
        assert plans, f"nothing began with {beginning}"
        return plans[-1]

    def walks(self) -> list[str]:
        """Return every step that goes through a whole table instead of an index."""
        found = []
        for statement, plan in self.found:
            for step in plan:
                match = re.search(r"Seq Scan on \"?(\w+)|^SCAN (\w+)$", step)
                table = _table(match[1] or match[2], statement) if match else ""
                # A table that the statement does not name is one that points at it: SQLite plans to look there for rows
                # that wait for the new one, and looks only where a foreign key is broken at that moment.
                if table in BIG and re.search(rf"\b{table}\b", statement):
                    found.append(f"{step.strip()}: {statement[:150]}")
        return found


def _table(name: str, statement: str) -> str:
    """Return the table behind an alias: SQLite's plans name aliases."""
    alias = re.search(rf'(?:FROM|JOIN|UPDATE|INTO) "?(\w+)"? (?:AS )?{name}\b', statement)
    return alias[1] if alias else name


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Plans:
    found = Plans()
    found.watch(monkeypatch)
    return found


async def a_day_in_the_life(world: World) -> None:
    """Do everything that is done all day."""
    receipt = Receipt(Refs(person={"user": "81"}, right={"enrollment": "112"}))
    await world.accept(buy("BUNDLE", order="o-1", event_key="e-1"))
    await world.accept(buy("BUNDLE", order="o-1", event_key="e-1"))
    await world.accept(buy("INTRO", who=BOB))
    await world.accept(buy("INTRO", who=BOB))
    await world.deliver("lms", receipt)
    await world.deliver("crm", receipt)
    await world.accept(update(ADA.model_copy(update={"email": "new@example.org"}), minute=2))
    await world.accept(cancel(business_key="o-1", minute=3))
    await world.accept(cancel("INTRO", learner=BOB))
    await world.deliver("lms", receipt)
    await world.claim("lms")
    await world.ledger.write(lambda unit: claims.return_all(unit, world.now))
    await world.ledger.write(lambda unit: claims.return_expired(unit, world.now))
    await world.ledger.write(lambda unit: claims.expedite(unit, "lms", world.now))


async def test_nothing_on_the_hot_path_walks_through_settled_rows(
    world: World, ledger: Ledger, plans: Plans, monkeypatch: pytest.MonkeyPatch
):
    """Under a mountain of settled rows every statement of accept, claim and settle still goes through an index."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO", order="first"))
    await world.claim("lms")
    before = plans.of("WITH RECURSIVE queue")
    monkeypatch.setattr("bridge.ledger.watch.PATIENCE", 120.0)  # so many rows in one transaction
    await ledger.write(bury_in_settled_rows)
    plans.found.clear()
    await a_day_in_the_life(world)
    assert plans.walks() == []
    claim = plans.of("WITH RECURSIVE queue")
    assert any("ix_delivery_queue" in step for step in claim)
    if ledger._writing.dialect.name == "sqlite":
        assert claim == before


async def test_a_blocked_key_is_out_of_the_index_of_what_is_due(world: World, url: str):
    """Work of a person in flight costs the claim nothing: the index does not hold it."""
    await world.accept(buy("BUNDLE"))
    await world.claim("lms")
    assert [state for _, state in await world.outbox("lms")] == ["leased", "blocked"]
    catalogue = "SELECT sql FROM sqlite_master" if url.startswith("sqlite") else "SELECT indexdef FROM pg_indexes"
    name = "name" if url.startswith("sqlite") else "indexname"
    definition = await world.one(f"{catalogue} WHERE {name} = 'ix_delivery_queue'")
    condition = definition.partition("WHERE")[2]
    assert re.sub(r"[()]|::text", "", condition).strip() == "state = 'open'"
    count = await world.ledger.read(
        lambda connection: connection.execute(text(f"SELECT count(*) FROM delivery WHERE {condition}")).scalar_one()
    )
    assert count == 0


_WAITING = """
INSERT INTO delivery (target, kind, key, person, learner_id, state, due_at, created_at, updated_at)
 SELECT 'lms', 'contact', 'new:' || n, 'id:shop:new-' || n, 1, 'open', 1, 0, 0 FROM {few} s
"""


async def test_a_backlog_that_the_database_has_not_counted_yet_is_not_walked(
    world: World, ledger: Ledger, plans: Plans
):
    """What else the claimed people wait for is looked up person by person, also where so much work is news to the planner."""
    await world.accept(buy("INTRO", order="first"))
    series = _SERIES[ledger._writing.dialect.name].format(upto=2_000)
    await ledger.write(lambda unit: unit.run(_WAITING.format(few=series)))
    plans.found.clear()
    claimed = await world.claim("lms", 50)
    assert len(claimed) == 50
    for one in claimed[:3]:
        await world.settle(one)
    for beginning in ("UPDATE delivery SET state = 'blocked'", "UPDATE delivery SET state = 'open' WHERE id IN"):
        used = re.findall(r"(?:ix|uq)_delivery_\w+", " ".join(plans.of(beginning)))
        assert used == ["ix_delivery_person"], plans.of(beginning)
