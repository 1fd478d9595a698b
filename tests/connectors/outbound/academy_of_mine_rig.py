"""What the tests of the Academy of Mine target share."""

from __future__ import annotations

from collections import Counter

import aiohttp

from bridge.contract.command import Learner
from bridge.contract.outbound import Outcome, Receipt
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows
from connectors.outbound.academy_of_mine import CONNECTOR
from connectors.sandbox.academy_of_mine import KEY, AcademyOfMine
from tests.suites.outbound import Rig

CYD = Learner(remote_user_id="4713", email="cyd+school@example.org", first_name="Cyd & Sons", last_name="Curie")


def rig_for(school: AcademyOfMine, session: aiohttp.ClientSession, **target) -> Rig:
    """Return a rig whose connector has these settings besides the usual ones."""
    settings = CONNECTOR.Settings.model_validate(
        {"connector": "academy_of_mine", "base_url": school.base_url, "api_key": KEY, **target}
    )
    http = Http(settings.base_url, Windows((), SystemClock()), 10.0, session)
    return Rig(school, CONNECTOR(settings, http, SystemClock()), {"course_id": 42})


def calls(school: AcademyOfMine) -> Counter[str]:
    """Count the requests by method and path."""
    return Counter(f"{seen.method} {seen.path.removeprefix('/api/v1')}" for seen in school.journal)


def receipt(outcome: Outcome) -> Receipt:
    """Return the outcome, which must be a receipt."""
    assert isinstance(outcome, Receipt), outcome
    return outcome
