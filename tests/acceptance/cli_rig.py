"""The command line for acceptance tests: in this process, or as the real command where the process is what matters."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from typer.testing import CliRunner

from bridge.cli import app
from bridge.kit.sandbox import Emulator
from tests.acceptance.rig import configuration, emulators, live, running, until

ADA = {"user": "4711", "email": "ada.lovelace@example.org", "firstname": "Ada", "lastname": "Lovelace"}
BOB = {"user": "4712", "email": "bob@example.org", "firstname": "Bob", "lastname": "Babbage"}
EVE = {"user": "4713", "email": "eve@example.org", "firstname": "Eve", "lastname": "Ning"}

TARGETS = ("elevate", "hubspot")


@dataclass(frozen=True)
class Said:
    """What a verb left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def ask(*words: object) -> Said:
    """Run a verb in this process: imports are most of what the real command takes."""
    result = CliRunner().invoke(app, [str(word) for word in words], prog_name="bridge", env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


async def asked(*words: object) -> Said:
    """Run a verb from a test that has a loop of its own."""
    return await asyncio.to_thread(ask, *words)


async def command(*words: object) -> Said:
    """Run the real command in a process of its own."""
    process = await started(*words)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return Said(process.returncode or 0, out.decode(), err.decode())


async def started(*words: object) -> asyncio.subprocess.Process:
    """Start the real command in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bridge",
        *(str(word) for word in words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


class Served:
    """``bridge run`` in a process of its own, whose standard output and error are kept."""

    def __init__(self, config: Path, port: int) -> None:
        self.config = config
        self.base_url = f"http://127.0.0.1:{port}"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *options: str) -> None:
        self.process = await started("run", "--config", self.config, *options)
        async with aiohttp.ClientSession() as session:
            for _ in range(1_200):
                try:
                    async with session.get(self.base_url + "/healthz"):
                        return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        self.signal(signal.SIGKILL)
        raise AssertionError(f"the daemon did not start: {await self.ended()}")

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self) -> Said:
        """Wait for its end; it is killed when that takes too long."""
        assert self.process is not None
        try:
            out, err = await asyncio.wait_for(self.process.communicate(), 20)
        except TimeoutError:
            self.process.kill()
            raise
        return Said(self.process.returncode or 0, out.decode(), err.decode())

    async def stop(self) -> Said:
        assert self.process is not None
        if self.process.returncode is None:
            self.signal(signal.SIGTERM)
        return await self.ended()


def look(ledger: Path, statement: str) -> list[tuple]:
    """Ask the ledger's file directly."""
    connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


@dataclass(frozen=True)
class Past:
    """A ledger in which everything has happened, and the configuration that names it.

    Ada bought a mapped product and is in. Bob's LMS refused him: a dead letter. Eve bought what nobody mapped, and sent
    an order that could not be used.
    """

    config: Path
    ada: int
    bob: int
    targets: dict[str, Emulator]

    def copy(self, folder: Path, extra: str = "") -> Path:
        """Copy the ledger, for a test that changes it; return the configuration of the copy."""
        config = configuration(folder, self.targets, extra=extra)
        source, copy = sqlite3.connect(self.config.with_name("bridge.db")), sqlite3.connect(folder / "bridge.db")
        source.backup(copy)
        source.close()
        copy.close()
        return config


def past(folder: Path) -> Past:
    """Let it all happen."""
    return asyncio.run(_past(folder))


async def _past(folder: Path) -> Past:
    async with emulators(*TARGETS) as targets, running(folder, targets) as (_, client):
        targets["elevate"].products = {"INTRO"}
        _, ada = await client.register(**ADA)
        await until(lambda: live(targets["elevate"]) and live(targets["hubspot"]))
        targets["elevate"].products = {"NOTHING"}
        _, bob = await client.register(**BOB)
        await client.register(**EVE, product="UNMAPPED-9")
        await client.register(**{**EVE, "email": "eve@example.org", "amount_paid": "a lot"})
        await until(lambda: look(folder / "bridge.db", "SELECT count(*) FROM delivery WHERE state = 'dead'") == [(1,)])
    return Past(folder / "bridge.toml", ada["registration_id"], bob["registration_id"], targets)
