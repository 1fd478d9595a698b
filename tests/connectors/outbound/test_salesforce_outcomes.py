"""What Salesforce answers, and what becomes of it: the table of outcomes, duplicate rules, collections."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.contract.command import Learner
from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import NeedsOperator, Operation, Outcome, Receipt, Refs, Refused, TryLater
from bridge.kit.clock import SetClock
from tests.connectors.outbound.salesforce_rig import ADAS, answers, configured, crowd, paths
from tests.suites.outbound import ADA, BOB, OutboundSuite, Rig


class TestOutcomes:
    """The table of answers."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    async def test_a_lock_is_busy_until_it_clears(self, rig: Rig) -> None:
        """It is this record's trouble: neither an outage nor a fault."""
        rig.emulator.lock(ADAS, tries=1)
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.scope, outcome.applied) == ("busy", "delivery", "no")
        assert isinstance(await rig.do(Operation.CONTACT, attempt=2), Receipt)

    async def test_a_trigger_that_met_a_lock_is_busy_too(self, rig: Rig) -> None:
        """Any other failure of a trigger is the org's own and will come again."""
        code = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
        answers(rig, 400, code, "SBQQ.Trigger: execution of AfterUpdate caused by: UNABLE_TO_LOCK_ROW", times=1)
        assert isinstance(await rig.do(Operation.CONTACT), TryLater)
        answers(rig, 400, code, "Trigger: execution of AfterUpdate caused by: NullPointerException")
        assert isinstance(await rig.do(Operation.CONTACT), Refused)

    async def test_the_daily_limit_slows_the_lane_for_an_hour(self, rig: Rig) -> None:
        """Salesforce says it with 403, which elsewhere is a refused credential."""
        rig.emulator.daily_requests = rig.emulator.used = 5_000
        for outcome in [await rig.do(Operation.CONTACT), await rig.connector.check()]:
            assert isinstance(outcome, TryLater)
            assert (outcome.scope, outcome.cause, outcome.after) == ("lane", "throttled", 3600.0)

    async def test_several_contacts_of_one_external_id_are_the_operators(self, rig: Rig) -> None:
        """Nothing is written; a person has to merge them."""
        for name in ("One", "Two"):
            rig.emulator.hold(Bridge_Id__c=ADAS, LastName=name, Email="x@example.org")
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, NeedsOperator)
        assert (outcome.scope, "Merge" in outcome.remedy) == ("delivery", True)
        assert [held["LastName"] for held in rig.emulator.contacts.values()] == ["One", "Two"]

    async def test_a_lost_race_is_repeated_once(self, rig: Rig) -> None:
        """The other upsert won, so the next one updates; a second clash is no race."""
        answers(
            rig, 400, "DUPLICATE_VALUE", "duplicate value found: Bridge_Id__c duplicates value on record with id: 003"
        )
        first = await rig.do(Operation.CONTACT)
        assert isinstance(first, TryLater)
        assert first.cause == "busy"
        assert isinstance(await rig.do(Operation.CONTACT, attempt=2, steps=first.steps), Refused)

    async def test_a_clash_on_another_unique_field_is_refused_at_once(self, rig: Rig) -> None:
        """No repeat would win it."""
        answers(rig, 400, "DUPLICATE_VALUE", "duplicate value found: Badge__c duplicates value on record with id: 003")
        assert isinstance(await rig.do(Operation.CONTACT), Refused)

    async def test_an_unknown_exception_has_three_tries(self, rig: Rig) -> None:
        """A fault of the org's own code never clears."""
        answers(rig, 500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1-2 (3)")
        steps: frozenset[str] = frozenset()
        seen: list[Outcome] = []
        for attempt in (1, 2, 3):
            outcome = await rig.do(Operation.CONTACT, attempt=attempt, steps=steps)
            assert isinstance(outcome, TryLater | Refused)
            steps = outcome.steps
            seen.append(outcome)
        assert [type(outcome) for outcome in seen] == [TryLater, TryLater, Refused]

    @pytest.mark.parametrize(
        ("learner", "named"),
        [
            ({"first_name": "Ada" * 20}, "STRING_TOO_LONG on FirstName"),
            ({"email": "ada@localhost"}, "INVALID_EMAIL_ADDRESS on Email"),
        ],
    )
    async def test_a_bad_field_is_refused_by_its_name(self, rig: Rig, learner: dict[str, str], named: str) -> None:
        """Code and field are told; the value, which Salesforce repeats, is not."""
        outcome = await rig.do(Operation.CONTACT, ADA.model_copy(update=learner))
        assert isinstance(outcome, Refused)
        assert outcome.why.endswith(f"Upsert the contact: HTTP 400, {named}")

    async def test_an_orgs_own_rule_is_quoted_without_the_learner(self, rig: Rig) -> None:
        """Its words help the operator, the name in them helps nobody."""
        message = "Lovelace, Ada is on the list of Ada's chapter"
        answers(rig, 400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", message, fields=[])
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, Refused)
        assert outcome.why.endswith("FIELD_CUSTOM_VALIDATION_EXCEPTION: •••, ••• is on the list of •••'s chapter")

    @pytest.mark.parametrize(
        ("status", "code", "kind", "scope"),
        [
            (403, "API_DISABLED_FOR_ORG", NeedsOperator, "lane"),
            (403, "INSUFFICIENT_ACCESS_OR_READONLY", NeedsOperator, "delivery"),
            (403, "SOMETHING_ELSE", NeedsOperator, "lane"),
            (404, "NOT_FOUND", NeedsOperator, "lane"),
            (404, "ENTITY_IS_DELETED", Refused, None),
            (400, "REQUIRED_FIELD_MISSING", Refused, None),
            (409, "CONFLICT", Refused, None),
            (415, "UNSUPPORTED_MEDIA_TYPE", Refused, None),
            (420, "", TryLater, "delivery"),
            (503, "SERVER_UNAVAILABLE", TryLater, "delivery"),
        ],
    )
    async def test_other_answers(self, rig: Rig, status: int, code: str, kind: type, scope: str | None) -> None:
        """Who has to act is told by code and status together."""
        answers(rig, status, code)
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, kind), outcome
        assert getattr(outcome, "scope", None) == scope
        assert isinstance(outcome, TryLater) or outcome.remedy

    async def test_an_edge_that_answers_in_html_is_judged_by_its_status(self, rig: Rig) -> None:
        """Never assume JSON."""
        rig.emulator.now_fails("status", status=420, body="<html>calm</html>", path="/sobjects")
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.applied) == ("outage", "unknown")

    async def test_an_old_version_updates_without_a_body(self, rig: Rig) -> None:
        """204 is a success that names no id."""
        configured(rig, api_version="45.0")
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        assert await rig.do(Operation.CONTACT) == Receipt(note="updated")

    async def test_the_probe_says_how_much_of_the_day_is_left(self, rig: Rig) -> None:
        """So that ``bridge doctor`` shows it before it is gone."""
        outcome = await rig.connector.check()
        assert outcome == Receipt(note="99999 of 100000 API requests are left today")


class TestDuplicates:
    """What follows when a duplicate rule of the org stops a contact."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    @pytest.fixture
    def known(self, rig: Rig) -> str:
        """A colleague typed Ada in before the bridge came."""
        configured(rig, adopt=False)
        rig.emulator.duplicate_rule = "alert"
        return rig.emulator.hold(LastName="Lovelace", Email=str(ADA.email), Title="Countess")

    async def test_fail_refuses(self, rig: Rig, known: str) -> None:
        """The default: a person looks at it."""
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, Refused)
        assert "DUPLICATES_DETECTED" in outcome.why
        assert [*rig.emulator.contacts] == [known]

    async def test_allow_saves_past_an_alert_but_not_past_a_block(self, rig: Rig, known: str) -> None:
        """The header passes rules that only alert."""
        configured(rig, duplicates="allow")
        rig.emulator.duplicate_rule = "block"
        assert isinstance(await rig.do(Operation.CONTACT), Refused)
        rig.emulator.duplicate_rule = "alert"
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        assert len(rig.emulator.contacts) == 2

    async def test_link_adopts_the_one_contact_that_matches(self, rig: Rig, known: str) -> None:
        """It gets our external id and keeps what the colleague wrote; the next upsert needs no link."""
        configured(rig, duplicates="link")
        outcome = await rig.do(Operation.CONTACT)
        assert outcome == Receipt(Refs(person={"contact": known}), "linked the contact that matched")
        assert rig.emulator.contacts[known] == {
            "LastName": "Lovelace",
            "FirstName": "Ada",
            "Email": "Ada.Lovelace@example.org",
            "Title": "Countess",
            "Bridge_Id__c": ADAS,
        }
        rig.emulator.journal.clear()
        await rig.do(Operation.CONTACT)
        assert len(paths(rig)) == 1

    async def test_link_keeps_a_name_that_the_sender_does_not_know(self, rig: Rig, known: str) -> None:
        """The one that was made up is only for a new contact."""
        configured(rig, duplicates="link")
        nameless = Learner(remote_user_id="4711", email=ADA.email)
        assert await rig.do(Operation.CONTACT, nameless) == Receipt(
            Refs(person={"contact": known}), "linked the contact that matched"
        )
        assert rig.emulator.contacts[known]["LastName"] == "Lovelace"

    async def test_link_repeats_after_a_lost_answer(self, rig: Rig, known: str) -> None:
        """Whichever of its calls it was."""
        configured(rig, duplicates="link")
        await rig.connector.check()
        for nth in range(3):
            rig.emulator.contacts[known].pop("Bridge_Id__c", None)
            rig.emulator.now_fails("lost", after=nth, times=1)
            with pytest.raises(AnswerLost):
                await rig.do(Operation.CONTACT)
            assert isinstance(await rig.do(Operation.CONTACT, unknown=True), Receipt)
            assert [*rig.emulator.contacts] == [known]

    async def test_link_does_not_choose_between_several(self, rig: Rig, known: str) -> None:
        """Whose contact it is, a person knows."""
        configured(rig, duplicates="link")
        rig.emulator.hold(LastName="Byron", Email=str(ADA.email))
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "delivery"
        assert all("Bridge_Id__c" not in held for held in rig.emulator.contacts.values())

    async def test_link_never_takes_another_persons_contact(self, rig: Rig, known: str) -> None:
        """Two learners share an address: the second one must not overwrite the first."""
        configured(rig, duplicates="link")
        await rig.do(Operation.CONTACT)
        twin = BOB.model_copy(update={"email": ADA.email})
        outcome = await rig.do(Operation.CONTACT, twin)
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "delivery"
        assert rig.emulator.contacts[known]["Bridge_Id__c"] == ADAS

    async def test_link_takes_no_contact_from_a_learner_who_links_it_at_that_moment(self, rig: Rig, known: str) -> None:
        """By another target of the organisation: one has it, the other waits for a person."""
        configured(rig, duplicates="link", adopt=False)
        one = rig.connector
        configured(rig, duplicates="link", adopt=False)
        await asyncio.gather(one.check(), rig.connector.check())
        works = [rig.work(Operation.CONTACT, who.model_copy(update={"email": ADA.email})) for who in (ADA, BOB)]
        told = await asyncio.gather(one.deliver(works[:1]), rig.connector.deliver(works[1:]))
        assert {type(outcome) for (outcome,) in told} == {Receipt, NeedsOperator}
        (winner,) = [work.person for work, (outcome,) in zip(works, told, strict=True) if isinstance(outcome, Receipt)]
        assert rig.emulator.contacts[known]["Bridge_Id__c"] == winner

    @pytest.mark.parametrize(
        "match",
        [
            {"matchConfidence": 60, "record": {"attributes": {"type": "Contact"}, "Id": "0035g00000AbCdEAAV"}},
            {"matchConfidence": 100, "record": {"attributes": {"type": "Lead"}, "Id": "00Q5g00000AbCdEAAV"}},
            {"matchConfidence": 100, "record": {"attributes": {"type": "Contact"}, "Id": "../../query"}},
            {},
            {"matchConfidence": 100, "record": "0035g00000AbCdEAAV"},
            {"matchConfidence": 100, "record": {"attributes": "Contact", "Id": "0035g00000AbCdEAAV"}},
            "0035g00000AbCdEAAV",
        ],
    )
    async def test_link_wants_certainty(self, rig: Rig, match: Any) -> None:
        """A guess, a lead or a strange id is no contact of this learner; both spellings of the key are read."""
        configured(rig, duplicates="link")
        found = {"matchResults": [{"matchRecords": [match]}]}
        answers(rig, 400, "DUPLICATES_DETECTED", duplicateResult=found)
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, NeedsOperator)
        assert len(paths(rig)) == 1

    async def test_link_looks_again_when_the_match_is_gone(self, rig: Rig, known: str) -> None:
        """A colleague merged it meanwhile."""
        configured(rig, duplicates="link")
        missing = [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
        rig.emulator.now_fails("status", status=404, body=missing, method="GET", path="/sobjects/")
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "busy"


class TestCollections:
    """Up to 200 contacts by one call."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    async def test_two_hundred_contacts_are_one_call(self, rig: Rig) -> None:
        """Each gets its own receipt, in the order of the batch."""
        outcomes = await rig.connector.deliver(crowd(rig, 200))
        ids = [outcome.refs.person["contact"] for outcome in outcomes]
        assert [rig.emulator.contacts[one]["Email"] for one in ids] == [f"p{n}@example.org" for n in range(200)]
        assert paths(rig) == ["PATCH composite/sobjects/Contact/Bridge_Id__c"]

    async def test_each_member_has_its_own_outcome(self, rig: Rig) -> None:
        """One bad record spoils no other; 200 is not the members' success."""
        works = crowd(rig, 5)
        works[1] = rig.work(Operation.CONTACT, Learner(remote_user_id="1", email="p1@localhost", last_name="N1"))
        rig.emulator.lock(works[2].person, tries=1)
        for name in ("One", "Two"):
            rig.emulator.hold(Bridge_Id__c=works[3].person, LastName=name)
        outcomes = await rig.connector.deliver(works)
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [Receipt, Refused, TryLater, NeedsOperator, Receipt]
        assert outcomes[1].why.endswith("Upsert the contact: INVALID_EMAIL_ADDRESS on Email")
        assert outcomes[2].cause == "busy"
        assert len(paths(rig)) == 1

    async def test_members_without_a_last_name_are_sent_once_more(self, rig: Rig) -> None:
        """Together, with one that is made up; who is there already keeps the one that stands there."""
        works = [rig.work(Operation.CONTACT, Learner(remote_user_id=n, email=f"{n}@example.org")) for n in "abc"]
        rig.emulator.hold(Bridge_Id__c=works[1].person, LastName="Typed")
        outcomes = await rig.connector.deliver(works)
        held = [rig.emulator.contacts[outcome.refs.person["contact"]] for outcome in outcomes]
        assert [one["LastName"] for one in held] == ["a", "Typed", "c"]
        assert paths(rig) == ["PATCH composite/sobjects/Contact/Bridge_Id__c"] * 2

    async def test_one_person_twice_is_sent_once(self, rig: Rig) -> None:
        """The later work counts, and both have its outcome; Salesforce compares without case."""
        older, newer = Learner(remote_user_id="ab", last_name="Old"), Learner(remote_user_id="AB", last_name="New")
        works = [rig.work(Operation.CONTACT, older), rig.work(Operation.CONTACT, newer)]
        first, second = await rig.connector.deliver(works)
        assert first == second
        assert isinstance(first, Receipt)
        assert [held["LastName"] for held in rig.emulator.contacts.values()] == ["New"]

    async def test_a_call_refused_as_a_whole_is_made_one_by_one(self, rig: Rig) -> None:
        """One malformed record must not bury 199 good ones."""
        body = [{"errorCode": "JSON_PARSER_ERROR", "message": "Unexpected character"}]
        rig.emulator.now_fails("status", status=400, body=body, path="/composite/")
        outcomes = await rig.connector.deliver(crowd(rig, 7))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert len(paths(rig)) == 8

    async def test_single_calls_stop_when_the_lane_does(self, rig: Rig) -> None:
        """Of a limit the rest need not hear one by one."""
        configured(rig, api_version="45.0")
        rig.emulator.daily_requests = 4  # the look by e-mail is one
        outcomes = await rig.connector.deliver(crowd(rig, 20))
        assert [type(outcome) for outcome in outcomes].count(Receipt) == 3
        assert len(paths(rig)) == 5
        assert isinstance(outcomes[-1], TryLater)
        assert outcomes[-1].cause == "throttled"

    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}], TryLater),
            (403, "<html>no</html>", NeedsOperator),
            (503, "<html>maintenance</html>", TryLater),
            (200, [{"success": True, "id": "0035g00000AbCdEAAV"}], TryLater),
        ],
    )
    async def test_what_stops_the_whole_call_stops_every_member(
        self, rig: Rig, status: int, body: Any, kind: type
    ) -> None:
        """Also an answer that has not one result for each."""
        rig.emulator.now_fails("status", status=status, body=body, path="/composite/")
        outcomes = await rig.connector.deliver(crowd(rig, 3))
        assert [type(outcome) for outcome in outcomes] == [kind] * 3
        assert len(paths(rig)) == 1

    async def test_what_is_to_be_linked_is_asked_by_itself(self, rig: Rig) -> None:
        """The others of the batch are written meanwhile."""
        configured(rig, duplicates="link")
        rig.emulator.duplicate_rule = "alert"
        known = rig.emulator.hold(LastName="Typed", Email="p1@example.org")
        outcomes = await rig.connector.deliver(crowd(rig, 3))
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert outcomes[1].refs.person == {"contact": known}
        assert len(rig.emulator.contacts) == 3

    async def test_a_batch_without_a_session_has_one_outcome_for_each(self, rig: Rig) -> None:
        """And no call is made."""
        configured(rig, client_id="unknown")
        outcomes = await rig.connector.deliver(crowd(rig, 3))
        assert [type(outcome) for outcome in outcomes] == [NeedsOperator] * 3
        assert paths(rig) == []

    async def test_single_calls_end_before_the_deadline_of_a_delivery(self, rig: Rig) -> None:
        """What was not begun by then is tried later, instead of all being given up at once."""
        configured(rig, _Hurried(datetime(2026, 11, 22, tzinfo=UTC)), api_version="45.0")
        outcomes = await rig.connector.deliver(crowd(rig, 7))
        assert [type(outcome) for outcome in outcomes] == [Receipt] * 5 + [TryLater] * 2
        assert (outcomes[-1].cause, outcomes[-1].applied) == ("busy", "no")


class _Hurried(SetClock):
    """Half a minute passes between any two looks at it."""

    def monotonic(self) -> float:
        self.move(30.0)
        return super().monotonic()
