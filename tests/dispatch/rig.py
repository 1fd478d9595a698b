"""A small bridge: an AMS that sells, an LMS and a CRM on loopback, a real ledger, and the lanes between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from bridge.contract.catalogue import Catalogue, CourseEntry, ProductEntry, SourceEntry, TargetEntry
from bridge.contract.inbound import InboundEvent, Reception
from bridge.contract.outbound import OutboundConnector
from bridge.contract.settings import Rate
from bridge.dispatch.attempt import PatientLimiter
from bridge.dispatch.breaker import BreakerPolicy
from bridge.dispatch.lane import Lane, LanePolicy
from bridge.dispatch.loop import Dispatcher
from bridge.dispatch.retry import RetryPolicy
from bridge.intake.intake import Intake
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows
from bridge.ledger.store import Ledger
from connectors.inbound.elevate import ADAPTER
from connectors.outbound.elevate import Elevate, ElevateCourse
from connectors.outbound.hubspot import Hubspot
from connectors.sandbox.elevate import Elevate as ElevateSandbox
from connectors.sandbox.hubspot import Hubspot as HubspotSandbox
from tests.ledger.blank import blank_at

KEY = "ams-key"
SOURCE = SourceEntry("ams", "elevate", "members", "ams")
PATIENT = RetryPolicy(steps=(timedelta(hours=1),), max_age=timedelta(days=3), jitter=0.0)
"""Whatever fails is not due again within a test, unless the lane makes it so."""
QUICK = RetryPolicy(steps=(timedelta(seconds=0.05),), max_age=timedelta(seconds=60), jitter=0.0)
BREAKER = BreakerPolicy(failures=5, first=0.1, longest=0.2)
POLICY = LanePolicy(deadline=5.0, tick=60.0, reprobe=0.1, retry=QUICK, breaker=BREAKER)


def target(name: str, kind: Any, **changes: Any) -> TargetEntry:
    return TargetEntry(name, name, kind.stage, kind.known_by, kind.needs_table, kind.course_for, kind.Course, **changes)


def catalogue(*, courses: int = 2, **crm: Any) -> Catalogue:
    """Sell each of the courses, and a bundle of all of them."""
    keys = [f"course-{n}" for n in range(1, courses + 1)]
    return Catalogue(
        sources={"ams": SOURCE},
        targets={"lms": target("lms", Elevate), "crm": target("crm", Hubspot, **crm)},
        courses={
            key: CourseEntry(key, key.title(), tables={"lms": ElevateCourse(remote_product_id=f"remote-{key}")})
            for key in keys
        },
        products={("ams", key): ProductEntry((key,)) for key in keys} | {("ams", "all"): ProductEntry(tuple(keys))},
        digest="d1",
    )


async def until(told: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until it is so; fail when it is not so in time."""
    last = time.monotonic() + seconds
    while True:
        found = told()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return
        assert time.monotonic() < last, f"not so within {seconds:g} s"
        await asyncio.sleep(0.005)


class Rig:
    """Everything that a test of lanes needs; started by the fixture, lanes by :meth:`start`."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "bridge.db"
        self.ledger = Ledger(blank_at(self.file))
        self.catalogue = catalogue()
        self.lms = ElevateSandbox()
        self.crm = HubspotSandbox()
        self.clock = SystemClock()
        self.policies = {"lms": POLICY, "crm": POLICY}
        self.timeouts = {"lms": 2.0, "crm": 2.0}
        self.rates: dict[str, list[Rate]] = {}
        self.attempts: list[tuple[str, str, str]] = []
        self.dispatcher: Dispatcher | None = None
        self._replaced: dict[str, Callable[[OutboundConnector], Any]] = {}
        self._sessions: list[aiohttp.ClientSession] = []
        self._adapter = ADAPTER(ADAPTER.Settings.model_validate({"adapter": "elevate", "api_key": KEY}))

    async def open(self) -> None:
        await self.lms.start()
        await self.crm.start()
        await self.ledger.open()

    async def close(self) -> None:
        if self.dispatcher is not None:
            await self.dispatcher.drain()
        for session in self._sessions:
            await session.close()
        await self.ledger.close()
        await self.lms.stop()
        await self.crm.stop()

    def policy(self, name: str, **changes: Any) -> None:
        """Change how a lane works, before it starts."""
        self.policies[name] = replace(self.policies[name], **changes)

    def instead(self, name: str, make: Callable[[OutboundConnector], Any]) -> None:
        """Put something else in the connector's place; ``make`` gets the real one."""
        self._replaced[name] = make

    @property
    def intake(self) -> Intake:
        return Intake(self.ledger, lambda: self.catalogue)

    def lane(self, name: str) -> Lane:
        assert self.dispatcher is not None
        return self.dispatcher.lanes[name]

    async def start(self) -> None:
        """Start the lanes, as after a start of the bridge."""
        lanes = {"lms": self._lane("lms", Elevate, self.lms), "crm": self._lane("crm", Hubspot, self.crm)}
        self.dispatcher = Dispatcher(self.ledger, lanes, self.clock, 30.0)
        await self.dispatcher.start()

    def _lane(self, name: str, kind: Any, emulator: Any) -> Lane:
        settings = kind.Settings.model_validate(
            {"connector": name, "base_url": emulator.base_url, **emulator.credentials}
        )
        session = aiohttp.ClientSession()
        self._sessions.append(session)
        limiter = PatientLimiter(Windows(self.rates.get(name, ()), self.clock))
        connector: Any = kind(settings, Http(settings.base_url, limiter, self.timeouts[name], session), self.clock)
        connector = self._replaced.get(name, lambda real: real)(connector)
        entry = self.catalogue.targets[name]
        return Lane(
            entry, connector, self.ledger, lambda: self.catalogue, self.policies[name], self.clock, "me", self._observe
        )

    def _observe(self, name: str, operation: str, outcome: str, _: float) -> None:
        self.attempts.append((name, operation, outcome))

    async def crash(self) -> None:
        """Stop as a killed process would: nothing is drained, nothing settled; then open the ledger again."""
        assert self.dispatcher is not None
        tasks = [*self.dispatcher._tasks.values()]
        for lane in self.dispatcher.lanes.values():
            lane._draining = True  # a dead process starts nothing more
            tasks += [*lane._tasks, *lane._settler._flushes, *([lane._probe] if lane._probe else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.dispatcher = None
        await self.ledger.close()
        self.ledger = Ledger(f"sqlite:///{self.file}")
        await self.ledger.open()

    async def buy(self, who: int | str, product: str = "course-1", **changes: Any) -> int:
        """Let the AMS tell of a purchase; return the registration's id."""
        body = {
            "api_key": KEY,
            "remote_user_id": f"u{who}",
            "firstname": "Ada",
            "lastname": "Lovelace",
            "email": f"learner{who}@example.org",
            "remote_product_id": product,
            "amount_paid": "49.90",
        } | changes
        reception = await self._tell("/api/registrations", body)
        return reception.lines[0].registration_id

    async def buy_all(self, people: range, product: str = "course-1") -> list[int]:
        return list(await asyncio.gather(*(self.buy(n, product) for n in people)))

    async def cancel(self, registration_id: int) -> None:
        await self._tell("/registrations/cancel", {"api_key": KEY, "registration_id": registration_id})

    async def _tell(self, path: str, body: dict[str, Any]) -> Reception:
        event = InboundEvent(
            "POST", path, {"content-type": "application/json"}, {}, orjson.dumps(body), datetime.now(UTC)
        )
        reception = await self.intake.receive(SOURCE, self._adapter, event)
        assert reception.kind == "accepted", reception
        return reception

    async def rows(self, question: str) -> list[Any]:
        return list(await self.ledger.read(lambda connection: connection.exec_driver_sql(question).all()))

    async def value(self, question: str) -> Any:
        return (await self.rows(question))[0][0]

    async def states(self, name: str) -> list[str]:
        """Return the states of a target's deliveries, oldest first."""
        return [row.state for row in await self.rows(f"SELECT state FROM delivery WHERE target = '{name}' ORDER BY id")]

    async def registration(self, number: int) -> str:
        return str(await self.value(f"SELECT state FROM registration WHERE id = {number}"))

    async def quiet(self) -> bool:
        """Whether nothing is left to do."""
        return not await self.value("SELECT count(*) FROM delivery WHERE state IN ('open', 'blocked', 'leased')")

    async def settled(self, name: str) -> None:
        """Wait until no call is under way at a target, and what came of every one is on disk."""
        await until(lambda: not self.lane(name).unsettled)

    async def done(self) -> None:
        """Wait until nothing is left to do."""
        await until(self.quiet, 20.0)

    def enrolled(self) -> list[str]:
        """Return who is in what at the LMS, once for each time."""
        return sorted(f"{held.person} {held.what}" for held in self.lms.holdings() if held.live)

    def contacts(self) -> list[str]:
        return sorted(held.person for held in self.crm.holdings())
