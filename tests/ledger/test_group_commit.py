"""Promise 4: concurrent accepts share a transaction, and nobody pays for a neighbour."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import psycopg
import pytest

from bridge.contract.errors import LedgerError
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit
from tests.ledger.rig import ADA, BOB, World, buy


class Poison(Exception):
    """What a member breaks down with."""


def note(unit: Unit, items: list[str]) -> list[str]:
    """Write each item down; ``poison`` breaks the group, ``twice`` breaks a unique index."""
    for item in items:
        unit.run("INSERT INTO schedule_state (job, ran_at) VALUES (:job, 1)", job="twin" if item == "twice" else item)
        if item == "poison":
            raise Poison
        if item == "syntax":
            unit.run("SELECT no_such_column FROM event")
    return [f"{item}!" for item in items]


async def kept(world: World) -> set[str]:
    return {row.job for row in await world.rows("SELECT job FROM schedule_state")}


@pytest.mark.parametrize("bad", ["poison", "syntax"])
async def test_a_poisoned_member_fails_alone(world: World, ledger: Ledger, bad: str):
    """Its neighbours are kept, whatever the fault was: Python's or the database's."""
    items = ["a", "b", bad, "c"]
    results = await asyncio.gather(*(ledger.submit(note, item) for item in items), return_exceptions=True)
    assert [result for result in results if isinstance(result, str)] == ["a!", "b!", "c!"]
    assert isinstance(results[2], LedgerError)
    assert await kept(world) == {"a", "b", "c"}


async def test_a_constraint_stops_only_who_breaks_it(world: World, ledger: Ledger):
    """Of two that want the same unique row one is kept and the other is told."""
    items = ["a", "twice", "twice", "b"]
    results = await asyncio.gather(*(ledger.submit(note, item) for item in items), return_exceptions=True)
    assert sorted(isinstance(result, LedgerError) for result in results) == [False, False, False, True]
    assert await kept(world) == {"a", "b", "twin"}


async def test_a_line_too_long_for_an_index_fails_alone(world: World):
    """PostgreSQL refuses index rows over 2700 bytes: whoever sends one harms nobody else."""
    noise = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(4_000))
    receptions = await world.together(
        buy("INTRO", order="o-1"), buy(noise[:500], order=noise[:500]), buy("ETHICS", order="o-3")
    )
    assert (receptions[0].kind, receptions[2].kind) == ("accepted", "accepted")


async def test_different_kinds_of_work_share_a_group(world: World, ledger: Ledger):
    """An accept, a claim and a question of its own kind are committed together and each gets its own answer."""
    accepted, claimed, written = await asyncio.gather(
        world.accept(buy("INTRO")), world.claim("lms"), ledger.write(lambda unit: unit.rows("SELECT 42 AS n")[0].n)
    )
    assert (accepted.kind, written) == ("accepted", 42)
    assert [one.delivery.target for one in claimed] == ["lms"]


async def test_groups_form_under_load(world: World, ledger: Ledger):
    """While one commit is on its way the next group gathers: far fewer commits than events, none lost."""
    sizes: list[int] = []
    ledger.measure_groups(sizes.append)
    people = [ADA.model_copy(update={"remote_user_id": f"u{n}", "email": f"u{n}@example.org"}) for n in range(300)]
    receptions = await asyncio.gather(*(world.accept(buy("INTRO", who=who)) for who in people))
    assert {reception.kind for reception in receptions} == {"accepted"}
    assert sum(sizes) == 300
    assert len(sizes) < 60
    assert await world.counts("event", "registration", "learner", "right", "delivery") == dict.fromkeys(
        ("event", "registration", "learner", "right", "delivery"), 300
    )


async def test_one_group_may_hold_one_person_many_times(world: World):
    """Several purchases, a changed name and a cancellation of one person in one group come out in their order."""
    renamed = ADA.model_copy(update={"first_name": "Augusta"})
    receptions = await world.together(
        buy("INTRO", order="o-1"),
        buy("ETHICS", order="o-2"),
        buy("INTRO", order="o-3", who=renamed),
        buy("BOTH", who=BOB),
    )
    assert {reception.kind for reception in receptions} == {"accepted"}
    assert await world.one("SELECT first_name FROM learner WHERE remote_user_id = 'ada'") == "Augusta"
    assert await world.counts("registration", "learner") == {"registration": 4, "learner": 2}


class Contender:
    """Another program that holds locks in the order that makes a deadlock."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url)
        self._thread: threading.Thread | None = None
        self.deadlocked = False

    def hold(self, job: str) -> None:
        self._connection.execute("UPDATE schedule_state SET ran_at = 2 WHERE job = %s", (job,))

    def reach_for(self, job: str) -> None:
        """Ask for a row that the writer holds, in a thread, because it has to wait."""

        def run() -> None:
            try:
                self._connection.execute("UPDATE schedule_state SET ran_at = 3 WHERE job = %s", (job,))
            except psycopg.errors.DeadlockDetected:
                self.deadlocked = True
            self._connection.rollback()

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def end(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._connection.close()


@pytest.mark.parametrize("neighbours", [[], ["neighbour", "other"]], ids=["alone", "in a group"])
async def test_a_deadlock_is_tried_again_alone(shared_url: str, neighbours: list[str]):
    """A real deadlock with another connection: PostgreSQL ends our transaction, and every member is kept all the same."""
    ledger = Ledger(shared_url)
    await ledger.open()
    await asyncio.gather(*(ledger.submit(note, item) for item in ("x", "y")))
    rival = Contender(shared_url)
    rival.hold("y")
    tries: list[str] = []

    def entangled(unit: Unit) -> str:
        tries.append("try")
        unit.run("SET LOCAL deadlock_timeout = '20ms'")  # so that it is our transaction that is ended
        unit.run("UPDATE schedule_state SET ran_at = 5 WHERE job = 'x'")
        if len(tries) == 1:
            rival.reach_for("x")
        unit.run("UPDATE schedule_state SET ran_at = 5 WHERE job = 'y'")
        return "kept"

    try:
        results = await asyncio.gather(ledger.write(entangled), *(ledger.submit(note, item) for item in neighbours))
        assert results == ["kept", *(f"{item}!" for item in neighbours)]
        assert len(tries) > 1
    finally:
        rival.end()
        await ledger.close()
    with closing(psycopg.connect(shared_url)) as connection:
        found = dict(connection.execute("SELECT job, ran_at FROM schedule_state").fetchall())
    assert found == {"x": 5, "y": 5} | dict.fromkeys(neighbours, 1)


async def test_a_serialisation_failure_is_tried_again_alone(shared_url: str):
    """A transaction that PostgreSQL can't put in line with another one's is run again."""
    ledger = Ledger(shared_url)
    await ledger.open()
    await ledger.submit(note, "x")
    tries: list[str] = []

    def strict(unit: Unit) -> str:
        tries.append("try")
        unit.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        unit.rows("SELECT * FROM schedule_state")
        if len(tries) == 1:
            with closing(psycopg.connect(shared_url, autocommit=True)) as connection:
                connection.execute("UPDATE schedule_state SET ran_at = 7 WHERE job = 'x'")
        unit.run("UPDATE schedule_state SET ran_at = ran_at + 1 WHERE job = 'x'")
        return "kept"

    try:
        assert await ledger.write(strict) == "kept"
        assert len(tries) == 2
        assert (await ledger.read(lambda c: c.exec_driver_sql("SELECT ran_at FROM schedule_state").scalar_one())) == 8
    finally:
        await ledger.close()
