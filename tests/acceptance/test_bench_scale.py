"""The part of ``make bench ARGS=--scale`` that runs whole bridges on one PostgreSQL, with little to do."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.daemon import BridgeEnded, Daemon, while_running
from benchmarks.postgresql import Server
from benchmarks.setting import configuration
from tests.acceptance.rig import free_port


async def test_two_bridges_work_off_what_waits_and_the_target_tells_what_it_saw() -> None:
    """Everybody is asked for once, by bridges that both begin and end; of one that can't begin its exit code and log are told."""
    server = await asyncio.to_thread(Server)
    try:
        seen = await asyncio.wait_for(scale._run(server, scale._Run(2, 0.01, 40)), 120)
        with pytest.raises(BridgeEnded, match=r"exit code 2(?s:.*)limitless") as died:
            await asyncio.wait_for(scale._run(server, scale._Run(2, 0.01, 40, limit="limitless = true")), 120)
    finally:
        await asyncio.to_thread(server.end)
    assert died.value.code == 2
    assert len(seen["came"]) == 40
    assert 1 <= seen["peak"] <= 16


async def test_a_bridge_that_is_killed_ends_what_waits_for_it(tmp_path: Path) -> None:
    """The measurement ends with what a shell says of the signal."""
    port = free_port()
    bridge = await Daemon.start(configuration(str(tmp_path), port, 9, "bench-key"), port)
    try:
        await bridge.ready()
        os.kill(bridge.process.pid, signal.SIGKILL)
        with pytest.raises(BridgeEnded, match="by signal 9") as died:
            await asyncio.wait_for(while_running([bridge], asyncio.sleep(60)), 20)
    finally:
        await bridge.stop()
    assert died.value.code == 137
