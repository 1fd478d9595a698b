"""What Mailchimp's tests share: settings, a rig to bind, and who is who."""

from __future__ import annotations

from typing import Any, ClassVar

from bridge.contract.outbound import Operation, Outcome
from bridge.kit.clock import Clock, SystemClock
from connectors.outbound.mailchimp import Mailchimp, MailchimpSettings
from connectors.outbound.mailchimp.plan import subscriber_hash
from connectors.sandbox.mailchimp import LIST
from tests.suites.outbound import ADA, OutboundSuite, Rig

ADAS = subscriber_hash(str(ADA.email))
PATH = f"/3.0/lists/{LIST}/members/{ADAS}"
REQUEST_ID = "995c5cb0-3280-4a6e-808b-3b096d0bb219"


class AtMailchimp:
    """Gives a class of tests the suite's rig."""

    rig = OutboundSuite.rig
    type = "mailchimp"
    target: ClassVar[dict[str, Any]] = {"list_id": LIST}
    course: ClassVar[dict[str, Any]] = {"tags": ["ce"]}


def settings(**given: Any) -> MailchimpSettings:
    return MailchimpSettings.model_validate(
        {"connector": "mailchimp", "api_key": "0123456789abcdef-us19", "list_id": LIST, **given}
    )


def reset(rig: Rig, clock: Clock | None = None, **changes: Any) -> None:
    """Give the rig's connector other settings."""
    before: Any = rig.connector
    after = settings(**changes)
    after = before._settings.model_copy(update={name: getattr(after, name) for name in changes})
    rig.connector = Mailchimp(after, before._http, clock or SystemClock())


def problem(title: str, status: int = 400, detail: str = "", **more: Any) -> dict[str, Any]:
    return {
        "type": "https://mailchimp.com/developer/marketing/docs/errors/",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": REQUEST_ID,
        **more,
    }


def requests_of(rig: Rig) -> list[tuple[str, str]]:
    return [(seen.method, seen.path) for seen in rig.emulator.journal]


async def contact(rig: Rig, learner: Any = ADA, **changes: Any) -> Outcome:
    return await rig.do(Operation.CONTACT, learner, **changes)
