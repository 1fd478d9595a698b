"""A dead CRM never delays the LMS."""

from __future__ import annotations

import asyncio
import time

from tests.acceptance.rig import emulators, live, running, until

PEOPLE = 100


async def test_hubspot_hanging_does_not_slow_the_lms(tmp_path) -> None:
    """A hundred enrollments reach the LMS as fast as without HubSpot; both are measured here, in one run."""
    alone = await _seconds(tmp_path, "alone", "elevate")
    beside = await _seconds(tmp_path, "beside", "elevate", "hubspot")
    # Twice as long would be a lane waiting for another; a hanging HubSpot holds its callers for ten seconds each.
    assert beside < alone * 2 + 1.0, f"{beside:.2f} s with HubSpot hanging, {alone:.2f} s without HubSpot"


async def _seconds(tmp_path, name: str, *types: str) -> float:
    folder = tmp_path / name
    folder.mkdir()
    async with emulators(*types) as targets, running(folder, targets) as (_, client):
        if "hubspot" in targets:
            targets["hubspot"].now_fails("delay", seconds=30.0)
        started = time.perf_counter()
        answers = await asyncio.gather(*(client.register(f"p{number}") for number in range(PEOPLE)))
        assert {status for status, _ in answers} == {200}
        await until(lambda: len(live(targets["elevate"])) == PEOPLE)
        seconds = time.perf_counter() - started
        if "hubspot" in targets:
            await until(lambda: len(targets["hubspot"].journal) > 0)
            assert not targets["hubspot"].holdings()
            targets["hubspot"].recovers()
        return seconds
