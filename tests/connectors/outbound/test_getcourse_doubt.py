"""What GetCourse's exports say badly, late or of somebody else: nobody is taken for out who is in, and each hears their own."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.contract.outbound import NeedsOperator, Operation, Pending, Receipt, Refs, Refused, TryLater
from tests.connectors.outbound.getcourse_rig import GROUP, Desk, a_desk, patiently, revoked
from tests.suites.outbound import ADA, BOB


@pytest.fixture
async def desk():
    """A GetCourse with a process, and exports that are not ready at the first look."""
    async with a_desk() as opened:
        yield opened


@pytest.mark.parametrize("info", [[], {}, {"items": None}, {"items": ["7", "8"]}])
async def test_an_export_that_can_not_be_read_is_no_empty_one(desk: Desk, info: Any) -> None:
    """Taken for one, it would confirm that somebody is out who is in."""
    await desk.granted(table=GROUP)
    outcome = await desk.do(Operation.REVOKE, table=GROUP, refs=desk.known)
    desk.emulator.now_fails("status", status=200, path="exports", body={"success": True, "info": info}, times=1)
    outcome = await patiently(desk, outcome, table=GROUP)
    assert isinstance(outcome, TryLater)
    assert (outcome.cause, outcome.applied) == ("busy", "unknown")


async def test_rows_may_come_as_objects(desk: Desk) -> None:
    """PHP makes one of a list whose keys have gaps; whoever stands in it is in, and none of it is kept."""
    await desk.granted(table=GROUP)
    first = await desk.do(Operation.REVOKE, table=GROUP, refs=desk.known)
    items = {"3": {"id": 7, "email": str(ADA.email)}}
    desk.emulator.now_fails("status", status=200, path="exports", body={"success": True, "info": {"items": items}})
    desk.clock.move(20)
    refs = Refs(desk.known.person, {**desk.known.right, "pending": getattr(first, "handle", "")})
    outcome, story = await desk.told(Operation.REVOKE, table=GROUP, refs=refs)
    assert isinstance(outcome, NeedsOperator)
    assert story[-1].answer == {"success": True, "rows": 1}


async def test_who_changed_their_address_there_is_still_in(desk: Desk) -> None:
    """They are known by their id, too."""
    await desk.granted(table=GROUP)
    ada = desk.emulator.people.pop(str(ADA.email).lower())
    desk.emulator.people["new@example.org"] = ada | {"email": "new@example.org"}
    assert isinstance(await revoked(desk, table=GROUP), NeedsOperator)


async def test_an_order_that_was_cancelled_days_ago_is_found(desk: Desk) -> None:
    """The process acted on Friday, the operator requeues on Tuesday; bought again, the next revocation begins anew."""
    desk.emulator.process_works = False
    await desk.granted()
    outcome = await revoked(desk)
    assert isinstance(outcome, NeedsOperator)
    desk.emulator.deals["right-4711"] |= {"status": "cancelled", "access": False}
    desk.clock.move(4 * 86_400)
    done = await patiently(desk, await desk.go_on(outcome))
    assert isinstance(done, Receipt)
    again = await desk.go_on(done, Operation.GRANT)
    assert again.refs.right["cancelled"] == ""


@pytest.mark.parametrize("gone", [{"status": 200, "body": None}, {"status": 404, "body": "<html>"}])
async def test_an_export_that_is_gone_is_begun_anew(desk: Desk, gone: dict[str, Any]) -> None:
    """Nobody is refused, and no lane stopped, because GetCourse has tidied up."""
    gone["body"] = gone["body"] or {"success": False, "error_code": 910, "error_message": "Объект не найден"}
    await desk.granted()
    first = await desk.do(Operation.REVOKE, refs=desk.known)
    desk.emulator.now_fails("status", path="exports", times=1, **gone)
    desk.emulator.looks = 0
    desk.emulator.exports.clear()
    assert isinstance(await patiently(desk, first), Receipt)
    assert desk.paths().count("deals") == 2


@pytest.mark.parametrize("fault", ["refused", "lost"])
async def test_whose_export_fails_is_told_of_it_and_nobody_else(desk: Desk, fault: str) -> None:
    """Bob only looked at Ada's export, whose end makes room for his. Nor is it an outage, were it too long to be read."""
    await desk.granted()
    bobs: dict[str, Any] = {"key": "right-4712", "learner": BOB, "table": GROUP}
    granted = await desk.do(Operation.GRANT, **bobs)
    adas = await desk.do(Operation.REVOKE, refs=desk.known)
    body = {"success": False, "error_code": 999, "error_message": "нет"}
    how = {"mode": "lost"} if fault == "lost" else {"mode": "status", "status": 200, "body": body}
    desk.emulator.now_fails(**how, path="exports", times=1)
    desk.emulator.exports.clear()
    desk.clock.move(20)
    assert isinstance(await desk.do(Operation.REVOKE, refs=granted.refs, **bobs), Pending)
    told = await desk.go_on(adas)
    assert isinstance(told, TryLater | Refused)
    assert getattr(told, "cause", "busy") == "busy"
    assert told.steps == {"order"}
    assert isinstance(await patiently(desk, await desk.go_on(told)), Receipt)


async def test_an_order_that_may_not_be_there_is_cancelled_in_its_currency(desk: Desk) -> None:
    """The grant's answer was lost; what is made by the cancellation must not be booked as so much of other money."""
    await desk.do(Operation.REVOKE)
    deal = desk.emulator.deals["right-4711"]
    assert (deal["deal_cost"], deal["deal_currency"]) == ("49.90", "EUR")


async def test_an_export_from_before_the_next_purchase_confirms_no_later_revocation(desk: Desk) -> None:
    """Revoked, bought again with an answer that was lost, revoked again: what was read the first time is of the first time."""
    desk.emulator.looks = 0
    await desk.granted()
    pending = await desk.do(Operation.REVOKE, refs=desk.known)
    assert isinstance(await patiently(desk, pending), Receipt)
    await desk.do(Operation.GRANT, refs=desk.known)  # nobody heard of it: the refs stay as they were
    desk.emulator.process_works = False
    desk.known = Refs(desk.known.person, {**desk.known.right, "pending": getattr(pending, "handle", "")})
    again = await desk.do(Operation.REVOKE, refs=desk.known)
    assert isinstance(again, Pending)
    assert isinstance(await patiently(desk, again), NeedsOperator)
