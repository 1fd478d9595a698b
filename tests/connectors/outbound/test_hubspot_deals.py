"""Deals and actions at HubSpot: one deal for each registration, joined to the contact, written when it changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from bridge.contract.command import Learner
from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, TryLater
from bridge.contract.settings import Milestone
from bridge.kit.clock import SystemClock
from connectors.outbound.hubspot import HubspotSettings
from tests.connectors.outbound.hubspot_rig import (
    DEALS,
    KEY,
    OnTheRig,
    Ticking,
    brought,
    configured,
    enrolled,
    paths,
    problem,
    receipt,
    sandbox,
    with_deals,
    without_key,
)
from tests.suites.outbound import ADA, BOB, Rig

WRITE, JOIN = ("POST", "/deals/batch/upsert"), ("POST", "/join/associate/default")
CONTACT = ("POST", "/contacts/batch/upsert")


def held(rig: Rig, registration_id: int = 7) -> dict[str, str]:
    """What the deal of a registration holds, without our key."""
    deal = sandbox(rig).deal(registration_id)
    assert deal is not None
    return {name: value for name, value in deal.properties.items() if name != KEY}


class TestMapping(OnTheRig):
    """What a deal is made of."""

    async def test_the_requests_are_the_documented_ones(self, rig: Rig) -> None:
        """Our key is id, property and trace id of the deal; it is joined by the association without a label."""
        await brought(with_deals(rig), enrolled(rig))
        assert paths(rig) == [CONTACT, WRITE, JOIN]
        _, written, joined = rig.emulator.journal
        assert written.path == f"{DEALS}/batch/upsert"
        key = "bridge-registration-7"
        properties = {
            "dealname": "Introduction to Continuing Education",
            "amount": "49.90",
            "description": "active",
            KEY: key,
        }
        assert written.json == {
            "inputs": [{"id": key, "idProperty": KEY, "objectWriteTraceId": key, "properties": properties}]
        }
        assert joined.json == {"inputs": [{"from": {"id": "9001"}, "to": {"id": "512"}}]}
        assert sandbox(rig).associations == {("9001", "512")}

    async def test_the_receipt_remembers_deal_content_and_contact(self, rig: Rig) -> None:
        """The next delivery sees from it that there is nothing to do."""
        refs = receipt(await brought(with_deals(rig), enrolled(rig)))
        number, fingerprint, contact = refs.person["deal:7"].split(" ")
        assert (number, contact) == ("9001", refs.person["contact"])
        assert len(fingerprint) == 12

    async def test_a_registration_that_was_never_enrolled_has_no_deal(self, rig: Rig) -> None:
        """The mapping begins with `enrolled`; without milestones there is only the contact."""
        await brought(with_deals(rig), rig.enrollment())
        assert paths(rig) == [CONTACT]
        assert sandbox(rig).deals == {}

    async def test_each_registration_has_its_own(self, rig: Rig) -> None:
        """All of a person's deals go in one call."""
        await brought(with_deals(rig), enrolled(rig, 7), enrolled(rig, 8, course="ethics"))
        assert paths(rig) == [CONTACT, WRITE, JOIN]
        assert len(sandbox(rig).deals) == 2
        assert {contact for _, contact in sandbox(rig).associations} == {"512"}

    async def test_the_courses_of_a_bundle_share_one(self, rig: Rig) -> None:
        """What was bought is one thing; of two courses that say different things the later one counts."""
        course = replace(rig.enrollment().course, title="Ethics")
        await brought(with_deals(rig), enrolled(rig), replace(enrolled(rig), course=course))
        assert len(sandbox(rig).deals) == 1
        assert held(rig)["dealname"] == "Ethics"

    async def test_a_courses_table_adds_to_the_mapping_and_replaces_its_lines(self, rig: Rig) -> None:
        """Deals of this course go to their own pipeline."""
        table = {"pipeline": "education", "dealstage": "enrolled", "dealname": "Course: {course.title}"}
        await brought(with_deals(rig), enrolled(rig, table=table), enrolled(rig, 8))
        assert (held(rig)["pipeline"], held(rig)["dealstage"]) == ("education", "enrolled")
        assert held(rig)["dealname"] == "Course: Introduction to Continuing Education"
        assert held(rig)["amount"] == "49.90"
        assert "pipeline" not in held(rig, 8)

    async def test_a_courses_table_alone_makes_deals_of_that_course(self, rig: Rig) -> None:
        """Without a mapping of the target, other courses have none."""
        rig = with_deals(rig, deal={})
        await brought(rig, enrolled(rig, 7, table={"dealname": "{course.title}"}), enrolled(rig, 8))
        assert sandbox(rig).deal(7) is not None
        assert sandbox(rig).deal(8) is None

    async def test_the_key_may_have_another_name(self, rig: Rig) -> None:
        """Two bridges at one account keep their deals apart by it."""
        sandbox(rig).schema.define("deals", "other_bridge", unique=True)
        await brought(with_deals(rig, deal_key="other_bridge"), enrolled(rig))
        (deal,) = sandbox(rig).deals.values()
        assert deal.properties["other_bridge"] == "bridge-registration-7"
        assert KEY not in deal.properties

    async def test_date_versions_have_other_paths(self, rig: Rig) -> None:
        """The version moves behind the kind of address, for deals and what joins them too."""
        await brought(with_deals(rig, api_version="2026-03"), enrolled(rig))
        assert [seen.path for seen in rig.emulator.journal] == [
            "/crm/objects/2026-03/contacts/batch/upsert",
            "/crm/objects/2026-03/deals/batch/upsert",
            "/crm/associations/2026-03/deals/contacts/batch/associate/default",
        ]
        assert sandbox(rig).associations == {("9001", "512")}


class TestActions(OnTheRig):
    """What an operator wants to be done at a milestone."""

    DONE: ClassVar = {"on": "completed", "object": "deal", "fields": {"dealstage": "closedwon"}}

    async def test_an_action_on_a_contact_joins_the_one_upsert(self, rig: Rig) -> None:
        """The mapping first, then what happened, in the order of time; unmapped properties are not sent."""
        sandbox(rig).schema.define("contacts", "completed_on", "datetime")
        fields = {"last_course_state": "done", "completed_on": "{registration.completed_at}"}
        mapping = {"last_course_state": "{registration.state}"}
        action = {"on": ["completed"], "object": "contact", "fields": fields}
        configured(rig, contact=mapping, actions=[action])
        await brought(rig, enrolled(rig, 7, Milestone.STARTED, Milestone.COMPLETED))
        assert paths(rig) == [CONTACT]
        (sent,) = rig.emulator.journal[0].json["inputs"]
        assert sent["properties"] == {
            "email": "ada.lovelace@example.org",
            "last_course_state": "done",
            "completed_on": "2026-11-24T10:00:00Z",
        }

    async def test_an_action_waits_for_its_milestone(self, rig: Rig) -> None:
        """Before it, only the mapping counts; after it, what the action says."""
        rig = with_deals(rig, deal={"dealstage": "contractsent"}, actions=[self.DONE])
        refs = receipt(await brought(rig, enrolled(rig)))
        assert held(rig) == {"dealstage": "contractsent"}
        await brought(rig, enrolled(rig, 7, Milestone.COMPLETED), refs=refs)
        assert held(rig) == {"dealstage": "closedwon"}
        assert len(sandbox(rig).deals) == 1

    async def test_an_action_may_be_the_first_to_want_a_deal(self, rig: Rig) -> None:
        """Without a mapping, a deal is made when the action applies."""
        rig = with_deals(rig, deal={}, actions=[self.DONE])
        await brought(rig, enrolled(rig))
        assert sandbox(rig).deals == {}
        await brought(rig, enrolled(rig, 7, Milestone.COMPLETED))
        assert held(rig) == {"dealstage": "closedwon"}

    async def test_conditions_choose_the_registrations(self, rig: Rig) -> None:
        """One of several is enough where the operator says `any`."""
        either = [
            {"field": "course.key", "operator": "equal_to", "value": "ethics"},
            {"field": "order.total", "operator": "greater_than", "value": 100},
        ]
        action = {"on": "enrolled", "object": "deal", "fields": {"dealname": "yes"}, "only_if": [{"any": either}]}
        rig = with_deals(rig, deal={}, actions=[action])
        await brought(rig, enrolled(rig, 7), enrolled(rig, 8, course="ethics"))
        assert sandbox(rig).deal(7) is None
        assert held(rig, 8) == {"dealname": "yes"}

    async def test_a_cancelled_purchase_changes_its_deal(self, rig: Rig) -> None:
        """The deal stays, with the state of the registration."""
        rig = with_deals(
            rig, actions=[{"on": "cancelled", "object": "deal", "fields": {"dealstage": "closedlost", "amount": "0"}}]
        )
        refs = receipt(await brought(rig, enrolled(rig)))
        await brought(rig, enrolled(rig, 7, Milestone.CANCELLED, state="cancelled"), refs=refs)
        assert (held(rig)["dealstage"], held(rig)["description"], held(rig)["amount"]) == (
            "closedlost",
            "cancelled",
            "0",
        )


class TestOnlyWhatChanged(OnTheRig):
    """What a colleague did at HubSpot is left alone."""

    async def test_an_unchanged_deal_is_not_written_again(self, rig: Rig) -> None:
        """A stage moved by hand stays where it is, though the contact changes."""
        rig = with_deals(rig, deal={"dealname": "{course.title}", "dealstage": "contractsent"})
        refs = receipt(await brought(rig, enrolled(rig)))
        deal = sandbox(rig).deal(7)
        assert deal is not None
        deal.properties |= {"dealstage": "closedwon", "dealtype": "newbusiness"}
        rig.emulator.journal.clear()
        married = ADA.model_copy(update={"last_name": "King"})
        again = receipt(await brought(rig, enrolled(rig), learner=married, refs=refs))
        assert paths(rig) == [CONTACT]
        assert deal.properties["dealstage"] == "closedwon"
        assert again.person == refs.person

    async def test_only_the_deal_that_changed_is_written(self, rig: Rig) -> None:
        """And only what is mapped of it: everything else on it stays."""
        refs = receipt(await brought(with_deals(rig), *(enrolled(rig, n) for n in range(1, 6))))
        other = sandbox(rig).deal(3)
        assert other is not None
        other.properties["dealtype"] = "newbusiness"
        rig.emulator.journal.clear()
        now = [enrolled(rig, n, state="cancelled" if n == 3 else "active") for n in range(1, 6)]
        await brought(rig, *now, refs=refs)
        assert paths(rig) == [CONTACT, WRITE]
        assert [one["id"] for one in rig.emulator.journal[1].json["inputs"]] == ["bridge-registration-3"]
        assert (held(rig, 3)["description"], held(rig, 3)["dealtype"]) == ("cancelled", "newbusiness")

    async def test_a_deleted_deal_is_made_again_only_when_it_changes(self, rig: Rig) -> None:
        """And then it is joined again, because it is another one."""
        refs = receipt(await brought(with_deals(rig), enrolled(rig)))
        sandbox(rig).deals.clear()
        refs = receipt(await brought(rig, enrolled(rig), refs=refs))
        assert sandbox(rig).deals == {}
        refs = receipt(await brought(rig, enrolled(rig, state="cancelled"), refs=refs))
        assert refs.person["deal:7"].startswith("9002 ")
        assert ("9002", "512") in sandbox(rig).associations

    async def test_a_contact_that_was_made_again_gets_its_deals_back(self, rig: Rig) -> None:
        """The deal itself is not written."""
        refs = receipt(await brought(with_deals(rig), enrolled(rig)))
        sandbox(rig).contacts.clear()
        rig.emulator.journal.clear()
        refs = receipt(await brought(rig, enrolled(rig), refs=refs))
        assert paths(rig) == [CONTACT, JOIN]
        assert refs.person["contact"] == "513"
        assert refs.person["deal:7"].endswith(" 513")
        assert ("9001", "513") in sandbox(rig).associations

    async def test_a_deal_that_is_gone_when_it_is_to_be_joined_is_noted(self, rig: Rig) -> None:
        """A colleague deleted it; it is asked for once, and not with every later delivery."""
        refs = receipt(await brought(with_deals(rig), enrolled(rig)))
        sandbox(rig).contacts.clear()
        sandbox(rig).deals.clear()
        outcome = await brought(rig, enrolled(rig), refs=refs)
        assert isinstance(outcome, Receipt)
        assert "deal 9001 is gone" in outcome.note
        rig.emulator.journal.clear()
        await brought(rig, enrolled(rig), refs=outcome.refs)
        assert paths(rig) == [CONTACT]


class TestTrouble(OnTheRig):
    """Faults on the way, and what the next try goes on from."""

    @pytest.mark.parametrize("nth", [0, 1, 2])
    async def test_an_answer_lost_at_any_request_leaves_one_deal(self, rig: Rig, nth: int) -> None:
        """What was learnt before it is kept, the next try goes on from there, and nothing is there twice."""
        rig = with_deals(rig)
        rig.emulator.now_fails("lost", after=nth, times=1)
        refs = Refs()
        if nth:
            lost = await brought(rig, enrolled(rig))
            assert isinstance(lost, TryLater), lost
            assert (lost.applied, lost.cause) == ("unknown", "outage")
            assert lost.refs.person["contact"] == "512"
            assert ("deal:7" in lost.refs.person) is (nth == 2)
            refs = lost.refs
        else:
            with pytest.raises(AnswerLost):
                await brought(rig, enrolled(rig))
        rig.emulator.journal.clear()
        done = await brought(rig, enrolled(rig), refs=refs, unknown=True)
        assert isinstance(done, Receipt), done
        assert paths(rig) == ([CONTACT, JOIN] if nth == 2 else [CONTACT, WRITE, JOIN])
        assert len(sandbox(rig).contacts) == len(sandbox(rig).deals) == len(sandbox(rig).associations) == 1

    async def test_an_outage_at_the_deals_keeps_the_contact(self, rig: Rig) -> None:
        """The person's outcome is the deal's; the contact's id stands on it."""
        rig.emulator.now_fails("status", status=503, path="deals/batch/upsert")
        outcome = await brought(with_deals(rig), enrolled(rig))
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.applied) == ("outage", "unknown")
        assert outcome.refs.person == {"contact": "512", "email": "ada.lovelace@example.org"}

    async def test_deals_that_cannot_be_reached_at_all_had_no_effect(self, rig: Rig) -> None:
        """The same for a connection that breaks off."""
        rig.emulator.now_fails("cut", path="deals/batch/upsert")
        outcome = await brought(with_deals(rig), enrolled(rig))
        assert isinstance(outcome, TryLater)
        assert outcome.refs.person["contact"] == "512"
        assert sandbox(rig).deals == {}

    async def test_one_bad_deal_of_a_batch_is_isolated(self, rig: Rig) -> None:
        """Bob's deal is refused, everybody else's is there and joined."""
        rig = with_deals(rig, deal={"dealname": "{learner.first_name}", "dealtype": "{learner.attributes.kind}"})
        good = BOB.model_copy(update={"email": "eve@example.org", "attributes": {"kind": "newbusiness"}})
        bad = BOB.model_copy(update={"attributes": {"kind": "barter"}})
        works = [
            rig.work(Operation.CONTACT, one, enrollments=(enrolled(rig, n),), key=f"contact-{n}")
            for n, one in enumerate((good, bad, ADA))
        ]
        outcomes = await rig.deliver(works)
        assert [type(one) for one in outcomes] == [Receipt, Refused, Receipt]
        assert isinstance(outcomes[1], Refused)
        assert outcomes[1].why.startswith("HubSpot does not know a value that is to be chosen from its list")
        assert "barter" not in outcomes[1].why  # a learner's data
        assert outcomes[1].refs.person["email"] == "bob@example.org"
        assert paths(rig) == [CONTACT, WRITE, WRITE, JOIN]
        assert len(sandbox(rig).associations) == 2

    @pytest.mark.parametrize("status", [400, 409])
    async def test_a_batch_of_deals_refused_whole_is_sent_one_by_one(self, rig: Rig, status: int) -> None:
        """HubSpot does not say which one it was."""
        body = problem("VALIDATION_ERROR")
        rig.emulator.now_fails("status", times=1, status=status, body=body, path="deals/batch/upsert")
        outcome = await brought(with_deals(rig), enrolled(rig, 1), enrolled(rig, 2))
        assert isinstance(outcome, Receipt)
        assert paths(rig) == [CONTACT, WRITE, WRITE, WRITE, JOIN]

    async def test_a_refused_deal_does_not_keep_another_from_being_remembered(self, rig: Rig) -> None:
        """Of one person's two deals one went through; the next try sends only the other."""
        rig = with_deals(rig, deal={"dealstage": "{course.key}"})
        outcome = await brought(rig, enrolled(rig, 1, course="closedwon"), enrolled(rig, 2, course="nowhere"))
        assert isinstance(outcome, Refused)
        assert "deal:1" in outcome.refs.person
        assert "deal:2" not in outcome.refs.person
        rig.emulator.journal.clear()
        again = await brought(
            rig, enrolled(rig, 1, course="closedwon"), enrolled(rig, 2, course="closedlost"), refs=outcome.refs
        )
        assert isinstance(again, Receipt)
        assert [one["id"] for one in rig.emulator.journal[1].json["inputs"]] == ["bridge-registration-2"]

    async def test_what_may_pass_goes_before_what_will_not(self, rig: Rig) -> None:
        """A person with a refused deal and a locked one is tried again first: the repeat mends a part."""
        rig = with_deals(rig, deal={"dealstage": "{course.key}"})
        rig.emulator.now_fails("status", times=1, status=400, body=problem("VALIDATION_ERROR"), path="deals/batch")
        rig.emulator.now_fails("status", times=1, after=1, status=423, body=problem("LOCKED"), path="deals/batch")
        outcome = await brought(rig, enrolled(rig, 1, course="nowhere"), enrolled(rig, 2, course="closedwon"))
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.scope) == ("busy", "delivery")

    async def test_a_limit_at_the_deals_holds_the_lane(self, rig: Rig) -> None:
        """People whose contact is there and who have no deal are done."""
        limited = problem("RATE_LIMITS", policyName="TEN_SECONDLY_ROLLING")
        rig.emulator.now_fails("status", status=429, body=limited, path="deals/batch/upsert")
        rig = with_deals(rig)
        works = [rig.work(Operation.CONTACT, ADA, enrollments=(enrolled(rig),)), rig.work(Operation.CONTACT, BOB)]
        held_back, done = await rig.deliver(works)
        assert isinstance(held_back, TryLater)
        assert (held_back.scope, held_back.cause, held_back.after) == ("lane", "throttled", 10.0)
        assert isinstance(done, Receipt)

    async def test_a_contact_that_is_refused_has_no_deal(self, rig: Rig) -> None:
        """There is nobody to join it to."""
        sandbox(rig).invalid = {"ada.lovelace@example.org"}
        outcome = await brought(with_deals(rig), enrolled(rig))
        assert isinstance(outcome, Refused)
        assert outcome.why.startswith("HubSpot does not take the learner's e-mail address.")
        assert sandbox(rig).deals == {}

    async def test_a_missing_scope_for_deals_is_named(self, rig: Rig) -> None:
        """The contact is there; the lane waits for the operator."""
        sandbox(rig).scopes -= {"crm.objects.deals.write"}
        outcome = await brought(with_deals(rig), enrolled(rig))
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert "crm.objects.deals.write" in outcome.why
        assert outcome.refs.person["contact"] == "512"

    @pytest.mark.parametrize("there", [False, True])
    async def test_without_the_unique_property_no_deal_is_made(self, rig: Rig, there: bool) -> None:
        """Not one that could not be found again; the operator learns how to get the property."""
        rig = without_key(rig)
        if there:
            sandbox(rig).schema.define("deals", KEY)
        outcome = await brought(rig, enrolled(rig))
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        assert outcome.why.startswith("HubSpot can't tell our deals apart")
        assert "bridge doctor --fix" in outcome.remedy
        assert sandbox(rig).deals == {}

    async def test_many_deals_go_in_several_calls(self, rig: Rig) -> None:
        """A hundred a request, which is the most that HubSpot takes."""
        outcome = await brought(with_deals(rig), *(enrolled(rig, n) for n in range(1, 251)))
        assert isinstance(outcome, Receipt)
        assert paths(rig) == [CONTACT, WRITE, WRITE, WRITE, JOIN, JOIN, JOIN]
        assert len(sandbox(rig).deals) == len(sandbox(rig).associations) == 250

    async def test_what_has_no_turn_before_the_deadline_goes_on_next_time(self, rig: Rig) -> None:
        """Whatever was confirmed is not written again."""
        rig = with_deals(rig)
        rig.connector._clock = Ticking(SystemClock().now())
        everything = [enrolled(rig, n) for n in range(1, 251)]
        first = await brought(rig, *everything)
        assert isinstance(first, TryLater)
        assert first.scope == "delivery"
        assert 100 <= len(sandbox(rig).deals) < 250
        configured(rig)
        rig.emulator.journal.clear()
        assert isinstance(await brought(rig, *everything, refs=first.refs), Receipt)
        written = [
            one["id"]
            for seen in rig.emulator.journal
            if seen.path.endswith("deals/batch/upsert")
            for one in seen.json["inputs"]
        ]
        assert 0 < len(written) < 250
        assert len(sandbox(rig).deals) == len(sandbox(rig).associations) == 250

    @pytest.mark.parametrize("status", [400, 404])
    async def test_a_join_refused_whole_is_asked_one_by_one(self, rig: Rig, status: int) -> None:
        """It isolates the pair that is to blame."""
        body = problem("OBJECT_NOT_FOUND" if status == 404 else "VALIDATION_ERROR")
        rig.emulator.now_fails("status", status=status, body=body, path="associate/default")
        outcome = await brought(with_deals(rig), enrolled(rig, 1), enrolled(rig, 2))
        assert isinstance(outcome, Receipt)
        assert [method for method, _ in paths(rig)] == ["POST", "POST", "POST", "PUT", "PUT"]
        last = rig.emulator.journal[-1]
        assert last.path == "/crm/v4/objects/deals/9002/associations/default/contacts/512"
        assert last.body == b""
        assert len(sandbox(rig).associations) == 2

    async def test_a_deal_that_is_not_found_right_after_it_was_written_is_tried_later(self, rig: Rig) -> None:
        """HubSpot confirmed it a moment ago; it is written, and only the joining is left."""
        rig.emulator.now_fails("status", status=404, body=problem("OBJECT_NOT_FOUND"), path="/associat")
        outcome = await brought(with_deals(rig), enrolled(rig))
        assert isinstance(outcome, TryLater)
        assert (outcome.cause, outcome.scope) == ("busy", "delivery")
        rig.emulator.recovers()
        rig.emulator.journal.clear()
        assert isinstance(await brought(rig, enrolled(rig), refs=outcome.refs), Receipt)
        assert paths(rig) == [CONTACT, JOIN]

    async def test_a_wrong_address_for_joining_is_the_lanes_trouble(self, rig: Rig) -> None:
        """A page that is not HubSpot's says nothing of a deal."""
        rig.emulator.now_fails("status", status=404, body="<html>not found</html>", path="/associat")
        outcome = await brought(with_deals(rig), enrolled(rig))
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"

    async def test_a_page_of_html_in_place_of_a_deal_is_no_receipt(self, rig: Rig) -> None:
        """Neither for the deal nor for what joins it."""
        for path in ("deals/batch/upsert", "/associat"):
            fault = rig.emulator.now_fails("garbage", path=path)
            outcome = await brought(with_deals(rig), enrolled(rig))
            assert isinstance(outcome, TryLater)
            assert (outcome.cause, outcome.applied) == ("outage", "unknown")
            rig.emulator.recovers(fault)

    async def test_two_works_of_one_address_bring_the_deals_of_both(self, rig: Rig) -> None:
        """The contact is sent once, and no deal is forgotten over it."""
        rig = with_deals(rig)
        shouting: Learner = ADA.model_copy(update={"email": str(ADA.email).upper()})
        works = [
            rig.work(Operation.CONTACT, ADA, enrollments=(enrolled(rig, 1),)),
            rig.work(Operation.CONTACT, shouting, enrollments=(enrolled(rig, 2),)),
        ]
        outcomes = await rig.deliver(works)
        assert outcomes[0] == outcomes[1]
        assert {"deal:1", "deal:2"} <= set(receipt(outcomes[0]).person)
        assert len(sandbox(rig).contacts) == 1


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"deal": {KEY: "{learner.email}"}}, "deal: bridge_registration_key: is always sent"),
        ({"deal": {"dealname": "{course.titel}"}}, "course.titel"),
        ({"deal_key": "Bridge Key"}, "deal_key"),
        ({"actions": [{"on": "completed", "object": "deal", "fields": {}}]}, "actions.0.deal.fields"),
        ({"actions": [{"on": "completed", "object": "ticket", "fields": {"a": "b"}}]}, "'contact', 'deal'"),
        ({"actions": [{"on": "finished", "object": "deal", "fields": {"a": "b"}}]}, "completed"),
        ({"actions": [{"on": "completed", "object": "deal", "fields": {"a": "{b"}}]}, "a: has a brace too many"),
        ({"actions": [{"on": "completed", "object": "contact", "fields": {"email": "x"}}]}, "email: is always sent"),
        (
            {"actions": [{"on": "completed", "object": "deal", "fields": {KEY: "x"}}]},
            f"actions.0: {KEY}: is always sent",
        ),
        (
            {
                "actions": [
                    {
                        "on": "completed",
                        "object": "deal",
                        "fields": {"a": "b"},
                        "only_if": [{"field": "course.kee", "operator": "equal_to", "value": "x"}],
                    }
                ]
            },
            "only_if: course.kee is not known",
        ),
    ],
)
def test_a_setting_that_cannot_be_meant_is_a_fault(setting: dict[str, Any], named: str) -> None:
    """`bridge check` names the field, and what was expected."""
    with pytest.raises(ValidationError) as fault:
        HubspotSettings(connector="hubspot", token="t", **setting)
    assert named in str(fault.value)
