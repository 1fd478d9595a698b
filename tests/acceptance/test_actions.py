"""Actions at three CRMs through a whole bridge: a purchase, a completion that the LMS tells, a cancellation, lost answers."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from connectors.sandbox.mailchimp import LIST
from tests.acceptance.rig import emulators, running, until

ACTIONS = """
[sources.school]
adapter = "academy_of_mine"
secret = "school-secret"
echo_of = "academy_of_mine"

[[targets.hubspot.actions]]
on = ["enrolled", "completed", "cancelled"]
object = "contact"
fields = { jobtitle = "{registration.state} {registration.percent}" }

[[targets.hubspot.actions]]
on = "enrolled"
object = "deal"
fields = { dealname = "{course.title}", dealstage = "appointmentscheduled" }

[[targets.hubspot.actions]]
on = "completed"
object = "deal"
fields = { dealstage = "closedwon" }

[targets.salesforce.registration]
object = "Course_Registration__c"

[[targets.salesforce.actions]]
on = "enrolled"
object = "registration"
fields = { Status__c = "active" }

[[targets.salesforce.actions]]
on = "completed"
object = "registration"
fields = { Status__c = "completed" }

[[targets.salesforce.actions]]
on = "cancelled"
object = "registration"
fields = { Status__c = "cancelled" }

[[targets.mailchimp.actions]]
on = "enrolled"
object = "event"
name = "welcome"

[[targets.mailchimp.actions]]
on = "completed"
object = "event"
name = "well_done"

[[targets.mailchimp.actions]]
on = ["cancelled", "refunded"]
object = "event"
name = "goodbye"

[[targets.mailchimp.actions]]
on = "completed"
object = "tags"
add = ["{course.key} done"]
"""
TARGETS = ("academy_of_mine", "hubspot", "salesforce", "mailchimp")


class Seen:
    """What stands at the three CRMs."""

    def __init__(self, targets) -> None:
        self.targets = targets

    @property
    def events(self) -> list[str]:
        members = self.targets["mailchimp"].members.get(LIST, {}).values()
        return [event["name"] for member in members for event in reversed(member.events)]

    @property
    def deals(self) -> list[str]:
        return [deal.properties.get("dealstage") for deal in self.targets["hubspot"].deals.values()]

    @property
    def contacts(self) -> list[str]:
        return [one.properties.get("jobtitle") for one in self.targets["hubspot"].contacts.values()]

    @property
    def registrations(self) -> list[str]:
        return [one.get("Status__c") for one in self.targets["salesforce"].registrations.values()]


def completed(email: str, course: int = 42) -> bytes:
    """As the school says it: to the minute, so before the purchase of the same minute."""
    when = datetime.now(UTC).strftime("%b %d, %Y %I:%M %p")
    user = {"id": 4, "first_name": "John", "last_name": "Doe", "email": email}
    return orjson.dumps({"userList": [user], "course": {"id": course, "title": "x"}, "completed_on": when})


async def tell(client, body: bytes) -> None:
    address = client.base_url + "/in/school?secret=school-secret&event=course_completed"
    async with client.session.post(address, data=body) as answer:
        assert answer.status == 200


async def test_a_life_of_a_purchase_is_told_once_at_each(tmp_path):
    """Bought, completed and cancelled, over answers that get lost, a changed address and a restart."""
    async with emulators(*TARGETS) as targets:
        seen = Seen(targets)
        async with running(tmp_path, targets, ACTIONS) as (_, client):
            targets["mailchimp"].now_fails("lost", times=1, path="/events", method="POST")
            targets["hubspot"].now_fails("lost", times=1, path="/deals/batch/upsert")
            targets["salesforce"].now_fails("lost", times=1, path="Course_Registration__c")
            _, said = await client.register()
            await until(lambda: seen.events == ["welcome"] and seen.deals == ["appointmentscheduled"])
            await until(lambda: seen.registrations == ["active"])
            await client.register()
            await tell(client, completed("123456@example.org"))
            await until(lambda: "well_done" in seen.events)
            await until(lambda: (seen.deals, seen.registrations) == (["closedwon"], ["completed"]))
            await until(lambda: seen.contacts == ["active 100"])
            await tell(client, completed("123456@example.org"))
        async with running(tmp_path, targets, ACTIONS) as (_, client):
            await client.register(email="moved@example.org")
            targets["mailchimp"].now_fails("lost", times=1, path="/events", method="POST")
            await client.cancel(said["registration_id"])
            await until(lambda: "goodbye" in seen.events and seen.registrations == ["cancelled"])
            await until(lambda: seen.contacts == ["cancelled 100"])
            await until(lambda: not [f for f in targets["mailchimp"].faults if f.times])
        async with running(tmp_path, targets, ACTIONS) as (_, client):
            await client.cancel(said["registration_id"])
            await client.register(email="moved@example.org")
            await until(lambda: len(seen.deals) == 2 and len(seen.events) == 4)
        assert seen.events == ["welcome", "well_done", "goodbye", "welcome"]
        assert seen.deals == ["closedwon", "appointmentscheduled"]
