"""What the tests of the Canvas target share."""

from __future__ import annotations

import aiohttp

from bridge.contract.outbound import Outcome, Receipt
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows
from connectors.outbound.canvas import CONNECTOR
from connectors.sandbox.canvas import TOKEN, Canvas
from tests.suites.outbound import ADA, Rig

ADA_LOGIN = str(ADA.email).lower()


def rig_for(school: Canvas, session: aiohttp.ClientSession, **target) -> Rig:
    """Return a rig whose connector has these settings besides the usual ones."""
    settings = CONNECTOR.Settings.model_validate(
        {"connector": "canvas", "base_url": school.base_url, "token": TOKEN, **target}
    )
    http = Http(settings.base_url, Windows((), SystemClock()), 10.0, session)
    return Rig(school, CONNECTOR(settings, http, SystemClock()), {"course_id": 42})


def receipt(outcome: Outcome) -> Receipt:
    """Return the outcome, which must be a receipt."""
    assert isinstance(outcome, Receipt), outcome
    return outcome
