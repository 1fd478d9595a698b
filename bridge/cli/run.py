"""``bridge run``: the daemon."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from bridge.cli.given import CONFIG, ConfigPath, loaded
from bridge.cli.reading import ledger_of
from bridge.contract.errors import BridgeError, ConfigError
from bridge.contract.role import Role
from bridge.edge import logs
from bridge.edge.collector import tune_collector
from config.settings import Settings

if TYPE_CHECKING:
    from bridge.app import Bridge

log = structlog.get_logger(__name__)


def run(
    *,
    config: ConfigPath = CONFIG,
    role: Annotated[
        Role,
        typer.Option("--role", help="On PostgreSQL: only take what senders send, or only deliver it and do the jobs."),
    ] = Role.ALL,
    no_upgrade: Annotated[
        bool, typer.Option("--no-upgrade", help="Refuse to start on an older schema instead of upgrading it.")
    ] = False,
    no_uvloop: Annotated[
        bool, typer.Option("--no-uvloop", help="Use Python's own event loop even where uvloop is installed.")
    ] = False,
) -> None:
    """Take what sources send and bring the targets to agree, until told to stop.

    SIGTERM or SIGINT: stop accepting, finish what is in flight, exit with 0. A second one: exit at once; nothing is lost.
    Where it can't start, the last line of its log says why (bridge.not_started), and the exit code is 1; 2 for the configuration.
    """
    from bridge.app import Bridge  # noqa: PLC0415 - the whole bridge; no other verb should wait for it to be imported

    found = loaded(config)
    if ledger_of(found.settings, must_exist=no_upgrade).file is not None and role is not Role.ALL:
        raise typer.BadParameter(f"--role {role} needs a PostgreSQL ledger; on SQLite one bridge does everything")
    logs.configure(found.settings.log.level, found.settings.log.format)
    for warning in found.warnings:
        log.warning("config.warning", where=warning.where, line=warning.line, said=warning.message)
    with asyncio.Runner(loop_factory=None if no_uvloop else _fast_loop()) as runner:
        bridge = Bridge(found.settings, reread=lambda: _reread(config), role=role, file=config)
        code = runner.run(_serve(bridge, upgrade=not no_upgrade))
    if bridge.ledger.waits:  # Python would wait for the thread, and the thread waits for a database that is silent
        sys.stdout.flush()
        os._exit(code)
    if code:
        raise typer.Exit(code)


def _reread(config: Path) -> Settings:
    found = loaded(config)
    for warning in found.warnings:
        log.warning("config.warning", where=warning.where, line=warning.line, said=warning.message)
    return found.settings


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    with suppress(ImportError):
        import uvloop  # noqa: PLC0415 - an extra; without it Python's own loop serves

        return uvloop.new_event_loop
    return None


async def _serve(bridge: Bridge, *, upgrade: bool) -> int:
    """Start, wait until told to stop, stop; return the exit code."""
    stopping = asyncio.Event()
    starting = asyncio.create_task(bridge.start(upgrade=upgrade))
    told = asyncio.create_task(stopping.wait())
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(_reload(bridge, starting), name="reload")
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    _on_signals(stopping, reload)
    try:
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            log.info("bridge.not_started", why="it was told to stop before it had started")
            return 0
        if (fault := starting.exception()) is not None:
            return _not_started(fault)
        tune_collector()
        raise_files()
        await told
    except OSError as fault:
        raise BridgeError(_refused(fault)) from None
    finally:
        for task in (starting, told, *reloads):
            task.cancel()
        await asyncio.gather(starting, told, *reloads, return_exceptions=True)
        await bridge.stop()
    return 0


def _not_started(fault: BaseException) -> int:
    """Say in the log, and only there, why the bridge did not start; return the exit code. A defect of ours goes on."""
    if isinstance(fault, OSError):
        log.error("bridge.not_started", why=_refused(fault))
    elif isinstance(fault, BridgeError):
        log.error("bridge.not_started", why=str(fault))
    else:
        log.error("bridge.not_started", why=f"a defect of the bridge: {type(fault).__name__}")
        raise fault
    return 2 if isinstance(fault, ConfigError) else 1


def _refused(fault: OSError) -> str:
    return f"the system refused the bridge {fault.filename or 'something'}: {fault.strerror or fault}"


async def _reload(bridge: Bridge, starting: asyncio.Task[None]) -> None:
    """Do as SIGHUP asks; there is nobody to answer but the log."""
    try:
        await asyncio.shield(starting)
        await bridge.reread()
    except (BridgeError, OSError) as fault:
        log.error("bridge.not_reloaded", why=str(fault))  # noqa: TRY400 - a message of its own, without a trace


_FILES = 65_536


def raise_files() -> None:
    """Let the process have as many connections as the system allows it, up to some ten thousands.

    Many systems give a process 1,024 unless it asks, and one target may have as many requests in flight.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _on_signals(stopping: asyncio.Event, reload: Callable[[], None]) -> None:
    def stop() -> None:
        if stopping.is_set():
            log.warning("bridge.killed")
            os._exit(1)
        log.info("bridge.stopping")
        stopping.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop)
