"""Killed at each await of accept, deliver and settle in turn, the bridge loses no purchase and doubles none."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter

import aiohttp
import pytest

from tests.acceptance.rig import Client, configuration, emulators, free_port, live, until

TARGETS = ("elevate", "hubspot")
SHARES = 4


class Dying:
    """Bridges that are forked one after the other, each to be killed at a point of its own."""

    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.process = process
        self.session = session

    async def line(self) -> str:
        return (await asyncio.wait_for(self.process.stdout.readline(), 30)).decode().strip()

    def say(self, words: str) -> None:
        self.process.stdin.write(words.encode() + b"\n")

    async def born(self, point: str = "-", when: str = "never", nth: int = 0) -> Client:
        port = free_port()
        self.say(f"{port} {point} {when} {nth}")
        assert await self.line() == "up"
        return Client(f"http://127.0.0.1:{port}", self.session)

    async def ended(self) -> list[str]:
        self.say("end")
        seen = json.loads(await self.line())
        assert await self.line() == "ended"
        return seen


async def bought(client: Client, user: str) -> int | None:
    """Send a purchase; return its registration id, or None where no answer came."""
    try:
        status, said = await client.register(user)
    except (aiohttp.ClientError, OSError):
        return None
    assert status == 200
    return said["registration_id"]


def twice(emulator) -> list[tuple[str, str]]:
    counted = Counter((held.person, held.what) for held in emulator.holdings() if held.live)
    return [what for what, times in counted.items() if times > 1]


def everywhere(targets, user: str) -> bool:
    return all(any(person == f"{user}@example.org" for person, _ in live(one)) for one in targets.values())


@pytest.mark.parametrize("share", range(SHARES))
async def test_no_await_is_a_bad_moment_to_die(tmp_path, share: int) -> None:
    """Whoever was told yes is in, with the same id; whoever was not sends again; nobody is in twice."""
    async with emulators(*TARGETS) as targets, aiohttp.ClientSession() as session:
        config = configuration(tmp_path, targets)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.acceptance.dying", str(config)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        dying = Dying(process, session)
        try:
            client = await dying.born()
            await bought(client, "first")
            await until(lambda: everywhere(targets, "first"))
            points = ["commit", *sorted(await dying.ended())]
            for road in (
                "edge/webhooks",
                "intake/intake",
                "dispatch/lane",
                "dispatch/settler",
                "kit/http",
            ):
                assert any(road in point for point in points), points
            plan = list(itertools.product(points, ("before", "after"), (1, 2)))[share::SHARES]
            deaths = [await died_and_lived(dying, targets, f"u{number}", *how) for number, how in enumerate(plan)]
            assert sum(deaths) >= len(plan) // 2, "most of the points were met"
        finally:
            process.kill()
            await process.wait()


async def died_and_lived(dying: Dying, targets, user: str, point: str, when: str, nth: int) -> bool:
    client = await dying.born(point, when, nth)
    told = await bought(client, user)
    killed = asyncio.create_task(dying.line())
    reached = asyncio.create_task(until(lambda: everywhere(targets, user)))
    await asyncio.wait({killed, reached}, return_when=asyncio.FIRST_COMPLETED)
    died = killed.done()
    if not died:  # it does not wait there on this road; or it dies only when it has done everything
        await asyncio.wait({killed}, timeout=0.2)
        died = killed.done()
    if not died:
        dying.say("end")
        await killed
        assert await dying.line() == "ended"
    else:
        assert killed.result() == "killed"
    reached.cancel()
    await asyncio.gather(reached, return_exceptions=True)
    client = await dying.born()
    again = await bought(client, user)
    assert told in (None, again), "the id that was promised is the id"
    await until(lambda: everywhere(targets, user))
    assert [one for target in targets.values() for one in twice(target)] == []
    await dying.ended()
    return died
