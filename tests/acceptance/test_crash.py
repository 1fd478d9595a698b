"""kill -9 in the middle of it: every acknowledged registration reaches every target, and no target holds a duplicate."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import aiohttp

from tests.acceptance.rig import Client, Daemon, configuration, emulators, free_port, live, until

ROUNDS = 5
SENDERS = 12


async def test_killed_again_and_again_under_load(tmp_path) -> None:
    """Senders repeat what was not acknowledged, as senders do; the ledger does the rest."""
    acknowledged: dict[str, int] = {}
    async with emulators("elevate", "academy_of_mine", "hubspot") as targets, aiohttp.ClientSession() as session:
        port = free_port()
        daemon = Daemon(configuration(tmp_path, targets, port=port), port)
        client = Client(daemon.base_url, session)
        for turn in range(ROUNDS):
            await daemon.start()
            senders = [asyncio.create_task(_send(client, f"{turn}-{n}", acknowledged)) for n in range(SENDERS)]
            await asyncio.sleep(0.3 + random.random() * 0.5)
            await daemon.kill()
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)
        await daemon.start()
        await _repeat_all(client, acknowledged)
        everybody = {f"{user}@example.org" for user in acknowledged}
        for name in targets:
            await until(lambda name=name: everybody <= {person for person, _ in live(targets[name])}, 60)
        assert await daemon.stop() == 0
    assert len(acknowledged) > ROUNDS * 5, "there was load"
    for name, target in targets.items():
        twice = [
            held for held, times in Counter((item.person, item.what) for item in target.holdings()).items() if times > 1
        ]
        assert twice == [], f"{name} holds duplicates"


async def _send(client: Client, name: str, acknowledged: dict[str, int]) -> None:
    for number in range(1_000):
        user = f"u{name}-{number}"
        try:
            status, body = await client.register(user)
        except (aiohttp.ClientError, OSError):
            return
        if status == 200:
            assert acknowledged.setdefault(user, body["registration_id"]) == body["registration_id"]


async def _repeat_all(client: Client, acknowledged: dict[str, int]) -> None:
    """What was acknowledged before a crash has the same id after it."""
    for user in random.sample(sorted(acknowledged), min(30, len(acknowledged))):
        status, body = await client.register(user)
        assert (status, body["registration_id"]) == (200, acknowledged[user])


async def test_stopped_softly_it_finishes_what_is_in_flight(tmp_path) -> None:
    """SIGTERM drains: exit code 0, nothing half done, and the next start has nothing to repair."""
    async with emulators("elevate") as targets, aiohttp.ClientSession() as session:
        port = free_port()
        daemon = Daemon(configuration(tmp_path, targets, port=port), port)
        await daemon.start()
        targets["elevate"].now_fails("delay", seconds=0.5)
        client = Client(daemon.base_url, session)
        for number in range(5):
            await client.register(f"soft-{number}")
        await until(lambda: len(targets["elevate"].journal) == 5)
        assert await daemon.stop() == 0
        assert len(live(targets["elevate"])) == 5
        assert len(targets["elevate"].journal) == 5
