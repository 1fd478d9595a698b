"""What an operator's actions do at Mailchimp: fields, tags, and events that are told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import Enrollment, Outcome, Receipt, Refs, TryLater
from bridge.contract.settings import Milestone
from bridge.kit.clock import SetClock
from connectors.sandbox.mailchimp import LIST, OTHER_LIST, Member
from tests.connectors.outbound.mailchimp_rig import (
    ADAS,
    PATH,
    AtMailchimp,
    contact,
    problem,
    requests_of,
    reset,
    settings,
)
from tests.suites.outbound import ADA, Rig

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVENT = {
    "on": ["completed"],
    "object": "event",
    "name": "course_completed",
    "properties": {"course": "{course.title}", "coupon": "{order.coupon}"},
}
OCCURRENCE = "7:intro-ce:completed"
SENT = f"event:course_completed:{OCCURRENCE}"


def acting(rig: Rig, *actions: dict[str, Any], **changes: Any) -> SetClock:
    """Give the connector actions, and a clock that stands at noon."""
    clock = SetClock(NOW)
    reset(rig, clock, actions=list(actions), **changes)
    return clock


def at(rig: Rig, key: str = "intro-ce", **milestones: timedelta) -> Enrollment:
    """An enrollment that reached these milestones so long before noon."""
    reached = {Milestone(name): NOW - ago for name, ago in milestones.items()}
    return replace(rig.enrollment(key), milestones=reached)


def events(rig: Rig, list_id: str = LIST) -> list[str]:
    return [event["properties"]["bridge_key"] for event in rig.emulator.members[list_id][ADAS].events]


class TestMember(AtMailchimp):
    """Merge fields by milestone."""

    async def test_fields_of_actions_are_laid_over_the_mapping_in_one_request(self, rig: Rig) -> None:
        """The oldest first, so that the latest milestone has the last word."""
        rig.emulator.merge_fields |= {"STATE": False, "DONE": False}
        acting(
            rig,
            {"on": "completed", "object": "member", "fields": {"STATE": "done {course.key}", "DONE": "yes"}},
            {"on": "enrolled", "object": "member", "fields": {"STATE": "in {course.key}"}},
        )
        await contact(rig, enrollments=[at(rig, enrolled=HOUR), at(rig, "law", enrolled=HOUR * 3, completed=HOUR * 2)])
        (put,) = [seen for seen in rig.emulator.journal if seen.method == "PUT"]
        assert put.json["merge_fields"] == {"FNAME": "Ada", "LNAME": "Lovelace", "STATE": "in intro-ce", "DONE": "yes"}

    async def test_an_action_applies_under_its_rules_only(self, rig: Rig) -> None:
        """One of two conditions is enough where the operator says any."""
        either = [
            {"field": "course.key", "operator": "equal_to", "value": "law"},
            {"field": "order.total", "operator": "greater_than", "value": 40},
        ]
        fields = {"FNAME": "chosen"}
        acting(rig, {"on": "enrolled", "object": "member", "fields": fields, "only_if": [{"any": either}]})
        await contact(rig, enrollments=[at(rig, enrolled=HOUR)])
        acting(rig, {"on": "enrolled", "object": "member", "fields": {"LNAME": "x"}, "only_if": [{"all": either}]})
        await contact(rig, enrollments=[at(rig, enrolled=HOUR)])
        puts = [seen.json["merge_fields"] for seen in rig.emulator.journal if seen.method == "PUT"]
        assert puts == [{"FNAME": "chosen", "LNAME": "Lovelace"}, {"FNAME": "Ada", "LNAME": "Lovelace"}]


class TestTags(AtMailchimp):
    """Tags by milestone."""

    async def test_tags_are_added_and_removed_besides_the_courses_own(self, rig: Rig) -> None:
        """In one request, active and inactive; other tags of the member stay."""
        rig.emulator.members[LIST] = {ADAS: Member(str(ADA.email), "subscribed", 1, tags=["vip", "started intro-ce"])}
        acting(
            rig,
            {"on": "started", "object": "tags", "add": ["started {course.key}"]},
            {
                "on": "completed",
                "object": "tags",
                "add": ["alumni", "{order.coupon}"],
                "remove": ["started {course.key}"],
            },
        )
        await contact(rig, enrollments=[at(rig, started=HOUR * 2, completed=HOUR)])
        assert rig.emulator.journal[-1].json == {
            "tags": [
                {"name": "ce", "status": "active"},
                {"name": "started intro-ce", "status": "inactive"},
                {"name": "alumni", "status": "active"},
            ]
        }
        assert rig.emulator.members[LIST][ADAS].tags == ["vip", "ce", "alumni"]

    async def test_tags_go_to_the_list_of_the_course(self, rig: Rig) -> None:
        """Where the course's own tags go."""
        acting(rig, {"on": "enrolled", "object": "tags", "add": ["new"]})
        law = replace(at(rig, "law", enrolled=HOUR), table=rig.tables({"list_id": OTHER_LIST})[0])
        await contact(rig, enrollments=[law])
        assert rig.emulator.members[OTHER_LIST][ADAS].tags == ["new"]
        assert rig.emulator.members[LIST][ADAS].tags == []


class TestEvents(AtMailchimp):
    """Events by milestone."""

    async def test_sends_the_documented_request(self, rig: Rig) -> None:
        """After member and tags, with what happened as our key; an empty property is left out."""
        acting(rig, EVENT)
        outcome = await contact(rig, enrollments=[at(rig, completed=HOUR)])
        assert outcome == Receipt(Refs({"member": ADAS, SENT: "sent"}))
        assert [method for method, _ in requests_of(rig)] == ["PUT", "POST", "POST"]
        told = rig.emulator.journal[-1]
        assert (told.path, told.query) == (f"{PATH}/events", {})
        assert told.json == {
            "name": "course_completed",
            "properties": {"course": "Introduction to Continuing Education", "bridge_key": OCCURRENCE},
            "occurred_at": "2026-11-22T11:00:00Z",
        }

    async def test_what_was_told_is_not_told_again(self, rig: Rig) -> None:
        """The person's ref says so; another occurrence is told."""
        acting(rig, EVENT)
        first = await contact(rig, enrollments=[at(rig, completed=HOUR)])
        assert isinstance(first, Receipt)
        law = replace(at(rig, "law", completed=HOUR), registration_id=8)
        await contact(rig, refs=first.refs, enrollments=[at(rig, completed=HOUR), law])
        assert events(rig) == ["8:law:completed", OCCURRENCE]

    async def test_two_actions_on_one_milestone_are_two_events(self, rig: Rig) -> None:
        """Told apart by their names."""
        acting(rig, EVENT, {**EVENT, "name": "certificate_due"})
        outcome = await contact(rig, enrollments=[at(rig, completed=HOUR)])
        assert isinstance(outcome, Receipt)
        assert len(outcome.refs.person) == 3
        assert events(rig) == [OCCURRENCE, OCCURRENCE]

    async def test_a_lost_answer_is_looked_up_before_a_repeat(self, rig: Rig) -> None:
        """It was told, nobody heard of it, and it is not told twice."""
        acting(rig, EVENT)
        rig.emulator.now_fails("lost", path="/events", times=1)
        with pytest.raises(AnswerLost):
            await contact(rig, enrollments=[at(rig, completed=HOUR)])
        outcome = await contact(rig, enrollments=[at(rig, completed=HOUR)], unknown=True)
        assert isinstance(outcome, Receipt)
        assert outcome.refs.person[SENT] == "sent"
        assert events(rig) == [OCCURRENCE]
        assert rig.emulator.journal[-1].query == {"count": "1000"}

    async def test_an_unknown_end_without_the_event_tells_it(self, rig: Rig) -> None:
        """The request never arrived; other events of the member are no proof."""
        acting(rig, EVENT)
        other = {"name": "course_completed", "properties": {"bridge_key": "9:law:completed"}}
        rig.emulator.members[LIST] = {ADAS: Member(str(ADA.email), "subscribed", 1, events=[other, {"name": "x"}])}
        await contact(rig, enrollments=[at(rig, completed=HOUR)], unknown=True)
        assert [event["properties"]["bridge_key"] for event in rig.emulator.members[LIST][ADAS].events[:2]] == [
            OCCURRENCE,
            "9:law:completed",
        ]

    async def test_a_look_up_that_fails_tells_nothing(self, rig: Rig) -> None:
        """Better late than twice."""
        acting(rig, EVENT)
        rig.emulator.now_fails("status", path="/events", method="GET", times=1)
        outcome = await contact(rig, enrollments=[at(rig, completed=HOUR)], unknown=True)
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "outage"
        assert events(rig) == []

    @pytest.mark.parametrize("mode", ["status", "cut"])
    async def test_what_was_told_before_a_failure_is_kept(self, rig: Rig, mode: Any) -> None:
        """The next try goes on with the second event."""
        acting(rig, EVENT, {**EVENT, "name": "certificate_due"})
        rig.emulator.now_fails(mode, path="/events", after=1, times=1)
        outcome = await contact(rig, enrollments=[at(rig, completed=HOUR)])
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.applied) == ("outage", "unknown")
        assert outcome.refs == Refs({SENT: "sent"})
        await contact(rig, enrollments=[at(rig, completed=HOUR)], refs=outcome.refs, unknown=True)
        assert events(rig) == [OCCURRENCE, OCCURRENCE]

    async def test_what_is_long_past_is_not_told(self, rig: Rig) -> None:
        """An action that is added today is silent about last year, and the receipt notes it."""
        clock = acting(rig, EVENT)
        enrollments = [at(rig, completed=timedelta(days=7))]
        assert isinstance(await contact(rig, enrollments=enrollments), Receipt)
        assert events(rig) == [OCCURRENCE]
        clock.move(1)
        outcome = await contact(rig, enrollments=enrollments)
        assert outcome == Receipt(Refs({"member": ADAS}), "1 too old to be told as an event")
        assert events(rig) == [OCCURRENCE]

    async def test_an_event_goes_to_the_list_of_the_course(self, rig: Rig) -> None:
        """Automations live there."""
        acting(rig, EVENT)
        law = replace(at(rig, completed=HOUR), table=rig.tables({"list_id": OTHER_LIST})[0])
        await contact(rig, enrollments=[law])
        assert events(rig, OTHER_LIST) == [OCCURRENCE]
        assert events(rig) == []

    async def test_no_event_without_its_member(self, rig: Rig) -> None:
        """A list that refuses the person hears of no event."""
        acting(rig, EVENT)
        rig.emulator.compliance.add(str(ADA.email).lower())
        await contact(rig, enrollments=[at(rig, completed=HOUR)])
        assert [method for method, _ in requests_of(rig)] == ["PUT"]

    async def test_a_member_that_vanished_before_the_event_is_tried_later(self, rig: Rig) -> None:
        """The next try writes it again first."""
        acting(rig, EVENT)
        rig.emulator.now_fails("status", path="/events", status=404, body=problem("Resource Not Found", 404))
        outcome: Outcome = await contact(rig, enrollments=[at(rig, completed=HOUR)])
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "busy"


class TestSettings:
    """What can't be meant is found before the first learner."""

    @pytest.mark.parametrize(
        ("action", "words"),
        [
            ({"object": "deal", "fields": {"A": "b"}}, "'member', 'tags', 'event'"),
            ({"object": "member", "fields": {}}, "at least 1 item"),
            ({"object": "member", "fields": {"COURSE": "{course.name}"}}, r"COURSE: course\.name is not known"),
            ({"object": "member", "fields": {"COURSE": "{course.key"}}, "COURSE: has a brace too many or too few"),
            ({"object": "tags"}, "does nothing; expected add or remove"),
            ({"object": "tags", "add": ["ok", "{lerner.email}"]}, r"add\[1\]: lerner\.email is not known"),
            ({"object": "tags", "remove": ["{course.tag}"]}, r"remove\[0\]: course\.tag is not known"),
            ({"object": "event", "name": "x"}, "at least 2 characters"),
            ({"object": "event", "name": "x" * 31}, "at most 30 characters"),
            ({"object": "event", "name": "ok", "properties": {"bridge_key": "1"}}, "bridge_key is the bridge's own"),
            (
                {"object": "event", "name": "ok", "properties": {"a": "{order.x}"}},
                r"properties\.a: order\.x is not known",
            ),
            ({"object": "event", "name": "ok", "within": "a week"}, "expected a duration"),
            (
                {
                    "object": "tags",
                    "add": ["x"],
                    "only_if": [{"any": [{"field": "deal.x", "operator": "equal_to", "value": 1}]}],
                },
                r"only_if: deal\.x is not known",
            ),
        ],
    )
    def test_a_fault_names_its_field(self, action: dict[str, Any], words: str) -> None:
        """The operator reads where it is, and what is expected."""
        with pytest.raises(ValidationError, match=words):
            settings(actions=[{"on": ["enrolled"], **action}])

    def test_a_milestone_that_does_not_exist_is_a_fault(self) -> None:
        """Spelt like none of ours."""
        with pytest.raises(ValidationError, match="'enrolled', 'updated'"):
            settings(actions=[{"on": "enroled", "object": "tags", "add": ["x"]}])
