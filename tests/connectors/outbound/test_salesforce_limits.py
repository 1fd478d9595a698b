"""How much of a Salesforce org's requests a day the bridge takes, and what follows at its limits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.contract.outbound import Operation, Receipt, TryLater
from bridge.kit.clock import SetClock
from tests.connectors.outbound.salesforce_rig import answers, configured, crowd
from tests.suites.outbound import OutboundSuite, Rig


class TestTheDay:
    """How much of the org's requests a day the bridge takes."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    @pytest.mark.parametrize("of_app", [False, True])
    async def test_near_the_end_of_the_day_the_rest_is_left_to_others(self, rig: Rig, of_app: bool) -> None:
        """What was begun is ended; then nothing is sent for a quarter of an hour, and the lane is told why."""
        rig.emulator.daily_requests, rig.emulator.used = 1_000, 100 if of_app else 898
        rig.emulator.app_requests = (230, 250) if of_app else (1, 250)
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        rig.emulator.journal.clear()
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.applied) == ("lane", "throttled", "no")
        assert 0 < (outcome.after or 0) <= 900
        assert outcome.why.startswith("230 of 250" if of_app else "900 of 1000")
        assert rig.emulator.journal == []

    async def test_after_the_pause_one_delivery_learns_how_things_stand(self, rig: Rig, clock: Any) -> None:
        """The day rolls: as soon as requests are free the lane goes on."""
        configured(rig, clock)
        rig.emulator.daily_requests, rig.emulator.used = 1_000, 950
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        clock.move(901.0)
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        assert isinstance(await rig.do(Operation.CONTACT), TryLater)
        rig.emulator.used = 100
        clock.move(901.0)
        for _ in range(2):
            assert isinstance(await rig.do(Operation.CONTACT), Receipt)

    async def test_the_operator_sets_where_it_stops(self, rig: Rig) -> None:
        """An org may have no other programs."""
        configured(rig, stop_at=100)
        rig.emulator.daily_requests, rig.emulator.used = 1_000, 950
        for _ in range(2):
            assert isinstance(await rig.do(Operation.CONTACT), Receipt)

    async def test_a_refusal_for_requests_at_once_clears_in_minutes(self, rig: Rig) -> None:
        """The day has enough left, so it is not the day's limit."""
        message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
        answers(rig, 403, "REQUEST_LIMIT_EXCEEDED", message)
        outcome: Any = await rig.do(Operation.CONTACT)
        assert (outcome.scope, outcome.cause, outcome.after) == ("lane", "throttled", 300.0)

    async def test_a_batch_in_single_calls_stops_there_too(self, rig: Rig) -> None:
        """Its rest is not begun."""
        configured(rig, api_version="45.0")
        rig.emulator.daily_requests, rig.emulator.used = 1_000, 893
        outcomes = await rig.deliver(crowd(rig, 20))
        assert [type(outcome) for outcome in outcomes].count(TryLater) == 10
        assert rig.emulator.used == 904

    @pytest.fixture
    def clock(self) -> Any:
        return SetClock(datetime(2026, 11, 22, tzinfo=UTC))
