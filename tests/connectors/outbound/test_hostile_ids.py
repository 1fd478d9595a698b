"""Ids that no database gives, as a broken or hostile target may answer them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import aiohttp
import pytest

from bridge.contract.outbound import Operation, TryLater
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows
from tests.suites.outbound import ADA, Rig

HOSTILE: list[Any] = [True, -5, 0, 1.5, 10**30, None, [1], {"a": 1}, "", "12 3", "7/../8", "٣", "1" * 5_000]


def answer(connector: str, number: object) -> Any:
    """Return what the first look-up of a person answers, with this id."""
    email = str(ADA.email)
    row = {"id": number, "email": email, "login_id": email, "login": email, "username": email.lower()}
    shapes = {
        "canvas": row,
        "talentlms": {"_data": [row]},
        "teachable": {"users": [row]},
        "thinkific": {"items": [row]},
    }
    return shapes.get(connector, [row])


@pytest.mark.parametrize("number", HOSTILE, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("connector", ["moodle", "canvas", "learndash", "talentlms", "teachable", "thinkific"])
async def test_what_is_no_id_is_no_answer_and_is_not_kept(connector: str, number: object) -> None:
    """It goes into no address, stops no lane and fails no batch: the delivery is tried again later."""
    kind = import_module(f"connectors.outbound.{connector}").CONNECTOR
    async with (
        import_module(f"connectors.sandbox.{connector}").EMULATOR() as target,
        aiohttp.ClientSession() as session,
    ):
        settings = kind.Settings.model_validate(
            {**target.credentials, "connector": connector, "base_url": target.base_url}
        )
        http = Http(settings.base_url, Windows((), SystemClock()), 10.0, session)
        rig = Rig(target, kind(settings, http, SystemClock()), {"course_id": 42})
        target.now_fails("status", status=200, times=1, body=answer(connector, number))
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater), outcome
        assert (outcome.scope, outcome.refs.person) == ("delivery", {})
        assert len(target.journal) == 1
