"""Teachable as a target: the suite, then what only Teachable does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import aiohttp
import pytest
from pydantic import ValidationError

from bridge.contract.command import Learner
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, Terms, TryLater
from bridge.contract.settings import Rate
from bridge.kit.clock import SetClock
from bridge.kit.http import Http, Windows
from connectors.outbound.teachable import CONNECTOR
from connectors.outbound.teachable.api import reset_after
from connectors.sandbox.teachable import KEY
from tests.suites.outbound import ADA, LmsSuite, Rig

ADDRESS = "ada.lovelace@example.org"


def sent(rig: Rig) -> list[tuple[str, str]]:
    return [(seen.method, seen.path.removeprefix("/v1")) for seen in rig.emulator.journal]


class TestTeachable(LmsSuite):
    """The Admin API as a client."""

    type = "teachable"
    course: ClassVar[dict[str, Any] | None] = {"course_id": 42}
    missing: ClassVar[dict[str, Any] | None] = {"course_id": 9_999}
    requests = 3

    async def test_sends_the_documented_bodies(self, rig: Rig) -> None:
        """Search, create without a password, enroll; the key goes in its header."""
        outcome = await rig.do(Operation.GRANT)
        search, create, enroll = rig.emulator.journal
        assert (search.path, search.query) == ("/v1/users", {"email": "Ada.Lovelace@example.org"})
        assert search.headers["apiKey"] == "sandbox-teachable-key"
        assert create.json == {"email": "Ada.Lovelace@example.org", "name": "Ada Lovelace"}
        assert (enroll.path, enroll.json) == ("/v1/enroll", {"user_id": 8601, "course_id": 42})
        assert outcome == Receipt(Refs({"user": "8601"}, {"enrollment": "8601:42"}))

    async def test_a_nameless_person_is_made_without_a_name(self, rig: Rig) -> None:
        """Teachable asks for none."""
        await rig.do(Operation.GRANT, Learner(email="grace@example.org"))
        assert rig.emulator.journal[1].json == {"email": "grace@example.org"}

    async def test_looks_at_the_courses_before_it_enrolls(self, rig: Rig) -> None:
        """Whoever is in is not enrolled again, and nothing of the account is changed."""
        user = rig.emulator.add_user(ADDRESS, name="The Countess", role="owner")
        rig.emulator.enrollments[user, 42] = True
        assert isinstance(await rig.do(Operation.GRANT), Receipt)
        assert sent(rig) == [("GET", "/users"), ("GET", f"/users/{user}")]
        assert rig.emulator.users[user] == {"name": "The Countess", "role": "owner", "src": None, "email": ADDRESS}

    async def test_a_filter_that_shows_others_too_finds_the_right_one(self, rig: Rig) -> None:
        """The filter is not documented to be exact."""
        rig.emulator.add_user(f"not.{ADDRESS}")
        assert isinstance(await rig.do(Operation.GRANT), Receipt)
        assert rig.live() == [(ADDRESS, "42")]

    @pytest.mark.parametrize("twice", [204, 422])
    async def test_already_enrolled_is_believed_once_the_user_shows_it(
        self, rig: Rig, twice: Literal[204, 422]
    ) -> None:
        """Somebody else enrolled the person between our look and our call."""
        user = rig.emulator.add_user(ADDRESS)
        rig.emulator.enrollments[user, 42] = True
        rig.emulator.twice = twice
        before = {"user": {"id": user, "name": "", "email": ADDRESS, "courses": []}}
        rig.emulator.now_fails("status", status=200, times=1, path=f"/users/{user}", body=before)
        assert isinstance(await rig.do(Operation.GRANT), Receipt)
        reads = [("GET", f"/users/{user}")] if twice == 422 else []
        assert sent(rig) == [("GET", "/users"), ("GET", f"/users/{user}"), ("POST", "/enroll"), *reads]

    async def test_already_enrolled_is_not_believed_otherwise(self, rig: Rig) -> None:
        """The person is not in the course, or their enrollment is not active."""
        said = {"message": "User is already enrolled"}
        rig.emulator.now_fails("status", status=422, path="/enroll", body=said)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "busy"
        rig.emulator.enrollments[8601, 42] = False
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert "not active" in outcome.why
        assert outcome.refs.person == {"user": "8601"}

    async def test_an_enrollment_that_is_refused_otherwise_is_quoted(self, rig: Rig) -> None:
        """The operator looks at Teachable."""
        rig.emulator.now_fails("status", status=422, path="/enroll", body={"message": "Course is closed"})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert "Course is closed" in outcome.why

    async def test_an_unknown_course_is_told_from_an_unknown_user(self, rig: Rig) -> None:
        """Both are 404: the course is asked for."""
        outcome = await rig.do(Operation.GRANT, table={"course_id": 9_999})
        assert isinstance(outcome, NeedsOperator)
        assert (outcome.scope, outcome.refs.person) == ("delivery", {"user": "8601"})
        assert "course_id" in outcome.remedy
        rig.emulator.now_fails("status", status=404, path="/enroll", body={"message": "User not found"})
        assert isinstance(await rig.do(Operation.GRANT), TryLater)

    @pytest.mark.parametrize("operation", [Operation.GRANT, Operation.UPDATE, Operation.REVOKE])
    async def test_a_remembered_user_who_is_gone_is_found_anew(self, rig: Rig, operation: Operation) -> None:
        """Deleted at Teachable, and made again under another number."""
        user = rig.emulator.add_user(ADDRESS)
        rig.emulator.enrollments[user, 42] = True
        outcome = await rig.do(operation, refs=Refs({"user": "1"}))
        assert isinstance(outcome, Receipt)
        assert outcome.refs.person == {"user": str(user)}
        assert rig.live() == ([] if operation is Operation.REVOKE else [(ADDRESS, "42")])

    async def test_an_account_that_appears_meanwhile_is_used(self, rig: Rig) -> None:
        """Somebody registered between our search and our create."""
        user = rig.emulator.add_user(ADDRESS)
        rig.emulator.now_fails("status", status=200, times=1, path="/users", method="GET", body={"users": []})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Receipt)
        assert outcome.refs.person == {"user": str(user)}
        assert len(rig.emulator.users) == 1

    async def test_data_that_is_refused_is_the_persons_trouble(self, rig: Rig) -> None:
        """On making the account, and on changing it; the answer's words are quoted."""
        rig.emulator.now_fails("status", status=400, path="/users", method="POST", body={"message": "too odd"})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert "too odd" in outcome.why
        rig.emulator.add_user(ADDRESS)
        rig.emulator.now_fails("status", status=422, method="PATCH", body={"message": "too long"})
        outcome = await rig.do(Operation.UPDATE)
        assert isinstance(outcome, Refused)
        assert "too long" in outcome.why

    async def test_an_update_changes_the_name_and_nothing_else(self, rig: Rig) -> None:
        """The address can't be changed by the API: the account keeps it, and the receipt says so."""
        user = rig.emulator.add_user(ADDRESS, name="Ada Lovelace", src="shop")
        rig.emulator.enrollments[user, 42] = True
        married = ADA.model_copy(update={"last_name": "King", "email": "ada.king@example.org"})
        outcome = await rig.do(Operation.UPDATE, married, refs=Refs({"user": str(user)}))
        assert isinstance(outcome, Receipt)
        assert "keeps its address" in outcome.note
        assert rig.emulator.journal[-1].json == {"name": "Ada King"}
        assert rig.emulator.users[user] == {"name": "Ada King", "role": "student", "src": "shop", "email": ADDRESS}

    async def test_an_update_does_not_undo_what_staff_ended(self, rig: Rig) -> None:
        """A changed name is no purchase; where an earlier try may not have enrolled the person, they are enrolled."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        rig.emulator.enrollments[8601, 42] = False
        married = ADA.model_copy(update={"last_name": "King"})
        outcome = await rig.do(Operation.UPDATE, married, refs=granted.refs)
        assert isinstance(outcome, Receipt)
        assert "left so" in outcome.note
        assert (rig.live(), rig.emulator.users[8601]["name"]) == ([], "Ada King")
        await rig.do(Operation.UPDATE, married, refs=granted.refs, unknown=True)
        assert rig.live() == [(ADDRESS, "42")]

    async def test_a_grant_that_failed_is_remembered_as_none(self, rig: Rig) -> None:
        """The update that follows lets the person in, and does so before it writes the name."""
        rig.emulator.now_fails("status", status=422, path="/enroll", body={"message": "closed"})
        refused = await rig.do(Operation.GRANT)
        assert refused.refs == Refs({"user": "8601"})
        rig.emulator.recovers()
        rig.emulator.now_fails("status", status=422, method="PATCH", body={"message": "too long"})
        married = ADA.model_copy(update={"last_name": "King"})
        assert isinstance(await rig.do(Operation.UPDATE, married, refs=refused.refs), Refused)
        assert rig.live() == [(ADDRESS, "42")]

    async def test_an_update_of_what_is_so_already_writes_nothing(self, rig: Rig) -> None:
        """Nor does one without a name."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        before = len(rig.emulator.journal)
        for learner in (ADA, Learner(email=ADA.email)):
            assert await rig.do(Operation.UPDATE, learner, refs=granted.refs) == Receipt(granted.refs)
        assert [seen.method for seen in rig.emulator.journal[before:]] == ["GET", "GET"]

    async def test_an_end_of_access_is_left_to_the_bridge(self, rig: Rig) -> None:
        """The receipt says so."""
        outcome = await rig.do(Operation.GRANT, terms=Terms(expires_at=datetime(2027, 1, 1, tzinfo=UTC)))
        assert isinstance(outcome, Receipt)
        assert "the bridge ends it" in outcome.note

    async def test_a_revocation_unenrolls_from_its_course_alone(self, rig: Rig) -> None:
        """With the documented body; the account and its other courses stay."""
        user = rig.emulator.add_user(ADDRESS)
        rig.emulator.enrollments |= {(user, 42): True, (user, 43): True}
        assert isinstance(await rig.do(Operation.REVOKE), Receipt)
        seen = rig.emulator.journal[-1]
        assert (seen.path, seen.json) == ("/v1/unenroll", {"user_id": user, "course_id": 42})
        assert rig.live() == [(ADDRESS, "43")]

    async def test_what_is_not_there_is_revoked(self, rig: Rig) -> None:
        """No account is made for it, and none is unenrolled that is not in."""
        assert isinstance(await rig.do(Operation.REVOKE), Receipt)
        rig.emulator.add_user(ADDRESS)
        assert isinstance(await rig.do(Operation.REVOKE), Receipt)
        assert {method for method, _ in sent(rig)} == {"GET"}

    @pytest.mark.parametrize(("status", "text"), [(404, "Enrollment not found"), (422, "User is not enrolled")])
    async def test_a_refused_unenrollment_is_done_only_if_access_is_gone(
        self, rig: Rig, status: int, text: str
    ) -> None:
        """Somebody else may have unenrolled the person meanwhile; if they are still in, the operator hears of it."""
        user = rig.emulator.add_user(ADDRESS)
        rig.emulator.enrollments[user, 42] = True
        rig.emulator.now_fails("status", status=status, path="/unenroll", body={"message": text})
        outcome = await rig.do(Operation.REVOKE)
        assert isinstance(outcome, NeedsOperator)
        assert "by hand" in outcome.remedy
        rig.emulator.enrollments[user, 42] = False
        before = {"user": {"id": user, "email": ADDRESS, "courses": [{"course_id": 42, "is_active_enrollment": True}]}}
        rig.emulator.now_fails("status", status=200, times=1, path=f"/users/{user}", body=before)
        assert isinstance(await rig.do(Operation.REVOKE), Receipt)
        assert sent(rig)[-2:] == [("POST", "/unenroll"), ("GET", f"/users/{user}")]

    async def test_an_unenrollment_that_is_refused_otherwise_is_quoted(self, rig: Rig) -> None:
        """The person is still in."""
        await rig.do(Operation.GRANT)
        rig.emulator.now_fails("status", status=422, path="/unenroll", body={"message": "Not in this plan"})
        outcome = await rig.do(Operation.REVOKE)
        assert isinstance(outcome, Refused)
        assert "Not in this plan" in outcome.why

    async def test_a_proxys_404_is_an_outage_and_nobodys_absence(self, rig: Rig) -> None:
        """Only Teachable itself can say that something is gone; nor is a page of HTML a 204."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        fault = rig.emulator.now_fails("status", status=404, body="<html>not found</html>")
        for operation in (Operation.GRANT, Operation.UPDATE, Operation.REVOKE):
            outcome = await rig.do(operation, refs=granted.refs)
            assert isinstance(outcome, TryLater)
            assert outcome.cause == "outage"
        rig.emulator.recovers(fault)
        rig.emulator.now_fails("garbage", path="/unenroll")
        assert isinstance(await rig.do(Operation.REVOKE, refs=granted.refs), TryLater)

    async def test_a_learner_without_an_address_is_refused(self, rig: Rig) -> None:
        """Nothing is sent; a revocation goes by the number."""
        nameless = Learner(remote_user_id="4711")
        for operation in (Operation.GRANT, Operation.REVOKE):
            assert isinstance(await rig.do(operation, nameless), Refused)
        assert rig.emulator.journal == []
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        assert isinstance(await rig.do(Operation.GRANT, nameless, refs=granted.refs), Refused)
        assert isinstance(await rig.do(Operation.REVOKE, nameless, refs=granted.refs), Receipt)
        assert rig.live() == []

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/users", {"items": []}),
            ("POST", "/users", {"user": {"email": "ada@example.org"}}),
            ("POST", "/users", {"id": 1}),
            ("GET", "/users", None),
        ],
    )
    async def test_half_an_answer_is_no_receipt(self, rig: Rig, method: str, path: str, body: object) -> None:
        """It is tried again later, and nobody knows whether it had its effect."""
        rig.emulator.now_fails("status", status=200, method=method, path=path, body=body)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.applied) == ("outage", "unknown")

    async def test_a_user_who_vanishes_in_between_is_tried_again(self, rig: Rig) -> None:
        """The next try finds or makes the person anew."""
        rig.emulator.add_user(ADDRESS)
        rig.emulator.now_fails("status", status=404, method="PATCH", body={"message": "User not found"})
        outcome = await rig.do(Operation.UPDATE)
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "busy"

    async def test_the_limit_pauses_the_lane_until_it_is_reset(self, rig: Rig) -> None:
        """Another program of the school used it up; ours could not have known."""
        rig.emulator.limit = (1, 40.0)
        async with aiohttp.ClientSession(rig.emulator.base_url, headers={"apiKey": KEY}) as other:
            await other.get("/v1/courses")
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.applied) == ("lane", "throttled", "no")
        assert outcome.after is not None
        assert 20 < outcome.after <= 41
        assert "API rate limit exceeded" in outcome.why

    async def test_a_limit_in_the_middle_keeps_what_was_learnt(self, rig: Rig) -> None:
        """The account that was just made is not searched again."""
        reset = {"RateLimit-Reset": "12"}
        said = {"message": "API rate limit exceeded"}
        rig.emulator.now_fails("status", status=429, path="/enroll", body=said, headers=reset)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert (outcome.after, outcome.refs.person) == (12.0, {"user": "8601"})

    async def test_the_lane_learns_the_limit_from_each_answer(self, rig: Rig) -> None:
        """And what others used of it."""
        windows = Windows([Rate(500, 60.0)], SetClock(datetime(2026, 11, 22, tzinfo=UTC)))
        async with aiohttp.ClientSession() as session:
            http = Http(rig.emulator.base_url, windows, 10.0, session)
            rig.connector = CONNECTOR(rig.connector._settings, http, SetClock(datetime(2026, 11, 22, tzinfo=UTC)))
            headers = {"RateLimit-Limit": "360", "RateLimit-Remaining": "300", "RateLimit-Reset": "12"}
            rig.emulator.now_fails("status", status=200, times=1, body={"courses": []}, headers=headers)
            assert isinstance(await rig.connector.check(), Receipt)
        assert windows._windows[0].rate == Rate(360, 60.0)
        assert len(windows._windows[0].used) == 60

    async def test_the_doctor_asks_once_per_course(self, rig: Rig) -> None:
        """By number; one that is not published is no fault, but worth a word."""
        rig.emulator.unpublished = {43}
        tables = [*rig.tables(), *rig.tables({"course_id": "42"}), *rig.tables({"course_id": 43})]
        findings = await rig.connector.examine(tables, fix=True)
        assert [(one.what, one.ok, one.said) for one in findings[1:]] == [
            ("course 42", True, "Course 42"),
            ("course 43", True, "Course 43 (not published yet)"),
        ]
        assert {seen.method for seen in rig.emulator.journal} == {"GET"}

    async def test_the_doctor_tells_a_bad_key_of_each_thing(self, rig: Rig) -> None:
        """With what to do about it."""
        rig.emulator.now_fails("status", status=401, body={"message": "Unauthorized"})
        findings = await rig.connector.examine(rig.tables(), fix=False)
        assert [one.ok for one in findings] == [False, False]
        assert all("api_key" in one.remedy for one in findings)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12", 12.0), ("0", 0.0), ("9999", 300.0), ("soon", None), ("-1", None), ("nan", None), ("", None)],
)
def test_the_reset_is_read_in_seconds_and_capped(text: str, seconds: float | None) -> None:
    """An absurd one must not stop the lane for hours."""
    assert reset_after(text) == seconds


@pytest.mark.parametrize("value", [0, -1, "intro", "", True, 4.2])
def test_a_course_that_is_no_number_is_a_fault(value: object) -> None:
    """Its slug would be refused by every call."""
    with pytest.raises(ValidationError):
        CONNECTOR.Course.model_validate({"course_id": value})


def test_two_spellings_of_a_number_are_one_course() -> None:
    """42 and "42" are one right."""
    model = CONNECTOR.Course
    assert model.model_validate({"course_id": 42}) == model.model_validate({"course_id": " 42 "})


@pytest.mark.parametrize("given", [{}, {"api_key": ""}])
def test_a_target_without_a_key_is_a_fault(given: dict[str, str]) -> None:
    """Said before anything is sent."""
    with pytest.raises(ValidationError, match="api_key"):
        CONNECTOR.Settings.model_validate({"connector": "teachable", **given})
