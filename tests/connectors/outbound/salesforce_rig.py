"""What the tests of the Salesforce target share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bridge.contract.command import Learner
from bridge.contract.outbound import Operation
from bridge.contract.settings import Milestone
from bridge.kit.clock import SystemClock
from connectors.outbound.salesforce import CONNECTOR
from tests.suites.outbound import Rig

ADAS = "id:members:4711"


def configured(rig: Rig, clock: Any = None, **changes: Any) -> None:
    """Give the rig's connector other settings."""
    old = rig.connector._settings
    settings = type(old).model_validate({**old.model_dump(exclude={"contact"}), **changes})
    rig.connector = CONNECTOR(settings, rig.connector._http, clock or SystemClock())


REGISTRATION = {
    "object": "Course_Registration__c",
    "external_id": "Registration_Key__c",
    "contact": "Contact__c",
    "Course_Code__c": "{course.key}",
    "Status__c": "{registration.state}",
}


def enrolled(rig: Rig, number: int = 7, key: str = "intro-ce", *reached: Milestone, **changes: Any) -> Any:
    """An enrollment that was enrolled at ten and reached further milestones an hour apart."""
    base = rig.enrollment(key, changes.pop("state", "active"))
    names = [Milestone.ENROLLED, *reached]
    at = {name: base.registered_at + timedelta(hours=hours) for hours, name in enumerate(names)}
    return replace(base, registration_id=number, milestones=at, **changes)


def answers(rig: Rig, status: int, code: str, message: str = "no", times: int | None = None, **more: Any) -> None:
    """Let the next calls on a contact fail the way Salesforce says it."""
    body = [{"message": message, "errorCode": code, **more}]
    rig.emulator.now_fails("status", status=status, body=body, times=times, path="/sobjects/Contact")


def calls(rig: Rig) -> list[str]:
    """What was called, without the token endpoint."""
    seen = [one for one in rig.emulator.journal if "oauth2" not in one.path]
    return [f"{one.method} {one.path.partition('.0/')[2]}" for one in seen]


def paths(rig: Rig) -> list[str]:
    """What was called, without the token endpoint and the look for contacts by e-mail."""
    return [one for one in calls(rig) if one != "GET query"]


def crowd(rig: Rig, size: int, has: Callable[[int], Any] = lambda _: ()) -> list[Any]:
    """Work for so many people; ``has`` says what the nth of them is enrolled in."""
    people = [Learner(remote_user_id=str(n), email=f"p{n}@example.org", last_name=f"N{n}") for n in range(size)]
    return [rig.work(Operation.CONTACT, person, enrollments=has(n)) for n, person in enumerate(people)]
