"""How an action reaches the ledger: through the daemon that runs on it, or directly where none does."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from pydantic import ValidationError

from bridge.actions import ActionRefused, Actions
from bridge.cli.reading import ledger_of
from bridge.contract.errors import LedgerError
from bridge.contract.inbound import InboundAdapter
from bridge.edge.control import socket_path
from bridge.kit.clock import SystemClock
from bridge.ledger.hold import holder
from bridge.ledger.store import Ledger
from bridge.registry import adapter_class
from config.settings import Settings

_PATIENCE = aiohttp.ClientTimeout(total=60)


def act(settings: Settings, name: str, arguments: Mapping[str, Any]) -> Any:
    """Do an action as the person who is logged in, and return what it did.

    On PostgreSQL every process may write, so that nobody needs to be asked.

    Raises:
        ActionRefused: it can't be done as asked.
        LedgerError: there is no ledger, or it did not take the change.
    """
    ledger = ledger_of(settings)
    runner = None if ledger.file is None else holder(ledger.file)
    if ledger.file is not None and runner is not None:
        return asyncio.run(_through_daemon(ledger.file, runner, name, arguments))
    return asyncio.run(_directly(settings, ledger, name, arguments))


def operator() -> str:
    """Return the login name of whoever runs the verb, for the record of actions."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return "unknown"


async def _through_daemon(file: Path, runner: int, name: str, arguments: Mapping[str, Any]) -> Any:
    body = orjson.dumps({"operator": operator(), "arguments": arguments})
    connector = aiohttp.UnixConnector(path=str(socket_path(file)))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session,
            session.post(f"http://bridge/actions/{name}", data=body) as answer,
        ):
            status, said = answer.status, orjson.loads(await answer.read())
    except TimeoutError:
        raise LedgerError(
            f"no answer within {_PATIENCE.total:g} s; what was asked for may still be under way: the daemon's log tells its end"
        ) from None
    except (aiohttp.ClientError, OSError, orjson.JSONDecodeError) as fault:
        who = f"process {runner}" if runner else "another process"
        raise LedgerError(
            f"{who} holds the ledger {file} and does not answer on its local socket ({type(fault).__name__});"
            " try again in a moment, as the user it runs as"
        ) from None
    if status == 200:
        return said["done"]
    raise (LedgerError if status >= 500 else ActionRefused)(str(said.get("error", f"the daemon answered {status}")))


async def _directly(settings: Settings, ledger: Ledger, name: str, arguments: Mapping[str, Any]) -> Any:
    from bridge.app.catalogue import catalogue_of  # noqa: PLC0415 - the whole bridge, for the rare case that it does not run

    catalogue = catalogue_of(settings)
    await ledger.open(upgrade_schema=False)
    try:
        actions = Actions(ledger, lambda: catalogue, SystemClock(), adapter=lambda source: _adapter(settings, source))
        return await actions.act(name, arguments, operator())
    except ValidationError as fault:
        raise ActionRefused("; ".join(f"{error['loc'][0]}: {error['msg']}" for error in fault.errors())) from None
    finally:
        await ledger.close()


def _adapter(settings: Settings, source: str) -> InboundAdapter | None:
    given = settings.sources.get(source)
    return adapter_class(given.adapter)(given) if given is not None and given.enabled else None
