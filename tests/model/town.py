"""The real thing under the model: a ledger, intake, lanes turned by hand, and targets on loopback. One loop, a set clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web

from bridge.actions import Actions
from bridge.actions.asked import LaneSwitch, ReleaseLines, ReplayEvents, Requeue
from bridge.contract.catalogue import Catalogue, CourseEntry, ProductEntry, SourceEntry
from bridge.contract.command import EnrollmentCommand, Item, Refund
from bridge.contract.command import Learner as Person
from bridge.contract.inbound import InboundEvent, Reception
from bridge.dispatch.breaker import BreakerPolicy
from bridge.dispatch.lane import Lane, LanePolicy
from bridge.dispatch.loop import Dispatcher
from bridge.dispatch.retry import RetryPolicy
from bridge.intake.intake import Intake
from bridge.jobs.expiry import Expiry
from bridge.jobs.pruning import Pruning
from bridge.kit.clock import SetClock
from bridge.kit.http import Http, Windows
from bridge.ledger import removals
from bridge.ledger.store import Ledger
from connectors.outbound.elevate import Elevate, ElevateCourse
from connectors.outbound.hubspot import Hubspot
from connectors.sandbox.elevate import Elevate as ElevateSandbox
from connectors.sandbox.hubspot import Hubspot as HubspotSandbox
from tests.dispatch.rig import target
from tests.ledger.rig import Adapter
from tests.model.plain import COURSES, LASTS, REMOTE, Told

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCES = {
    "ams": SourceEntry("ams", "fake", "members", "ams"),
    "store": SourceEntry("store", "fake", "shop", "store"),
    "shop": SourceEntry("shop", "fake", "shop", "shop", joined=True),
    "pay": SourceEntry("pay", "fake", "shop", "shop", joined=True),
}
KINDS = {"lms": Elevate, "crm": Hubspot}
POLICY = LanePolicy(
    concurrency=1,  # what goes out in which order is the same in every run
    deadline=60.0,
    reprobe=60.0,
    retry=RetryPolicy(steps=(timedelta(seconds=5), timedelta(minutes=1)), max_age=timedelta(days=9_999), jitter=0.0),
    breaker=BreakerPolicy(failures=5, first=5.0, longest=300.0),
)


def product_of(source: str, product: str) -> str:
    """Return what a source calls a product: the payment system has names of its own."""
    return f"P-{product}" if source == "pay" else product


def catalogue(*, mapped: bool) -> Catalogue:
    """Return the mapping, with NEW or without it."""
    return Catalogue(
        sources=SOURCES,
        targets={"lms": target("lms", Elevate), "crm": target("crm", Hubspot)},
        courses={
            key: CourseEntry(
                key,
                key.title(),
                duration=timedelta(minutes=LASTS[key]) if key in LASTS else None,
                tables={"lms": ElevateCourse(remote_product_id=remote)},
            )
            for key, remote in REMOTE.items()
        },
        products={
            (source, product_of(source, product)): ProductEntry(courses)
            for source in SOURCES
            for product, courses in COURSES.items()
            if mapped or product != "NEW"
        },
        digest=f"mapped-{mapped}",
    )


def command_of(told: Told) -> EnrollmentCommand:
    """Return what an adapter would make of an event."""
    return EnrollmentCommand(
        action=told.action,
        occurred_at=NOON + timedelta(minutes=told.at),
        event_key=told.key,
        business_key=told.order,
        undoes=told.undoes,
        learner=told.who and Person(remote_user_id=told.who.number, email=told.who.email, first_name=told.who.name),
        items=tuple(Item(remote_product_id=product_of(told.source, product)) for product in told.products),
        registration_id=told.place.number if told.place is not None else None,
        refund=_refund(told),
    )


def _refund(told: Told) -> Refund | None:
    made_at = None if told.earlier is None else NOON + timedelta(minutes=told.at - told.earlier)
    if told.action == "refund":
        return Refund(full=told.full, pending=told.pending, ref=told.ref, made_at=made_at)
    return Refund(ref=told.ref, made_at=made_at) if told.ref or made_at else None


class Reader(Adapter):
    """Reads commands that were sent as they are, so that an event can be replayed from its bytes."""

    credential_fields = frozenset()

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        return [EnrollmentCommand.model_validate_json(event.body)]


class PickyElevate(ElevateSandbox):
    """An Elevate that refuses the data of some people."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()

    async def _register(self, request: web.Request) -> web.Response:
        body = await request.json()
        if str(body.get("remote_user_id")) in self.refused:
            return web.json_response({"error_messages": {"email": "Not this one."}}, status=422)
        return await super()._register(request)


class PowerCutError(Exception):
    """The machine went down."""


class _Watched:
    """A connector in whose calls something may happen: before the target hears of it, or before we hear of the target."""

    def __init__(self, real: Any, moments: dict[str, Callable[[], Awaitable[None]]]) -> None:
        self._real = real
        self._moments = moments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def deliver(self, batch: Sequence[Any]) -> Any:
        await self._happens("before")
        outcomes = await self._real.deliver(batch)
        await self._happens("after")
        return outcomes

    async def _happens(self, when: str) -> None:
        if (happening := self._moments.pop(when, None)) is not None:
            await happening()


class _ByHand(Dispatcher):
    """Lanes that nobody turns but the test."""

    def _run(self, arrived: Mapping[str, Lane]) -> None:
        pass


class Town:
    """A bridge, its targets, and a clock that stands still until it is moved."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = SetClock(NOON)
        self.mapped = False
        self.lms, self.crm = PickyElevate(), HubspotSandbox()
        self.emulators = {"lms": self.lms, "crm": self.crm}
        self.moments: dict[str, Callable[[], Awaitable[None]]] = {}
        self._died = asyncio.Event()
        self._starts = self._forgotten = 0

    @property
    def minute(self) -> int:
        return int((self.clock.now() - NOON).total_seconds()) // 60

    async def open(self) -> None:
        for emulator in self.emulators.values():
            await emulator.start()
        self._session = aiohttp.ClientSession()
        await self._start()

    async def close(self) -> None:
        await self._die()
        await self._session.close()
        for emulator in self.emulators.values():
            await emulator.stop()

    async def _start(self) -> None:
        self._starts += 1
        self._died.clear()
        self.ledger = Ledger(self.url)
        await self.ledger.open()
        lanes = {name: self._lane(name) for name in KINDS}
        self.dispatcher = _ByHand(self.ledger, lanes, self.clock, 30.0)
        if self.ledger.shared:  # there, leases return when their owner has not renewed them
            self.clock.move(60)
        await self.dispatcher.start()
        self.intake = Intake(self.ledger, self._catalogue)
        self.actions = Actions(
            self.ledger, self._catalogue, self.clock, self.dispatcher.lanes, adapter=lambda _: Reader()
        )

    def _catalogue(self) -> Catalogue:
        return catalogue(mapped=self.mapped)

    def _lane(self, name: str) -> Lane:
        kind, emulator = KINDS[name], self.emulators[name]
        settings = kind.Settings.model_validate(
            {"connector": name, "base_url": emulator.base_url, **emulator.credentials}
        )
        http = Http(settings.base_url, Windows((), self.clock), 20.0, self._session)
        watched: Any = _Watched(kind(settings, http, self.clock), self.moments)
        entry = self._catalogue().targets[name]
        return Lane(entry, watched, self.ledger, self._catalogue, POLICY, self.clock, f"start-{self._starts}")

    async def _die(self) -> None:
        """End as a killed process does: nothing is drained, nothing settled, nothing given back."""
        tasks: list[asyncio.Task[Any]] = []
        for lane in self.dispatcher.lanes.values():
            lane._draining = True  # a dead process starts nothing more
            tasks += [*lane._tasks, *lane._settler._flushes, *([lane._probe] if lane._probe else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.ledger.close()

    async def crash(self) -> None:
        """Die and start again."""
        self.moments.clear()
        await self._die()
        await self._start()

    async def dies_now(self) -> None:
        """Be the moment in which the process is killed: whoever waits for this, waits for good."""
        self._died.set()
        await asyncio.Event().wait()

    async def send(self, told: Told) -> Reception:
        """Let a sender tell of something."""
        event = InboundEvent(
            "POST",
            f"/in/{told.source}",
            {"content-type": "application/json"},
            {},
            command_of(told).model_dump_json().encode(),
            self.clock.now(),
        )
        return await self.intake.receive(SOURCES[told.source], Reader(), event)

    async def send_in_vain(self, told: Told) -> None:
        """Let the power go after everything was written and before it was committed."""
        submit = self.ledger.submit

        async def cut(work: Any, item: Any) -> Any:
            def until_the_end(unit: Any, items: Any) -> Any:
                work(unit, items)
                raise PowerCutError

            return await submit(until_the_end, item)

        self.ledger.submit = cut  # type: ignore[method-assign]
        reception = await self.send(told)
        assert reception.kind == "unavailable", reception
        await self.crash()

    async def work(self, name: str) -> None:
        """Turn one lane until nothing is left that it could do now; start anew if the bridge dies over it."""
        turning = asyncio.create_task(self._turn(self.dispatcher.lanes[name]))
        dying = asyncio.create_task(self._died.wait())
        await asyncio.wait([turning, dying], return_when=asyncio.FIRST_COMPLETED)
        dead = self._died.is_set()
        for task in (turning, dying):
            if not task.done():
                task.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        if dead:
            await asyncio.gather(turning, return_exceptions=True)
            await self.crash()
        else:
            await turning
        self.moments.clear()

    async def _turn(self, lane: Lane) -> None:
        lane.wake()
        for _ in range(500):
            await (lane._work() if lane.condition.may_deliver else lane._rest())
            while lane.unsettled:
                await asyncio.gather(*lane._tasks, lane._settler.written(), return_exceptions=True)
            if lane._probe is not None:
                await asyncio.wait([lane._probe])
            if not lane.condition.may_deliver or (lane._dry and not lane.condition.recovered):
                return
        raise AssertionError(f"the lane of {lane.target.name} does not come to rest")

    def pass_time(self, minutes: int) -> None:
        self.clock.move(minutes * 60)

    async def tick(self) -> None:
        await self.dispatcher.tick()

    async def expire(self) -> None:
        await Expiry(self.ledger, self._catalogue, self.clock).run()

    async def forget(self) -> None:
        """Let everything be old at once that is kept only for a while."""
        self._forgotten += 1
        keep = timedelta(days=-self._forgotten)
        await Pruning(self.ledger, lambda: {kind.what: keep for kind in removals.KINDS}, self.clock).run()

    async def pause(self, name: str) -> None:
        await self.actions.do("pause", LaneSwitch(target=name), "ada")

    async def resume(self, name: str) -> None:
        await self.actions.do("resume", LaneSwitch(target=name), "ada")

    async def requeue(self) -> None:
        await self.actions.do("requeue", Requeue(every=True), "ada")

    async def release(self) -> list[dict[str, Any]]:
        return await self.actions.do("release", ReleaseLines(every=True), "ada")

    async def replay(self, event_id: int) -> None:
        await self.actions.do("replay", ReplayEvents(ids=(event_id,)), "ada")

    async def rows(self, question: str) -> list[Any]:
        return list(await self.ledger.read(lambda connection: connection.exec_driver_sql(question).all()))
