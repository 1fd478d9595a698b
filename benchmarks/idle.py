"""How soon an idle bridge passes a purchase on: from the purchase to the LMS having it, against one bare request to that LMS."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from benchmarks.daemon import Daemon
from benchmarks.setting import configuration
from bridge.registry import emulator_class

_PAUSE = 0.03  # seconds between purchases: nothing is under way when the next one comes


def measure(purchases: int, advance: Callable[[str], None]) -> dict[str, float]:
    """Return medians in milliseconds: of a bare request, from sending a purchase to its receipt, and from its answer."""
    advance("idle: one purchase at a time")
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measured(folder, purchases))


async def _measured(folder: str, purchases: int) -> dict[str, float]:
    emulator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.emulated", "elevate", "-1", "told"), stdout=asyncio.subprocess.PIPE
    )
    assert emulator.stdout is not None
    target, port = int(await emulator.stdout.readline()), 18_474
    key = emulator_class("elevate").credentials["api_key"]
    config = configuration(folder, port, target, key)
    daemon = await Daemon.start(config, port)
    try:
        await daemon.ready()
        async with aiohttp.ClientSession() as session:
            bare = await _sent(session, target, key, emulator.stdout, purchases, "bare")
            ours = await _sent(session, port, "bench-key", emulator.stdout, purchases, "idle")
        return {
            "bare_ms": statistics.median(answered - sent for sent, answered, _ in bare),
            "sent_ms": statistics.median(received - sent for sent, _, received in ours),
            "answered_ms": statistics.median(received - answered for _, answered, received in ours),
        }
    finally:
        await daemon.stop()
        emulator.terminate()
        await emulator.wait()


async def _sent(
    session: aiohttp.ClientSession, port: int, key: str, told: asyncio.StreamReader, count: int, name: str
) -> list[tuple[float, float, float]]:
    """Send purchases one by one; return when each was sent, answered, and received by the LMS, in milliseconds."""
    found = []
    for number in range(count + 20):
        await asyncio.sleep(_PAUSE)
        person = f"{name}-{number}"
        body: dict[str, Any] = {
            "api_key": key,
            "remote_user_id": person,
            "firstname": "Ada",
            "lastname": "Lovelace",
            "email": f"{person}@example.org",
            "remote_product_id": "ABCD1234",
        }
        sent = time.monotonic_ns()
        async with session.post(f"http://127.0.0.1:{port}/api/registrations", json=body) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
        answered = time.monotonic_ns()
        received = int(await told.readline())
        found.append((sent / 1e6, answered / 1e6, received / 1e6))
    return found[20:]  # the first ones make connections and prepare statements
