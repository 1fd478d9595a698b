"""What the doctor finds in a HubSpot account, and what ``--fix`` makes there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bridge.contract.outbound import Finding, Receipt
from bridge.contract.settings import Milestone
from connectors.outbound.hubspot.settings import HubspotCourse
from connectors.sandbox.hubspot.schema import options
from tests.connectors.outbound.hubspot_rig import (
    DEAL,
    KEY,
    OnTheRig,
    brought,
    configured,
    enrolled,
    paths,
    problem,
    sandbox,
    with_deals,
    without_key,
)
from tests.suites.outbound import Rig

GROUP = "registration_bridge"


async def examined(rig: Rig, *courses: Mapping[str, str], fix: bool = False) -> dict[str, Finding]:
    """What was found, by what was looked at; nothing is looked at twice."""
    found = await rig.connector.examine([HubspotCourse(deal=dict(one)) for one in courses], fix=fix)
    assert len({one.what for one in found}) == len(found)
    return {one.what: one for one in found}


async def wrong(rig: Rig, *courses: Mapping[str, str], fix: bool = False) -> list[Finding]:
    """The faults; each says what to do."""
    found = [one for one in (await examined(rig, *courses, fix=fix)).values() if not one.ok]
    assert all(one.remedy.endswith(".") and one.said for one in found)
    return found


class TestReading(OnTheRig):
    """Looking changes nothing."""

    async def test_a_well_kept_account_without_deals_needs_two_reads(self, rig: Rig) -> None:
        """Nothing is asked of deals where none are mapped."""
        found = await examined(rig)
        assert paths(rig) == [("GET", "/contacts"), ("GET", "/crm/v3/properties/contacts")]
        assert set(found) == {
            "scope crm.objects.contacts.read",
            "scope crm.schemas.contacts.read",
            "property firstname of contacts",
            "property lastname of contacts",
        }
        assert all(one.ok for one in found.values())

    async def test_a_well_kept_account_with_deals(self, rig: Rig) -> None:
        """Pipelines, stages, options and the key are looked at too, of the target, courses and actions."""
        actions = [
            {"on": "completed", "object": "deal", "fields": {"dealstage": "finished", "dealtype": "newbusiness"}}
        ]
        rig = with_deals(rig, deal={**DEAL, "dealstage": "contractsent"}, actions=actions)
        found = await examined(rig, {"pipeline": "education", "dealstage": "enrolled"})
        assert all(one.ok for one in found.values())
        assert {
            f"property {KEY} of deals",
            "property amount of deals",
            "property pipeline of deals",
            "option newbusiness of property dealtype of deals",
            "pipeline education",
            "deal stage contractsent of pipeline default",
            "deal stage enrolled of pipeline education",
            "deal stage finished",
            "scope crm.objects.deals.read",
            "scope crm.schemas.deals.read",
        } <= set(found)
        assert {method for method, _ in paths(rig)} == {"GET"}

    async def test_a_property_that_does_not_exist_is_named(self, rig: Rig) -> None:
        """Without --fix nothing is made."""
        (fault,) = await wrong(configured(rig, contact={"shoe_size": "{learner.phone}"}))
        assert fault.what == "property shoe_size of contacts"
        assert fault.fixable
        assert "--fix" in fault.remedy
        assert "shoe_size" not in sandbox(rig).schema.defined["contacts"]

    async def test_a_property_of_an_action_is_looked_at(self, rig: Rig) -> None:
        """As those of the mapping are."""
        action = {"on": "completed", "object": "contact", "fields": {"course_status": "done"}}
        (fault,) = await wrong(configured(rig, actions=[action]))
        assert fault.what == "property course_status of contacts"

    @pytest.mark.parametrize("how", [{"read_only": True}, {"calculated": True}], ids=["read-only value", "calculated"])
    async def test_a_property_that_nobody_may_write_is_named(self, rig: Rig, how: dict[str, Any]) -> None:
        """It can't be mended by making anything."""
        sandbox(rig).schema.define("contacts", "score", "number", **how)
        (fault,) = await wrong(configured(rig, contact={"score": "{registration.percent}"}))
        assert (fault.what, fault.fixable) == ("property score of contacts", False)

    async def test_a_deleted_property_is_missing(self, rig: Rig) -> None:
        """HubSpot may list it, and takes no value for it."""
        sandbox(rig).schema.define("contacts", "old", archived=True)
        (fault,) = await wrong(configured(rig, contact={"old": "x"}))
        assert fault.what == "property old of contacts"

    async def test_a_value_that_is_no_option_is_named(self, rig: Rig) -> None:
        """Where it is the same for everybody, it can be told; a template's value can't."""
        values = {"lifecyclestage": "graduate", "last_course": "{course.title}"}
        action = {"on": "completed", "object": "contact", "fields": {"lifecyclestage": "{registration.state}"}}
        (fault,) = await wrong(configured(rig, contact=values, actions=[action]))
        assert fault.what == "option graduate of property lifecyclestage of contacts"
        assert "lead (Lead), customer (Customer)" in fault.remedy

    async def test_several_values_are_looked_at_one_by_one(self, rig: Rig) -> None:
        """A property of checkboxes takes them joined by semicolons; one with options elsewhere can't be looked at."""
        schema = sandbox(rig).schema
        schema.define("contacts", "topics", "enumeration", options=options("ethics", "forum"), fieldType="checkbox")
        schema.define("contacts", "owner", "enumeration", externalOptions=True)
        (fault,) = await wrong(configured(rig, contact={"topics": "ethics;physics", "owner": "17"}))
        assert fault.what == "option physics of property topics of contacts"

    async def test_a_key_that_need_not_be_unique_is_a_fault(self, rig: Rig) -> None:
        """HubSpot can't change that any more, so --fix can't either."""
        sandbox(rig).schema.define("deals", KEY)
        (fault,) = await wrong(configured(rig, deal=DEAL), fix=True)
        assert (fault.what, fault.fixable) == (f"property {KEY} of deals", False)
        assert "deal_key" in fault.remedy

    async def test_a_pipeline_that_does_not_exist_is_named_once(self, rig: Rig) -> None:
        """Its stage is not looked for."""
        (fault,) = await wrong(with_deals(rig), {"pipeline": "nonesuch", "dealstage": "enrolled"})
        assert fault.what == "pipeline nonesuch"
        assert "default (Sales pipeline), education (Education)" in fault.remedy

    async def test_a_stage_of_another_pipeline_is_named(self, rig: Rig) -> None:
        """HubSpot would refuse every deal of that course."""
        (fault,) = await wrong(with_deals(rig), {"pipeline": "education", "dealstage": "closedwon"})
        assert fault.what == "deal stage closedwon of pipeline education"
        assert "enrolled (Enrolled), finished (Finished)" in fault.remedy

    async def test_a_stage_without_a_pipeline_is_one_of_the_default(self, rig: Rig) -> None:
        """Which is where HubSpot puts a deal that names none."""
        (fault,) = await wrong(with_deals(rig, deal={"dealstage": "enrolled"}))
        assert fault.what == "deal stage enrolled of pipeline default"

    async def test_an_actions_stage_has_to_be_in_some_pipeline(self, rig: Rig) -> None:
        """Which one depends on the course."""
        action = {"on": "completed", "object": "deal", "fields": {"dealstage": "won"}}
        (fault,) = await wrong(with_deals(rig, actions=[action]))
        assert fault.what == "deal stage won"

    @pytest.mark.parametrize("what", ["objects", "schemas"])
    async def test_a_scope_that_reading_needs_is_named(self, rig: Rig, what: str) -> None:
        """The answer tells which."""
        scope = f"crm.{what}.deals.read"
        sandbox(rig).scopes -= {scope}
        faults = await wrong(with_deals(rig, deal={"dealname": "x"}))
        assert [one.what for one in faults] == [f"scope {scope}"]

    async def test_a_list_that_cannot_be_read_is_a_fault(self, rig: Rig) -> None:
        """The others are looked at all the same."""
        rig.emulator.now_fails("status", status=503, body="<html>no</html>", path="properties/contacts")
        rig.emulator.now_fails("status", status=404, body=problem("OBJECT_NOT_FOUND"), path="pipelines")
        faults = await wrong(with_deals(rig), {"pipeline": "education"})
        assert [one.what for one in faults] == ["properties of contacts", "pipelines of deals"]
        assert "HTTP 503" in faults[0].said
        assert "api_version" in faults[1].remedy

    async def test_date_versions_have_other_paths(self, rig: Rig) -> None:
        """For definitions and pipelines, too."""
        rig = with_deals(rig, api_version="2026-03")
        assert await wrong(rig, {"pipeline": "education"}) == []
        assert {seen.path for seen in rig.emulator.journal} == {
            "/crm/objects/2026-03/contacts",
            "/crm/objects/2026-03/deals",
            "/crm/properties/2026-03/contacts",
            "/crm/properties/2026-03/deals",
            "/crm/pipelines/2026-03/deals",
        }


class TestFixing(OnTheRig):
    """What is missing and can be made is made."""

    async def test_missing_properties_are_made_with_their_group(self, rig: Rig) -> None:
        """Each with a type that fits what is mapped to it; the group is made once for each kind of record."""
        contact = {"course_status": "{registration.state}", "completed_on": "{registration.completed_at}"}
        rig = configured(without_key(rig), contact=contact, deal={**DEAL, "progress_percent": "{registration.percent}"})
        found = await examined(rig, fix=True)
        assert all(one.ok for one in found.values())
        made = {one.what: one.said for one in found.values() if one.fixable}
        assert made == {
            "property course_status of contacts": "created as string",
            "property completed_on of contacts": "created as datetime",
            f"property {KEY} of deals": "created as string",
            "property progress_percent of deals": "created as number",
        }
        schema = sandbox(rig).schema
        assert schema.groups["contacts"][GROUP] == schema.groups["deals"][GROUP] == "Registration bridge"
        key = schema.defined["deals"][KEY]
        assert (key["hasUniqueValue"], key["type"], key["fieldType"], key["groupName"]) == (
            True,
            "string",
            "text",
            GROUP,
        )
        assert schema.defined["deals"]["progress_percent"]["label"] == "Progress percent"
        assert len([seen for seen in rig.emulator.journal if seen.path.endswith("/groups")]) == 2

    async def test_after_the_fix_everything_goes_through(self, rig: Rig) -> None:
        """What the doctor made is what delivering needs."""
        sandbox(rig).schema.defined["contacts"].pop("last_course")
        rig = configured(without_key(rig), contact={"last_course": "{course.title}"})
        await examined(rig, fix=True)
        assert isinstance(await brought(rig, enrolled(rig, 7, Milestone.STARTED)), Receipt)
        assert await wrong(rig) == []

    async def test_fixing_twice_changes_nothing(self, rig: Rig) -> None:
        """The second time there is nothing to make."""
        rig = without_key(rig)
        await examined(rig, fix=True)
        rig.emulator.journal.clear()
        found = await examined(rig, fix=True)
        assert [one for one in found.values() if one.fixable or not one.ok] == []
        assert {method for method, _ in paths(rig)} == {"GET"}

    async def test_a_property_that_somebody_made_meanwhile_is_fine(self, rig: Rig) -> None:
        """409 is a success when it is there."""
        rig = configured(rig, contact={"shoe_size": "{learner.phone}"})
        sandbox(rig).schema.groups["contacts"][GROUP] = "Registration bridge"
        sandbox(rig).schema.define("contacts", "shoe_size")
        rig.emulator.now_fails("status", times=1, status=200, body={"results": []}, path="properties/contacts")
        rig.emulator.now_fails(
            "status", times=1, status=404, body=problem("OBJECT_NOT_FOUND"), path="contacts/shoe_size"
        )
        found = await examined(rig, fix=True)
        assert found["property shoe_size of contacts"].ok
        assert ("POST", "/crm/v3/properties/contacts") in paths(rig)

    async def test_a_name_that_hubspot_still_keeps_is_told(self, rig: Rig) -> None:
        """A deleted property may block its name for a while."""
        sandbox(rig).schema.deleted["contacts"] = {"shoe_size"}
        (fault,) = await wrong(configured(rig, contact={"shoe_size": "{learner.phone}"}), fix=True)
        assert "HTTP 409" in fault.said
        assert "by hand" in fault.remedy

    async def test_the_scope_that_making_needs_is_named(self, rig: Rig) -> None:
        """The finding stays a fault."""
        sandbox(rig).scopes -= {"crm.schemas.contacts.write"}
        (fault,) = await wrong(configured(rig, contact={"shoe_size": "{learner.phone}"}), fix=True)
        assert "crm.schemas.contacts.write" in fault.said
        assert "scopes" in fault.remedy

    async def test_a_name_of_hubspots_own_is_not_made(self, rig: Rig) -> None:
        """It is a misspelt one."""
        (fault,) = await wrong(configured(rig, contact={"hs_lead_statsu": "NEW"}), fix=True)
        assert (fault.what, fault.fixable) == ("property hs_lead_statsu of contacts", False)
        assert {method for method, _ in paths(rig)} == {"GET"}
