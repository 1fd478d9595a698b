"""``make bench``, on a machine that has little: it measures everything in one run, on one core and without other programs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


async def test_everything_is_measured_in_one_run() -> None:
    """Accepts with and without a ledger, deliveries with and without a lane: each has a rate, so that there are ratios."""
    core = min(os.sched_getaffinity(0))
    limited = (
        f"import os, runpy, sys; os.sched_setaffinity(0, {{{core}}}); sys.argv = ['bench', *sys.argv[1:]];"
        "runpy.run_module('benchmarks', run_name='__main__')"
    )
    words = (
        "--rounds",
        "1",
        "--seconds",
        "0.1",
        "--deliveries",
        "20",
        "--purchases",
        "2",
        "--backlog",
        "300",
        "--rows",
        "0",
        "--json",
    )
    bench = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", limited, *words), cwd=ROOT, env={"PATH": ""}, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await asyncio.wait_for(bench.communicate(), 300)
    assert bench.returncode == 0
    found = json.loads(told)
    assert set(found["accept"]) >= {
        "bare",
        "nothing",
        "sqlite",
        "single",
        "nothing/2",
        "sqlite/2",
        "nothing/half",
        "sqlite/half",
    }
    assert set(found["deliver"]) == {"emulator/bare", "emulator/lane", "stub/bare", "stub/lane"}
    assert all(milliseconds > 0 for milliseconds in found["idle"].values())
    assert (found["backlog"]["contacts"], found["backlog"]["refused"]) == (300, 0)
    assert all(row["per_second"] > 0 for row in found["accept"].values())
    assert all(rate > 0 for rate in found["deliver"].values())
