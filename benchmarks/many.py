"""Many bridges under every trouble there is: ``python -m benchmarks --many MINUTES``.

Three bridges, each a process with an address of its own, on one PostgreSQL; senders in a fourth process, who repeat what was
not acknowledged at another bridge. In turn, then at random: one is killed, one stands still, one loses its connections, the
database restarts. At the end every person is where the last acknowledged call put them, and no target holds anybody twice.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.postgresql import Server
from bridge.kit.sandbox import Emulator
from bridge.registry import emulator_class

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
_PATIENCE = 90.0  # seconds for what is left to arrive
_SENDERS = 6
_CONFIG = """
[server]
host = "{host}"
port = {port}
[ledger]
url = "{url}{mark}application_name={name}"
[log]
level = "warning"
[dispatch]
retry = ["200ms", "500ms", "1s", "2s"]
breaker_probe = "300ms"
breaker_probe_max = "1s"
deadline = "2s"
request_timeout = "1s"
lease = "4s"
[sources.ams]
adapter = "elevate"
api_key = "many-key"
[courses.intro-ce]
title = "Introduction"
product_url = "https://school.example.org/courses/intro-ce"
elevate = {{ remote_product_id = "INTRO" }}
[[products]]
source = "ams"
remote_product_id = "ABCD1234"
courses = ["intro-ce"]
"""


@dataclass
class Member:
    """One bridge."""

    name: str
    host: str
    port: int
    config: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def base_url(self) -> str:
        """Where senders call it."""
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Start it; it answers when it does."""
        with self.config.with_suffix(".log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bridge", "run", "--config", str(self.config), stderr=log
            )

    async def answers(self) -> None:
        """Wait until it answers."""
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(self.base_url + "/healthz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.1)
        raise AssertionError(f"{self.name} did not start: {self.config.with_suffix('.log').read_text()[-2000:]}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait until its process has ended."""
        return await self.process.wait() if self.process is not None else 0


@dataclass
class Scenario:
    """The bridges, the database, the targets, and the troubles."""

    folder: Path
    say: Callable[[str], None]
    server: Server = field(init=False)
    url: str = field(init=False)
    members: list[Member] = field(default_factory=list)
    targets: dict[str, Emulator] = field(default_factory=dict)
    troubles: Counter[str] = field(default_factory=Counter)

    async def run(self, seconds: float, port: int) -> dict[str, Any]:
        """Run it and return what was found; ``wrong`` is empty when everything holds."""
        self.server = await asyncio.to_thread(Server)
        self.url = await asyncio.to_thread(self.server.create, "many")
        try:
            for name in ("elevate", "hubspot"):
                self.targets[name] = emulator_class(name)()
                await self.targets[name].start()
            await self._begin(port)
            told = await self._under_load(seconds)
            started = time.monotonic()
            wrong = await self._settled(told)
            codes = await self._end()
            if any(codes):
                wrong.append(f"exit codes {codes}")
            return {
                "people": len(told),
                "troubles": dict(self.troubles),
                "settled_after": round(time.monotonic() - started, 1),
                "wrong": wrong,
            }
        finally:
            for member in self.members:
                member.signal(signal.SIGKILL)
                await member.ended()
            for target in self.targets.values():
                await target.stop()
            await asyncio.to_thread(self.server.end)

    async def _begin(self, port: int) -> None:
        mark = "&" if "?" in self.url else "?"
        sections = "".join(
            f'[targets.{name}]\nconnector = "{name}"\nbase_url = "{target.base_url}"\n'
            + "".join(f"{key} = {json.dumps(value)}\n" for key, value in target.credentials.items())
            for name, target in self.targets.items()
        )
        for number, host in enumerate(HOSTS):
            name = f"bridge-{number}"
            config = self.folder / f"{name}.toml"
            text = _CONFIG.format(host=host, port=port, url=self.url, mark=mark, name=name)
            await asyncio.to_thread(config.write_text, text + sections)
            self.members.append(Member(name, host, port, config))
        for member in self.members:
            await member.start()
        await asyncio.gather(*(member.answers() for member in self.members))

    async def _under_load(self, seconds: float) -> dict[str, bool]:
        addresses = [member.base_url for member in self.members]
        load = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.many",
            *addresses,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert load.stdin is not None
        await self._trouble(seconds)
        await asyncio.gather(*(member.answers() for member in self.members))
        load.stdin.close()
        output = await load.stdout.read() if load.stdout is not None else b""
        await load.wait()
        return dict(json.loads(output))

    async def _trouble(self, seconds: float) -> None:
        every: list[Callable[[], Awaitable[None]]] = [self._restart, self._still, self._cut, self._kill]
        until, queue = time.monotonic() + seconds, [*every]
        while time.monotonic() < until:
            await asyncio.sleep(0.5 + random.random())
            trouble = queue.pop(0) if queue else random.choice(every)
            name = trouble.__name__.removeprefix("_")
            self.troubles[name] += 1
            self.say(f"{name}, {until - time.monotonic():.0f} s to go")
            await trouble()

    async def _kill(self) -> None:
        member = random.choice(self.members)
        member.signal(signal.SIGKILL)
        await member.ended()
        await asyncio.sleep(random.random() * 2)
        await member.start()

    async def _still(self) -> None:
        """Let one stand still, for less or for longer than its leases last."""
        member = random.choice(self.members)
        member.signal(signal.SIGSTOP)
        await asyncio.sleep(random.choice((1.5, 6.0)))
        member.signal(signal.SIGCONT)

    async def _cut(self) -> None:
        member = random.choice(self.members)
        for _ in range(random.randint(1, 20)):
            await asyncio.to_thread(
                self.server.ask,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                member.name,
            )
            await asyncio.sleep(0.1)

    async def _restart(self) -> None:
        await asyncio.to_thread(self.server.stop, random.choice(("fast", "immediate")))
        await asyncio.sleep(random.random() * 3)
        await asyncio.to_thread(self.server.start)

    async def _settled(self, told: dict[str, bool]) -> list[str]:
        """Wait until everybody is where they belong; return what is wrong in the end."""
        until = time.monotonic() + _PATIENCE
        while wrong := self._wrong(told):
            if time.monotonic() > until:
                return wrong
            await asyncio.sleep(0.2)
        return []

    def _wrong(self, told: dict[str, bool]) -> list[str]:
        lms = {held.person for held in self.targets["elevate"].holdings() if held.live}
        crm = {held.person for held in self.targets["hubspot"].holdings()}
        wrong = [f"{who} paid and is not in" for who, wanted in told.items() if wanted and who not in lms]
        wrong += [f"{who} is in and should not be" for who, wanted in told.items() if not wanted and who in lms]
        wrong += [f"{who} is no contact" for who, wanted in told.items() if wanted and who not in crm]
        for name, target in self.targets.items():
            held = Counter((one.person, one.what) for one in target.holdings() if one.live)
            wrong += [f"{name} holds {who} {times} times" for (who, _), times in held.items() if times > 1]
        left = "SELECT target, person, state, why FROM delivery WHERE state NOT IN ('done', 'waiting')"
        if not wrong:
            wrong += [f"left: {row}" for row in self.server.ask(left, at=self.url)]
        return wrong

    async def _end(self) -> list[int]:
        for member in self.members:
            member.signal(signal.SIGTERM)
        return [await member.ended() for member in self.members]


class Sender:
    """Buys, and sometimes cancels and buys again, one person after the other; repeats until it is acknowledged."""

    def __init__(self, name: str, addresses: list[str], session: aiohttp.ClientSession) -> None:
        """Call any of these addresses."""
        self.told: dict[str, bool] = {}
        self._name = name
        self._addresses = addresses
        self._session = session

    async def run(self, stopping: asyncio.Event) -> None:
        """Go on until told to stop; what was begun is acknowledged."""
        number = 0
        while not stopping.is_set():
            user, number = f"{self._name}-{number}", number + 1
            who = f"{user}@example.org"
            registration = await self._register(user, who)
            self.told[who] = True
            for _ in range(random.choice((0, 0, 1, 2))):
                await self._until("/registrations/cancel", {"registration_id": registration})
                self.told[who] = False
                if random.random() < 0.5:
                    registration = await self._register(user, who)
                    self.told[who] = True
            await asyncio.sleep(0.02)

    async def _register(self, user: str, who: str) -> int:
        body = {
            "remote_user_id": user,
            "firstname": "Ada",
            "lastname": "Lovelace",
            "email": who,
            "remote_product_id": "ABCD1234",
            "amount_paid": "49.90",
        }
        return int((await self._until("/api/registrations", body))["registration_id"])

    async def _until(self, path: str, body: dict[str, Any]) -> Any:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self._session.post(
                    random.choice(self._addresses) + path, json={"api_key": "many-key", **body}
                ) as answer:
                    if answer.status == 200:
                        return await answer.json()
                    if answer.status != 503:
                        raise AssertionError(f"{path} answered {answer.status}: {await answer.text()}")
            await asyncio.sleep(0.1)


async def _load(addresses: list[str]) -> None:
    stopping = asyncio.Event()
    # Longer than any bridge stands still: a call that is given up and waits in a stopped bridge would be taken after the
    # cancellation that followed its repeat, and this API has no ids by which that could be told from buying again.
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        senders = [Sender(f"s{number}", addresses, session) for number in range(_SENDERS)]
        running = [asyncio.create_task(sender.run(stopping)) for sender in senders]
        await asyncio.to_thread(sys.stdin.read)
        stopping.set()
        await asyncio.gather(*running)
    print(json.dumps({who: wanted for sender in senders for who, wanted in sender.told.items()}))


def measure(seconds: float, say: Callable[[str], None], port: int = 18_480) -> dict[str, Any]:
    """Run the scenario for so long, and return what was found."""
    folder = Path(tempfile.mkdtemp(prefix="many-"))
    try:
        return asyncio.run(Scenario(folder, say).run(seconds, port))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(_load(sys.argv[1:]))
