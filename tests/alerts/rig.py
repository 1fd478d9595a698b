"""Receivers of alerts on loopback, and an alert job whose clock the test moves."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes, policy
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from aiosmtpd.controller import Controller

from bridge.jobs.alerts import AlertPolicy, Alerts, Channel, Watch
from bridge.jobs.alerts.channels import Slack, StandardWebhook
from bridge.kit.clock import SetClock
from bridge.kit.http import Http, Windows, open_session
from bridge.ledger.store import Ledger

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, twice").decode()


class Receiver:
    """Takes what is posted to it, and answers what the test says.

    Attributes:
        taken: header and body of each call that was answered 2xx.
        calls: how many came, whatever was answered.
        headers: of the answer.
        meanwhile: done before each answer.
        endless: a body without end follows the status.
        silent: an event that the answer waits for.
        seconds: that the channel waits for an answer.
    """

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[tuple[Mapping[str, str], bytes]] = []
        self.calls = 0
        self.headers: dict[str, str] = {}
        self.meanwhile: Callable[[], object] = lambda: None
        self.endless = False
        self.silent: asyncio.Event | None = None
        self.seconds = 5.0
        self.url = ""
        self.session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        app.router.add_post("/elsewhere", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        self.session = open_session()

    async def stop(self) -> None:
        await self.session.close()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.calls += 1
        body = await request.read()
        self.meanwhile()
        if self.silent is not None:
            await self.silent.wait()
        if self.endless:
            return await self._without_end(request)
        if 300 <= self.status < 400:
            return web.Response(status=self.status, headers={"Location": "/elsewhere"})
        if self.status == 200:
            self.taken.append((dict(request.headers), body))
        return web.Response(status=self.status, text="token=quoted-secret", headers=self.headers)

    async def _without_end(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=self.status)
        await answer.prepare(request)
        with suppress(ConnectionError):
            while True:
                await answer.write(b"x" * 65_536)
        return answer

    @property
    def texts(self) -> list[str]:
        return [orjson.loads(body)["text"] for _, body in self.taken]

    @property
    def bodies(self) -> list[Any]:
        return [orjson.loads(body) for _, body in self.taken]

    def http(self, clock: SetClock) -> Http:
        return Http(self.url, Windows((), clock), self.seconds, self.session)

    def slack(self, clock: SetClock) -> Slack:
        return Slack(self.http(clock), clock)

    def webhook(self, clock: SetClock) -> StandardWebhook:
        return StandardWebhook(self.http(clock), SECRET, clock)


@asynccontextmanager
async def receiver():
    found = Receiver()
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


class Postbox:
    """What a mail server was handed. ``refuses``: addresses it does not take. ``ponders``: those it says nothing to."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuses: set[str] = set()
        self.ponders: set[str] = set()

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd names it
        if address in self.ponders:
            await asyncio.Event().wait()
        if address in self.refuses:
            return "550 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd names it
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 OK"


class MailServer:
    """A mail server in a thread of its own; it may be down for a while."""

    def __init__(self) -> None:
        self.box = Postbox()
        self._controller: Controller | None = None
        self.port = 0

    def start(self) -> None:
        self._controller = Controller(self.box, hostname="127.0.0.1", port=self.port or _free_port())
        self._controller.start()
        self.port = self._controller.port

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None


def _free_port() -> int:
    import socket  # noqa: PLC0415 - of no use to anybody else here

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Job:
    """An alert job on a ledger, as one start of a bridge has it; :meth:`again` is the next start."""

    def __init__(
        self,
        ledger: Ledger,
        clock: SetClock,
        channels: Sequence[Channel],
        given: AlertPolicy | None = None,
        *,
        lanes: Mapping[str, Any] | None = None,
        offsets: Mapping[str, float] | None = None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self.ledger = ledger
        self.clock = clock
        self.channels = channels
        self.policy = given or AlertPolicy(disk_free=0)
        self.lanes = lanes if lanes is not None else {}
        self.offsets = dict(offsets or {})
        self.sources = ["shop", "ams"]
        self.failures: list[str] = []
        self.leads = leads
        self.again()

    def again(self) -> None:
        """Start anew: what stood in memory is gone."""
        watch = Watch(self.ledger, self.clock, lambda: self.lanes, lambda: self.sources, lambda: self.offsets)
        self.alerts = Alerts(self.ledger, self.clock, watch, self.failures.append, self.leads)
        self.alerts.use(self.policy, self.channels)

    async def run(self, minutes: float = 0, times: int = 1) -> None:
        """Let the clock go on and the job run, so many times."""
        for _ in range(times):
            self.clock.move(minutes * 60)
            await self.alerts.run()
