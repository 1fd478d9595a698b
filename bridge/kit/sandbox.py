"""What every emulator shares: a real HTTP server on loopback, fault modes, a journal, and a way to ask what it holds.

An emulator is one file in ``connectors/sandbox``, named like the connector whose target it plays; its last line is
``EMULATOR: type[Emulator] = ...``. It answers with the target's own bodies, errors and quirks, and keeps what it was
told. Three addresses are the sandbox's own: ``GET /_sandbox/holdings``, ``GET /_sandbox/journal`` and
``POST /_sandbox/faults``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import orjson
from aiohttp import web
from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, TypeAdapter, ValidationError, with_config

Mode = Literal["status", "delay", "cut", "lost", "garbage"]

_GARBAGE = b"<html><head><title>502 Bad Gateway</title></head><body>upstream</body></html>"


@with_config(ConfigDict(extra="forbid"))
@dataclass(slots=True)
class Fault:
    """One way to misbehave.

    Attributes:
        mode: ``status`` answers ``status`` with ``body`` and has no effect; ``delay`` waits ``seconds`` first and then
            goes on normally; ``cut`` closes the connection before any effect; ``lost`` has the effect and then closes
            the connection without an answer; ``garbage`` answers 200 with a page of HTML and has no effect.
        times: how many requests it hits; None is all of them until it is cleared.
        after: how many requests it lets pass first.
        path: only requests whose path contains this text.
        method: only requests of this method.
    """

    mode: Mode
    times: NonNegativeInt | None = None
    after: NonNegativeInt = 0
    status: Annotated[int, Field(ge=200, le=599)] = 503
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: NonNegativeFloat = 0.0
    path: str = ""
    method: str = ""


_FAULTS: Final = TypeAdapter(list[Fault])
_MOST_RECORDED: Final = 50_000  # requests that the journal keeps at least, and twice as many at most


@dataclass(frozen=True, slots=True)
class Holding:
    """One thing that the emulated target holds, in words that an emulator's owner and the demo's table share.

    Attributes:
        kind: ``enrollment`` or ``contact``.
        person: e-mail address of the person.
        what: the remote course; for a contact its tags or fields, as text.
        remote_id: what the target calls it.
        live: whether it gives access now (an enrollment), or exists (a contact).
    """

    kind: Literal["enrollment", "contact"]
    person: str
    what: str
    remote_id: str
    live: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request that reached the emulator."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


class Emulator:
    """A target that runs in this process, on a real socket.

    A subclass adds its routes in :meth:`routes` and says what it holds in :meth:`holdings`.

    Class attributes:
        credentials: settings of a target that this emulator accepts, without ``connector`` and ``base_url``.
        course: the table of a course that a new emulator knows, where not any will do.
        featured: further settings that show what the connector can do.
        replaces: settings that ``credentials`` stand for, besides secrets and those of the same names.
        witness: told of every request with the status and body of its answer, but for those that a fault hit. Tests hold
            them against the vendor's specification.
    """

    credentials: ClassVar[Mapping[str, Any]] = {}
    course: ClassVar[Mapping[str, Any]] = {}
    featured: ClassVar[Mapping[str, Any]] = {}
    replaces: ClassVar[frozenset[str]] = frozenset()
    witness: ClassVar[Callable[[Recorded, int, bytes], None] | None] = None

    def __init__(self) -> None:
        """Start empty and well-behaved."""
        self.journal: list[Recorded] = []
        self.faults: list[Fault] = []
        self.base_url = ""
        self._runner: web.AppRunner | None = None
        self._port = 0

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the target's addresses."""
        return []

    def holdings(self) -> list[Holding]:
        """Return what the target holds now."""
        return []

    def accommodate(self, settings: Any, courses: Sequence[Any]) -> None:
        """Have what an operator's settings and course tables name, so that their own file can be rehearsed. Idempotent.

        Args:
            settings: of the target.
            courses: every course's complete table for it.
        """

    def now_fails(self, mode: Mode, **how: Any) -> Fault:
        """Misbehave from now on; returns the fault, for :meth:`recovers`."""
        fault = Fault(mode, **how)
        self.faults.append(fault)
        return fault

    def recovers(self, fault: Fault | None = None) -> None:
        """Behave again: without one fault, or without all of them."""
        self.faults = [] if fault is None else [other for other in self.faults if other is not fault]

    async def start(self, port: int = 0) -> str:
        """Listen on loopback and return the base address. Port 0 takes a free one, and keeps it over a restart."""
        app = web.Application(middlewares=[self._misbehave], client_max_size=16 * 1024**2)
        app.add_routes(
            [
                web.get("/_sandbox/holdings", self._show_holdings),
                web.get("/_sandbox/journal", self._show_journal),
                web.post("/_sandbox/faults", self._set_faults),
                *self.routes(),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port or self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{self._port}"
        return self.base_url

    async def stop(self) -> None:
        """Stop listening; what it holds stays. Connections are refused until it starts again."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        """Start on a free port."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/_sandbox/"):
            return await handler(request)  # type: ignore[no-any-return]
        body = await request.read()
        seen = Recorded(request.method, request.path, dict(request.query), dict(request.headers), body)
        self.journal.append(seen)
        if len(self.journal) > 2 * _MOST_RECORDED:  # of an emulator that stays up for days
            del self.journal[:_MOST_RECORDED]
        for fault in list(self.faults):
            if fault.path not in request.path or fault.method not in ("", request.method) or fault.times == 0:
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
            if fault.mode == "delay":
                await asyncio.sleep(fault.seconds)
                continue
            return await self._failed(fault, request, handler)
        answer: web.StreamResponse = await handler(request)
        if (witness := type(self).witness) is not None:
            told = answer.body if isinstance(answer, web.Response) else b""
            witness(seen, answer.status, told if isinstance(told, bytes) else b"")
        return answer

    async def _failed(self, fault: Fault, request: web.Request, handler: Any) -> web.StreamResponse:
        if fault.mode == "status":
            if isinstance(fault.body, str):
                return web.Response(
                    status=fault.status, text=fault.body, headers=dict(fault.headers), content_type="text/html"
                )
            return web.json_response(fault.body, status=fault.status, headers=dict(fault.headers))
        if fault.mode == "garbage":
            return web.Response(body=_GARBAGE, content_type="text/html")
        if fault.mode == "lost":
            await handler(request)
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError

    async def _show_holdings(self, _: web.Request) -> web.Response:
        rows = [{slot: getattr(held, slot) for slot in Holding.__slots__} for held in self.holdings()]
        return web.json_response(rows)

    async def _show_journal(self, _: web.Request) -> web.Response:
        rows = [{"method": seen.method, "path": seen.path, "query": dict(seen.query)} for seen in self.journal]
        return web.json_response(rows)

    async def _set_faults(self, request: web.Request) -> web.Response:
        try:
            wanted = _FAULTS.validate_json(await request.read())
        except ValidationError as fault:
            wrong = {".".join(map(str, one["loc"])): one["msg"] for one in fault.errors(include_url=False)}
            return web.json_response({"error": "a list of faults is wanted", "faults": wrong}, status=422)
        self.faults = wanted
        return web.json_response({"faults": len(self.faults)})
