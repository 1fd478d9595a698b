"""Open edX as a target: the suite, then what only Open edX does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from bridge.contract.command import Cancellation, Learner
from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, Terms, TryLater
from connectors.outbound.openedx import CONNECTOR
from tests.suites.outbound import ADA, BOB, LmsSuite, Rig

PY101, PY102 = "course-v1:Org+PY101+2026", "course-v1:Org+PY102+2026"
BULK = "/api/bulk_enroll/v1/bulk_enroll/"
ADDRESS = "Ada.Lovelace@example.org"


def calls(rig: Rig) -> list[dict[str, object]]:
    return [seen.json for seen in rig.emulator.journal if seen.method == "POST" and "bulk_enroll" in seen.path]


class TestOpenEdx(LmsSuite):
    """The bulk enrolment API as a client."""

    type = "openedx"
    course: ClassVar[dict[str, Any] | None] = {"course_id": PY101}
    missing: ClassVar[dict[str, Any] | None] = {"course_id": "course-v1:Org+NONE+2026"}
    requests = 2

    async def test_sends_the_documented_bodies(self, rig: Rig) -> None:
        """A token for the client's credentials, then one call with its JWT."""
        await rig.do(Operation.GRANT, terms=Terms(send_email=False))
        token, bulk = rig.emulator.journal
        assert (token.method, token.path) == ("POST", "/oauth2/access_token")
        assert token.body.decode() == (
            "grant_type=client_credentials&client_id=sandbox-edx-client&client_secret=sandbox-edx-secret&token_type=jwt"
        )
        assert (bulk.method, bulk.path) == ("POST", BULK)
        assert bulk.headers["Authorization"] == "JWT eyJ.sandbox.1"
        assert bulk.json == {
            "auto_enroll": True,
            "action": "enroll",
            "courses": PY101,
            "identifiers": ADDRESS,
            "email_students": False,
        }

    async def test_people_of_one_course_and_action_share_a_call(self, rig: Rig) -> None:
        """Another course, another action or another wish for mail is another call; outcomes keep the batch's order."""
        eve = Learner(email="eve@example.org")
        batch = [
            rig.work(Operation.GRANT, ADA),
            rig.work(Operation.GRANT, BOB, table={"course_id": PY102}),
            rig.work(Operation.REVOKE, eve),
            rig.work(Operation.GRANT, eve, table={"course_id": PY102}),
            rig.work(Operation.GRANT, BOB, terms=Terms(send_email=True)),
        ]
        outcomes = await rig.deliver(batch)
        assert [
            (call["courses"], call["action"], call["identifiers"], call.get("email_students")) for call in calls(rig)
        ] == [
            (PY101, "enroll", ADDRESS, None),
            (PY102, "enroll", "bob@example.org,eve@example.org", None),
            (PY101, "unenroll", "eve@example.org", None),
            (PY101, "enroll", "bob@example.org", True),
        ]
        assert [outcome.refs.right["identifier"] for outcome in outcomes] == [
            ADDRESS,
            "bob@example.org",
            "eve@example.org",
            "eve@example.org",
            "bob@example.org",
        ]

    async def test_each_person_of_a_call_is_settled_on_their_own(self, rig: Rig) -> None:
        """One whom Open edX can't take keeps nobody else out."""
        rig.emulator.broken = {"bob@example.org"}
        odd = Learner(email="nobody@localhost")
        fine, failed, refused = await rig.deliver([rig.work(Operation.GRANT, who) for who in (ADA, BOB, odd)])
        assert isinstance(fine, Receipt)
        assert isinstance(failed, TryLater)
        assert (failed.scope, failed.cause) == ("delivery", "busy")
        assert isinstance(refused, Refused)
        assert "identifier" in refused.why
        assert len(calls(rig)) == 1
        assert rig.live() == [("ada.lovelace@example.org", PY101)]

    async def test_a_person_whom_the_answer_leaves_out_is_asked_for_again(self, rig: Rig) -> None:
        """Silence is no receipt."""
        body = {"action": "enroll", "courses": {PY101: {"results": []}}}
        rig.emulator.now_fails("status", status=200, path="bulk", body=body)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater)
        assert outcome.applied == "unknown"

    async def test_who_has_no_account_is_accepted_and_the_receipt_says_so(self, rig: Rig) -> None:
        """They are enrolled when they register; the operator can tell why nobody is in the course yet."""
        rig.emulator.accounts = {"bob@example.org": "bob"}
        ada, bob = await rig.deliver([rig.work(Operation.GRANT, ADA), rig.work(Operation.GRANT, BOB)])
        assert isinstance(ada, Receipt)
        assert isinstance(bob, Receipt)
        assert "no account yet" in ada.note
        assert bob.note == ""
        assert rig.emulator.allowed == {(PY101, "ada.lovelace@example.org"): True}
        assert isinstance(await rig.do(Operation.REVOKE), Receipt)
        assert rig.emulator.allowed == {}

    async def test_an_account_that_was_never_activated_is_told(self, rig: Rig) -> None:
        """It exists, but it is not let in yet."""
        rig.emulator.inactive = {"bob@example.org"}
        outcome = await rig.do(Operation.GRANT, BOB)
        assert isinstance(outcome, Receipt)
        assert "not activated" in outcome.note

    async def test_neither_enrolled_nor_kept_is_no_receipt(self, rig: Rig) -> None:
        """A retired address is answered like that."""
        state = {"enrollment": False, "allowed": False, "user": True, "auto_enroll": False}
        row = {"identifier": ADDRESS, "before": state, "after": state}
        body = {"action": "enroll", "courses": {PY101: {"results": [row]}}}
        rig.emulator.now_fails("status", status=200, path="bulk", body=body)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert "neither enrolled" in outcome.why

    async def test_still_enrolled_after_a_revocation_is_no_receipt(self, rig: Rig) -> None:
        """The person would keep what they gave back."""
        state = {"enrollment": True, "allowed": False, "user": True, "auto_enroll": False}
        row = {"identifier": ADDRESS, "before": state, "after": state}
        body = {"action": "unenroll", "courses": {PY101: {"results": [row]}}}
        rig.emulator.now_fails("status", status=200, path="bulk", body=body)
        assert isinstance(await rig.do(Operation.REVOKE), TryLater)

    @pytest.mark.parametrize("operation", [Operation.GRANT, Operation.REVOKE])
    async def test_half_an_answer_is_no_receipt(self, rig: Rig, operation: Operation) -> None:
        """A page, a body without the course, or a person at whom the site met an error: all are asked for again."""
        assert isinstance(await rig.do(Operation.GRANT, BOB), Receipt)
        rows = {"results": [{"identifier": ADDRESS, "error": True}]}
        for body in ("<html>", {"courses": {}}, {"courses": {PY101: rows}}):
            fault = rig.emulator.now_fails("status", status=200, path="bulk", body=body)
            outcome = await rig.do(operation)
            assert isinstance(outcome, TryLater)
            assert outcome.applied == "unknown"
            rig.emulator.recovers(fault)

    async def test_the_check_asks_for_more_than_an_address(self, rig: Rig) -> None:
        """A page where 405 is expected is some proxy's, and a token that can't be had is told as what it is."""
        rig.emulator.now_fails("status", status=200, path="bulk", body="<html>", times=1)
        assert isinstance(await rig.connector.check(), TryLater)
        rig.forget()
        rig.emulator.now_fails("status", status=401, path="access_token", body={"error": "invalid_client"})
        findings = await rig.connector.examine(rig.tables(), fix=False)
        assert [one.ok for one in findings] == [False, False]
        assert all("client_id" in one.said for one in findings)

    async def test_one_login_serves_every_call(self, rig: Rig) -> None:
        """A token is fetched neither per request nor by each of those who need the first one at the same time."""
        await asyncio.gather(*(rig.do(Operation.GRANT, who) for who in (ADA, BOB)))
        assert isinstance(await rig.do(Operation.REVOKE), Receipt)
        assert rig.emulator.fetched == 1

    async def test_an_expired_token_is_renewed_once(self, rig: Rig) -> None:
        """The delivery does not notice; a token that is refused at once is the credential's trouble."""
        await rig.do(Operation.GRANT)
        rig.emulator.expire()
        assert isinstance(await rig.do(Operation.GRANT, BOB), Receipt)
        assert rig.emulator.fetched == 2
        rig.emulator.now_fails("status", status=401, path="bulk", body={"detail": "Invalid token."})
        outcome = await rig.do(Operation.GRANT, BOB)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert rig.emulator.fetched == 3

    async def test_a_site_that_gives_opaque_tokens_is_answered_in_kind(self, rig: Rig) -> None:
        """Bearer instead of JWT, as the token endpoint says."""
        rig.emulator.tokens.add("Bearer opaque")
        said = {"access_token": "opaque", "token_type": "Bearer"}
        rig.emulator.now_fails("status", status=200, path="access_token", body=said)
        assert isinstance(await rig.do(Operation.GRANT), Receipt)

    @pytest.mark.parametrize(
        ("status", "body"), [(401, {"error": "invalid_client"}), (400, {"error": "invalid_client"})]
    )
    async def test_a_refused_client_names_the_settings(self, rig: Rig, status: int, body: dict[str, str]) -> None:
        """The operator reads which two settings to compare."""
        rig.emulator.now_fails("status", status=status, path="access_token", body=body)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert "client_id" in outcome.why
        assert "invalid_client" in outcome.why

    async def test_a_user_without_the_right_stops_the_lane(self, rig: Rig) -> None:
        """Nobody else's work would fare better."""
        rig.emulator.staff = False
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert "staff" in outcome.remedy

    async def test_a_bulk_view_that_is_switched_off_stops_the_lane(self, rig: Rig) -> None:
        """Django answers its own page then, and the operator reads which setting of the LMS it is."""
        rig.emulator.bulk = False
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert "ENABLE_BULK_ENROLLMENT_VIEW" in outcome.remedy

    async def test_an_unknown_course_concerns_its_own_people_only(self, rig: Rig) -> None:
        """Those of another course are enrolled all the same, and nobody is tried one by one."""
        table = {"course_id": "course-v1:Org+NONE+2026"}
        wrong = [rig.work(Operation.GRANT, who, table=table) for who in (ADA, BOB)]
        first, second, fine = await rig.deliver([*wrong, rig.work(Operation.GRANT, ADA)])
        for outcome in (first, second):
            assert isinstance(outcome, NeedsOperator)
            assert outcome.scope == "delivery"
            assert "course_id" in outcome.remedy
        assert isinstance(fine, Receipt)
        assert len(calls(rig)) == 2

    async def test_access_to_a_course_that_never_was_ends_without_an_operator(self, rig: Rig) -> None:
        """A mapping that was corrected leaves such revocations behind; where access was given, somebody has to look."""
        table = {"course_id": "course-v1:Org+NONE+2026"}
        assert isinstance(await rig.do(Operation.REVOKE, table=table, unknown=True), Receipt)
        refs = Refs(right={"identifier": "ada@example.org"})
        assert isinstance(await rig.do(Operation.REVOKE, table=table, refs=refs), NeedsOperator)

    async def test_a_key_that_is_none_is_the_courses_fault_too(self, rig: Rig) -> None:
        """The serializer names the field."""
        rig.emulator.now_fails("status", status=400, path="bulk", body={"courses": ["Course key not valid: x"]})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert "course_id" in outcome.remedy

    async def test_a_user_who_does_not_exist_is_refused(self, rig: Rig) -> None:
        """406 is the enrolment API's word for it."""
        rig.emulator.now_fails("status", status=406, path="bulk", body={"message": "User does not exist."})
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, Refused)
        assert "no such person" in outcome.why

    async def test_a_call_that_is_refused_whole_is_made_again_for_each(self, rig: Rig) -> None:
        """Only the one who spoilt it stays out."""
        rig.emulator.now_fails("status", status=400, path="bulk", times=2, body={"identifiers": ["too odd"]})
        ada, bob = await rig.deliver([rig.work(Operation.GRANT, ADA), rig.work(Operation.GRANT, BOB)])
        assert isinstance(ada, Refused)
        assert isinstance(bob, Receipt)
        assert [call["identifiers"] for call in calls(rig)] == [
            f"{ADDRESS},bob@example.org",
            ADDRESS,
            "bob@example.org",
        ]

    async def test_the_throttle_pauses_the_lane_for_the_time_it_names(self, rig: Rig) -> None:
        """The groups that follow are not sent into it."""
        rig.emulator.limit = (1, 60.0)
        batch = [rig.work(Operation.GRANT, ADA, table={"course_id": key}) for key in (PY101, PY102)]
        fine, throttled, untried = await rig.deliver([*batch, rig.work(Operation.REVOKE, BOB)])
        assert isinstance(fine, Receipt)
        for outcome in (throttled, untried):
            assert isinstance(outcome, TryLater)
            assert (outcome.scope, outcome.cause, outcome.applied) == ("lane", "throttled", "no")
            assert outcome.after is not None
            assert 0 < outcome.after <= 60
        assert len(calls(rig)) == 2

    async def test_a_lost_answer_of_one_call_leaves_the_others_settled(self, rig: Rig) -> None:
        """What was answered before is not thrown away, and what was not sent is known to have had no effect."""
        batch = [
            rig.work(Operation.GRANT, ADA),
            rig.work(Operation.GRANT, BOB, table={"course_id": PY102}),
            rig.work(Operation.REVOKE, BOB),
        ]
        rig.emulator.now_fails("lost", path="bulk", after=1, times=1)
        fine, lost, untried = await rig.deliver(batch)
        assert isinstance(fine, Receipt)
        assert isinstance(lost, TryLater)
        assert (lost.applied, lost.cause) == ("unknown", "outage")
        assert isinstance(untried, TryLater)
        assert untried.applied == "no"
        rig.emulator.now_fails("lost", path="bulk", times=1)
        with pytest.raises(AnswerLost):
            await rig.deliver(batch)

    async def test_a_redirect_is_not_followed(self, rig: Rig) -> None:
        """A POST would arrive as something else; the setting for it is named."""
        rig.emulator.final_slash = False
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, NeedsOperator)
        assert "final_slash" in outcome.remedy
        assert rig.live() == []
        settings = rig.connector._settings.model_copy(update={"final_slash": False})
        rig.connector = CONNECTOR(settings, rig.connector._http, None)
        assert isinstance(await rig.do(Operation.GRANT), Receipt)

    async def test_a_changed_address_is_enrolled_and_both_end_together(self, rig: Rig) -> None:
        """The account may still have the earlier one: access is not lost by the change, and none is left behind."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        married = ADA.model_copy(update={"email": "ada.king@example.org"})
        updated = await rig.do(Operation.UPDATE, married, refs=granted.refs)
        assert isinstance(updated, Receipt)
        assert updated.refs.right == {"identifier": "ada.king@example.org", "former": ADDRESS}
        assert "earlier address" in updated.note
        assert len(rig.live()) == 2
        revoked = await rig.do(Operation.REVOKE, married, refs=updated.refs)
        assert isinstance(revoked, Receipt)
        assert revoked.refs.right == {"identifier": "ada.king@example.org", "former": ""}
        assert rig.live() == []

    async def test_a_changed_name_is_not_told(self, rig: Rig) -> None:
        """Open edX keeps the person's own; whoever left the course by themselves is not put back into it."""
        granted = await rig.do(Operation.GRANT)
        assert isinstance(granted, Receipt)
        rig.emulator.enrolled[(PY101, ADDRESS.lower())] = False
        sent = len(rig.emulator.journal)
        outcome = await rig.do(Operation.UPDATE, ADA.model_copy(update={"last_name": "King"}), refs=granted.refs)
        assert outcome == Receipt(granted.refs)
        assert len(rig.emulator.journal) == sent
        assert rig.live() == []

    async def test_an_end_of_access_is_left_to_the_bridge(self, rig: Rig) -> None:
        """The receipt says so."""
        until = Terms(expires_at=datetime(2027, 1, 1, tzinfo=UTC))
        granted = await rig.do(Operation.GRANT, terms=until)
        assert isinstance(granted, Receipt)
        assert "the bridge ends access" in granted.note

    async def test_a_revocation_writes_to_the_learner_as_it_was_asked_to(self, rig: Rig) -> None:
        """And an update never does."""
        granted = await rig.do(Operation.GRANT, terms=Terms(send_email=True))
        assert isinstance(granted, Receipt)
        await rig.do(Operation.UPDATE, refs=Refs(), terms=Terms(send_email=True))
        assert rig.emulator.mails == [("enroll", PY101, ADDRESS)]
        await rig.do(Operation.REVOKE, refs=granted.refs, cancellation=Cancellation(notify_learner=True))
        assert rig.emulator.mails[1:] == [("unenroll", PY101, ADDRESS)]

    async def test_revoking_from_somebody_unknown_is_done(self, rig: Rig) -> None:
        """Not there is what was wanted."""
        assert isinstance(await rig.do(Operation.REVOKE, Learner(email="x@localhost")), Receipt)
        assert isinstance(await rig.do(Operation.REVOKE, Learner(email="a,b@example.org")), Receipt)

    async def test_a_learner_without_an_address_is_refused_in_words(self, rig: Rig) -> None:
        """Nothing is sent; a revocation still knows under which name the person was enrolled."""
        nameless = Learner(remote_user_id="4711")
        for operation in (Operation.GRANT, Operation.REVOKE):
            outcome = await rig.do(operation, nameless)
            assert isinstance(outcome, Refused)
            assert "e-mail" in outcome.why
        assert rig.emulator.journal == []
        await rig.do(Operation.GRANT)
        assert isinstance(await rig.do(Operation.REVOKE, nameless, refs=Refs(right={"identifier": ADDRESS})), Receipt)
        assert rig.live() == []

    async def test_an_address_at_which_the_target_would_split_is_refused(self, rig: Rig) -> None:
        """Its halves are other people's."""
        outcome = await rig.do(Operation.GRANT, Learner(email="ada,bob@example.org"))
        assert isinstance(outcome, Refused)
        assert rig.emulator.journal == []

    async def test_the_doctor_asks_once_per_course(self, rig: Rig) -> None:
        """The course's key stands in the finding as the operator wrote it, and nothing is written at the target."""
        tables = [*rig.tables(), *rig.tables(), *rig.tables({"course_id": PY102})]
        findings = await rig.connector.examine(tables, fix=True)
        assert [(one.what, one.ok) for one in findings[1:]] == [(f"course {PY101}", True), (f"course {PY102}", True)]
        assert [seen.method for seen in rig.emulator.journal] == ["POST", "GET", "GET", "GET"]

    async def test_the_doctor_finds_a_missing_right(self, rig: Rig) -> None:
        """With what to do about it."""
        rig.emulator.staff = False
        first, *_ = await rig.connector.examine([], fix=False)
        assert not first.ok
        assert "staff" in first.remedy
        assert isinstance(await rig.connector.check(), NeedsOperator)


class TestByUserName(LmsSuite):
    """A site whose user names the source knows."""

    type = "openedx"
    course: ClassVar[dict[str, Any] | None] = {"course_id": PY101}
    target: ClassVar[dict[str, Any]] = {"user_name": "learner.attributes.edx"}
    requests = 2

    async def test_the_user_name_goes_before_the_address(self, rig: Rig) -> None:
        """It stays the same when the address changes; who has none is named by the address."""
        rig.emulator.accounts = {"ada.lovelace@example.org": "ada", "bob@example.org": "bob"}
        named = Learner(remote_user_id="4711", attributes={"edx": "ada"})
        outcomes = await rig.deliver([rig.work(Operation.GRANT, named), rig.work(Operation.GRANT, BOB)])
        assert [outcome.refs.right["identifier"] for outcome in outcomes] == ["ada", "bob@example.org"]
        assert calls(rig)[0]["identifiers"] == "ada,bob@example.org"
        assert rig.live() == [("ada.lovelace@example.org", PY101), ("bob@example.org", PY101)]

    async def test_a_name_without_an_account_is_refused(self, rig: Rig) -> None:
        """Only an address can be kept until its person registers."""
        rig.emulator.accounts = {}
        outcome = await rig.do(Operation.GRANT, Learner(remote_user_id="1", attributes={"edx": "nobody"}))
        assert isinstance(outcome, Refused)
        assert "user_name" in outcome.remedy


@pytest.mark.parametrize(
    "key", ["PY101", "course-v1:Org", "course-v1:A+B+C,course-v1:A+B+D", "https://x.example/a/b", ""]
)
def test_a_course_key_that_is_none_is_a_fault(key: str) -> None:
    """A comma would make two courses of it."""
    with pytest.raises(ValidationError, match="expected the key of one course"):
        CONNECTOR.Course.model_validate({"course_id": key})


def test_a_course_key_of_the_older_form_is_taken() -> None:
    """Sites still have them."""
    assert CONNECTOR.Course.model_validate({"course_id": "Org/PY101/2026"}).course_id == "Org/PY101/2026"


@pytest.mark.parametrize("change", [{"user_name": "remote_user_id"}, {"client_id": ""}, {"client_secret": ""}])
def test_settings_that_cannot_be_meant_are_faults(change: dict[str, str]) -> None:
    """Said before anything is sent."""
    given = {"connector": "openedx", "base_url": "https://x.example", "client_id": "a", "client_secret": "b", **change}
    with pytest.raises(ValidationError, match=next(iter(change))):
        CONNECTOR.Settings.model_validate(given)
