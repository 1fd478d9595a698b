"""A whole bridge for acceptance tests: in this process, or as the real command in a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from bridge.app import Bridge
from bridge.kit.sandbox import Emulator
from bridge.registry import Registry, emulator_class
from config.load import load
from tests.ledger.blank import blank_at

AMS_KEY = "ams-key-for-tests"
OTHER_KEY = "other-ams-key-for-tests"
CHECKOUT_SECRET = "checkout-secret-for-tests"

HEAD = f"""
[server]
port = {{port}}
max_body = "64KiB"

[ledger]
url = "sqlite:///{{folder}}/bridge.db"

[log]
level = "warning"

[dispatch]
retry = ["200ms", "500ms", "1s", "2s"]
breaker_probe = "300ms"
breaker_probe_max = "1s"

[sources.ams]
adapter = "elevate"
api_key = "{AMS_KEY}"
namespace = "members"

[sources.other_ams]
adapter = "elevate"
api_key = "{OTHER_KEY}"
namespace = "members"

[sources.checkout]
adapter = "tenxpro"
secret = "{CHECKOUT_SECRET}"

[courses.intro-ce]
title = "Introduction to Continuing Education"
product_url = "https://school.example.org/courses/intro-ce?force_login=1"
registration_url = "https://ams.example.org/cart/add?product=ABCD1234"
{{tables_intro}}

[courses.ethics]
title = "Ethics"
product_url = "https://school.example.org/courses/ethics"
{{tables_ethics}}

[[products]]
source = ["ams", "other_ams"]
remote_product_id = "ABCD1234"
courses = ["intro-ce"]

[[products]]
source = "ams"
remote_product_id = "BUNDLE"
courses = ["intro-ce", "ethics"]

[[products]]
source = "checkout"
remote_product_id = "3"
courses = ["intro-ce"]

[[products]]
source = "checkout"
remote_product_id = "bundle:9"
courses = ["intro-ce", "ethics"]

[[products]]
source = "checkout"
remote_product_id = "forum:5"
courses = ["ethics"]
"""

TABLES = {
    "elevate": ('{{ remote_product_id = "INTRO" }}', '{{ remote_product_id = "ETHICS" }}'),
    "academy_of_mine": ("{{ course_id = 42 }}", "{{ course_id = 43 }}"),
    "moodle": ("{{ course_id = 7 }}", "{{ course_id = 8 }}"),
    "openedx": ('{{ course_id = "course-v1:Org+PY101+2026" }}', '{{ course_id = "course-v1:Org+PY102+2026" }}'),
    "mailchimp": ('{{ tags = ["ce", "intro"] }}', '{{ tags = ["ce", "ethics"] }}'),
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configuration(
    folder: Path, targets: dict[str, Emulator], *, port: int = 0, extra: str = "", ledger: bool = True
) -> Path:
    """Write a configuration with these targets (target name = connector type) and return its path.

    Its ledger has a schema already, unless ``ledger`` is false: then there is none yet.
    """
    if ledger:
        blank_at(folder / "bridge.db")
    tables = {0: [], 1: []}
    sections = []
    for name, emulator in targets.items():
        credentials = "\n".join(f"{key} = {_toml(value)}" for key, value in emulator.credentials.items())
        sections.append(f'[targets.{name}]\nconnector = "{name}"\nbase_url = "{emulator.base_url}"\n{credentials}\n')
        for at, table in enumerate(TABLES.get(name, ())):
            tables[at].append(f"{name} = {table}".replace("{{", "{").replace("}}", "}"))
    text = HEAD.format(port=port, folder=folder, tables_intro="\n".join(tables[0]), tables_ethics="\n".join(tables[1]))
    path = folder / "bridge.toml"
    path.write_text(text + "\n".join(sections) + extra)
    return path


def _toml(value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


@asynccontextmanager
async def emulators(*types: str):
    """Start emulators by type."""
    started = {}
    try:
        for name in types:
            started[name] = emulator_class(name)()
            await started[name].start()
        yield started
    finally:
        for emulator in started.values():
            await emulator.stop()


class Client:
    """A sender."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self.session = session

    async def register(self, user: str = "123456", product: str = "ABCD1234", key: str = AMS_KEY, **changes):
        """Post the vendor's example request; return status and parsed body."""
        body = {
            "api_key": key,
            "remote_user_id": user,
            "firstname": "Testfname",
            "lastname": "Testlname",
            "email": f"{user}@example.org",
            "remote_product_id": product,
            "amount_paid": "0",
            **changes,
        }
        return await self.post("/api/registrations", json=body)

    async def cancel(
        self, registration_id: int | str, key: str = AMS_KEY, path: str = "/registrations/cancel", **changes
    ):
        return await self.post(path, json={"api_key": key, "registration_id": registration_id, **changes})

    async def post(self, path: str, **how):
        async with self.session.post(self.base_url + path, **how) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **how):
        async with self.session.get(self.base_url + path, **how) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def running(folder: Path, targets: dict[str, Emulator], extra: str = ""):
    """Run a bridge in this process; yields (bridge, client)."""
    loaded = load(configuration(folder, targets, extra=extra), Registry(), env={})
    bridge = Bridge(loaded.settings)
    await bridge.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield bridge, Client(f"http://127.0.0.1:{bridge.port}", session)
    finally:
        await bridge.stop()


class Daemon:
    """``bridge run`` in a process of its own."""

    def __init__(self, config: Path, port: int) -> None:
        self.config = config
        self.log = config.with_suffix(".log")
        self.base_url = f"http://127.0.0.1:{port}"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the command and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bridge", "run", "--config", str(self.config), stderr=log
            )
        async with aiohttp.ClientSession() as session:
            for _ in range(1_200):
                try:
                    async with session.get(self.base_url + "/healthz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        await self.kill()
        said = self.log.read_text() if self.log.is_file() else ""  # a device for a log may have no end
        raise AssertionError(f"the daemon did not start: {said[-2000:]}")

    async def kill(self) -> None:
        """End it the hard way."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """End it the soft way; returns its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        return await self.process.wait()


async def until(condition, seconds: float = 15.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError("the condition did not come true in time")
        await asyncio.sleep(0.02)


def live(emulator: Emulator) -> list[tuple[str, str]]:
    """Return who holds what, as (e-mail, what)."""
    return sorted((held.person, held.what) for held in emulator.holdings() if held.live)
