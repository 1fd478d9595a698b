"""A verb of ours that the console runs: in a process of its own, which can neither hold up the daemon nor outlive its time."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from bridge.edge.console.rehearsing import NotRehearsed

_SECONDS: Final = 30.0
_LAST_WORDS: Final = 3.0  # seconds, in which an interrupted verb clears its temporary folder away
_MOST: Final = 4 * 2**20  # bytes of what it says
_MOST_COMPLAINTS: Final = 4_000


class Verb:
    """Runs verbs by the configuration in one file, one at a time."""

    def __init__(self, config: Path, seconds: float = _SECONDS) -> None:
        """Let no verb take longer than ``seconds``."""
        self._config = config
        self._seconds = seconds
        self._busy = False

    async def rehearse(self, source: str, recorded: bytes) -> Any:
        """Return what ``bridge rehearse --json`` says of a recorded call, by the configuration as it stands in the file.

        Raises:
            NotRehearsed: it could not be rehearsed, took too long, or another one is under way.
        """
        return await self._told(["rehearse", "-", "--json", f"--source={source}"], recorded)

    async def _told(self, words: Sequence[str], given: bytes) -> Any:
        if self._busy:
            raise NotRehearsed("Somebody else's is under way. Try again in a moment.")
        self._busy = True
        try:
            out, complaints = await self._run(words, given)
        finally:
            self._busy = False
        try:
            return orjson.loads(out)
        except orjson.JSONDecodeError:
            raise NotRehearsed(complaints or "It ended without a word.") from None

    async def _run(self, words: Sequence[str], given: bytes) -> tuple[bytes, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bridge", *words, "--config", str(self._config)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - all three are pipes
        try:
            async with asyncio.timeout(self._seconds):
                _, out, err = await asyncio.gather(
                    _feed(process.stdin, given), _read(process.stdout, _MOST), _read(process.stderr, _MOST)
                )
                await process.wait()
        except TimeoutError:
            raise NotRehearsed(f"It was not done within {self._seconds:g} s, and was ended.") from None
        finally:
            await _end(process)
        return out, err.decode("utf-8", "replace").strip()[-_MOST_COMPLAINTS:]


async def _feed(pipe: asyncio.StreamWriter, given: bytes) -> None:
    with suppress(ConnectionError):  # it ended without having read all; what it said tells why
        pipe.write(given)
        await pipe.drain()
    pipe.close()


async def _read(pipe: asyncio.StreamReader, most: int) -> bytes:
    said = bytearray()
    while part := await pipe.read(2**16):
        said += part
        if len(said) > most:
            raise NotRehearsed("It said more than a page can show: rehearse it on the command line.")
    return bytes(said)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Interrupt what still runs, so that it clears away after itself; kill it where that does not help."""
    if process.returncode is not None:
        return
    try:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(_LAST_WORDS):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
