"""The part of ``make bench ARGS=--scale`` that runs whole bridges on one PostgreSQL, with little to do."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks import scale
from benchmarks.many import Server


async def test_two_bridges_work_off_what_waits_and_the_target_tells_what_it_saw(tmp_path: Path) -> None:
    """Everybody is asked for once, by bridges that both begin and end."""
    server = await asyncio.to_thread(Server, tmp_path)
    try:
        seen = await asyncio.wait_for(scale._run(server, scale._Run(2, 0.01, 40)), 120)
    finally:
        await asyncio.to_thread(server.end)
    assert len(seen["came"]) == 40
    assert 1 <= seen["peak"] <= 16
