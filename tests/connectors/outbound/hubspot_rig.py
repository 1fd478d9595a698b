"""What the tests of HubSpot share: the suite's rig without the suite, other settings, enrollments with a past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.contract.command import Learner
from bridge.contract.outbound import Enrollment, Operation, Outcome, Receipt, Refs
from bridge.contract.settings import Milestone
from bridge.kit.clock import SetClock, SystemClock
from connectors.outbound.hubspot import Hubspot, HubspotSettings
from connectors.outbound.hubspot.settings import HubspotCourse
from connectors.sandbox.hubspot import Hubspot as Sandbox
from tests.suites.outbound import ADA, OutboundSuite, Rig

CONTACTS, DEALS = "/crm/v3/objects/contacts", "/crm/v3/objects/deals"
DEAL = {"dealname": "{course.title}", "amount": "{registration.amount_paid}", "description": "{registration.state}"}
KEY = "bridge_registration_key"
BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)


class OnTheRig:
    """The suite's rig, without running the suite once more."""

    type, target, course = "hubspot", {}, None
    rig = OutboundSuite.rig


class Ticking(SetClock):
    """A clock on which five seconds pass from one look to the next."""

    def monotonic(self) -> float:
        self.move(5.0)
        return super().monotonic()


def sandbox(rig: Rig) -> Sandbox:
    """The emulator of a rig."""
    assert isinstance(rig.emulator, Sandbox)
    return rig.emulator


def configured(rig: Rig, **settings: Any) -> Rig:
    """The same rig with other settings of the target."""
    known = rig.connector._settings.model_dump()
    model = HubspotSettings.model_validate({**known, **settings})
    rig.connector = Hubspot(model, rig.connector._http, SystemClock())
    return rig


def with_deals(rig: Rig, **settings: Any) -> Rig:
    """The same rig with a mapping of deals."""
    return configured(rig, **{"deal": DEAL, **settings})


def without_key(rig: Rig) -> Rig:
    """The same rig with a mapping of deals, in an account where the doctor has not been yet."""
    del sandbox(rig).schema.defined["deals"][KEY]
    return with_deals(rig)


def enrolled(
    rig: Rig,
    registration_id: int = 7,
    *reached: Milestone,
    course: str = "intro-ce",
    table: Mapping[str, str] | None = None,
    **changes: Any,
) -> Enrollment:
    """An enrollment that was enrolled and has reached these milestones since, a day apart."""
    milestones = {name: BEGAN + timedelta(days=n) for n, name in enumerate((Milestone.ENROLLED, *reached))}
    return replace(
        rig.enrollment(course),
        registration_id=registration_id,
        milestones=milestones,
        table=None if table is None else HubspotCourse(deal=dict(table)),
        **changes,
    )


async def brought(rig: Rig, *enrollments: Enrollment, learner: Learner = ADA, **changes: Any) -> Outcome:
    """Deliver one person with these enrollments."""
    (outcome,) = await rig.deliver([rig.work(Operation.CONTACT, learner, enrollments=enrollments, **changes)])
    return outcome


def receipt(outcome: Outcome) -> Refs:
    """The refs of an outcome, which has to be a receipt."""
    assert isinstance(outcome, Receipt), outcome
    return outcome.refs


def paths(rig: Rig) -> list[tuple[str, str]]:
    """Every request so far, without what is the same in all addresses."""
    short = (("/crm/v3/objects", ""), ("/crm/v4/associations/deals/contacts/batch", "/join"))
    found = []
    for seen in rig.emulator.journal:
        path = seen.path
        for prefix, instead in short:
            path = instead + path.removeprefix(prefix) if path.startswith(prefix) else path
        found.append((seen.method, path))
    return found


def problem(category: str, message: str = "no", **more: Any) -> dict[str, Any]:
    """A body of HubSpot's that says what is wrong."""
    return {"status": "error", "message": message, "correlationId": "c033cdaa-2c40", "category": category, **more}
