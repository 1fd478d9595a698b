"""A bridge of its own on a ledger of its own, whose targets are emulated: what it does there touches nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from bridge import registry
from bridge.app import Bridge
from bridge.app.doctor import tables_of
from bridge.app.mailer import mailer_of
from bridge.contract.errors import TransportFault
from bridge.contract.mail import MAILER
from bridge.contract.settings import TargetSettings
from bridge.edge.control import socket_path
from bridge.kit.sandbox import Emulator
from bridge.ledger import reports
from bridge.ledger.reports import Filter
from bridge.notices.mailer import Shown
from config.settings import Settings

_PATIENCE = 10.0


@asynccontextmanager
async def emulated(settings: Settings, run: Mapping[str, Emulator] | None = None) -> AsyncIterator[Bridge]:
    """Run a bridge with the operator's targets emulated, without sources, log or fixed port.

    Args:
        settings: what the operator wrote; targets without an emulator are left out.
        run: emulators that run already, by target; others are started.
    """
    async with AsyncExitStack() as ends:
        ends.callback(structlog.configure, **structlog.get_config())
        structlog.configure(processors=[_silent])
        folder = ends.enter_context(TemporaryDirectory(prefix="bridge-emulated-"))
        ends.callback(socket_path(Path(folder) / "bridge.db").unlink, missing_ok=True)  # it may lie outside the folder
        targets = {}
        for name, given in settings.targets.items():
            if given.enabled and given.connector in registry.Registry().emulators():
                emulator = (run or {}).get(name)
                if emulator is None:
                    emulator = await ends.enter_async_context(registry.emulator_class(given.connector)())
                emulator.accommodate(given, tables_of(settings, name, registry.connector_class(given.connector)))
                targets[name] = _at(given, emulator)
        changed = {
            "server": settings.server.model_copy(update={"host": "127.0.0.1", "port": 0}),
            "admin": settings.admin.model_copy(update={"port": None}),
            "ledger": settings.ledger.model_copy(update={"url": f"sqlite:///{folder}/bridge.db"}),
            "alerts": type(settings.alerts)(),
            "sources": {},
            "targets": targets,
        }
        bridge = Bridge(settings.model_copy(update=changed), mailer=partial(mailer_of, kind=Shown))
        await bridge.start()
        ends.push_async_callback(bridge.stop)
        await _mend(bridge, settings)
        yield bridge


async def settled(bridge: Bridge) -> list[dict[str, Any]]:
    """Wait until no lane has anything to do, and return the deliveries with what was sent and what came back."""
    async with asyncio.timeout(_PATIENCE):
        while await bridge.ledger.read(_at_work):  # noqa: ASYNC110 - a commit that ends the last work wakes nobody
            await asyncio.sleep(0.02)
    return await bridge.ledger.read(_all_deliveries)


async def _mend(bridge: Bridge, settings: Settings) -> None:
    """Make what `bridge doctor --fix` would make, so that an operator's own properties and fields are there."""
    for name, lane in bridge.dispatcher.lanes.items() if bridge.dispatcher is not None else ():
        if name == MAILER:
            continue
        connector = lane.connector
        with suppress(TransportFault):
            await connector.examine(tables_of(settings, name, type(connector)), fix=True)


def _silent(*_: object) -> Any:
    raise structlog.DropEvent


def _at(given: TargetSettings, emulator: Emulator) -> TargetSettings:
    """Return the operator's settings of a target, with the emulator's address and credentials in place of the real ones."""
    plain_ones = {"connector": given.connector, "base_url": emulator.base_url, **emulator.credentials}
    known = type(given).model_validate(plain_ones)
    return given.model_copy(update={name: getattr(known, name) for name in plain_ones})


def _all_deliveries(connection: Any) -> list[dict[str, Any]]:
    rows = reports.deliveries(connection, Filter(limit=100_000))
    whole = [reports.delivery(connection, row["delivery_id"]) for row in reversed(rows)]
    return [found for found in whole if found is not None]


def _at_work(connection: Any) -> bool:
    counts = reports.backlog(connection, 0)["deliveries"]
    return any(state in ("open", "blocked", "leased") for _, state in counts)
