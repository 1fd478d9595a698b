"""The composition root: settings in, wired bridge out. Nothing else knows all the parts."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import socket
from collections import Counter
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
import structlog
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from bridge import registry
from bridge.actions import Actions
from bridge.contract.catalogue import Catalogue, CourseEntry, ProductEntry, SourceEntry, TargetEntry
from bridge.contract.errors import LedgerError, LedgerHeld
from bridge.contract.inbound import Enriches
from bridge.contract.settings import CallsOut, MarksTestOrders, Milestone, SourceSettings, TargetSettings
from bridge.dispatch.attempt import PatientLimiter
from bridge.dispatch.breaker import BreakerPolicy
from bridge.dispatch.lane import Lane, LanePolicy
from bridge.dispatch.loop import Dispatcher
from bridge.dispatch.retry import RetryPolicy
from bridge.edge.control import control_application, socket_path
from bridge.edge.health import Health
from bridge.edge.schedule import Schedule
from bridge.edge.serve import Listeners
from bridge.edge.sources import Source, Sources
from bridge.edge.telemetry import Telemetry
from bridge.edge.web import admin_application, application
from bridge.edge.webhooks import Webhooks
from bridge.intake.intake import Intake
from bridge.jobs.expiry import Expiry
from bridge.jobs.lookups import LookupPolicy, Lookups
from bridge.jobs.retention import Retention
from bridge.kit.clock import Clock, SystemClock
from bridge.kit.http import Http, Windows, open_session
from bridge.kit.masking import secrets_of
from bridge.ledger.store import Ledger
from config.settings import Settings

log = structlog.get_logger(__name__)

_WAIT_FOR_LEDGER = 30.0


def catalogue_of(settings: Settings) -> Catalogue:
    """Return the operator's mapping in the form that planning reads; disabled sources and targets are left out."""
    scopes = {name: _scope(name, settings.sources) for name, given in settings.sources.items() if given.enabled}
    shared = Counter(scopes.values())
    sources = {
        name: _source(name, settings.sources[name], scope, joined=shared[scope] > 1) for name, scope in scopes.items()
    }
    targets = {name: _target(name, given) for name, given in settings.targets.items() if given.enabled}
    courses = {
        key: CourseEntry(
            key=key,
            title=course.title,
            product_url=course.product_url,
            registration_url=course.registration_url,
            duration=course.access.duration,
            grace=course.access.grace,
            full_access=course.access.full_access,
            tables=course.tables,
        )
        for key, course in settings.courses.items()
    }
    products = {
        (source, product.remote_product_id): ProductEntry(product.courses, product.product_url, product.ignore)
        for product in settings.products
        for source in product.source
    }
    text = orjson.dumps(
        {
            "courses": {
                key: course.model_dump(mode="json", exclude_defaults=True) for key, course in settings.courses.items()
            },
            "products": [product.model_dump(mode="json", exclude_defaults=True) for product in settings.products],
        },
        option=orjson.OPT_SORT_KEYS,
    )
    return Catalogue(sources, targets, courses, products, hashlib.sha256(text).hexdigest()[:16], text.decode())


def _scope(name: str, sources: Mapping[str, SourceSettings]) -> str:
    """Return the source that a source's orders are known under: the last of the chain of ``same_orders_as``."""
    passed: list[str] = []
    while name not in passed:
        passed.append(name)
        name = sources[name].same_orders_as or name
    return name if passed[-1] == name else min(passed)  # a ring: all of them are one


def _source(name: str, settings: SourceSettings, scope: str, *, joined: bool) -> SourceEntry:
    return SourceEntry(
        name=name,
        adapter=settings.adapter,
        namespace=settings.namespace or name,
        business_scope=scope,
        unmapped=settings.unmapped,
        joined=joined,
        test_mode=isinstance(settings, MarksTestOrders) and settings.test_mode,
        echo_of=settings.echo_of,
        accept_enrollments=settings.accept_enrollments,
    )


def _target(name: str, settings: TargetSettings) -> TargetEntry:
    kind = registry.connector_class(settings.connector)
    return TargetEntry(
        name=name,
        connector=settings.connector,
        stage=kind.stage,
        known_by=kind.known_by,
        needs_table=kind.needs_table,
        course_for=kind.course_for,
        course_model=kind.Course,
        when=settings.when,
        only_if=settings.only_if,
        hears=_hears(settings),
    )


_TOLD_BY_LMS = frozenset({Milestone.STARTED, Milestone.PROGRESS, Milestone.COMPLETED, Milestone.EXPIRED})
_PATHS_OF_PROGRESS = ("registration.percent", "registration.started_at", "registration.completed_at")


def _hears(settings: TargetSettings) -> frozenset[Milestone]:
    """Return what an LMS tells that the target's actions wait for, or that a template or rule of its looks at."""
    awaited = {milestone for action in getattr(settings, "actions", ()) for milestone in action.on}
    text = settings.model_dump_json()  # secrets are masked in it
    looks = any(path in text for path in _PATHS_OF_PROGRESS)
    return _TOLD_BY_LMS if looks else frozenset(awaited & _TOLD_BY_LMS)


def retry_policy(settings: Settings) -> RetryPolicy:
    """Return when what failed is tried again, from ``[dispatch]``."""
    given = settings.dispatch
    return RetryPolicy(given.retry, given.max_age, given.jitter, given.retry_after_max)


def lane_policy(settings: Settings, concurrency: int) -> LanePolicy:
    """Return how a lane works, from ``[dispatch]`` and the target's own concurrency."""
    given = settings.dispatch
    return LanePolicy(
        concurrency=concurrency,
        deadline=given.deadline.total_seconds(),
        lease=given.lease.total_seconds(),
        retry=retry_policy(settings),
        breaker=BreakerPolicy(
            given.breaker_failures, given.breaker_probe.total_seconds(), given.breaker_probe_max.total_seconds()
        ),
    )


def request_timeout(settings: Settings, target: str) -> float:
    """Return how many seconds one request to a target may take: by its own ``timeout``, else as ``[dispatch]`` says."""
    given = settings.targets[target]
    own = "timeout" in given.model_fields_set
    return (given.timeout if own else settings.dispatch.request_timeout).total_seconds()


class Bridge:
    """One running bridge. :meth:`start` it, then :meth:`stop` it; both once."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """Take valid settings; nothing is opened yet."""
        self.settings = settings
        self.clock = clock or SystemClock()
        self.ledger = Ledger(settings.ledger.url)
        self.catalogue = catalogue_of(settings)
        self.telemetry = Telemetry()
        self.port = 0
        self.dispatcher: Dispatcher | None = None
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._sessions: list[aiohttp.ClientSession] = []
        self._asking: list[asyncio.Task[None]] = []
        self._listeners = Listeners(self.telemetry.unreadable)
        self._schedule = Schedule()
        self._opened = False

    async def start(self, *, upgrade: bool = True) -> None:
        """Open the ledger (waiting for a database that is still starting), start the lanes, then listen.

        Raises:
            LedgerHeld: another process runs on the ledger.
            LedgerError: the ledger can't be opened.
            OSError: the address can't be listened on.
        """
        await self._open_ledger(upgrade=upgrade)
        self.ledger.measure_groups(self.telemetry.group_size.observe)
        lanes = {name: self._lane(name, target) for name, target in self.catalogue.targets.items()}
        lease = self.settings.dispatch.lease.total_seconds()
        self.dispatcher = Dispatcher(self.ledger, lanes, self.clock, self._owner, lease)
        await self.dispatcher.start()
        self._schedule.every(lease / 3, "tick", self.dispatcher.tick)
        self._schedule.every(60, "expiry", Expiry(self.ledger, lambda: self.catalogue, self.clock).run)
        self._schedule.every(
            3600, "retention", Retention(self.ledger, self.settings.ledger.keep_events, self.clock).run
        )
        self._schedule.start()
        await self._listen(self.dispatcher)
        log.info(
            "bridge.started",
            host=self.settings.server.host,
            port=self.port,
            sources=sorted(self.catalogue.sources),
            targets=sorted(self.catalogue.targets),
        )

    async def stop(self) -> None:
        """Stop accepting, finish what is in flight, give leases back, close the ledger."""
        await self._listeners.close()
        self._schedule.stop()
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        if self.dispatcher is not None:
            await self.dispatcher.drain()
        for session in self._sessions:
            await session.close()
        if self._opened:
            await self.ledger.close()
        log.info("bridge.stopped")

    async def _open_ledger(self, *, upgrade: bool) -> None:
        def passing(fault: BaseException) -> bool:
            return isinstance(fault, LedgerError) and not isinstance(fault, LedgerHeld) and self.ledger.shared

        async for attempt in AsyncRetrying(
            retry=retry_if_exception(passing),
            stop=stop_after_delay(_WAIT_FOR_LEDGER),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            reraise=True,
        ):
            with attempt:
                await self.ledger.open(upgrade_schema=upgrade)
        self._opened = True

    def _lane(self, name: str, entry: TargetEntry) -> Lane:
        given = self.settings.targets[name]
        kind = registry.connector_class(given.connector)
        limiter = PatientLimiter(Windows(given.rate_limit or kind.rate_limit, self.clock, fixed=bool(given.rate_limit)))
        session = open_session(given.concurrency * 2)  # its connections live as long as the lane
        self._sessions.append(session)
        timeout = request_timeout(self.settings, name)
        connector: Any = kind(given, Http(given.base_url, limiter, timeout, session), self.clock)
        return Lane(
            entry,
            connector,
            self.ledger,
            lambda: self.catalogue,
            lane_policy(self.settings, given.concurrency),
            self.clock,
            self._owner,
            self.telemetry.attempted,
            secrets=secrets_of(given),
        )

    def _source(self, name: str, entry: SourceEntry) -> Source:
        given = self.settings.sources[name]
        adapter = registry.adapter_class(entry.adapter)(given)
        if not isinstance(given, CallsOut):
            return Source(entry, adapter)
        rates = given.rate_limit or getattr(adapter, "rate_limit", ())
        session = open_session(given.concurrency * 2)
        self._sessions.append(session)
        limiter = Windows(rates, self.clock)
        return Source(entry, adapter, Http(given.base_url, limiter, given.timeout.total_seconds(), session))

    def _start_lookups(self, sources: Sources, intake: Intake) -> None:
        for name, source in sources.by_name.items():
            given = self.settings.sources[name]
            if not isinstance(given, CallsOut) or not isinstance(source.adapter, Enriches):
                continue
            policy = LookupPolicy(given.concurrency, given.timeout.total_seconds(), retry_policy(self.settings))
            asker = Lookups(
                source.entry,
                source.adapter,
                self.ledger,
                intake,
                source.http,
                policy,
                self.clock,
                self.telemetry.looked_up,
            )
            self.ledger.on_commit(asker.wake)
            self._schedule.every(self.settings.dispatch.lease.total_seconds() / 3, f"lookups {name}", asker.tick)
            self._asking.append(asyncio.create_task(asker.run(), name=f"lookups:{name}"))

    async def _listen(self, dispatcher: Dispatcher) -> None:
        server, admin = self.settings.server, self.settings.admin
        sources = Sources(self._source(name, entry) for name, entry in self.catalogue.sources.items())
        intake = Intake(self.ledger, lambda: self.catalogue)
        self._start_lookups(sources, intake)
        webhooks = Webhooks(intake, lambda: sources, self.telemetry, self.clock, server.max_body)
        health = Health(self.ledger, dispatcher, self.telemetry, self.clock, lambda: intake.refusing)
        if self.ledger.file is not None:
            actions = Actions(self.ledger, lambda: self.catalogue, self.clock, dispatcher.lanes)
            await self._listeners.unix(control_application(actions), socket_path(self.ledger.file))
        if admin.port is not None:
            await self._listeners.tcp(admin_application(health), admin.host, admin.port)
        app = application(webhooks, health, lambda: self.catalogue, server.max_body, metrics=admin.port is None)
        self.port = await self._listeners.tcp(app, server.host, server.port)
