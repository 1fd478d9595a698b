"""What ``bridge doctor`` finds at Salesforce before somebody has paid for it."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.contract.outbound import Finding
from tests.connectors.outbound.salesforce_rig import REGISTRATION, configured
from tests.suites.outbound import OutboundSuite, Rig

COURSES = "Course_Registration__c"


async def wrong(rig: Rig) -> list[Finding]:
    """Return what the doctor finds fault with; each fault has its remedy."""
    findings = await rig.connector.examine([], fix=False)
    faults = [one for one in findings if not one.ok]
    assert all(one.remedy for one in faults)
    assert all(seen.method == "GET" for seen in rig.emulator.journal if "oauth2" not in seen.path)
    return faults


class TestDoctor:
    """It reads, and names each field as the operator wrote it."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    async def test_a_well_kept_org_has_one_finding_for_each_thing(self, rig: Rig) -> None:
        """Objects, external ids, mapped fields, the lookup, and the day."""
        configured(rig, registration=REGISTRATION)
        findings = await rig.connector.examine([], fix=False)
        assert [one for one in findings if not one.ok] == []
        assert [one.what for one in findings] == [
            "object Contact",
            "field Bridge_Id__c of Contact",
            "field FirstName of Contact",
            "field LastName of Contact",
            "field Email of Contact",
            f"object {COURSES}",
            f"field Registration_Key__c of {COURSES}",
            f"field Course_Code__c of {COURSES}",
            f"field Status__c of {COURSES}",
            f"lookup Contact__r of {COURSES}",
            "API requests of the day",
        ]

    @pytest.mark.parametrize(
        ("field", "said"),
        [
            (None, "does not exist"),
            ({"external_id": False, "unique": False}, "not External ID and not Unique"),
            ({"external_id": True, "unique": False}, "it is not Unique"),
            ({"external_id": True, "unique": True, "updateable": False}, "may not write it"),
        ],
    )
    async def test_the_external_id_has_to_be_one_and_unique(self, rig: Rig, field: Any, said: str) -> None:
        """Without that, two records may share it and no upsert works."""
        if field is None:
            del rig.emulator.schema().fields["Bridge_Id__c"]
        else:
            rig.emulator.schema().add("Bridge_Id__c", **field)
        (fault,) = await wrong(rig)
        assert fault.what == "field Bridge_Id__c of Contact"
        assert said in fault.said

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [
            (None, "x", "does not exist"),
            ({"createable": False, "updateable": False}, "x", "may not write it"),
            ({"type": "picklist", "values": ("Yes", "No")}, "Maybe", "does not have Maybe"),
            ({"type": "date"}, "{registration.completed_at}", "a date with its time"),
            ({"length": 3}, "four", "takes 3 characters"),
        ],
    )
    async def test_a_mapped_field_has_to_take_what_is_written(
        self, rig: Rig, field: Any, value: str, said: str
    ) -> None:
        """In a mapping and in an action alike."""
        if field is not None:
            rig.emulator.schema().add("Note__c", **field)
        contact = {"LastName": "{learner.last_name}", "Note__c": value}
        action = {"on": "completed", "object": "contact", "fields": {"Note__c": value}}
        for changes in ({"contact": contact}, {"actions": [action], "contact": {}}):
            configured(rig, **changes)
            (fault,) = await wrong(rig)
            assert fault.what == "field Note__c of Contact"
            assert said in fault.said

    async def test_values_that_a_picklist_has_or_that_only_a_learner_tells_are_no_fault(self, rig: Rig) -> None:
        """What can't be known yet is not blamed; field names compare without case."""
        rig.emulator.schema().add("Note__c", "picklist", values=("Yes", "No"))
        rig.emulator.schema().add("Many__c", "multipicklist", values=("A", "B"))
        rig.emulator.schema().add("At__c", "datetime")
        at = "{registration.completed_at}"
        configured(rig, contact={"note__c": "Yes", "Many__c": "A;B", "At__c": at, "Title": "{course.key}"})
        assert await wrong(rig) == []

    async def test_an_object_that_is_not_there_is_named(self, rig: Rig) -> None:
        """One finding, not one for each of its fields."""
        configured(rig, registration={**REGISTRATION, "object": "Courses__c"})
        (fault,) = await wrong(rig)
        assert fault.what == "object Courses__c"

    @pytest.mark.parametrize(
        ("lookup", "said"),
        [
            (None, "does not exist"),
            ({"parent": "Account"}, "leads to another object"),
            ({"parent": "Contact", "createable": False}, "may not write it"),
            ({"parent": "Contact", "updateable": False}, "once only"),
        ],
    )
    async def test_the_lookup_has_to_lead_to_contact(self, rig: Rig, lookup: Any, said: str) -> None:
        """Else every registration would be refused."""
        configured(rig, registration=REGISTRATION)
        schema = rig.emulator.schema(COURSES)
        del schema.fields["Contact__c"]
        if lookup is not None:
            schema.add("Contact__c", "reference", relationship="Contact__r", **lookup)
        (fault,) = await wrong(rig)
        assert fault.what == f"lookup Contact__r of {COURSES}"
        assert said in fault.said

    async def test_a_required_field_that_nothing_fills_is_named(self, rig: Rig) -> None:
        """The lookup and the last name are filled by themselves."""
        configured(rig, registration=REGISTRATION, contact={"Email": "{learner.email}"})
        rig.emulator.schema(COURSES).add("Chapter__c", nillable=False)
        (fault,) = await wrong(rig)
        assert fault.what == f"field Chapter__c of {COURSES}"
        assert "requires" in fault.said

    async def test_a_day_that_is_nearly_used_up_is_said(self, rig: Rig) -> None:
        """The bridge pauses there."""
        rig.emulator.daily_requests, rig.emulator.used = 1_000, 950
        (fault,) = await wrong(rig)
        assert fault.what == "API requests of the day"
        assert fault.said.endswith("of 1000 are used; the bridge pauses at 90 %")

    async def test_without_a_session_that_is_the_finding(self, rig: Rig) -> None:
        """In the words of the login's refusal."""
        configured(rig, client_secret="not-the-one")
        (fault,) = await wrong(rig)
        assert fault.what == "login"
        assert "client_secret" in fault.remedy

    async def test_a_login_that_fails_for_now_has_a_next_step_too(self, rig: Rig) -> None:
        """Nothing is to be mended."""
        rig.emulator.now_fails("status", status=503, body="away", path="token")
        (fault,) = await wrong(rig)
        assert "again later" in fault.remedy
