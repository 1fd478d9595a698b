"""Records of registrations at Salesforce, and what actions write on them and on the contact."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, TryLater
from bridge.contract.settings import Milestone
from connectors.outbound.salesforce import CONNECTOR
from tests.connectors.outbound.salesforce_rig import (
    ADAS,
    REGISTRATION,
    calls,
    configured,
    crowd,
    enrolled,
    paths,
)
from tests.suites.outbound import OutboundSuite, Rig

CONTACT = f"PATCH sobjects/Contact/Bridge_Id__c/{ADAS}"
ONE = "PATCH sobjects/Course_Registration__c/Registration_Key__c/bridge-registration-7"
MANY = "PATCH composite/sobjects/Course_Registration__c/Registration_Key__c"


@pytest.fixture
def mapped(rig: Rig) -> Rig:
    """A rig whose registrations have a record."""
    configured(rig, registration=REGISTRATION)
    return rig


class TestRegistrations:
    """One record for each registration, under the learner's contact."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    async def test_the_record_names_its_contact_by_external_id(self, mapped: Rig) -> None:
        """The documented call; the refs keep its id and what it holds."""
        outcome: Any = await mapped.do(Operation.CONTACT, enrollments=(enrolled(mapped),))
        assert isinstance(outcome, Receipt)
        assert paths(mapped) == [CONTACT, ONE]
        assert mapped.emulator.journal[-1].json == {
            "Contact__r": {"Bridge_Id__c": ADAS},
            "Course_Code__c": "intro-ce",
            "Status__c": "active",
        }
        ((record_id, held),) = mapped.emulator.registrations.items()
        assert held["Contact__c"] == outcome.refs.person["contact"]
        assert outcome.refs.person["registration:7"].startswith(f"{record_id} ")
        assert outcome.note == "created; registration 7 created"

    async def test_a_registration_that_was_never_enrolled_has_no_record(self, mapped: Rig) -> None:
        """It has nothing to show yet."""
        await mapped.do(Operation.CONTACT, enrollments=(mapped.enrollment(),))
        assert mapped.emulator.registrations == {}

    async def test_what_was_confirmed_is_not_sent_again(self, mapped: Rig) -> None:
        """Fifty old registrations cost no fifty writes, and a colleague's own change stays."""
        work = {"enrollments": (enrolled(mapped),)}
        first = await mapped.do(Operation.CONTACT, **work)
        (held,) = mapped.emulator.registrations.values()
        held["Status__c"] = "waiting"
        mapped.emulator.journal.clear()
        again = await mapped.do(Operation.CONTACT, refs=first.refs, **work)
        assert again == Receipt(Refs(person={"contact": first.refs.person["contact"]}), "updated")
        assert calls(mapped) == [CONTACT]
        assert held["Status__c"] == "waiting"

    async def test_what_changed_is_sent(self, mapped: Rig) -> None:
        """Onto the same record, of which a colleague's other fields stay."""
        first = await mapped.do(Operation.CONTACT, enrollments=(enrolled(mapped),))
        (held,) = mapped.emulator.registrations.values()
        held["Percent__c"] = "40"
        changed = enrolled(mapped, state="cancelled")
        outcome = await mapped.do(Operation.CONTACT, refs=first.refs, enrollments=(changed,))
        assert outcome.note == "updated; registration 7 updated"
        assert (held["Status__c"], held["Percent__c"], len(mapped.emulator.registrations)) == ("cancelled", "40", 1)

    async def test_a_record_that_a_colleague_deleted_comes_back_only_when_it_changes(self, mapped: Rig) -> None:
        """Deleting it was meant."""
        first = await mapped.do(Operation.CONTACT, enrollments=(enrolled(mapped),))
        mapped.emulator.registrations.clear()
        await mapped.do(Operation.CONTACT, refs=first.refs, enrollments=(enrolled(mapped),))
        assert mapped.emulator.registrations == {}
        changed = enrolled(mapped, state="refunded")
        await mapped.do(Operation.CONTACT, refs=first.refs, enrollments=(changed,))
        assert len(mapped.emulator.registrations) == 1

    async def test_a_bundle_is_one_record_of_the_course_that_changed_last(self, mapped: Rig) -> None:
        """A registration has one record, however many courses it has."""
        pair = (enrolled(mapped, 7, "art"), enrolled(mapped, 7, "music"), enrolled(mapped, 8, "dance"))
        await mapped.do(Operation.CONTACT, enrollments=pair)
        held = sorted(one["Course_Code__c"] for one in mapped.emulator.registrations.values())
        assert held == ["dance", "music"]

    async def test_an_answer_lost_at_any_step_leaves_one_of_each(self, mapped: Rig) -> None:
        """Keyed by our own name of the registration."""
        await mapped.connector.check()
        for nth in range(3):
            mapped.emulator.now_fails("lost", after=nth, times=1)
            with pytest.raises(AnswerLost):
                await mapped.do(Operation.CONTACT, enrollments=(enrolled(mapped),))
            outcome = await mapped.do(Operation.CONTACT, unknown=True, enrollments=(enrolled(mapped),))
            assert isinstance(outcome, Receipt)
            assert (len(mapped.emulator.contacts), len(mapped.emulator.registrations)) == (1, 1)

    async def test_a_batch_is_one_call_for_all_registrations_and_each_person_has_an_outcome(self, mapped: Rig) -> None:
        """One bad record spoils no other person's, and not the same person's other one."""
        works = crowd(
            mapped, 3, lambda n: (enrolled(mapped, 10 + n), enrolled(mapped, 20 + n, "x" * 41 * (n == 1) or "b"))
        )
        mapped.emulator.lock("bridge-registration-22", tries=1)
        outcomes: Any = await mapped.deliver(works)
        assert [type(outcome) for outcome in outcomes] == [Receipt, Refused, TryLater]
        assert paths(mapped) == ["PATCH composite/sobjects/Contact/Bridge_Id__c", MANY]
        assert [sorted(outcome.refs.person) for outcome in outcomes] == [
            ["contact", "registration:10", "registration:20"],
            ["contact", "registration:11"],
            ["contact", "registration:12"],
        ]
        assert "Upsert the registration 21: STRING_TOO_LONG on Course_Code__c" in outcomes[1].why
        assert (outcomes[2].cause, outcomes[2].scope) == ("busy", "delivery")
        mapped.emulator.journal.clear()
        again = mapped.work(
            Operation.CONTACT, works[2].learner, enrollments=works[2].enrollments, refs=outcomes[2].refs
        )
        assert isinstance((await mapped.deliver([again]))[0], Receipt)
        assert [one.rpartition("/")[2] for one in calls(mapped)] == ["id:members:2", "bridge-registration-22"]

    async def test_many_registrations_go_in_calls_of_two_hundred(self, mapped: Rig) -> None:
        """More are not taken by one call."""
        works = crowd(mapped, 50, lambda n: tuple(enrolled(mapped, 100 * n + m) for m in range(5)))
        assert all(isinstance(outcome, Receipt) for outcome in await mapped.deliver(works))
        assert calls(mapped).count(MANY) == 2
        assert len(mapped.emulator.registrations) == 250

    async def test_a_contact_that_could_not_be_written_has_no_registrations_sent(self, mapped: Rig) -> None:
        """They would lead to nobody."""
        mapped.emulator.lock(ADAS, tries=1)
        outcome = await mapped.do(Operation.CONTACT, enrollments=(enrolled(mapped),))
        assert isinstance(outcome, TryLater)
        assert paths(mapped) == [CONTACT]

    async def test_a_contact_that_is_gone_again_is_written_anew_once(self, mapped: Rig) -> None:
        """The next try makes it; where something deletes it each time, a person has to look."""
        said = "Foreign key external ID: id:members:4711 not found for field Bridge_Id__c in entity Contact"
        body = [{"errorCode": "INVALID_FIELD", "message": said}]
        mapped.emulator.now_fails("status", status=400, body=body, path="Course_Registration__c")
        first: Any = await mapped.do(Operation.CONTACT, enrollments=(enrolled(mapped),))
        assert isinstance(first, TryLater)
        work = mapped.work(Operation.CONTACT, steps=first.steps, enrollments=(enrolled(mapped),))
        (second,) = await mapped.deliver([work])
        assert isinstance(second, Refused)
        assert second.why.startswith("The registration's contact can't be found")

    async def test_an_object_that_is_not_there_stops_the_lane_and_keeps_the_contact(self, rig: Rig) -> None:
        """It is the mapping's fault, and what was done is remembered."""
        configured(rig, registration={**REGISTRATION, "object": "Courses__c"})
        outcome: Any = (await rig.deliver([rig.work(Operation.CONTACT, enrollments=(enrolled(rig),))]))[0]
        assert isinstance(outcome, NeedsOperator)
        assert (outcome.scope, [*outcome.refs.person]) == ("lane", ["contact"])

    async def test_of_several_faults_the_one_that_a_repeat_may_clear_decides(self, mapped: Rig) -> None:
        """The other one is told when only it is left."""
        two = (enrolled(mapped, 1, "x" * 41), enrolled(mapped, 2))
        mapped.emulator.lock("bridge-registration-2", tries=1)
        assert isinstance(await mapped.do(Operation.CONTACT, enrollments=two), TryLater)
        assert isinstance(await mapped.do(Operation.CONTACT, enrollments=two), Refused)

    async def test_records_of_one_person_are_never_written_side_by_side(self, mapped: Rig) -> None:
        """Two writes below one contact meet each other's lock: in single calls they go one after the other."""
        body = [{"errorCode": "JSON_PARSER_ERROR", "message": "Unexpected character"}]
        mapped.emulator.now_fails("status", status=400, body=body, path="/composite/")
        mapped.emulator.write_seconds = 0.05
        three = tuple(enrolled(mapped, number) for number in (1, 2, 3))
        assert isinstance(await mapped.do(Operation.CONTACT, enrollments=three), Receipt)
        assert [one[-1] for one in paths(mapped)[2:]] == ["1", "2", "3"]

    async def test_an_old_version_writes_one_by_one(self, rig: Rig) -> None:
        """Before version 46 there is no upsert of many, and an update has no body."""
        configured(rig, registration=REGISTRATION, api_version="45.0")
        two = (enrolled(rig, 1), enrolled(rig, 2))
        first: Any = await rig.do(Operation.CONTACT, enrollments=two)
        later = (enrolled(rig, 1, state="expired"), two[1])
        second: Any = await rig.do(Operation.CONTACT, enrollments=later, refs=first.refs)
        ids = [refs.person["registration:1"].partition(" ")[0] for refs in (first.refs, second.refs)]
        assert ids[0] == ids[1]
        assert sorted(one["Status__c"] for one in rig.emulator.registrations.values()) == ["active", "expired"]


class TestActions:
    """What the operator's actions write, level and not edge."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    async def test_a_contact_has_the_fields_of_every_action_that_applies_in_one_upsert(self, rig: Rig) -> None:
        """The later milestone wins; unmapped fields are never sent."""
        for name in ("Course_State__c", "First_Course__c"):
            rig.emulator.schema().add(name)
        actions = [
            {"on": "enrolled", "object": "contact", "fields": {"Course_State__c": "in {course.key}"}},
            {"on": ["completed"], "object": "contact", "fields": {"Course_State__c": "done with {course.key}"}},
            {
                "on": "enrolled",
                "object": "contact",
                "fields": {"First_Course__c": "{course.key}"},
                "only_if": [{"any": [{"field": "course.key", "operator": "equal_to", "value": "art"}]}],
            },
        ]
        configured(rig, actions=actions)
        both = (enrolled(rig, 1, "art", Milestone.COMPLETED), enrolled(rig, 2, "music"))
        assert isinstance(await rig.do(Operation.CONTACT, enrollments=both), Receipt)
        assert paths(rig) == [CONTACT]
        assert rig.emulator.journal[-1].json == {
            "FirstName": "Ada",
            "LastName": "Lovelace",
            "Email": "Ada.Lovelace@example.org",
            "Course_State__c": "done with art",
            "First_Course__c": "art",
        }

    async def test_a_record_is_made_by_the_actions_alone_where_the_table_has_no_fields(self, rig: Rig) -> None:
        """Only for the registrations to which they apply, with the fields of all of them."""
        table = {name: REGISTRATION[name] for name in ("object", "external_id", "contact")}
        actions = [
            {"on": "completed", "object": "registration", "fields": {"Status__c": "completed", "Percent__c": "100"}},
            {
                "on": "started",
                "object": "registration",
                "fields": {"Status__c": "active", "Course_Code__c": "{course.key}"},
            },
        ]
        configured(rig, registration=table, actions=actions)
        both = (enrolled(rig, 1, "art", Milestone.STARTED, Milestone.COMPLETED), enrolled(rig, 2, "music"))
        assert isinstance(await rig.do(Operation.CONTACT, enrollments=both), Receipt)
        (held,) = rig.emulator.registrations.values()
        assert held["Registration_Key__c"] == "bridge-registration-1"
        assert (held["Status__c"], held["Percent__c"], held["Course_Code__c"]) == ("completed", "100", "art")

    async def test_the_same_enrollments_always_come_to_the_same_record(self, rig: Rig) -> None:
        """In whatever order they were told; so nothing is sent twice."""
        actions = [{"on": "completed", "object": "registration", "fields": {"Completed_On__c": "2026-11-22"}}]
        configured(rig, registration=REGISTRATION, actions=actions)
        one, two = enrolled(rig, 1, "art", Milestone.COMPLETED), enrolled(rig, 2, "music")
        first = await rig.do(Operation.CONTACT, enrollments=(one, two))
        rig.emulator.journal.clear()
        await rig.do(Operation.CONTACT, enrollments=(two, one), refs=first.refs)
        assert calls(rig) == [CONTACT]

    async def test_a_value_that_is_not_known_is_left_out_and_a_state_that_is_gone_is_cleared(self, rig: Rig) -> None:
        """null clears a field of any type; an empty text is no date."""
        for name in ("State__c", "Started__c"):
            rig.emulator.schema().add(name)
        contact = {
            "LastName": "{learner.last_name}",
            "State__c": "{registration.state}",
            "Started__c": "{registration.started_at}",
        }
        configured(rig, contact=contact)
        (work,) = [rig.work(Operation.CONTACT, enrollments=(rig.enrollment(state=""),))]
        known = rig.emulator.hold(LastName="L.", Bridge_Id__c=ADAS, State__c="active", Started__c="2026-01-01")
        assert isinstance((await rig.deliver([work]))[0], Receipt)
        assert rig.emulator.journal[-1].json == {"LastName": "Lovelace", "State__c": None}
        assert rig.emulator.contacts[known] == {
            "LastName": "Lovelace",
            "Bridge_Id__c": ADAS,
            "Started__c": "2026-01-01",
        }

    async def test_a_learner_who_became_another_one_takes_the_records_along(self, rig: Rig) -> None:
        """The parent is part of what a record holds."""
        configured(rig, registration=REGISTRATION)
        first = await rig.do(Operation.CONTACT, enrollments=(enrolled(rig),))
        kept = {name: value for name, value in first.refs.person.items() if name != "contact"}
        other = "id:members:9"
        outcome = await rig.do(Operation.CONTACT, person=other, refs=Refs(person=kept), enrollments=(enrolled(rig),))
        assert isinstance(outcome, Receipt)
        (held,) = rig.emulator.registrations.values()
        assert rig.emulator.contacts[held["Contact__c"]]["Bridge_Id__c"] == other


class TestMapping:
    """What the operator may write."""

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"registration": {"external_id": "Key__c"}}, "object"),
            ({"registration": {"object": "Course_Registration__c"}}, "neither fields nor an action"),
            ({"registration": {**REGISTRATION, "Contact__c": "x"}}, "Contact__c can't be mapped"),
            ({"registration": {**REGISTRATION, "registration_key__c": "x"}}, "registration_key__c can't be mapped"),
            ({"registration": {**REGISTRATION, "Name": "{course.tittle}"}}, "Name: course.tittle is not known"),
            ({"registration": {**REGISTRATION, "object": "A/B"}}, "object"),
            (
                {"actions": [{"on": "enrolled", "object": "registration", "fields": {"Status__c": "x"}}]},
                "needs the table registration",
            ),
            ({"actions": [{"on": "enrolled", "object": "deal", "fields": {"a": "b"}}]}, "contact"),
            ({"actions": [{"on": "enrolled", "object": "contact", "fields": {}}]}, "fields"),
            ({"actions": [{"on": "enroled", "object": "contact", "fields": {"Title": "x"}}]}, "enrolled"),
            (
                {"actions": [{"on": "enrolled", "object": "contact", "fields": {"Title": "{registration.stat}"}}]},
                "Title: registration.stat is not known",
            ),
            (
                {"actions": [{"on": "enrolled", "object": "contact", "fields": {"bridge_id__c": "x"}}]},
                "bridge_id__c can't be mapped",
            ),
            (
                {
                    "actions": [
                        {
                            "on": "enrolled",
                            "object": "contact",
                            "fields": {"Title": "x"},
                            "only_if": [{"field": "course.name", "operator": "equal_to", "value": "x"}],
                        }
                    ]
                },
                "only_if: course.name is not known",
            ),
            ({"stop_at": 0}, "stop_at"),
        ],
    )
    def test_a_fault_says_what_was_expected(self, changes: dict[str, Any], said: str) -> None:
        """Before anything is sent."""
        given = {
            "connector": "salesforce",
            "client_id": "key",
            "client_secret": "shh",
            "base_url": "https://a.example.org",
        }
        with pytest.raises(ValidationError, match=said):
            CONNECTOR.Settings.model_validate({**given, **changes})

    @pytest.mark.parametrize(
        ("lookup", "relationship"),
        [("Contact__c", "Contact__r"), ("Learner__r", "Learner__r"), ("ContactId", "Contact")],
    )
    def test_the_lookup_may_be_named_as_a_field_or_as_a_relationship(self, lookup: str, relationship: str) -> None:
        """Salesforce shows one in its setup, and takes the other by the API."""
        given = {
            "connector": "salesforce",
            "client_id": "key",
            "client_secret": "shh",
            "base_url": "https://a.example.org",
        }
        settings: Any = CONNECTOR.Settings.model_validate(
            {**given, "registration": {**REGISTRATION, "contact": lookup}}
        )
        assert settings.registration.relationship == relationship
