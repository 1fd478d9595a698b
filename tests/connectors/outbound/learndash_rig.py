"""What the tests of the LearnDash target share."""

from __future__ import annotations

import aiohttp

from bridge.contract.command import Learner
from bridge.contract.outbound import Operation, Outcome, Receipt
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows
from connectors.outbound.learndash import CONNECTOR
from connectors.sandbox.learndash import LearnDash
from tests.suites.outbound import Rig

CYD = Learner(remote_user_id="4713", email="cyd+school@example.org", first_name="Cyd", last_name="Curie")


def rig_for(site: LearnDash, session: aiohttp.ClientSession, **target) -> Rig:
    """Return a rig whose connector has these settings besides the usual ones."""
    settings = CONNECTOR.Settings.model_validate(
        {"connector": "learndash", "base_url": site.base_url, **site.credentials, **target}
    )
    http = Http(settings.base_url, Windows((), SystemClock()), 10.0, session)
    return Rig(site, CONNECTOR(settings, http, SystemClock()), {"course_id": 42})


def receipt(outcome: Outcome) -> Receipt:
    """Return the outcome, which must be a receipt."""
    assert isinstance(outcome, Receipt), outcome
    return outcome


def grants(rig: Rig, *people: Learner, **changes) -> list:
    """Return a grant for each of them."""
    return [rig.work(Operation.GRANT, who, **changes) for who in people]
