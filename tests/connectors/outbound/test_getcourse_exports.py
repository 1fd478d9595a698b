"""GetCourse's export API: how revocations are read back, how its limits are kept, and what the doctor looks at."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.contract.outbound import NeedsOperator, Operation, Outcome, Pending, Receipt, Refs, Refused, TryLater
from connectors.outbound.getcourse.exports import Exports, Wait
from connectors.sandbox import getcourse
from tests.connectors.outbound.getcourse_rig import FIELD, GROUP, OFFER, Desk, a_desk, patiently, revoked
from tests.suites.outbound import ADA, BOB


@pytest.fixture
async def desk():
    """A GetCourse with a process, and exports that are not ready at the first look."""
    async with a_desk() as opened:
        yield opened


async def test_a_revocation_is_confirmed_by_the_orders_status(desk: Desk) -> None:
    """The order once, one export, and looks at it until it is ready."""
    await desk.granted()
    first = await desk.do(Operation.REVOKE, refs=desk.known)
    assert isinstance(first, Pending)
    assert first.after == 20.0
    assert isinstance(await patiently(desk, first), Receipt)
    assert desk.live() == []
    number = str(max(desk.emulator.exports))
    assert desk.paths() == ["deals", f"exports/{number}", f"exports/{number}"]
    assert len(desk.paths("/api/deals")) == 2


async def test_the_export_names_status_and_day_and_shows_the_key_to_nobody(desk: Desk) -> None:
    """A filter is required; the day before is asked for, because the account has a day of its own."""
    await desk.granted()
    _, story = await desk.told(Operation.REVOKE, refs=desk.known)
    query = desk.emulator.journal[-1].query
    assert set(query) == {"key", "status", "status_changed_at[from]"}
    assert query["status"] == "cancelled"
    assert query["status_changed_at[from]"] < datetime.now(UTC).date().isoformat()
    assert "sandbox-getcourse-key" not in repr(story)


async def test_rows_of_other_people_are_not_kept_in_the_record(desk: Desk) -> None:
    """The columns have the account's own titles, so no rule could tell a name in them."""
    desk.emulator.looks = 0
    await desk.granted()
    first = await desk.do(Operation.REVOKE, refs=desk.known)
    desk.clock.move(20)
    refs = Refs(desk.known.person, {**desk.known.right, "pending": getattr(first, "handle", "")})
    outcome, story = await desk.told(Operation.REVOKE, refs=refs, steps=frozenset({"order"}))
    assert isinstance(outcome, Receipt)
    assert story[-1].answer == {"success": True, "rows": 1}


async def test_an_order_that_no_process_cancels_is_the_operators(desk: Desk) -> None:
    """Looked at twice; a requeue reads anew, and sends the order no second time."""
    desk.emulator.process_works = False
    await desk.granted()
    outcome = await revoked(desk)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.remedy == desk.connector.errors["no-process"].next_step
    assert len(desk.live()) == 1
    desk.emulator.deals["right-4711"] |= {"status": "cancelled", "access": False}
    assert isinstance(await patiently(desk, await desk.go_on(outcome)), Receipt)
    assert len(desk.paths("/api/deals")) == 2


async def test_a_process_may_take_its_time(desk: Desk) -> None:
    """What is not there at the first look may be there ten minutes later."""
    desk.emulator.process_works = False
    await desk.granted()
    outcome: Outcome = await desk.do(Operation.REVOKE, refs=desk.known)
    while isinstance(outcome, Pending) and outcome.after != 600.0:
        outcome = await desk.go_on(outcome)
    desk.emulator.deals["right-4711"]["status"] = "cancelled"
    assert isinstance(await patiently(desk, outcome), Receipt)


async def test_without_a_process_the_order_is_cancelled_and_the_operator_asked(desk: Desk) -> None:
    """GetCourse leaves the access of a completed order; a requeue says that it was taken away by hand."""
    desk.configure(status_field="")
    await desk.granted()
    outcome = await desk.do(Operation.REVOKE, refs=desk.known)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.remedy == desk.connector.errors["access-stays"].next_step
    assert desk.emulator.deals["right-4711"]["status"] == "cancelled"
    assert len(desk.live()) == 1
    assert isinstance(await desk.go_on(outcome), Receipt)
    assert len(desk.paths("/api/deals")) == 2


async def test_a_status_for_refunds_can_be_chosen(desk: Desk) -> None:
    """What the school does with returned money is its own affair."""
    desk.configure(status_field="", revoke_status="waiting_for_return")
    await desk.granted()
    await desk.do(Operation.REVOKE, refs=desk.known)
    assert desk.emulator.deals["right-4711"]["status"] == "waiting_for_return"


async def test_somebody_who_is_still_in_the_group_is_the_operators(desk: Desk) -> None:
    """The import API takes nobody out of one group; a requeue looks whether somebody did."""
    await desk.granted(table=GROUP)
    outcome = await revoked(desk, table=GROUP)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.remedy == desk.connector.errors["in-group"].next_step
    still = await patiently(desk, await desk.go_on(outcome, table=GROUP), table=GROUP)
    assert isinstance(still, NeedsOperator)
    desk.emulator.people[str(ADA.email).lower()]["groups"].clear()
    done = await patiently(desk, await desk.go_on(still, table=GROUP), table=GROUP)
    assert isinstance(done, Receipt)


async def test_a_process_may_take_people_out_of_the_group_too(desk: Desk) -> None:
    """Then both are read back, and nobody is asked."""
    desk.emulator.process_groups = {"Students"}
    await desk.granted(table=OFFER | GROUP)
    assert isinstance(await revoked(desk, table=OFFER | GROUP), Receipt)
    assert desk.live() == []


async def test_somebody_who_was_in_the_group_before_stays(desk: Desk) -> None:
    """What the bridge did not give it does not take."""
    there = {"id": 7, "email": ADA.email, "groups": {"Students": "2020-01-01"}}
    desk.emulator.people[str(ADA.email).lower()] = there
    await desk.granted(table=GROUP)
    assert isinstance(await revoked(desk, table=GROUP), Receipt)
    assert there["groups"] == {"Students": "2020-01-01"}


async def test_a_membership_is_looked_for_since_the_first_grant(desk: Desk) -> None:
    """A repeat days later finds the person already in; where nothing is known, all members are read."""
    await desk.granted(table=GROUP)
    first = desk.known.right["since"]
    desk.clock.move(5 * 86_400)
    again = await desk.do(Operation.GRANT, table=GROUP, refs=desk.known)
    assert again.refs.right["since"] == first
    await desk.do(Operation.REVOKE, table=GROUP, refs=again.refs)
    assert desk.emulator.journal[-1].query["added_at[from]"] < first
    desk.configure()
    desk.emulator.exports.clear()
    await desk.do(Operation.REVOKE, table=GROUP)
    assert desk.emulator.journal[-1].query["added_at[from]"] == "2000-01-01"


async def test_without_reading_back_the_operators_word_counts(desk: Desk) -> None:
    """An account whose exports others need."""
    desk.configure(confirm_revocations=False)
    await desk.granted(table=GROUP)
    asked = await desk.do(Operation.REVOKE, table=GROUP, refs=desk.known)
    assert isinstance(asked, NeedsOperator)
    assert isinstance(await desk.go_on(asked, table=GROUP), Receipt)
    assert desk.paths() == []


async def test_a_group_that_is_gone_is_told(desk: Desk) -> None:
    """Nobody can say who was in it."""
    await desk.granted(table=GROUP)
    desk.emulator.groups.clear()
    outcome = await desk.do(Operation.REVOKE, table=GROUP, refs=desk.known)
    assert isinstance(outcome, Refused)
    assert outcome.remedy == desk.connector.errors["no-such-group"].next_step


async def test_bought_again_after_a_revocation_that_was_not_confirmed(desk: Desk) -> None:
    """The same order is completed again, and the field with it, so that the process sees the next change."""
    await desk.granted()
    pending = await desk.do(Operation.REVOKE, refs=desk.known)
    again = await desk.go_on(pending, Operation.GRANT)
    assert isinstance(again, Receipt)
    assert len(desk.live()) == 1
    assert desk.emulator.deals["right-4711"]["addfields"] == {FIELD: "payed"}


async def test_one_export_serves_everybody_who_waits_for_it(desk: Desk) -> None:
    """Two revocations that came while somebody else's export was under way: one export for both."""
    await desk.granted()
    bobs: dict[str, Any] = {"key": "right-4712", "learner": BOB}
    granted = await desk.do(Operation.GRANT, **bobs)
    desk.emulator.now_fails("status", status=200, path="account", times=2, body={"success": False, "error_code": 905})
    first = await desk.do(Operation.REVOKE, refs=desk.known)
    second = await desk.do(Operation.REVOKE, refs=granted.refs, **bobs)
    assert isinstance(second, Pending)
    assert isinstance(await patiently(desk, first), Receipt)
    refs = Refs(granted.refs.person, {**granted.refs.right, "pending": second.handle})
    assert isinstance(await desk.do(Operation.REVOKE, refs=refs, steps=second.steps, **bobs), Receipt)
    assert len(desk.emulator.exports) == 1


async def test_a_change_made_while_an_export_is_under_way_waits_for_the_next(desk: Desk) -> None:
    """The export under way may not show it, and would say that nothing happened."""
    await desk.granted()
    bobs: dict[str, Any] = {"key": "right-4712", "learner": BOB}
    granted = await desk.do(Operation.GRANT, **bobs)
    await desk.do(Operation.REVOKE, refs=desk.known)
    desk.clock.move(0.1)
    second = await desk.do(Operation.REVOKE, refs=granted.refs, **bobs)
    desk.known = granted.refs
    assert isinstance(await patiently(desk, second, **bobs), Receipt)
    assert len(desk.emulator.exports) == 2


async def test_an_export_that_began_before_confirms_nothing(desk: Desk) -> None:
    """It could not know of the change."""
    desk.emulator.looks = 0
    exports = Exports(desk.connector._http, getcourse.KEY, desk.clock)
    filters = {"status": "cancelled"}
    assert isinstance(await exports.table("/pl/api/account/deals", filters, desk.clock.now()), Wait)
    desk.clock.move(20)
    later = desk.clock.now()
    assert isinstance(await exports.table("/pl/api/account/deals", filters, later), Wait)
    assert isinstance(await exports.table("/pl/api/account/deals", filters, later), Wait)
    assert [path for path in desk.paths() if path == "deals"] == ["deals", "deals"]


async def test_nobody_stands_in_a_queue_for_the_export_api(desk: Desk) -> None:
    """Asked side by side, one request goes out; the others come back later and hold up no import."""
    exports = Exports(desk.connector._http, getcourse.KEY, desk.clock)
    asked = [exports.table("/pl/api/account/deals", {"status": "new"}, desk.clock.now()) for _ in range(3)]
    assert [getattr(one, "after", None) for one in await asyncio.gather(*asked)] == [20.0, 5.0, 5.0]
    assert desk.paths() == ["deals"]


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ({"success": False, "error": True, "error_code": 905}, 60.0),
        ({"success": False, "error_message": "Уже запущен один экспорт, попробуйте позднее"}, 60.0),
        ({"success": False, "error": True, "error_code": 903}, 900.0),
    ],
)
async def test_a_busy_export_api_is_waited_for_without_slowing_imports(
    desk: Desk, body: dict[str, Any], after: float
) -> None:
    """Somebody else's export, or too many requests: only the revocation waits."""
    await desk.granted()
    fault = desk.emulator.now_fails("status", status=200, path="account", body=body)
    outcome = await desk.do(Operation.REVOKE, refs=desk.known)
    assert isinstance(outcome, Pending)
    assert outcome.after == after
    desk.emulator.recovers(fault)
    assert isinstance(await patiently(desk, outcome), Receipt)


async def test_the_accounts_requests_are_counted_here(desk: Desk) -> None:
    """Ninety in two hours; the ninety-first is not sent, and the limit of the account is never met."""
    exports = Exports(desk.connector._http, getcourse.KEY, desk.clock)
    for _ in range(90):
        await exports.groups()
        desk.clock.move(1)
    wait = await exports.table("/pl/api/account/deals", {"status": "new"}, desk.clock.now())
    assert isinstance(wait, Wait)
    assert wait.after == 7_200.0 - 90
    assert len(desk.emulator.journal) == 90
    desk.clock.move(wait.after)
    await exports.table("/pl/api/account/deals", {"status": "new"}, desk.clock.now())
    assert len(desk.emulator.journal) == 91


async def test_an_export_that_never_ends_is_given_up(desk: Desk) -> None:
    """After half an hour another is begun."""
    desk.emulator.looks = 10_000
    exports = Exports(desk.connector._http, getcourse.KEY, desk.clock)
    filters = {"status": "cancelled"}
    await exports.table("/pl/api/account/deals", filters, desk.clock.now())
    desk.clock.move(1_801)
    desk.emulator.exports.clear()
    await exports.table("/pl/api/account/deals", filters, desk.clock.now())
    assert desk.paths() == ["deals", "deals"]


async def test_an_export_of_nothing_is_an_empty_one(desk: Desk) -> None:
    """GetCourse makes no file then, and says nearly the same as of one that is not ready."""
    await desk.granted(table=GROUP)
    outcome = await desk.do(Operation.REVOKE, table=GROUP, refs=desk.known)
    body = {"success": False, "error": True, "error_message": "Файл не создан, попробуйте другой фильтр"}
    desk.emulator.now_fails("status", status=200, path="exports", body=body)
    assert isinstance(await desk.go_on(outcome, table=GROUP), Receipt)


async def test_a_refused_export_keeps_what_was_done(desk: Desk) -> None:
    """The order was cancelled; a requeue only reads."""
    await desk.granted()
    body = {"success": False, "error": True, "error_code": 914, "error_message": "поле статус"}
    fault = desk.emulator.now_fails("status", status=200, path="account", body=body)
    outcome = await desk.do(Operation.REVOKE, refs=desk.known)
    assert isinstance(outcome, Refused)
    assert outcome.steps == {"order"}
    desk.emulator.recovers(fault)
    assert isinstance(await desk.go_on(outcome), Pending)


async def test_an_outage_of_the_export_api_is_one(desk: Desk) -> None:
    """Tried later, with the step that is done."""
    await desk.granted()
    desk.emulator.now_fails("status", status=503, path="account", body="<html>")
    outcome = await desk.do(Operation.REVOKE, refs=desk.known)
    assert isinstance(outcome, TryLater)
    assert (outcome.cause, outcome.steps) == ("outage", {"order"})


async def test_check_is_content_when_only_the_exports_are_used_up(desk: Desk) -> None:
    """Imports still work; so the breaker may close."""
    desk.emulator.limit = (0, 7_200.0)
    outcome = await desk.connector.check()
    assert isinstance(outcome, Receipt)
    assert "no requests left" in outcome.note


async def test_the_doctor_looks_at_each_group_once_and_at_the_field(desk: Desk) -> None:
    """Two requests, whatever the number of courses; offers can't be listed."""
    courses = [*desk.tables(OFFER | GROUP), *desk.tables(GROUP), *desk.tables({"group_name": "Nowhere"})]
    findings = await desk.connector.examine(courses, fix=False)
    assert [(one.what, one.ok) for one in findings] == [
        ("group Students", True),
        ("group Nowhere", False),
        (f"additional field {FIELD}", True),
    ]
    assert findings[1].remedy
    assert desk.paths() == ["groups", "fields"]


async def test_the_doctor_names_a_field_that_is_not_there(desk: Desk) -> None:
    """No revocation would ever have an effect."""
    desk.emulator.fields = ["Other"]
    (finding,) = await desk.connector.examine(desk.tables(OFFER), fix=False)
    assert (finding.what, finding.ok) == (f"additional field {FIELD}", False)
    assert "status_field" in finding.remedy


async def test_the_doctor_says_that_revocations_will_be_by_hand(desk: Desk) -> None:
    """It is a way to run it, and no fault."""
    desk.configure(status_field="")
    (finding,) = await desk.connector.examine(desk.tables(OFFER), fix=False)
    assert finding.ok
    assert "by hand" in finding.said


@pytest.mark.parametrize(
    "body", [{"success": False, "error_code": 903}, {"success": False, "error_code": 901}, {"oops": 1}]
)
async def test_the_doctor_says_when_nothing_can_be_read(desk: Desk, body: dict[str, Any]) -> None:
    """With what to do about it."""
    desk.emulator.now_fails("status", status=200, body=body)
    (finding,) = await desk.connector.examine(desk.tables(OFFER | GROUP), fix=False)
    assert not finding.ok
    assert finding.said
    assert finding.remedy
