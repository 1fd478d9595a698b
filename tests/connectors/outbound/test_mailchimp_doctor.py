"""What ``bridge doctor`` finds at Mailchimp."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.contract.outbound import Finding
from connectors.sandbox.mailchimp import LIST, OTHER_LIST
from tests.connectors.outbound.mailchimp_rig import AtMailchimp, problem, requests_of, reset
from tests.suites.outbound import Rig


async def faults(rig: Rig, *tables: dict[str, Any], fix: bool = False) -> list[Finding]:
    courses = [table for given in tables for table in rig.tables(given)]
    return [one for one in await rig.connector.examine(courses, fix=fix) if not one.ok]


class TestDoctor(AtMailchimp):
    """Reads only, unless it is told to mend."""

    async def test_names_everything_that_it_looked_at(self, rig: Rig) -> None:
        """Once each, however many courses name it; and nothing but questions is sent."""
        tables = [
            table for given in ({"list_id": OTHER_LIST}, {"list_id": OTHER_LIST}, {}) for table in rig.tables(given)
        ]
        findings = await rig.connector.examine(tables, fix=False)
        assert [one.what for one in findings] == [
            "the key's user",
            f"audience {LIST}",
            f"merge field FNAME of audience {LIST}",
            f"merge field LNAME of audience {LIST}",
            f"audience {OTHER_LIST}",
            f"merge field FNAME of audience {OTHER_LIST}",
            f"merge field LNAME of audience {OTHER_LIST}",
        ]
        assert all(one.ok and one.said and not one.remedy for one in findings)
        assert {method for method, _ in requests_of(rig)} == {"GET"}

    @pytest.mark.parametrize("role", ["viewer", "Author"])
    async def test_a_user_who_may_only_look_is_a_fault(self, rig: Rig, role: str) -> None:
        """The key has its user's role."""
        rig.emulator.role = role
        (fault,) = await faults(rig)
        assert fault.what == "the key's user"
        assert "manager" in fault.remedy

    async def test_an_audience_of_the_target_that_does_not_exist(self, rig: Rig) -> None:
        """Its fields are not looked for then."""
        rig.emulator.lists = {OTHER_LIST}
        (fault,) = await faults(rig)
        assert (fault.what, fault.remedy) == (f"audience {LIST}", "Correct list_id of the target.")

    async def test_a_mapped_field_that_is_missing_can_be_made(self, rig: Rig) -> None:
        """Of the mapping and of actions; as a text field that nobody must fill in."""
        action = {"on": "completed", "object": "member", "fields": {"DONE": "{registration.completed_at}"}}
        reset(rig, actions=[action], merge_fields={"FNAME": "{learner.first_name}", "COURSE": "{course.title}"})
        found = await faults(rig)
        assert [one.what for one in found] == [f"merge field {tag} of audience {LIST}" for tag in ("COURSE", "DONE")]
        assert all(one.fixable and one.remedy for one in found)
        assert await faults(rig, fix=True) == []
        made = [seen.json for seen in rig.emulator.journal if seen.method == "POST"]
        assert made[0] == {"tag": "COURSE", "name": "COURSE", "type": "text", "required": False, "public": False}
        assert set(rig.emulator.merge_fields) == {"FNAME", "LNAME", "COURSE", "DONE"}
        assert await faults(rig) == []

    async def test_a_field_that_can_not_be_made_says_why(self, rig: Rig) -> None:
        """Mailchimp's own words: here the tag is too long."""
        reset(rig, merge_fields={"COURSE_TITLE": "{course.title}"})
        (fault,) = await faults(rig, fix=True)
        assert "10 characters" in fault.said
        assert fault.remedy
        assert not fault.fixable

    async def test_a_field_that_was_made_under_another_tag_is_told(self, rig: Rig) -> None:
        """What we write would be ignored."""
        reset(rig, merge_fields={"Course": "{course.title}"})
        rig.emulator.now_fails("status", status=200, method="POST", body={"tag": "COURSE", "type": "text"})
        (fault,) = await faults(rig, fix=True)
        assert "COURSE" in fault.said

    async def test_a_field_of_a_type_that_takes_no_text_is_a_fault(self, rig: Rig) -> None:
        """An address is an object."""
        rig.emulator.merge_types["LNAME"] = "address"
        (fault,) = await faults(rig)
        assert fault.what == f"merge field LNAME of audience {LIST}"
        assert "address" in fault.said

    async def test_a_required_field_that_is_not_mapped(self, rig: Rig) -> None:
        """A fault only where members are not taken without it."""
        rig.emulator.merge_fields["CHAPTER"] = True
        findings = await rig.connector.examine([], fix=False)
        assert [one.said for one in findings if "CHAPTER" in one.what] == ["not mapped; members are taken without it"]
        reset(rig, skip_merge_validation=False)
        (fault,) = await faults(rig)
        assert fault.what == f"required merge field CHAPTER of audience {LIST}"
        assert "Map CHAPTER" in fault.remedy

    @pytest.mark.parametrize("path", ["/3.0/", f"/lists/{LIST}", "/merge-fields"])
    async def test_what_can_not_be_read_is_a_finding(self, rig: Rig, path: str) -> None:
        """Said as it was answered."""
        body = problem("User Does Not Have Permission", 403)
        rig.emulator.now_fails("status", path=path, times=1, status=403, body=body)
        (fault,) = await faults(rig)
        assert "User Does Not Have Permission" in fault.said
        assert "api_key" in fault.remedy
        rig.emulator.recovers()
        rig.emulator.now_fails("garbage", path=path, times=1)
        (fault,) = await faults(rig)
        assert fault.remedy
