"""Listening: the public address, the admin address, the local socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog
from aiohttp import web

log = structlog.get_logger(__name__)

_LINGER = 2.0  # seconds for which the rest of a refused body is read, so that the sender gets to see the answer
_KEEP_ALIVE = 30.0  # seconds


class Listeners:
    """Every socket the process listens on, closed in reverse."""

    def __init__(self) -> None:
        """Start without any."""
        self._runners: list[web.AppRunner] = []

    async def tcp(self, app: web.Application, host: str, port: int) -> int:
        """Listen on an address and return its port (which the system chose when 0 was asked for)."""
        # Bodies stay as they came: of three megabytes a compressed one may unfold to gigabytes before anybody counts.
        # The default access log costs a third of the throughput and would print query strings; we log what matters ourselves.
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=5.0,
            auto_decompress=False,
            lingering_time=_LINGER,
            keepalive_timeout=_KEEP_ALIVE,
        )
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, host, port, backlog=1024).start()
        return int(runner.addresses[0][1])

    async def unix(self, app: web.Application, path: Path) -> None:
        """Listen on a local socket that only this user may use."""
        await asyncio.to_thread(path.unlink, missing_ok=True)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        await web.UnixSite(runner, str(path)).start()
        await asyncio.to_thread(path.chmod, 0o600)

    async def close(self) -> None:
        """Stop accepting, let requests under way end."""
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._runners.clear()
