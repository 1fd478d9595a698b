"""TalentLMS as a target: the suite, then what only TalentLMS does."""

from __future__ import annotations

import re
from time import time
from typing import Any, ClassVar

import orjson
import pytest
from pydantic import ValidationError

from bridge.contract.command import Learner
from bridge.contract.outbound import NeedsOperator, Operation, Outcome, Receipt, Refs, Refused, TryLater
from bridge.contract.settings import Rate
from bridge.kit.clock import SystemClock
from bridge.kit.http import Windows
from connectors.outbound.talentlms import CONNECTOR
from connectors.sandbox.talentlms import KEY
from tests.suites.outbound import ADA, BOB, LmsSuite, Rig


def receipt(outcome: Outcome) -> Receipt:
    assert isinstance(outcome, Receipt), outcome
    return outcome


def explained(rig: Rig, outcome: Outcome, name: str) -> bool:
    known = rig.connector.errors[name]
    return isinstance(outcome, NeedsOperator | Refused) and (
        outcome.why.startswith(known.sentence) and outcome.remedy == known.next_step
    )


def calls(rig: Rig) -> list[str]:
    return [f"{seen.method} {seen.path.removeprefix('/api/v2/')}" for seen in rig.emulator.journal]


class TestTalentLms(LmsSuite):
    """API V2 as a client."""

    type = "talentlms"
    course: ClassVar[dict[str, Any]] = {"course_id": 42}
    requests = 4
    missing: ClassVar[dict[str, Any]] = {"course_id": 999_999}

    async def test_makes_and_enrolls_with_the_documented_fields(self, rig: Rig) -> None:
        """Looked up by address and login, made, and enrolled."""
        done = receipt(await rig.do(Operation.GRANT))
        assert calls(rig) == ["GET users", "GET users", "POST users", "POST enrollments"]
        assert [dict(seen.query) for seen in rig.emulator.journal[:2]] == [
            {"filter[email][eq]": "Ada.Lovelace@example.org"},
            {"filter[login][eq]": "ada.lovelace@example.org"},
        ]
        made = rig.emulator.journal[2].json
        assert len(made.pop("password")) > 20
        assert made == {
            "name": "Ada",
            "surname": "Lovelace",
            "login": "ada.lovelace@example.org",
            "email": "Ada.Lovelace@example.org",
        }
        assert rig.emulator.journal[3].json == {"course_id": 42, "user_id": 101}
        assert done.refs == Refs({"user": "101"}, {"enrollment": "101:42"})

    async def test_every_call_has_key_version_and_json(self, rig: Rig) -> None:
        """The documentation asks for all three."""
        await rig.do(Operation.GRANT)
        for seen in rig.emulator.journal:
            assert seen.headers["X-API-Key"] == KEY
            assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", seen.headers["X-API-Version"])
            assert seen.headers["Accept"] == "application/json"

    async def test_removes_with_the_documented_fields(self, rig: Rig) -> None:
        """Twice is no fault, and the account stays."""
        granted = receipt(await rig.do(Operation.GRANT))
        rig.emulator.journal.clear()
        receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
        assert calls(rig) == ["GET users/101", "DELETE enrollments"]
        assert rig.emulator.journal[1].json == {"course_id": 42, "user_id": 101}
        assert receipt(await rig.do(Operation.REVOKE, refs=granted.refs)).note == "not enrolled"
        assert rig.emulator.users[101].status == "active"

    async def test_an_account_that_is_there_is_left_as_it_is(self, rig: Rig) -> None:
        """Inactive, in its own language, under its own name."""
        user = rig.emulator.add_user(
            str(ADA.email), status="inactive", locale="fr-FR", name="Augusta", password="theirs"
        )
        before = repr(user)
        done = receipt(await rig.do(Operation.GRANT))
        assert repr(user) == before
        assert "inactive" in done.note
        assert rig.live() == [("ada.lovelace@example.org", "42")]

    async def test_an_update_sends_what_differs_and_the_status_as_it_was(self, rig: Rig) -> None:
        """The status is required in every change; an account that staff deactivated must not wake up by it."""
        granted = receipt(await rig.do(Operation.GRANT))
        user = rig.emulator.users[101]
        user.status, user.locale = "inactive", "fr-FR"
        rig.emulator.journal.clear()
        married = ADA.model_copy(update={"last_name": "King", "email": "king@example.org"})
        receipt(await rig.do(Operation.UPDATE, married, refs=granted.refs))
        assert calls(rig) == ["GET users/101", "PATCH users/101"]
        assert rig.emulator.journal[1].json == {"surname": "King", "email": "king@example.org", "status": "inactive"}
        assert (user.login, user.locale, user.status) == ("ada.lovelace@example.org", "fr-FR", "inactive")

    async def test_an_update_that_changes_nothing_writes_nothing(self, rig: Rig) -> None:
        """Capitals of an address are no change."""
        granted = receipt(await rig.do(Operation.GRANT))
        rig.emulator.journal.clear()
        shouted = ADA.model_copy(update={"email": "ADA.LOVELACE@example.org"})
        receipt(await rig.do(Operation.UPDATE, shouted, refs=granted.refs))
        assert calls(rig) == ["GET users/101"]

    async def test_an_address_that_another_account_has_is_told(self, rig: Rig) -> None:
        """Access is not affected."""
        granted = receipt(await rig.do(Operation.GRANT))
        rig.emulator.add_user("taken@example.org")
        moved = ADA.model_copy(update={"email": "taken@example.org"})
        outcome = await rig.do(Operation.UPDATE, moved, refs=granted.refs)
        assert explained(rig, outcome, "not-updated")
        assert outcome.refs.person == {"user": "101"}
        assert len(rig.live()) == 1

    async def test_an_account_that_was_deleted_is_made_anew(self, rig: Rig) -> None:
        """And enrolled, also by an update: access is wanted."""
        granted = receipt(await rig.do(Operation.GRANT))
        rig.emulator.enrollments.clear()
        del rig.emulator.users[101]
        updated = receipt(await rig.do(Operation.UPDATE, refs=granted.refs))
        assert updated.refs.person == {"user": "102"}
        assert len(rig.live()) == 1

    async def test_an_account_under_the_same_login_is_the_persons(self, rig: Rig) -> None:
        """Many people log in with their address."""
        user = rig.emulator.add_user("ada@elsewhere.example", login="ada.lovelace@example.org")
        assert receipt(await rig.do(Operation.GRANT)).refs.person == {"user": str(user.id)}

    async def test_enrolled_already_is_a_receipt(self, rig: Rig) -> None:
        """Refused, and then found there."""
        user = rig.emulator.add_user(str(ADA.email))
        rig.emulator.enrollments.add((user.id, 42))
        receipt(await rig.do(Operation.GRANT))
        assert calls(rig) == ["GET users", "POST enrollments", "GET users/101/courses"]

    async def test_looks_first_where_an_earlier_try_may_have_enrolled(self, rig: Rig) -> None:
        """A repeat is not documented as harmless to the progress."""
        user = rig.emulator.add_user(str(ADA.email))
        rig.emulator.enrollments.add((user.id, 42))
        receipt(await rig.do(Operation.GRANT, unknown=True))
        assert calls(rig) == ["GET users", "GET users/101/courses"]

    async def test_another_course_of_the_person_is_not_this_one(self, rig: Rig) -> None:
        """A course that is bought again after its end is entered again, whatever else the person is in."""
        granted = receipt(await rig.do(Operation.GRANT))
        receipt(await rig.do(Operation.GRANT, table={"course_id": 421}, refs=Refs(granted.refs.person)))
        receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
        rig.emulator.journal.clear()
        receipt(await rig.do(Operation.GRANT, refs=granted.refs))
        assert calls(rig) == ["GET users/101", "GET users/101/courses", "POST enrollments"]
        assert rig.live() == [("ada.lovelace@example.org", "42"), ("ada.lovelace@example.org", "421")]

    @pytest.mark.parametrize(
        "body",
        [{"_data": {"is_enrolled": False}}, {"_data": []}, {"_data": {"courses": [{"name": "Course 42"}]}}, {}],
    )
    async def test_half_a_list_of_courses_is_neither_yes_nor_no(self, rig: Rig, body: dict[str, Any]) -> None:
        """Nobody is taken for enrolled who has paid and is not in, nor for removed who still is."""
        granted = receipt(await rig.do(Operation.GRANT))
        rig.emulator.now_fails("status", status=200, path="/courses", body=body)
        error = {"error": {"type": "invalid_request_error", "message": "no"}}
        rig.emulator.now_fails("status", status=400, method="DELETE", body=error)
        for operation in (Operation.GRANT, Operation.REVOKE):
            outcome = await rig.do(operation, refs=granted.refs)
            assert isinstance(outcome, TryLater)
            assert (outcome.cause, outcome.applied) == ("outage", "unknown")
            assert outcome.refs.person == granted.refs.person

    @pytest.mark.parametrize("bare", [True, False])
    @pytest.mark.parametrize("status", [400, 404, 409, 422])
    async def test_a_refused_removal_is_done_only_if_the_course_is_gone(
        self, rig: Rig, status: int, *, bare: bool
    ) -> None:
        """Whatever it was that is not there; errors stand bare on one of the vendor's pages, and in `error` on another."""
        granted = receipt(await rig.do(Operation.GRANT))
        said = {"type": "invalid_request_error", "message": "no"}
        body = said if bare else {"error": said}
        rig.emulator.now_fails("status", status=status, method="DELETE", body=body)
        assert explained(rig, await rig.do(Operation.REVOKE, refs=granted.refs), "not-removed")
        rig.emulator.enrollments.clear()
        assert receipt(await rig.do(Operation.REVOKE, refs=granted.refs)).note == "not enrolled"

    async def test_an_account_that_vanishes_in_between_has_no_course(self, rig: Rig) -> None:
        """Deleted between our look and our call: nothing is left to take away."""
        granted = receipt(await rig.do(Operation.GRANT))
        shown = {"_data": {"id": 101, "email": str(ADA.email), "status": "active"}}
        rig.emulator.now_fails("status", status=200, times=1, path="users/101", body=shown)
        rig.emulator.enrollments.clear()
        del rig.emulator.users[101]
        assert receipt(await rig.do(Operation.REVOKE, refs=granted.refs)).note == "not enrolled"

    async def test_made_a_moment_ago_is_found_by_the_refusal(self, rig: Rig) -> None:
        """One account remains."""
        user = rig.emulator.add_user(str(ADA.email))
        for _ in range(2):
            rig.emulator.now_fails("status", status=200, times=1, body={"_data": []})
        assert receipt(await rig.do(Operation.GRANT)).refs.person == {"user": str(user.id)}
        assert len(rig.emulator.users) == 1

    async def test_made_without_saying_the_id_is_looked_up(self, rig: Rig) -> None:
        """The documentation prints no answer."""
        rig.emulator.add_user(str(ADA.email))
        for body in ({"_data": []}, {"_data": []}, {}):
            rig.emulator.now_fails("status", status=200, times=1, body=body)
        assert receipt(await rig.do(Operation.GRANT)).refs.person == {"user": "101"}

    async def test_refusals_that_an_operator_can_mend(self, rig: Rig) -> None:
        """Each in its own words, with the account's id."""
        error = {"error": {"type": "invalid_request_error", "message": "no"}}
        rig.emulator.now_fails("status", status=422, after=2, times=1, body=error)
        assert explained(rig, await rig.do(Operation.GRANT), "not-created")
        rig.emulator.courses = {42}
        outcome = await rig.do(Operation.GRANT, table={"course_id": 7})
        assert explained(rig, outcome, "no-such-course")
        assert outcome.refs == Refs({"user": "101"})
        rig.emulator.full = {42}
        assert explained(rig, await rig.do(Operation.GRANT), "not-enrolled")
        rig.emulator.full = set()
        receipt(await rig.do(Operation.GRANT))
        rig.emulator.now_fails("status", status=400, times=1, method="DELETE", body=error)
        assert explained(rig, await rig.do(Operation.REVOKE), "not-removed")
        assert len(rig.live()) == 1

    async def test_a_portal_without_api_and_a_wrong_key_stop_the_lane(self, rig: Rig) -> None:
        """Nothing that is queued would fare better."""
        rig.emulator.enabled = False
        outcome = await rig.do(Operation.GRANT)
        assert explained(rig, outcome, "api-off")
        assert getattr(outcome, "scope", "") == "lane"
        rig.emulator.enabled = True
        rig.connector._api._headers["X-API-Key"] = "old"
        assert explained(rig, await rig.connector.check(), "bad-key")
        rig.connector._http.base_url += "/elsewhere"
        assert explained(rig, await rig.connector.check(), "wrong-address")

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    async def test_a_proxys_404_tells_nothing(self, rig: Rig, method: str) -> None:
        """Only TalentLMS itself can say that something is not there."""
        rig.emulator.add_user(str(ADA.email))
        rig.emulator.now_fails("status", status=404, method=method, body="<html>not found</html>")
        outcome = await rig.do(Operation.REVOKE if method == "DELETE" else Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.applied, outcome.refs) == ("outage", "unknown", Refs({"user": "101"}))

    @pytest.mark.parametrize("after", range(4))
    async def test_a_page_in_the_midst_is_an_outage(self, rig: Rig, after: int) -> None:
        """At whichever request; nothing is made twice by the next try."""
        rig.emulator.now_fails("garbage", after=after, times=1)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "outage"
        receipt(await rig.do(Operation.GRANT, refs=outcome.refs, unknown=True))
        assert len(rig.emulator.users) == len(rig.live()) == 1

    async def test_nobody_is_made_to_be_removed(self, rig: Rig) -> None:
        """Who is not there has nothing to lose; nor who has no address."""
        assert "does not know" in receipt(await rig.do(Operation.REVOKE)).note
        nameless = Learner(remote_user_id="4711")
        assert "does not know" in receipt(await rig.do(Operation.REVOKE, nameless, person="id:members:4711")).note
        assert rig.emulator.users == {}

    async def test_somebody_without_an_address_is_refused_only_where_one_is_needed(self, rig: Rig) -> None:
        """An account from before needs none."""
        nameless = Learner(remote_user_id="4711", first_name="Ada")
        assert explained(rig, await rig.do(Operation.GRANT, nameless, person="id:members:4711"), "no-email")
        rig.emulator.add_user("ada@example.org")
        receipt(await rig.do(Operation.GRANT, nameless, person="id:members:4711", refs=Refs({"user": "101"})))
        assert rig.live() == [("ada@example.org", "42")]

    async def test_the_limit_of_the_headers_becomes_the_lanes(self, rig: Rig) -> None:
        """By its size it is the hour's or that of five seconds."""
        windows = Windows(CONNECTOR.rate_limit, SystemClock())
        rig.connector._http._limiter = windows
        rig.emulator.limit = (10_000, 3_600.0)
        await rig.do(Operation.GRANT)
        assert [window.rate for window in windows._windows] == [Rate(200, 5.0), Rate(10_000, 3_600.0)]
        rig.emulator.limit = (150, 5.0)
        await rig.do(Operation.GRANT, BOB)
        assert [window.rate for window in windows._windows] == [Rate(150, 5.0), Rate(10_000, 3_600.0)]

    async def test_what_others_used_of_the_hour_is_not_ours(self, rig: Rig) -> None:
        """A portal's limit is shared with whoever else has a key."""
        windows = Windows(CONNECTOR.rate_limit, SystemClock())
        rig.connector._http._limiter = windows
        headers = {"X-RateLimit-Limit": "2000", "X-RateLimit-Remaining": "500"}
        rig.emulator.now_fails("status", status=200, times=1, headers=headers, body={"_data": []})
        await rig.connector.check()
        assert len(windows._windows[1].used) == 1_500

    @pytest.mark.parametrize(("reset", "after"), [("", None), ("30", 30.0), ("0", 1.0), ("later", None)])
    async def test_a_limit_that_is_reached_is_waited_for(self, rig: Rig, reset: str, after: float | None) -> None:
        """As long as the reset says, where it says something; nothing that was made is forgotten."""
        headers = {"X-RateLimit-Reset": reset} if reset else {}
        error = {"error": {"type": "api_error", "message": "The API request rate limit has been exceeded."}}
        rig.emulator.now_fails("status", status=429, after=3, times=1, headers=headers, body=error)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.refs) == ("lane", "throttled", Refs({"user": "101"}))
        assert outcome.after == after
        receipt(await rig.do(Operation.GRANT, refs=outcome.refs, unknown=True))
        assert len(rig.emulator.users) == 1

    async def test_a_reset_may_be_a_date(self, rig: Rig) -> None:
        """An hour at most: then the window is another one."""
        rig.emulator.limit = (0, 3_600.0)
        rig.emulator.reset = str(int(time()) + 90)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert outcome.after is not None
        assert 60 < outcome.after <= 90
        rig.emulator.reset = str(int(time()) + 9_000)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert outcome.after == 3_600.0

    async def test_the_doctor_looks_each_course_up_once(self, rig: Rig) -> None:
        """And tells what it could not look at."""
        tables = [*rig.tables({"course_id": 7}), *rig.tables({"course_id": 8}), *rig.tables({"course_id": 7})]
        found = await rig.connector.examine(tables, fix=False)
        assert [(one.what, one.ok, one.said) for one in found] == [
            ("course 7", True, "Course 7"),
            ("course 8", True, "Course 8"),
        ]
        rig.emulator.now_fails("status", status=503, body="<html></html>")
        (finding,) = await rig.connector.examine(rig.tables({"course_id": 7}), fix=False)
        assert not finding.ok
        assert finding.remedy

    async def test_no_password_reaches_the_record(self, rig: Rig) -> None:
        """It is nobody's to know."""
        _, story = await rig.told(Operation.GRANT)
        assert rig.emulator.users[101].password not in orjson.dumps([one.sent for one in story]).decode()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"base_url": "https://samples.talentlms.com/api/v2"}, "without /api"),
        ({"api_key": ""}, "at least 1"),
        ({"api_version": "v2"}, "pattern"),
    ],
)
def test_settings_that_can_not_be_meant_are_faults(given: dict[str, Any], words: str) -> None:
    """In the words of the setting."""
    with pytest.raises(ValidationError, match=words):
        CONNECTOR.Settings.model_validate(
            {"connector": "talentlms", "base_url": "https://samples.talentlms.com", "api_key": "k", **given}
        )
