"""Where the demo takes place: a temporary folder, emulated targets on loopback, and the bridge in this process."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import aiohttp
import orjson

from bridge.app import Bridge
from bridge.cli.demo.wiring import TARGETS, configuration
from bridge.edge import logs
from bridge.edge.control import socket_path
from bridge.kit.sandbox import Emulator, Holding
from bridge.registry import Registry, emulator_class
from config.load import load
from config.settings import Settings

_USUAL_PORT = 8080
_COMPLAINTS = frozenset({"warning", "error", "critical"})
_LATEST = 10


class Stage:
    """Everything that runs during the demo; an asynchronous context manager that leaves nothing behind.

    Attributes:
        emulators: by the target's name.
        session: what the senders' calls go through.
    """

    bridge: Bridge
    session: aiohttp.ClientSession

    def __init__(self, *, usual_port: bool) -> None:
        """Prepare; ``usual_port`` asks for port 8080, where that is free."""
        self.emulators: dict[str, Emulator] = {name: emulator_class(kind)() for name, kind in TARGETS.items()}
        self.folder = Path()
        self._port = _USUAL_PORT if usual_port and _is_free(_USUAL_PORT) else 0
        self._ends = AsyncExitStack()

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "bridge.toml"

    @property
    def ledger(self) -> Path:
        """The SQLite file."""
        return self.folder / "bridge.db"

    @property
    def log(self) -> Path:
        """Where the bridge's log goes, because the terminal is taken."""
        return self.folder / "bridge.log"

    def _settings(self) -> Settings:
        return load(self.config, Registry()).settings

    @property
    def base_url(self) -> str:
        """The bridge's address."""
        return f"http://127.0.0.1:{self.bridge.port}"

    async def __aenter__(self) -> Self:
        """Start emulators and bridge."""
        async with self._ends as ends:
            self.folder = Path(ends.enter_context(TemporaryDirectory(prefix="bridge-demo-")))
            logs.configure("info", "json", ends.enter_context(self.log.open("a", buffering=1, encoding="utf-8")))
            for emulator in self.emulators.values():
                await ends.enter_async_context(emulator)
            self.config.write_text(configuration(self._port, self.ledger, self.emulators), encoding="utf-8")
            ends.callback(socket_path(self.ledger).unlink, missing_ok=True)  # it may lie outside the folder
            self.bridge = Bridge(self._settings(), reread=self._settings, file=self.config)
            await self.bridge.start()
            ends.push_async_callback(self.bridge.stop)
            self.session = await ends.enter_async_context(
                aiohttp.ClientSession(self.base_url, timeout=aiohttp.ClientTimeout(total=10))
            )
            self._ends = ends.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drain the bridge, stop the emulators, remove the folder."""
        await self._ends.aclose()

    def lanes(self) -> dict[str, str]:
        """Return the status of each target's lane."""
        dispatcher = self.bridge.dispatcher
        return {name: lane.status for name, lane in dispatcher.lanes.items()} if dispatcher is not None else {}

    def complaints(self) -> list[str]:
        """Return the latest warnings and errors of the log, which is gone when the demo ends."""
        records = (orjson.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines())
        return [_short(record) for record in records if record["level"] in _COMPLAINTS][-_LATEST:]

    def holdings(self) -> dict[str, list[Holding]]:
        """Return what each target holds, by the target's own word."""
        return {name: emulator.holdings() for name, emulator in self.emulators.items()}


def _short(record: dict[str, Any]) -> str:
    rest = (f"{name}={value}" for name, value in record.items() if name not in ("event", "level", "exception"))
    return f"{record['level']} {record['event']} {' '.join(rest)}"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
