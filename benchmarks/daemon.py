"""The bridge as a process of its own, which is waited for only as long as it lives."""

from __future__ import annotations

import asyncio
import sys
import urllib.error
import urllib.request
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LAST = 20  # lines of the log


class BridgeEnded(Exception):
    """A bridge ended before the benchmark did.

    Attributes:
        code: what the benchmark itself ends with: the exit code, 128 and more for a signal; never 0.
    """

    def __init__(self, port: int, returned: int, log: str) -> None:
        """Take how it ended, and all that it logged."""
        self.code = 128 - returned if returned < 0 else returned or 1
        lines = log.splitlines()[-_LAST:] or ["(it logged nothing)"]
        how = f"by signal {-returned}" if returned < 0 else f"with exit code {returned}"
        super().__init__(f"the bridge on port {port} ended {how}; its last log lines:\n" + "\n".join(lines))


@dataclass
class Daemon:
    """A bridge that was started."""

    process: asyncio.subprocess.Process
    port: int
    log: Path

    @classmethod
    async def start(cls, config: Path, port: int, *options: str) -> Daemon:
        """Start it; what it logs is kept beside its configuration."""
        log = config.with_suffix(".log")
        command = (sys.executable, "-m", "bridge", "run", *options, "--config", str(config))
        with log.open("ab") as file:
            return cls(await asyncio.create_subprocess_exec(*command, stderr=file), port, log)

    async def ready(self, every: float = 0.01) -> None:
        """Wait until it is ready, asking again after so many seconds.

        Raises:
            BridgeEnded: it never will be.
        """
        await while_running([self], self._ready(every))

    async def stop(self) -> None:
        """Have it end, if it has not yet."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        await self.process.wait()

    async def _ready(self, every: float) -> None:
        while not await asyncio.to_thread(_is_ready, self.port):  # noqa: ASYNC110 - another process gets ready
            await asyncio.sleep(every)


async def while_running(daemons: Sequence[Daemon], work: Coroutine[Any, Any, None]) -> None:
    """Do what needs all of these bridges.

    Raises:
        BridgeEnded: one of them ended before it was done.
    """
    doing = asyncio.ensure_future(work)
    ends = {asyncio.ensure_future(daemon.process.wait()): daemon for daemon in daemons}
    try:
        await asyncio.wait([doing, *ends], return_when=asyncio.FIRST_COMPLETED)
        for end, daemon in ends.items():
            if end.done():
                log = await asyncio.to_thread(daemon.log.read_text, errors="replace")
                raise BridgeEnded(daemon.port, end.result(), log)
        await doing
    finally:
        for task in (doing, *ends):
            task.cancel()
        await asyncio.gather(doing, *ends, return_exceptions=True)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
