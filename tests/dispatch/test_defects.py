"""Defects of connectors, rows that can't be read, and a ledger that is away: the lane lives on."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.contract.errors import AnswerLost, LedgerError, Unreachable
from bridge.contract.outbound import Operation, Receipt, Repeat
from bridge.ledger import repairs
from tests.dispatch.rig import PATIENT, Rig, until


class Broken:
    """A connector that does something strange with the first learner, and all is well with the others."""

    def __init__(self, real: Any, strange: Any) -> None:
        self._real = real
        self._strange = strange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def deliver(self, batch):
        if any(work.learner.remote_user_id == "u1" for work in batch):
            return await self._strange(batch)
        return await self._real.deliver(batch)


async def raises(_):
    raise KeyError("learner1@example.org")


async def too_few(_):
    return []


async def too_many(batch):
    return [Receipt()] * (len(batch) + 1)


async def nothing(_):
    return None


async def no_outcome(batch):
    return [200 for _ in batch]


async def cancels(_):
    raise asyncio.CancelledError


async def test_who_fails_to_hear_of_one_outcome_costs_nobody_else_theirs(rig: Rig) -> None:
    """Nor its own: outcomes are judged and written together, and that somebody did not hear of one is told."""
    heard = iter([True])

    def deaf(*_: object) -> None:
        if next(heard, False):
            raise KeyError("learner1@example.org")

    await rig.start()
    rig.lane("lms")._observe = deaf
    with capture_logs() as logs:
        await rig.buy_all(range(6))
        await until(lambda: len(rig.enrolled()) == 6)
        await rig.settled("lms")
    states = "SELECT state, count(*) AS n FROM delivery WHERE target = 'lms' GROUP BY state"
    assert {row.state: row.n for row in await rig.rows(states)} == {"done": 6}
    (told,) = [line for line in logs if line["event"] == "dispatch.settling_failed"]
    assert told["fault"] == "KeyError"
    assert "learner1" not in str(logs)


async def test_a_call_whose_end_fails_is_told_in_the_same_words(rig: Rig) -> None:
    """Wherever a defect keeps an outcome from the ledger: one event, with the target and the place, and the lane lives on."""
    await rig.start()
    condition = rig.lane("lms").condition
    felt, fails = condition.felt, iter([True])

    def numb(outcomes: Any) -> None:
        if next(fails, False):
            raise KeyError("learner1@example.org")
        felt(outcomes)

    condition.felt = numb
    with capture_logs() as logs:
        await rig.buy(1)
        await until(lambda: any(line["event"] == "dispatch.settling_failed" for line in logs))
        await rig.buy(2)
        await until(lambda: len(rig.enrolled()) == 2)
    (told,) = [line for line in logs if "settling_failed" in line["event"]]
    assert (told["target"], told["fault"], told["log_level"]) == ("lms", "KeyError", "error")
    assert told["where"]
    assert "learner1@" not in str(told)


@pytest.mark.parametrize("strange", [raises, too_few, too_many, nothing, no_outcome, cancels])
async def test_a_defect_of_a_connector_is_a_dead_letter_and_the_lane_lives_on(rig: Rig, strange: Any, capsys) -> None:
    """With a remedy for the operator, and without the learner's data."""
    rig.instead("lms", lambda real: Broken(real, strange))
    await rig.start()
    broken = await rig.buy(1)
    await rig.buy_all(range(2, 12))
    await until(lambda: len(rig.enrolled()) == 10)
    await rig.done()
    (letter,) = await rig.rows("SELECT why, remedy, registration_id FROM delivery WHERE state = 'dead'")
    assert letter.registration_id == broken
    assert letter.why.startswith("the connector failed: ")
    assert "defect of the connector" in letter.remedy
    assert await rig.registration(broken) == "failed"
    assert "learner1@" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("faults", "applied"),
    [([Unreachable("no")], 1), ([AnswerLost("lost"), Unreachable("no")], 1)],
)
async def test_faults_of_requests_made_side_by_side_are_an_outage(rig: Rig, faults: list[Any], applied: int) -> None:
    """A task group wraps them; that is no defect."""
    gone: list[int] = []

    async def grouped(batch):
        if gone:
            return [Receipt() for _ in batch]
        gone.append(1)
        raise ExceptionGroup("two requests", faults)

    rig.instead("lms", lambda real: Broken(real, grouped))
    await rig.start()
    await rig.buy(1)
    await until(lambda: ("lms", "grant", "receipt") in rig.attempts)
    assert ("lms", "grant", "later") in rig.attempts


async def test_a_row_that_can_not_be_read_is_a_dead_letter_and_the_lane_lives_on(rig: Rig) -> None:
    """The operator renamed a field of the course's table under it."""
    number = await rig.buy(1)
    await rig.ledger.write(lambda unit: unit.run('UPDATE "right" SET course = \'{"renamed": 1}\''))
    await rig.buy(2)
    with capture_logs() as lines:
        await rig.start()
        await until(rig.enrolled)
        await rig.done()
    (told,) = [line for line in lines if line["event"] == "dispatch.defect"]
    assert (told["delivery_id"], told["registration_id"], told["event_id"]) == (1, number, 1)
    assert rig.enrolled() == ["learner2@example.org remote-course-1"]
    assert await rig.registration(number) == "failed"
    (letter,) = await rig.rows("SELECT why, remedy FROM delivery WHERE state = 'dead'")
    assert letter.why == "the work can't be computed: ValidationError"
    assert letter.remedy


async def test_an_unsafe_operation_in_flight_at_a_crash_waits_for_an_operator(rig: Rig) -> None:
    """And goes out when the operator says so."""

    class Unsafe(Broken):
        operations = {Operation.GRANT: Repeat.UNSAFE, Operation.REVOKE: Repeat.KEYED}  # noqa: RUF012

    rig.instead("lms", lambda real: Unsafe(real, real.deliver))
    await rig.start()
    rig.lms.now_fails("delay", seconds=0.5, times=1)
    await rig.buy(1)
    await until(lambda: rig.lms.journal)
    await rig.crash()
    seen = len(rig.lms.journal)
    await rig.start()
    await rig.done()
    assert await rig.states("lms") == ["dead"]
    assert len(rig.lms.journal) == seen
    (letter,) = await rig.rows("SELECT id, right_id, target, remedy FROM delivery WHERE state = 'dead'")
    assert "may do it twice" in letter.remedy
    await rig.ledger.write(lambda unit: repairs.requeue(unit, [letter], 1))
    await until(rig.contacts)


async def test_a_settlement_without_its_lease_changes_nothing_but_is_told(rig: Rig) -> None:
    """Somebody else has the delivery by now; the attempt and the remote ids are kept all the same."""
    await rig.start()
    rig.lms.now_fails("delay", seconds=1.0, times=1)
    await rig.buy(1)
    await until(lambda: rig.lms.journal)
    await rig.ledger.write(lambda unit: unit.run("UPDATE delivery SET lease = 'another' WHERE target = 'lms'"))
    await until(rig.enrolled)
    await until(lambda: rig.rows("SELECT 1 FROM attempt"))
    assert await rig.states("lms") == ["leased"]
    assert await rig.value('SELECT held FROM "right"') == "no"
    assert [row.kind for row in await rig.rows("SELECT kind FROM remote_ref")] == ["registration"]
    await rig.crash()
    await rig.start()
    await until(rig.contacts)
    assert len(rig.lms.registrations) == 1


async def test_the_tick_renews_the_leases_of_the_living(rig: Rig) -> None:
    """A call may wait for rate tokens longer than a lease lasts."""
    await rig.start()
    rig.lms.now_fails("delay", seconds=1.0, times=1)
    await rig.buy(1)
    await until(lambda: rig.lms.journal)
    before = await rig.value("SELECT lease_until FROM delivery WHERE state = 'leased'")
    await asyncio.sleep(0.05)
    assert rig.dispatcher is not None
    await rig.dispatcher.tick()
    assert await rig.value("SELECT lease_until FROM delivery WHERE state = 'leased'") > before
    await until(rig.contacts)


async def test_a_settlement_survives_an_outage_of_the_ledger(rig: Rig) -> None:
    """The learner is in, the ledger locked by somebody: what came of it is written when the lock is gone."""
    await rig.start()
    rig.lms.now_fails("delay", seconds=0.6)
    await rig.buy_all(range(4))
    await until(lambda: len(rig.lms.journal) >= 4)
    other = sqlite3.connect(rig.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await until(lambda: len(rig.enrolled()) == 4)
    await asyncio.sleep(3.0)  # longer than the writer itself waits for a lock
    assert await rig.value("SELECT count(*) FROM attempt") == 0
    other.execute("ROLLBACK")
    other.close()
    await rig.done()
    assert await rig.value("SELECT count(*) FROM attempt WHERE operation = 'grant'") == 4
    assert len(rig.lms.registrations) == 4
    assert len(rig.contacts()) == 4


async def test_a_lane_whose_ledger_is_away_waits_and_does_not_spin(rig: Rig) -> None:
    """And goes on by itself."""
    await rig.buy(1)
    other = sqlite3.connect(rig.file, isolation_level=None)
    await rig.start()
    await rig.done()
    await rig.buy(2)
    await rig.done()
    other.execute("BEGIN IMMEDIATE")
    turns = rig.lane("lms").turns
    rig.lane("lms").wake()
    await asyncio.sleep(3.0)
    assert rig.lane("lms").turns - turns <= 5
    other.execute("ROLLBACK")
    other.close()
    await until(lambda: buys(rig))
    await until(lambda: len(rig.enrolled()) == 3)


async def buys(rig: Rig) -> bool:
    await rig.buy(3)
    return True


async def test_a_claim_that_is_told_as_failed_and_was_committed_is_taken_back(rig: Rig) -> None:
    """The file was away right after the commit. A lease that nobody knows of, renewed for ever, would keep the learner out."""
    rig.policy("lms", retry=PATIENT)
    await rig.start()
    rig.lms.now_fails("status", status=503, times=1)
    await rig.buy(1)
    await until(
        lambda: rig.rows("SELECT 1 FROM delivery WHERE target = 'lms' AND outcome = 'later' AND state = 'open'")
    )
    await rig.ledger.write(lambda unit: unit.run("UPDATE delivery SET due_at = 0"))
    away, free = rig.file.with_name("away.db"), threading.Event()
    busy = asyncio.ensure_future(rig.ledger.write(lambda _unit: free.wait(5)))
    await asyncio.sleep(0.05)
    rig.lane("lms").wake()
    await asyncio.sleep(0.05)  # its claim waits for the writer; what comes now shares its transaction
    moved = asyncio.ensure_future(
        rig.ledger.submit(lambda _unit, paths: [rig.file.rename(path) for path in paths], away)
    )
    await asyncio.sleep(0.05)
    free.set()
    assert isinstance((await asyncio.gather(busy, moved, return_exceptions=True))[1], LedgerError)
    away.rename(rig.file)
    # Without an await in between: the lane waits for a second, and then takes it back.
    with closing(sqlite3.connect(rig.file)) as ledger:
        assert ledger.execute("SELECT state FROM delivery WHERE target = 'lms'").fetchall() == [("leased",)]
    await until(lambda: rig.enrolled() and rig.contacts())
    await rig.done()
    assert len(rig.lms.journal) == 2
