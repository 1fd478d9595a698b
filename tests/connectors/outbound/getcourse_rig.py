"""What the tests of the GetCourse target share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp

from bridge.contract.outbound import Operation, Outcome, Pending, Receipt, Refs
from bridge.kit.clock import SetClock
from bridge.kit.http import Http, Windows
from connectors.outbound.getcourse import Getcourse
from connectors.outbound.getcourse.settings import GetcourseSettings
from connectors.sandbox import getcourse
from tests.suites.outbound import Rig

FIELD = "Bridge status"
OFFER: dict[str, Any] = {"offer_code": "intro-ce"}
GROUP: dict[str, Any] = {"group_name": "Students"}


class Desk(Rig):
    """A rig whose clock is set, and which hands refs and steps on as dispatch would."""

    clock: SetClock

    def configure(self, **settings: Any) -> None:
        """Start the connector anew with other settings."""
        old: Any = self.connector
        self.connector = Getcourse(old._settings.model_copy(update=settings), old._http, self.clock)

    async def go_on(self, before: Outcome, operation: Operation = Operation.REVOKE, **changes: Any) -> Outcome:
        """Try again after an outcome, with what it taught; a Pending's handle is among it."""
        right = dict(self.known.right) | dict(before.refs.right)
        if isinstance(before, Pending):
            right["pending"] = before.handle
            self.clock.move(before.after)
        self.known = Refs({**self.known.person, **before.refs.person}, right)
        steps = getattr(before, "steps", frozenset())
        return await self.do(operation, refs=self.known, steps=steps, **changes)

    async def granted(self, **changes: Any) -> None:
        """Give access and remember the refs."""
        outcome = await self.do(Operation.GRANT, **changes)
        assert isinstance(outcome, Receipt), outcome
        self.known = outcome.refs

    def paths(self, word: str = "account") -> list[str]:
        """Return the requests to the export API."""
        return [seen.path.removeprefix("/pl/api/account/") for seen in self.emulator.journal if word in seen.path]


@asynccontextmanager
async def a_desk() -> AsyncIterator[Desk]:
    """A GetCourse with a process, and exports that are not ready at the first look."""
    async with getcourse.EMULATOR() as emulator, aiohttp.ClientSession() as session:
        given = {"connector": "getcourse", "base_url": emulator.base_url, **emulator.credentials, "status_field": FIELD}
        settings = GetcourseSettings.model_validate(given)
        clock = SetClock(datetime.now(UTC))
        http = Http(settings.base_url, Windows((), clock), 10.0, session)
        rig = Desk(emulator, Getcourse(settings, http, clock), OFFER)
        rig.clock, rig.known = clock, Refs()
        emulator.looks = 1
        yield rig


async def revoked(desk: Desk, **changes: Any) -> Outcome:
    """Revoke, and wait for as long as the connector asks."""
    return await patiently(desk, await desk.do(Operation.REVOKE, refs=desk.known, **changes), **changes)


async def patiently(desk: Desk, outcome: Outcome, **changes: Any) -> Outcome:
    """Wait for as long as the connector asks."""
    while isinstance(outcome, Pending):
        outcome = await desk.go_on(outcome, **changes)
    return outcome
