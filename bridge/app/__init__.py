"""The composition root: settings in, wired bridge out. Nothing else knows all the parts."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from bridge.actions import Actions
from bridge.app.alerting import Alerting
from bridge.app.api import api_of
from bridge.app.catalogue import catalogue_of
from bridge.app.company import Company
from bridge.app.console import console_of
from bridge.app.credentials import held
from bridge.app.doctor import Doctor
from bridge.app.lanes import LaneShop, gait_of
from bridge.app.mailer import MakesMailer, mailer_of
from bridge.app.policies import kept
from bridge.app.reload import Reloaded, ReloadRefused, refuse_what_needs_a_restart, unfinished
from bridge.app.senders import Senders
from bridge.app.tracer import tracer_of
from bridge.contract.errors import LedgerError, LedgerHeld, LedgerUnfinished
from bridge.contract.mail import MAILER
from bridge.contract.role import Role
from bridge.dispatch.lane import Lane
from bridge.dispatch.loop import Dispatcher
from bridge.edge.claims import ClaimPage
from bridge.edge.control import control_application, socket_path
from bridge.edge.health import Health, Standing
from bridge.edge.schedule import Schedule
from bridge.edge.serve import Listeners
from bridge.edge.stillness import Stillness
from bridge.edge.telemetry import Telemetry
from bridge.edge.web import Inside, admin_application, application
from bridge.edge.webhooks import Webhooks
from bridge.intake.intake import Intake
from bridge.jobs.alerts import Alerts, Watch
from bridge.jobs.credentials import CredentialAges
from bridge.jobs.expiry import Expiry
from bridge.jobs.pruning import Pruning
from bridge.jobs.retention import Retention
from bridge.kit.clock import Clock, SystemClock, milliseconds
from bridge.kit.tracing import Tracer
from bridge.ledger import given_up
from bridge.ledger.schedule import PRUNING, RETENTION
from bridge.ledger.store import Ledger
from config.settings import Settings

log = structlog.get_logger(__name__)

_WAIT_FOR_LEDGER = 30.0
_BUSY = 3.0  # seconds that an event loop may be busy with one thing


class Bridge:
    """One running bridge. :meth:`start` it, then :meth:`stop` it; both once. :meth:`reload` it in between."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        reread: Callable[[], Settings] | None = None,
        role: Role = Role.ALL,
        mailer: MakesMailer = mailer_of,
        file: Path | None = None,
    ) -> None:
        """Take valid settings; nothing is opened yet.

        Args:
            settings: what the operator wrote.
            clock: default: the machine's.
            reread: reads the file again when a reload is asked for.
            role: which part of the work it does.
            mailer: makes the connector of notices.
            file: where the settings stand, for the verbs that the console runs.

        Raises:
            ValueError: a part of the work only, on a ledger that no other bridge can share.
        """
        self.settings = settings
        self.ledger = Ledger(settings.ledger.url)
        if role is not Role.ALL and not self.ledger.shared:
            raise ValueError(f"on SQLite one bridge does everything: --role {role} needs a PostgreSQL ledger")
        self.role = role
        self.file = file
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.company = Company(
            self.ledger, self._owner, role, settings, clock or SystemClock(), lambda: self._running_lanes
        )
        self.clock = self.company.clock
        self.catalogue = catalogue_of(settings)
        self.telemetry = Telemetry()
        self.port = self.admin_port = 0
        self.dispatcher: Dispatcher | None = None
        self._reread = reread
        self._reloading = asyncio.Lock()
        self._listeners = Listeners(self.telemetry.unreadable)
        self._schedule = Schedule()
        self._intake = Intake(self.ledger, lambda: self.catalogue)
        self._lanes = LaneShop(
            self.ledger,
            lambda: self.catalogue,
            self.clock,
            self._owner,
            self.telemetry.attempted,
            self.telemetry.arrived,
            self.company,
            mailer,
        )
        self._senders = Senders(
            self.ledger, self._intake, self.clock, self._schedule, self.telemetry.looked_up, self.company, role
        )
        self._credentials = CredentialAges(self.ledger, self.clock, lambda: held(self.settings))
        limiter = lambda target: self._lanes.limiter(self._running_lanes.get(target))  # noqa: E731 - the lane of now
        self._doctor = Doctor(lambda: self.settings, limiter)
        self._alerting: Alerting | None = None
        self._tracer: Tracer | None = None
        self._stillness: Stillness | None = None
        self._opened = self._started = False
        self._stopping = False

    async def start(self, *, upgrade: bool = True) -> None:
        """Open the ledger (waiting for a database that is still starting), start the lanes, then listen.

        Raises:
            LedgerHeld: another process runs on the ledger.
            LedgerUnfinished: it is a copy that was cut off.
            LedgerError: the ledger can't be opened.
            OSError: the address can't be listened on.
        """
        self._lanes.tracer = self._tracer = tracer_of(self.settings)
        await self._open_ledger(upgrade=upgrade)
        self.ledger.measure_groups(self.telemetry.group_size.observe)
        await self.company.start()
        if self.role.delivers:
            await self._deliver()
        await self._credentials.soon()
        self._schedule.every(600, "credentials", self._credentials.run)
        self._schedule.start()
        await self._listen()
        self._started = True
        log.info(
            "bridge.started",
            role=self.role.value,
            host=self.settings.server.host,
            port=self.port,
            sources=sorted(self.catalogue.sources),
            targets=sorted(self.catalogue.targets),
        )

    @property
    def _running_lanes(self) -> Mapping[str, Lane]:
        return self.dispatcher.lanes if self.dispatcher is not None else {}

    async def _deliver(self) -> None:
        """Start the lanes and the timed jobs."""
        lease = self.settings.dispatch.lease.total_seconds()
        lanes = self._lanes.lanes(self.settings, self.catalogue)
        dispatcher = self.dispatcher = Dispatcher(self.ledger, lanes, self.clock, lease)
        dispatcher.leads = lambda: self.company.lead.held
        await self.company.introduce()
        await dispatcher.start()
        await self._give_up(self.settings)  # with what was in flight there when the bridge ended
        self._schedule.every(lease / 3, "tick", dispatcher.tick)
        expiry = Expiry(self.ledger, lambda: self.catalogue, self.clock)
        self._schedule.every(60, "expiry", self.company.alone(expiry.run))
        keep = lambda: self.settings.ledger.keep_events  # noqa: E731 - the newest after a reload
        retention = Retention(self.ledger, keep, self.clock)
        self._schedule.every(3600, RETENTION, self.company.alone(retention.run))
        leads = lambda: self.company.lead.held and not self._stopping  # noqa: E731 - as above
        pruning = Pruning(self.ledger, lambda: kept(self.settings), self.clock, self.telemetry.removed, leads)
        self._schedule.every(3600, PRUNING, self.company.alone(pruning.run))
        self._begin_alerts(dispatcher)

    async def reload(self, settings: Settings) -> Reloaded:
        """Take over other settings: sources, targets, courses and products, without an event or a delivery lost.

        Everything is built before anything is changed, so that settings that can't be used change nothing. What is under
        way ends with what it began with; registrations keep the mapping that they were made with.

        Raises:
            ReloadRefused: it needs a restart, or would leave work behind.
            LedgerError: the ledger is away; nothing was changed, or only the giving up of a target is left to do. Asked
                again, or started again, the bridge does it.
        """
        async with self._reloading:
            return await self._take_over(settings)

    async def _take_over(self, settings: Settings) -> Reloaded:
        if self._stopping:  # lanes that begin now would be cut off in the middle of a call
            raise ReloadRefused("the bridge is stopping; the configuration is read when it starts")
        refuse_what_needs_a_restart(self.settings, settings)
        await self._give_up(self.settings)  # what its lane could not end is open again by now, and would be in the way
        await unfinished(self.ledger, self.settings, settings)
        # The last that can fail because the ledger is away: nothing is changed yet.
        pauses = await self.dispatcher.pauses() if self.dispatcher is not None else {}
        catalogue = catalogue_of(settings)
        lanes = self._lanes.lanes(settings, catalogue) if self.role.delivers else {}
        try:
            senders = self._senders.prepare(settings, catalogue)
        except BaseException:
            await self._lanes.discard(lanes.values(), self._running_lanes.values())
            raise
        before, self.settings, self.catalogue = self.catalogue, settings, catalogue
        await self._senders.exchange(
            senders
        )  # first: a key that is withdrawn must not count until a slow target has ended
        left = await self.dispatcher.exchange(lanes, pauses) if self.dispatcher is not None else []
        await self._lanes.discard(left, lanes.values())
        if self._alerting is not None:
            self._alerting.use(settings)
        await self._give_up(settings)  # only now that its lane has nothing in flight any more
        await self._credentials.soon()
        done = Reloaded.between(before, catalogue, changed_targets=[lane.target.name for lane in left])
        log.info("bridge.reloaded", **done.words())
        return done

    async def stop(self) -> None:
        """Stop accepting, finish what is in flight, give leases back, close the ledger; also where it did not start, or not wholly."""
        self._stopping = True
        self._doctor.close()
        await self._listeners.close()
        if self._stillness is not None:
            self._stillness.end()
        self._schedule.stop()
        if self._alerting is not None:
            await self._alerting.close()
        await self._senders.close()
        if self.dispatcher is not None:
            await self.dispatcher.drain()
        await self._lanes.close()
        if self._opened:
            await self.company.stop()
            await self.ledger.close()
        if self._tracer is not None:
            await self._tracer.close()
        if self._started:
            log.info("bridge.stopped")

    async def _open_ledger(self, *, upgrade: bool) -> None:
        def passing(fault: BaseException) -> bool:
            lasting = isinstance(fault, LedgerHeld | LedgerUnfinished)
            return isinstance(fault, LedgerError) and not lasting and self.ledger.shared

        async for attempt in AsyncRetrying(
            retry=retry_if_exception(passing),
            stop=stop_after_delay(_WAIT_FOR_LEDGER),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            reraise=True,
        ):
            with attempt:
                await self.ledger.open(upgrade_schema=upgrade)
        self._opened = True
        if self.ledger.made_folder is not None:  # a disk that is not mounted looks like this
            log.warning("ledger.folder_made", folder=str(self.ledger.made_folder))

    async def _give_up(self, settings: Settings) -> None:
        """End what is open at targets that the operator has given up. Idempotent."""
        if not self.role.delivers:
            return
        names = [name for name, given in settings.targets.items() if given.drop]
        if settings.mailer is not None and settings.mailer.drop:
            names.append(MAILER)
        now = milliseconds(self.clock.now())
        for name in names:
            if ended := await self.ledger.write(partial(given_up.give_up, target=name, now=now)):
                log.warning("bridge.target_given_up", target=name, deliveries=ended)

    def _begin_alerts(self, dispatcher: Dispatcher) -> None:
        watch = Watch(
            self.ledger, self.clock, lambda: dispatcher.lanes, lambda: self.catalogue.sources, self._lanes.clocks
        )
        alerts = Alerts(self.ledger, self.clock, watch, self.telemetry.alert_failed, lambda: self.company.lead.held)
        self._alerting = Alerting(alerts, self.clock)
        self._alerting.use(self.settings)
        self.ledger.on_commit(alerts.wake)
        self._schedule.every(60, "alerts", alerts.run)

    async def _listen(self) -> None:
        server, admin = self.settings.server, self.settings.admin
        await self._senders.exchange(self._senders.prepare(self.settings, self.catalogue))
        if self.company.presence is not None:  # there may be others to which a sender has turned meanwhile
            self._stillness = Stillness(max(self.company.presence.fence, _BUSY))
            self._stillness.watch()
        health = Health(self.ledger, self, self.telemetry, self.clock, lambda: self._intake.refused)
        reload = None if self._reread is None or self.ledger.file is None else self.reread
        actions = Actions(
            self.ledger,
            lambda: self.catalogue,
            self.clock,
            self._running_lanes,
            reload,
            self._senders.adapter,
            self._doctor.examine,
        )
        if self.ledger.file is not None:
            await self._listeners.unix(control_application(actions), socket_path(self.ledger.file))
        inside: Inside | None = Inside(console_of(self, actions), api_of(self, actions))
        if admin.port is not None:
            pages = admin_application(health, inside)
            self.admin_port = await self._listeners.tcp(pages, admin.host, admin.port, "admin")
            inside = None
        public = self._public(health, inside, server.max_body)
        self.port = await self._listeners.tcp(public, server.host, server.port, "server")

    def _public(self, health: Health, inside: Inside | None, max_body: int) -> web.Application:
        metrics = self.settings.admin.port is None
        if not self.role.receives:
            return admin_application(health, inside, metrics=metrics)
        claims = ClaimPage(self.ledger, lambda: self.catalogue, self.telemetry, self.clock)
        sources = lambda: self._senders.sources  # noqa: E731 - the newest after a reload
        webhooks = Webhooks(self._intake, sources, self.telemetry, self.clock, max_body, self._tracer)
        if self._stillness is not None:
            webhooks.stood_still = self._stillness.woke
        return application(webhooks, health, claims, lambda: self.catalogue, max_body, inside=inside, metrics=metrics)

    def standing(self) -> Standing:
        """Return what probes and metrics show of this bridge."""
        presence = self.company.presence
        return Standing(
            role=self.role.value,
            lanes={name: lane.status for name, lane in self._running_lanes.items()},
            running=self.dispatcher is None or self.dispatcher.running,
            leads=self.role.delivers and self.company.lead.held,
            fenced=presence is not None and presence.fenced,
            bridges=presence.alive if presence is not None else 1,
            beat_age=presence.age if presence is not None else 0.0,
            uses=self._lanes.uses(self._running_lanes.values()),
            gaits={name: gait_of(lane) for name, lane in self._running_lanes.items()},
        )

    async def reread(self) -> dict[str, Any]:
        """Read the file again and take it over; return what is different now.

        Raises:
            ConfigError: the file can't be used; nothing was changed.
            ReloadRefused: as :meth:`reload`.
            LedgerError: as :meth:`reload`.
        """
        assert self._reread is not None  # noqa: S101 - whoever asks was given it
        async with (
            self._reloading
        ):  # before the file is read: or of two reloads, the one that read it first might come last
            return (await self._take_over(await asyncio.to_thread(self._reread))).words()
