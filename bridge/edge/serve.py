"""Listening: the public address, the admin address, the local socket."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from bridge.contract.errors import BridgeError

log = structlog.get_logger(__name__)

_LINGER = 2.0  # seconds for which the rest of a refused body is read, so that the sender gets to see the answer
_KEEP_ALIVE = 30.0  # seconds
_REMEDIES = {
    errno.EADDRINUSE: "stop what listens there, or set another port in [{}]",
    errno.EACCES: "set a port from 1024 on in [{}], and let a proxy listen on the lower one",
}
_NO_SUCH_HOST = "set host in [{}] to an address of this machine"


class CannotListen(BridgeError):
    """An address is taken, not allowed, or not this machine's."""


class _Connection(web.RequestHandler):
    """Speaks HTTP with one sender. Of what is no HTTP, neither answer nor log repeats anything."""

    __slots__ = ("_unreadable",)

    def __init__(self, server: web.Server, unreadable: Callable[[], None], **how: Any) -> None:
        super().__init__(server, **how)
        self._unreadable = unreadable

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the parser's, which is what must not be told
    ) -> web.StreamResponse:
        """Answer shortly: the parser's message, and the trace, quote the line with the secret and the learner in it."""
        log.warning("edge.unreadable", status=status, fault=type(exc).__name__)
        self._unreadable()
        if request.writer.output_size > 0:
            raise ConnectionError("the answer is on its way already")
        response = web.json_response({"error": "bad request"}, status=status)
        if status >= 500:  # whatever it was, the call was not kept, and the sender should send it again
            response = web.json_response({"error": "internal error"}, status=503, headers={"Retry-After": "30"})
        response.force_close()
        return response


class _Server(web.Server):
    """Makes a :class:`_Connection` for each sender."""

    def __init__(self, server: web.Server, unreadable: Callable[[], None]) -> None:
        super().__init__(server.request_handler, request_factory=server.request_factory)
        self._unreadable = unreadable

    def __call__(self) -> web.RequestHandler:
        # Bodies stay as they came: of three megabytes a compressed one may unfold to gigabytes before anybody counts.
        # The default access log costs a third of the throughput and would print query strings; we log what matters ourselves.
        return _Connection(
            self,
            self._unreadable,
            loop=asyncio.get_running_loop(),
            access_log=None,
            auto_decompress=False,
            lingering_time=_LINGER,
            keepalive_timeout=_KEEP_ALIVE,
        )


class _Runner(web.AppRunner):
    """Runs an application on a :class:`_Server`."""

    def __init__(self, app: web.Application, unreadable: Callable[[], None]) -> None:
        super().__init__(app, handle_signals=False, shutdown_timeout=5.0)
        self._unreadable = unreadable

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), self._unreadable)


class Listeners:
    """Every socket the process listens on, closed in reverse."""

    def __init__(self, unreadable: Callable[[], None] = lambda: None) -> None:
        """Start without any; ``unreadable`` is told of each request that is no HTTP."""
        self._unreadable = unreadable
        self._runners: list[web.AppRunner] = []

    async def tcp(self, app: web.Application, host: str, port: int, section: str) -> int:
        """Listen on an address and return its port (which the system chose when 0 was asked for).

        Args:
            app: what is shown there.
            host: the address's.
            port: the address's.
            section: of ``bridge.toml``, where host and port stand.

        Raises:
            CannotListen: naming the address and what to do.
        """
        runner = _Runner(app, self._unreadable)
        await runner.setup()
        self._runners.append(runner)
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
        except OSError as fault:
            number = fault.errno or 0
            # A name that can't be found has no number of the system's.
            why = os.strerror(number) if number > 0 else fault.strerror
            remedy = _REMEDIES.get(number, _NO_SUCH_HOST).format(section)
            raise CannotListen(f"can't listen on {host}:{port}: {why}; {remedy}") from None
        return int(runner.addresses[0][1])

    async def unix(self, app: web.Application, path: Path) -> None:
        """Listen on a local socket that only this user may use.

        Raises:
            CannotListen: naming the socket and what to do.
        """
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        try:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            await web.UnixSite(runner, str(path)).start()
            await asyncio.to_thread(path.chmod, 0o600)
        except OSError as fault:
            why = os.strerror(fault.errno or 0)
            raise CannotListen(
                f"can't listen on {path}: {why}; let the user that runs the bridge write to that folder"
            ) from None

    async def close(self) -> None:
        """Stop accepting, let requests under way end."""
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._runners.clear()
