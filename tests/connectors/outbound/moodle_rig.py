"""What the tests of the Moodle target share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import aiohttp

from bridge.contract.command import Learner
from bridge.contract.outbound import Outcome, Receipt
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows
from connectors.outbound.moodle import CONNECTOR
from connectors.sandbox.moodle import TOKEN, Moodle
from tests.suites.outbound import Rig

CYD = Learner(remote_user_id="4713", email="cyd+school@example.org", first_name="Cyd <3", last_name="Curie")


def rig_for(site: Moodle, session: aiohttp.ClientSession, **target: Any) -> Rig:
    """Return a rig whose connector has these settings besides the usual ones."""
    settings = CONNECTOR.Settings.model_validate(
        {"connector": "moodle", "base_url": site.base_url, "token": TOKEN, **target}
    )
    http = Http(settings.base_url, Windows((), SystemClock()), 10.0, session)
    return Rig(site, CONNECTOR(settings, http, SystemClock()), {"course_id": 7})


def forms(site: Moodle) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each call's function, and its fields without the three that every call has."""
    for seen in site.journal:
        form = dict(parse_qsl(seen.body.decode(), keep_blank_values=True))
        assert form.pop("wstoken") == TOKEN
        assert form.pop("moodlewsrestformat") == "json"
        yield form.pop("wsfunction"), form


def calls(site: Moodle) -> list[str]:
    """Return the functions that were called, in order and without the components' names."""
    short = {
        "core_user_get_users_by_field": "look up",
        "core_user_get_users": "search",
        "core_user_create_users": "create",
        "core_user_update_users": "update",
        "enrol_manual_enrol_users": "enrol",
        "enrol_manual_unenrol_users": "unenrol",
    }
    return [short[function] for function, _ in forms(site)]


def receipt(outcome: Outcome) -> Receipt:
    """Return the outcome, which must be a receipt."""
    assert isinstance(outcome, Receipt), outcome
    return outcome


def people(count: int, start: int = 0) -> list[Learner]:
    """Return so many different learners."""
    return [
        Learner(remote_user_id=f"9{n}", email=f"p{n}@example.org", first_name=f"First{n}", last_name=f"Last{n}")
        for n in range(start, start + count)
    ]
